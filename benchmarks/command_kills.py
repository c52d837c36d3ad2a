"""Kill -9 of every command that changes the pool, or of PostgreSQL under it; each is run again as whoever is on call would."""

import random
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console

from benchmarks.fault_table import Line
from tests.conftest import Hub
from tests.oracle import Held
from tests.pipeline.killable import COMMANDS, VICTIMS, Trial

# Kills of one pool, one after another, before the command is run to its end.
_AT_A_TIME = 2


def run(hub: Hub, wanted: int, seed: int, console: Console) -> list[Line]:
    """Strike until so many kills have struck, the same number of every command; a line for each.

    Args:
        hub: one that keeps what nights 0, 1 and 5 left.
        wanted: kills.
        seed: of when and whom.
        console: told of each command.
    """
    draw, lines = random.Random(seed), []
    each = -(-wanted // len(COMMANDS))
    for killable in COMMANDS:
        line = Line(f"hub {killable.name}", "SIGKILL")
        lines.append(line)
        with tempfile.TemporaryDirectory(prefix="hub-faults-") as folder:
            try:
                _killed(Trial(hub, killable, Path(folder)), each, draw, line)
            except AssertionError as error:
                line.wrong.append(f"could not be tried: {error}")
        console.print(f"  {line.fault}: {line.times} 次 kills · {'✓' if line.is_good else '✗'}", highlight=False)
    return lines


def _killed(trial: Trial, wanted: int, draw: random.Random, line: Line) -> None:
    struck = Counter[str]()
    for _ in range(4 * wanted):  # one that comes late does not count
        if line.times >= wanted:
            break
        kills = trial.killed(draw, min(_AT_A_TIME, wanted - line.times), VICTIMS)
        struck.update(kills.struck)
        line.times += sum(kills.struck.values())
        line.wrong += kills.misfits
        line.looks[Held.FINGERPRINT].append(kills.outcome.fingerprint == trial.quiet.fingerprint)
        line.looks[Held.BOOKS].append(kills.outcome.books == trial.quiet.books)
        line.read(kills.seen)
        if kills.outcome.left != trial.quiet.left:
            line.wrong.append(f"left {kills.outcome.left}, not {trial.quiet.left}")
    line.injected += "".join(f" · {victim} {struck[victim]}" for victim in VICTIMS if struck[victim])
