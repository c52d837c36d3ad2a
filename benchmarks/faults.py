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
from sandbox.servers.catalogue import FAULTS
from tests import oracle
from tests.conftest import Hub, NeverBegan
from tests.oracle import Held
from tests.pipeline.test_kills import VERBS, kill_server
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
        nights: how many were looked at.
        looks: how often readers were answered.
        faults: one sentence for each night that did not end as it should.
    """

    kills: Counter[str] = field(default_factory=Counter)
    late: int = 0
    nights: int = 0
    looks: int = 0
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
        reader = oracle.Reader(hub.settings)
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
        tally.looks += reader.looks
        tally.faults["readers"] += reader.confusion()
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
    sources = json.loads(done.stdout)["sources"]
    away = [f"night {night}: {stem} is {books['state']}" for stem, books in sources.items() if books["state"] not in ("ok", "not_due")]
    tally.faults["books"] += away
    tally.faults["books"] += [f"night {night}: the books of {stem} do not balance" for stem in oracle.imbalance(sources)]
    if hub.fingerprint() != expected.fingerprint:
        tally.faults["fingerprint"].append(f"night {night}")
    if _history(hub) != expected.history:
        tally.faults["books"].append(f"night {night}: quarantine or tickets differ")


@dataclass(frozen=True)
class Row:
    """A fault of the page.

    Attributes:
        fault: as the page has it; a fault of the catalogue stands alone.
        injected: how.
        tests: that inject it, as ``folder/file.py::name``.
    """

    fault: str
    injected: str
    tests: tuple[str, ...]

    def is_tried_by(self, case: str) -> bool:
        """Whether a test's case injects this fault: one that is named after a fault injects that one alone."""
        test, _, parameters = case.partition("[")
        named = {f for f in FAULTS if re.search(rf"(^|[-\[]){f}([-\]]|$)", parameters)}
        return test in self.tests and (self.fault not in FAULTS or not named or self.fault in named)


def page() -> list[Row]:
    """The rows of docs/faults.md that tests inject."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip("| ").split(" | ")]
        named = re.findall(r"`([^`]*test_[^`]+)`", cells[-1]) if line.startswith("| ") and len(cells) == 4 else []
        if not named:
            continue
        tests = tuple(t if "::" in t else f"pipeline/test_faults.py::{t}" for t in named)
        catalogued = [name for name in re.findall(r"`([a-z_0-9]+)`", cells[0]) if name in FAULTS]
        found += [Row(name, f"{FAULTS[name].zh} {FAULTS[name].en}", tests) for name in catalogued]
        found += [] if catalogued else [Row(cells[0].replace("`", ""), cells[1].replace("`", ""), tests)]
    return found


@dataclass(frozen=True)
class Case:
    """What one case of a test came to.

    Attributes:
        name: ``folder/file.py::name[parameters]``.
        looked: what it held the pool to, and how each look ended.
    """

    name: str
    is_good: bool
    looked: tuple[tuple[str, bool], ...]

    @classmethod
    def read(cls, element: ET.Element) -> "Case":
        """From a JUnit report."""
        name = f"{element.get('classname', '').removeprefix('tests.').replace('.', '/')}.py::{element.get('name', '')}"
        looked = ((p.get("name", ""), p.get("value") == "True") for p in element.iter("property"))
        return cls(
            name,
            not any(child.tag in ("failure", "error", "skipped") for child in element),
            tuple((name.removeprefix(oracle.PROPERTY), held) for name, held in looked if name.startswith(oracle.PROPERTY)),
        )


def _told(cases: list[Case], held: Held) -> str:
    """In how many of the cases that looked it was so; a dash where none looked."""
    looked = [[is_so for name, is_so in case.looked if name == held] for case in cases]
    tried = [all(each) for each in looked if each]
    return f"{sum(tried)}/{len(tried)}" if tried else "—"


def _table() -> Table:
    return Table(
        "故障\nfault", "如何注入\ninjected how", "次数\ntimes", "指纹相同\nfingerprint equal", "账目平衡\nbooks balance",
        "读者一致\nreaders consistent", "未如所述\nnot as told",
    )  # fmt: skip


def run_page(console: Console) -> bool:
    """Run the page's tests and print a line for each fault; whether all of it held."""
    rows = page()
    named = sorted({test for row in rows for test in row.tests})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        side_by_side = ["-n", "2", "--dist", "loadfile"]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *side_by_side, f"--junitxml={report}", *(f"tests/{t}" for t in named)],
            cwd=CHECKOUT,
            check=False,
        )
        cases = [Case.read(element) for element in ET.parse(report).getroot().iter("testcase")]
    table = _table()
    for row in rows:
        of = [case for case in cases if row.is_tried_by(case.name)]
        table.add_row(row.fault, row.injected, str(len(of)), *(_told(of, held) for held in Held), str(sum(not c.is_good for c in of)))
    console.print(table)
    untried = [row.fault for row in rows if not any(row.is_tried_by(case.name) for case in cases)]
    untried += [test for test in named if not any(case.name.partition("[")[0] == test for case in cases)]
    for fault in untried:
        print(f"✗ not run: {fault}", file=sys.stderr)
    return not untried and all(case.is_good for case in cases)


def run_kills(wanted: int, seed: int, console: Console) -> bool:
    """Kill nights, and print a line for each kind of kill; whether each night came out as if nobody had been killed."""
    with clean_hub() as (hub, expected):
        tally = kills(hub, expected, wanted, seed, console)
    table = Table("kill -9", "次数 times", *(f"{v}" for v in VERBS))
    for victim in VICTIMS:
        of = {verb: tally.kills[f"{victim} · {verb}"] for verb in VERBS}
        table.add_row(victim, str(sum(of.values())), *(str(n) for n in of.values()))
    console.print(table)
    came_out = _table()
    lives = f"{tally.looks} 次 looks, {len(tally.faults['readers'])} ✗"
    came_out.add_row(
        "各动作中被杀 killed in each verb", "随机时刻 kill -9 at any moment of a verb", str(sum(tally.kills.values())),
        *(f"{tally.nights - len({f.partition(':')[0] for f in tally.faults[held]})}/{tally.nights}" for held in (Held.FINGERPRINT, Held.BOOKS)),
        lives, str(len(tally.faults["told"])),
    )  # fmt: skip
    console.print(came_out)
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
