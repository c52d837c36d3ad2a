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

    def take(self, client_id: str, tries: float = 1) -> None:
        """Count tries; what goes below nothing is paid later."""
        self._bucket(client_id).level -= tries


_USUAL_MISSES = 0.3  # of those a list names; the rest is counted like look-ups that find nobody


def vain(misses: int, named: int) -> float:
    """How many look-ups in vain a list stands for: lists hold some who are not there, and no list is a cheaper way to guess.

    A row of up to a hundred that find nobody counts as one, and a longer list of nobody as much as one of a hundred; beyond ten thousand
    rows a hundred count as one.

    Args:
        misses: rows that found nobody.
        named: rows that name somebody.
    """
    return max(0.0, misses - _USUAL_MISSES * named) / min(100.0, max(1.0, named / 100))
