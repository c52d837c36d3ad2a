"""Every command that changes the pool, killed, or PostgreSQL under it, or one of its sessions cut off; each is run again as whoever is on call would."""

import random
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console

from benchmarks.fault_table import Line
from hub import log
from tests.conftest import Hub
from tests.oracle import Held
from tests.pipeline.killable import COMMANDS, VICTIMS, Outcome, Trial

# Kills of one pool, one after another, before the command is run to its end.
_AT_A_TIME = 2


def run(hub: Hub, wanted: int, seed: int, console: Console) -> list[Line]:
    """Strike until so many kills have struck, the same number of every command, and cut off as many sessions; two lines for each.

    Args:
        hub: one that keeps what nights 0, 1 and 5 left.
        wanted: kills, and sessions cut off.
        seed: of when and whom.
        console: told of each command.
    """
    draw, lines = random.Random(seed), []
    each = -(-wanted // len(COMMANDS))
    for killable in COMMANDS:
        killed, cut = Line(f"hub {killable.name}", "SIGKILL"), Line(f"hub {killable.name}", "会话切断 session cut off")
        lines += [killed, cut]
        with tempfile.TemporaryDirectory(prefix="hub-faults-") as folder:
            log.configure("ERROR")  # a command that was typed in this process leaves it as it was at first
            try:
                trial = Trial(hub, killable, Path(folder))
                _killed(trial, each, draw, killed)
                _cut_off(trial, each, draw, cut)
            except AssertionError as error:
                cut.wrong.append(f"could not be tried: {error}")
        for line, what in ((killed, "kills"), (cut, "cuts")):
            console.print(f"  {line.fault}: {line.times} 次 {what} · {'✓' if line.is_good else '✗'}", highlight=False)
    return lines


def _cut_off(trial: Trial, times: int, draw: random.Random, line: Line) -> None:
    for cut in trial.cut_off(draw, times):
        line.times += int(cut.sentence is not None)
        line.wrong += cut.misfits
        _held_to(trial, cut.outcome, line)


def _held_to(trial: Trial, outcome: Outcome, line: Line) -> None:
    line.looks[Held.FINGERPRINT].append(outcome.fingerprint == trial.quiet.fingerprint)
    line.looks[Held.BOOKS].append(outcome.books == trial.quiet.books)
    if outcome.left != trial.quiet.left:
        line.wrong.append(f"left {outcome.left}, not {trial.quiet.left}")


def _killed(trial: Trial, wanted: int, draw: random.Random, line: Line) -> None:
    struck = Counter[str]()
    for _ in range(4 * wanted):  # one that comes late does not count
        if line.times >= wanted:
            break
        kills = trial.killed(draw, min(_AT_A_TIME, wanted - line.times), VICTIMS)
        struck.update(kills.struck)
        line.times += sum(kills.struck.values())
        line.wrong += kills.misfits
        _held_to(trial, kills.outcome, line)
        line.read(kills.seen)
    line.injected += "".join(f" · {victim} {struck[victim]}" for victim in VICTIMS if struck[victim])
