"""The gate: Great Expectations decides what a delivery may do to the pool."""

import importlib.util
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"


class _WhenUsed(MetaPathFinder):
    """Finds some modules so that each is run only once something in it is looked up."""

    def __init__(self, *names: str) -> None:
        self._names = set(names)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        if fullname not in self._names:
            return None
        self._names.remove(fullname)  # the other finders know where it is
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


# Great Expectations draws charts and tests distributions with them, for expectations no contract asks for: two fifths of its import.
sys.meta_path.insert(0, _WhenUsed("altair", "scipy.stats"))
