"""Judgements that cannot all be true: two records that must be one person over a chain of others, and cannot be by a judgement."""

from collections import deque
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Contradiction:
    """One of them.

    Attributes:
        cannot: the pair of records that cannot be one person.
        chain: pairs of records that must be one person, leading from one of them to the other.
    """

    cannot: tuple[str, str]
    chain: tuple[tuple[str, str], ...]


def find(judged: pl.DataFrame) -> Contradiction | None:
    """The contradiction with the shortest chain; None if there is none.

    Args:
        judged: ``record_a``, ``record_b``, ``judgement``; one row a pair, order without meaning.
    """
    around: dict[str, set[str]] = {}
    for a, b in judged.filter(pl.col("judgement") == "must").select("record_a", "record_b").iter_rows():
        around.setdefault(a, set()).add(b)
        around.setdefault(b, set()).add(a)
    found: Contradiction | None = None
    for a, b in judged.filter(pl.col("judgement") == "cannot").select("record_a", "record_b").sort("record_a", "record_b").iter_rows():
        chain = _chain(around, a, b)
        if chain and (found is None or len(chain) < len(found.chain)):
            found = Contradiction((a, b), chain)
    return found


def _chain(around: dict[str, set[str]], start: str, end: str) -> tuple[tuple[str, str], ...]:
    """The shortest way from one record to another, step by step; empty if there is none."""
    came_from: dict[str, str] = {start: start}
    waiting = deque([start])
    while waiting:
        at = waiting.popleft()
        if at == end:
            steps = []
            while at != start:
                steps.append((min(at, came_from[at]), max(at, came_from[at])))
                at = came_from[at]
            return tuple(reversed(steps))
        for other in sorted(around.get(at, ())):
            if other not in came_from:
                came_from[other] = at
                waiting.append(other)
    return ()
