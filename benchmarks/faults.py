"""The battery of faults: every row of docs/faults.md run, and kill -9 over and over. ``python -m benchmarks.faults [--kills 200]``.

The oracle of a kill: once the night has been run again, the fingerprint is that of a hub nobody killed, what is in quarantine and on
tickets is the same, and whoever read the pool meanwhile, over and over, saw each publication as one state. Status 1 when anything failed.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import scheduler_kills
from hub import log
from hub.screen import screen
from hub.settings import CHECKOUT
from sandbox import clock
from tests.conftest import Hub, NeverBegan
from tests.pipeline.test_kills import VERBS, Reader, kill_server
from warehouse import database

PAGE = CHECKOUT / "docs" / "faults.md"
NIGHTS = (1, 2, 3, 4, 5)
# Who is killed, and of how many kills each gets one.
VICTIMS = {"night": 12, "PostgreSQL, SIGKILL": 2, "PostgreSQL, immediate": 1}
# The longest a kill waits after its verb began, in seconds: it is to fall anywhere in the verb.
LATEST_S = 0.6


@dataclass
class Tally:
    """What became of the kills of one kind.

    Attributes:
        kills: how many struck.
        late: how many came when the night had ended.
        faults: one sentence for each night that did not end as it should.
    """

    kills: Counter[str] = field(default_factory=Counter)
    late: int = 0
    nights: int = 0
    faults: dict[str, list[str]] = field(default_factory=lambda: {"fingerprint": [], "books": [], "readers": [], "told": []})


@dataclass(frozen=True)
class Expected:
    """What a night leaves that nobody disturbs."""

    fingerprint: str
    history: list[str]


def _history(hub: Hub) -> list[str]:
    """Quarantine and tickets; without those of a source that was away when a night was published, which are closed again."""
    return [line for line in hub.quarantine_history() if "missing" not in line]


@contextlib.contextmanager
def clean_hub() -> Iterator[tuple[Hub, dict[int, Expected]]]:
    """A hub that had five nights without any trouble, and what each left; the empty warehouse is kept."""
    top = Path(tempfile.mkdtemp(prefix="hub-faults-"))
    top.chmod(0o711)
    hub = Hub(top / "clean")
    hub.start()
    try:
        database.migrate(hub.settings)
        expected = {}
        hub.keep("night_0")
        for night in NIGHTS:
            expected[night] = Expected(str(hub.night(night).fingerprint), _history(hub))
        yield hub, expected
    finally:
        hub.stop()
        shutil.rmtree(top, ignore_errors=True)


def kills(hub: Hub, expected: dict[int, Expected], wanted: int, seed: int, console: Console) -> Tally:
    """Kill nights at random until so many kills have struck; after each night's kills it is run to its end and looked at."""
    draw, tally = random.Random(seed), Tally()
    a_night = max(1, round(wanted / (4 * len(NIGHTS))))
    while sum(tally.kills.values()) < wanted:
        hub.restore("night_0")
        reader = Reader(hub)
        reader.start()
        for night in NIGHTS:
            clock.set_night(hub.settings, night)
            for _ in range(a_night):
                _strike(hub, night, draw, tally)
            _look(hub, night, expected[night], tally)
            console.print(f"  {sum(tally.kills.values())}/{wanted} · {tally.nights} 夜 nights", highlight=False)
            if sum(tally.kills.values()) >= wanted:
                break
        reader.end()
        mixed = [number for number, seen in reader.seen.items() if len(seen) > 1]
        torn = [s for seen in reader.seen.values() for s in seen if s[2] != s[3] or s[4] != s[5] or s[4] != s[6]]
        if mixed or torn or not reader.looks:
            tally.faults["readers"].append(f"publications seen in two states: {mixed}, torn: {len(torn)}, looks: {reader.looks}")
    return tally


def _strike(hub: Hub, night: int, draw: random.Random, tally: Tally) -> None:
    verb, delay_s = draw.choice(VERBS), draw.uniform(0, LATEST_S)
    victim = draw.choices(list(VICTIMS), list(VICTIMS.values()))[0]

    def strike(child: subprocess.Popen[str]) -> None:
        time.sleep(delay_s)
        if victim == "night":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            kill_server(hub, "immediate" if victim.endswith("immediate") else "SIGKILL")

    day = clock.date_of(hub.settings, night)
    try:
        status, said = hub.struck(verb, strike, "night", "--date", str(day), "--json")
    except NeverBegan:
        tally.late += 1
        return
    if victim == "night" and status != -signal.SIGKILL:
        tally.late += 1
    else:
        tally.kills[f"{victim} · {verb}"] += 1
    if "Traceback" in said or status not in (-signal.SIGKILL, 0, 4, 6, 7):
        tally.faults["told"].append(f"{victim} in {verb}, night {night}: status {status}{', a traceback' if 'Traceback' in said else ''}")


def _look(hub: Hub, night: int, expected: Expected, tally: Tally) -> None:
    tally.nights += 1
    done = hub.command("night", "--date", str(clock.date_of(hub.settings, night)), "--json")  # as whoever is on call would
    if done.returncode != 0:
        tally.faults["books"].append(f"night {night}, run again: status {done.returncode}")
        return
    for stem, books in json.loads(done.stdout)["sources"].items():
        if books["state"] not in ("ok", "not_due"):
            tally.faults["books"].append(f"night {night}: {stem} is {books['state']}")
        elif books["state"] == "ok" and books["delivered"] != sum(
            books[k] for k in ("rejected", "quarantined", "unchanged", "inserted", "updated")
        ):
            tally.faults["books"].append(f"night {night}: the books of {stem} do not balance")
    if hub.fingerprint() != expected.fingerprint:
        tally.faults["fingerprint"].append(f"night {night}")
    if _history(hub) != expected.history:
        tally.faults["books"].append(f"night {night}: quarantine or tickets differ")


def page() -> list[tuple[str, list[str]]]:
    """The rows of docs/faults.md: fault, and the tests that inject it."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip("| ").split(" | ")]
        tests = re.findall(r"`([^`]*test_[^`]+)`", cells[-1]) if line.startswith("| ") and len(cells) == 3 else []
        if tests:
            found.append((cells[0].replace("`", ""), [t if "::" in t else f"pipeline/test_faults.py::{t}" for t in tests]))
    return found


def run_page(console: Console) -> bool:
    """Run the page's tests and print a line for each row; whether all of it held."""
    rows = page()
    named = sorted({test for _, tests in rows for test in tests})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        side_by_side = ["-n", "2", "--dist", "loadfile"]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *side_by_side, f"--junitxml={report}", *(f"tests/{t}" for t in named)],
            cwd=CHECKOUT,
            check=False,
        )
        cases = list(ET.parse(report).getroot().iter("testcase"))
    tried, failed = Counter[str](), Counter[str]()
    for case in cases:
        test = f"{case.get('classname', '').removeprefix('tests.').replace('.', '/')}.py::{case.get('name', '').split('[')[0]}"
        tried[test] += 1
        failed[test] += any(child.tag in ("failure", "error", "skipped") for child in case)
    table = Table("故障 fault", "次数 times", "未如所述 not as told")
    for fault, tests in rows:
        table.add_row(fault, str(sum(tried[t] for t in tests)), str(sum(failed[t] for t in tests)))
    console.print(table)
    untried = [t for t in named if not tried[t]]
    for test in untried:
        print(f"✗ not run: {test}", file=sys.stderr)
    return not untried and not sum(failed.values())


def run_kills(wanted: int, seed: int, console: Console) -> bool:
    """Kill nights, and print a line for each kind of kill; whether each night came out as if nobody had been killed."""
    with clean_hub() as (hub, expected):
        tally = kills(hub, expected, wanted, seed, console)
    table = Table("kill -9", "次数 times", *(f"{v}" for v in VERBS))
    for victim in VICTIMS:
        of = {verb: tally.kills[f"{victim} · {verb}"] for verb in VERBS}
        table.add_row(victim, str(sum(of.values())), *(str(n) for n in of.values()))
    console.print(table)
    oracle = Table("判据 oracle", "夜 nights", "不符 failed")
    for name, title in (
        ("fingerprint", "指纹相同 fingerprint equal"), ("books", "账目平衡 books balance"),
        ("readers", "读者所见一致 readers consistent"), ("told", "无堆栈、退出码有义 told in a sentence"),
    ):  # fmt: skip
        oracle.add_row(title, str(tally.nights), str(len(tally.faults[name])))
    console.print(oracle)
    console.print(f"另有 {tally.late} 次来迟（当夜已毕）/ {tally.late} more came when the night had ended", highlight=False)
    for name, sentences in tally.faults.items():
        for sentence in sentences:
            print(f"✗ {name}: {sentence}", file=sys.stderr)
    return not any(tally.faults.values())


def run_scheduler_kills(wanted: int, seed: int, console: Console) -> bool:
    """Kill Airflow's scheduler and its tasks in scheduled nights."""
    with clean_hub() as (hub, expected):
        try:
            return scheduler_kills.run(hub, {n: e.fingerprint for n, e in expected.items()}, wanted, seed, console)
        finally:
            hub.command("down")


def main() -> int:
    """Run the battery; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200, help="kills that must strike; 0 = none")
    parser.add_argument("--scheduler-kills", type=int, default=20, help="kills of Airflow's scheduler and tasks; 0 = none")
    parser.add_argument("--seed", type=int, default=20260301, help="of the kills")
    parser.add_argument("--no-page", dest="page", action="store_false", help="only the kills")
    asked = parser.parse_args()
    log.configure("ERROR")
    console = screen()
    is_good = [run_page(console)] if asked.page else []
    is_good += [run_kills(asked.kills, asked.seed, console)] if asked.kills else []
    is_good += [run_scheduler_kills(asked.scheduler_kills, asked.seed, console)] if asked.scheduler_kills else []
    return 0 if all(is_good) else 1


if __name__ == "__main__":
    sys.exit(main())
