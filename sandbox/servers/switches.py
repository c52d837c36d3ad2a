"""The faults that are on for one agency, as its server sees them: read from the switchboard's file at each call."""

import json
import threading
import time
from pathlib import Path
from typing import Any

from sandbox.servers.catalogue import AHEAD_S, FAULTS


class Switches:
    """Faults of one agency; counts how often each has struck since the file was last written."""

    def __init__(self, path: Path) -> None:
        """Watch a file: a JSON list of names, or of objects with ``fault`` and arguments such as ``times``."""
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._entries: dict[str, dict[str, Any]] = {}
        self._struck: dict[str, int] = {}
        self._lock = threading.Lock()

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except FileNotFoundError:
            self._stamp, self._entries, self._struck = None, {}, {}
            return
        if stamp == self._stamp:
            return
        try:
            listed = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError:
            return  # being written: the next call sees it whole
        entries = [{"fault": entry} if isinstance(entry, str) else entry for entry in listed]
        self._stamp, self._struck = stamp, {}
        self._entries = {entry["fault"]: entry for entry in entries if entry.get("fault") in FAULTS}

    def argument(self, name: str, key: str, default: Any) -> Any:
        """An argument of a fault that is on."""
        return self._entries.get(name, {}).get(key, default)

    def is_on(self, name: str) -> bool:
        """Whether a fault is on and has strikes left; does not count as a strike."""
        with self._lock:
            self._refresh()
            return self._is_left(name)

    def strikes(self, name: str) -> bool:
        """Whether a fault strikes now; counts."""
        with self._lock:
            self._refresh()
            if not self._is_left(name):
                return False
            self._struck[name] = self._struck.get(name, 0) + 1
            return True

    def times_struck(self, name: str) -> int:
        """How often a fault has struck since it was switched on."""
        with self._lock:
            self._refresh()
            return self._struck.get(name, 0)

    def now(self) -> float:
        """What the agency takes for the time, in seconds since 1970."""
        return time.time() + (AHEAD_S if self.is_on("clock_wrong") else 0)

    def content(self) -> tuple[str, ...]:
        """Names of the faults on that spoil rows, in the catalogue's order."""
        with self._lock:
            self._refresh()
            return tuple(name for name, fault in FAULTS.items() if fault.is_content and name in self._entries)

    def _is_left(self, name: str) -> bool:
        if name not in self._entries:
            return False
        times = self._entries[name].get("times", FAULTS[name].times)
        return times is None or self._struck.get(name, 0) < times
