"""How each agency is reached: one small module an agency, on shared protocol kits."""

import importlib
from types import ModuleType

from hub.errors import ConfigError


def load(stem: str) -> ModuleType:
    """The module of a source; it has ``fetch(request) -> Fetched``.

    Raises:
        ConfigError: there is none.
    """
    try:
        return importlib.import_module(f"connectors.{stem}")
    except ModuleNotFoundError as error:
        if error.name != f"connectors.{stem}":
            raise
        raise ConfigError("this source has no connector", where=f"connectors/{stem}.py", next_step="write it: one function, fetch") from None
