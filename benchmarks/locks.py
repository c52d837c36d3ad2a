"""The attacks of docs/locks.md, run: tries and how many got through. ``python -m benchmarks.locks``; status 1 when one did."""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from hub.screen import screen
from hub.settings import CHECKOUT

PAGE = CHECKOUT / "docs" / "locks.md"


@dataclass(frozen=True)
class Lock:
    """One row of the page."""

    name: str
    claim: str
    tests: tuple[str, ...]


def locks(text: str) -> list[Lock]:
    """The rows of the page."""
    rows = [[c.strip() for c in line.strip("| ").split(" | ")] for line in text.splitlines() if re.match(r"\| S\d", line)]
    return [Lock(name, claim, tuple(re.findall(r"`([^`]+)`", tests.rstrip("| ")))) for name, claim, tests in rows]


def main() -> int:
    """Print the table; the exit status."""
    found = locks(PAGE.read_text(encoding="utf-8"))
    named = sorted({test for lock in found for test in lock.tests})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *(f"tests/{test}" for test in named)]
        subprocess.run(command, cwd=CHECKOUT, check=False)
        cases = list(ET.parse(report).getroot().iter("testcase"))
    tried, through = Counter[str](), Counter[str]()
    for case in cases:
        test = f"{case.get('classname', '').removeprefix('tests.').replace('.', '/')}.py::{case.get('name', '').split('[')[0]}"
        tried[test] += 1
        through[test] += any(child.tag in ("failure", "error", "skipped") for child in case)
    table = Table("锁 lock", "主张 claim", "尝试 tries", "得手 got through")
    for lock in found:
        table.add_row(lock.name, lock.claim, str(sum(tried[t] for t in lock.tests)), str(sum(through[t] for t in lock.tests)))
    screen().print(table)
    untried = [t for t in named if not tried[t]]
    for test in untried:
        print(f"✗ not run: {test}", file=sys.stderr)
    return 1 if untried or sum(through.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
