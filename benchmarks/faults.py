"""The battery of faults: every row of docs/faults.md run, and kill -9 over and over. ``python -m benchmarks.faults [--kills 200]``.

Ends with one table, a line for each fault. Status 1 when anything failed.
"""

import argparse
import sys
import time
from collections.abc import Callable

from rich.console import Console

from benchmarks import command_kills, fault_page, night_kills, scheduler_kills
from benchmarks.clean_hub import clean_hub
from benchmarks.fault_table import Line, failures, show
from hub import log
from hub.screen import screen

# Of the kills, one in so many is of a command; the others are of a night.
_COMMANDS = 4


def _run(asked: argparse.Namespace, console: Console) -> list[Line]:
    lines, seconds = list[Line](), dict[str, float]()

    def timed(part: str, work: Callable[[], list[Line]]) -> None:
        console.print(part, highlight=False)
        started = time.monotonic()
        try:
            lines.extend(work())
        except Exception as error:  # the other parts go on, and the table tells of this one
            lines.append(Line(part, "", 0, wrong=[f"broke off: {type(error).__name__}: {error}"]))
        seconds[part] = time.monotonic() - started

    of_commands = round(asked.kills / _COMMANDS)
    if asked.page:
        timed("本页故障 the faults of docs/faults.md", fault_page.run)
    if asked.kills:
        with clean_hub() as (hub, expected):
            timed("当夜 kill -9 of nights", lambda: night_kills.run(hub, expected, asked.kills - of_commands, asked.seed, console))
            if of_commands:
                timed("命令 kill -9 of commands", lambda: command_kills.run(hub, of_commands, asked.seed, console))
    if asked.scheduler_kills:
        with clean_hub() as (hub, expected):
            try:
                timed("调度 kill -9 of Airflow", lambda: scheduler_kills.run(hub, expected, asked.scheduler_kills, asked.seed, console))
            finally:
                hub.command("down")
    show(lines, console)
    console.print(" · ".join(f"{part}: {s / 60:.1f} min" for part, s in seconds.items()), highlight=False, soft_wrap=True)
    return lines


def main() -> int:
    """Run the battery; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200, help="kills that must strike, of nights and of commands; 0 = none")
    parser.add_argument("--scheduler-kills", type=int, default=20, help="kills of Airflow's scheduler and tasks; 0 = none")
    parser.add_argument("--seed", type=int, default=20260301, help="of the kills")
    parser.add_argument("--no-page", dest="page", action="store_false", help="only the kills")
    log.configure("ERROR")
    return 1 if failures(_run(parser.parse_args(), screen())) else 0


if __name__ == "__main__":
    sys.exit(main())
