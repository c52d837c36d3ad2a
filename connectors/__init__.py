"""How each agency is reached: protocol kits, and one small module per agency that says what is odd about it."""

from importlib import import_module
from typing import Protocol, cast

from connectors.delivery import Fetched, FetchRequest
from hub.errors import ConfigError


class Connector(Protocol):
    """What every ``connectors/STEM.py`` offers."""

    def fetch(self, request: FetchRequest) -> Fetched:
        """Ask the agency for a delivery; nothing is read before its parts are."""
        ...


def load(stem: str) -> Connector:
    """The connector of a source, found by its stem.

    Raises:
        ConfigError: there is no ``connectors/STEM.py``, or it has no ``fetch``.
    """
    where = f"connectors/{stem}.py"
    try:
        module = import_module(f"{__name__}.{stem}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{stem}":
            raise
        raise ConfigError("this source has no connector", where=where, next_step=f"run `hub new-agency {stem}`") from None
    if not callable(getattr(module, "fetch", None)):
        raise ConfigError("this connector has no function fetch(request)", where=where, next_step="see docs/adding-an-agency.md")
    return cast(Connector, module)
