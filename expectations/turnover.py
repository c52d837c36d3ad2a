"""How many keys a full delivery may withdraw: overall, of a township, of a range of keys, relative to recent full deliveries."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from schemas.contract import Volume

FEWEST = 10  # fewer keys say nothing about a group
RANGES = 16  # stretches of as many keys each
_RELATIVE = 3  # times what is usual
_MOST = 0.9  # a group that goes as a whole is never usual


class Kind(StrEnum):
    """What keys are grouped by."""

    ALL = "all"
    TOWNSHIP = "township"
    RANGE = "range"


@dataclass(frozen=True)
class Group:
    """Keys of a source in the pool, and those of them that a full delivery does not show.

    Attributes:
        name: nine digits of a township (None = not told), or the place of a range among all; None for all keys.
        held: keys in the pool.
        absent: those that would be withdrawn.
        limit: share of the held ones that may be.
    """

    kind: Kind
    name: str | None
    held: int
    absent: int
    limit: float

    @property
    def is_beyond(self) -> bool:
        """Whether more would be withdrawn than may be."""
        return self.absent >= FEWEST and self.absent > self.limit * self.held


def judged(
    found: Iterable[tuple[str, str | None, int, int]], recent: Sequence[Sequence[Mapping[str, Any]]], volume: Volume
) -> tuple[Group, ...]:
    """Groups with their limits: what the contract lets go, or three times the median of recent deliveries where that is more.

    Args:
        found: kind, name, held and absent keys of each group.
        recent: groups of recent full deliveries that nobody had to release, as they were reported; a group that is not among them withdrew nothing.
        volume: of the contract.
    """
    shares: list[dict[tuple[str, str | None], float]] = [{(g["kind"], g["name"]): g["absent"] / g["held"] for g in one} for one in recent]
    groups = []
    for kind, name, held, absent in found:
        usual = median(one.get((kind, name), 0.0) for one in shares) if shares else 0.0
        floor = volume.maximum_withdrawn if kind == Kind.ALL else volume.maximum_withdrawn_local
        groups.append(Group(Kind(kind), name, held, absent, round(max(floor, min(_RELATIVE * usual, _MOST)), 4)))
    return tuple(groups)


def restored(groups: Iterable[Mapping[str, Any]]) -> tuple[Group, ...]:
    """Groups as they were reported."""
    return tuple(Group(**{**group, "kind": Kind(group["kind"])}) for group in groups)


def code(delivery_id: str, groups: Iterable[Group]) -> str:
    """Code that confirms exactly these withdrawals of a delivery."""
    told = json.dumps([delivery_id, *(asdict(group) for group in groups)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:8]
