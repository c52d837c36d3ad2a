"""The one table of the battery of faults: a line for each, and what was looked at after it."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from tests.oracle import Held

_COLUMNS = {
    Held.FINGERPRINT: "指纹相同\nfingerprint equal",
    Held.BOOKS: "账目平衡\nbooks balance",
    Held.READERS: "读者一致\nreaders consistent",
}


@dataclass
class Line:
    """A fault and what came of it.

    Attributes:
        fault: its name.
        injected: how.
        times: how often it was injected.
        looks: whether each look found what it should.
        wrong: a sentence for each time it did not end as told.
    """

    fault: str
    injected: str
    times: int = 0
    looks: dict[Held, list[bool]] = field(default_factory=lambda: {held: [] for held in Held})
    wrong: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether it was injected, every look found what it should, and it ended as told."""
        return self.times > 0 and not self.wrong and all(all(found) for found in self.looks.values())

    def read(self, confusion: list[str]) -> None:
        """Note what readers saw meanwhile: a sentence for each publication that was seen in two states."""
        self.looks[Held.READERS].append(not confusion)
        self.wrong += confusion

    def told(self, held: Held) -> str:
        """How many looks found what they should; a dash where nobody looked."""
        found = self.looks[held]
        return f"{sum(found)}/{len(found)}" if found else "—"


def failures(lines: list[Line]) -> list[str]:
    """A sentence for each thing that is not as it should be."""
    found = []
    for line in lines:
        found += [f"{line.fault}: {sentence}" for sentence in line.wrong]
        found += [f"{line.fault}: {held} {line.told(held)}" for held in Held if not all(line.looks[held])]
        found += [] if line.times else [f"{line.fault}: not run"]
    return found


def show(lines: list[Line], console: Console) -> None:
    """Print the table, and last that all pass, or what did not."""
    table = Table("故障\nfault", "如何注入\ninjected how", "次数\ntimes", *_COLUMNS.values(), "未如所述\nnot as told")
    for line in lines:
        mark = "" if line.is_good else "✗ "
        table.add_row(f"{mark}{line.fault}", line.injected, str(line.times), *(line.told(held) for held in _COLUMNS), str(len(line.wrong)))
    console.print(table)
    for sentence in failures(lines):
        console.print(f"✗ {sentence}", highlight=False, soft_wrap=True, markup=False)
    times, n_bad = sum(line.times for line in lines), sum(not line.is_good for line in lines)
    if n_bad:
        console.print(f"{n_bad} 种故障未通过 / {n_bad} of {len(lines)} faults did not pass", highlight=False)
    else:
        console.print(f"全部通过 / all pass: {len(lines)} 种故障 faults, {times:,} 次 times", highlight=False)
