"""How much a client may ask, and how often in vain: buckets that refill evenly, one set in each process."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Bucket:
    level: float
    at: float


class Limit:
    """A number of tries within a span, for each client."""

    def __init__(self, most: int, span_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._rate = most / span_s
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def _bucket(self, client_id: str) -> _Bucket:
        now = self._clock()
        found = self._buckets.get(client_id)
        if found is None:
            found = self._buckets[client_id] = _Bucket(float(self._most), now)
        found.level = min(float(self._most), found.level + (now - found.at) * self._rate)
        found.at = now
        return found

    def wait_s(self, client_id: str) -> int:
        """Seconds until a try is free; 0 = now."""
        level = self._bucket(client_id).level
        return 0 if level >= 1 else max(1, round((1 - level) / self._rate + 0.5))

    def take(self, client_id: str, tries: int = 1) -> None:
        """Count tries; what goes below nothing is paid later."""
        self._bucket(client_id).level -= tries
