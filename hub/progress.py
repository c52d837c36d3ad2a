"""How far a long step has come, in numbers only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """How far a step has come.

    Attributes:
        done: rows or bytes so far.
        total: of how many; None = nobody has said.
        unit: what is counted.
    """

    done: int
    total: int | None
    unit: Literal["rows", "bytes"] = "rows"


# Told now and then; must be quick and must not fail.
Listener = Callable[[Progress], None]
