"""The faults of docs/faults.md, each injected by the tests its row names."""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_table import Line
from hub.settings import CHECKOUT
from sandbox.servers.catalogue import FAULTS
from tests import oracle
from tests.oracle import Held

PAGE = CHECKOUT / "docs" / "faults.md"


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
        times: how often it injected its fault.
        looked: what it held the pool to, and how each look ended.
    """

    name: str
    is_good: bool
    times: int
    looked: tuple[tuple[str, bool], ...]

    @classmethod
    def read(cls, element: ET.Element) -> "Case":
        """From a JUnit report."""
        name = f"{element.get('classname', '').removeprefix('tests.').replace('.', '/')}.py::{element.get('name', '')}"
        noted = [(p.get("name", ""), p.get("value", "")) for p in element.iter("property")]
        return cls(
            name,
            not any(child.tag in ("failure", "error", "skipped") for child in element),
            sum(int(value) for note, value in noted if note.startswith(oracle.STRUCK)) or 1,
            tuple((note.removeprefix(oracle.PROPERTY), value == "True") for note, value in noted if note.startswith(oracle.PROPERTY)),
        )

    def found(self, held: Held) -> list[bool]:
        """Whether all its looks found what they should; empty where it did not look."""
        looks = [is_so for name, is_so in self.looked if name == held]
        return [all(looks)] if looks else []


def run() -> list[Line]:
    """Run the page's tests, two at a time; a line for each fault."""
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
    tried = {case.name.partition("[")[0] for case in cases}
    lines = []
    for row in rows:
        of = [case for case in cases if row.is_tried_by(case.name)]
        line = Line(row.fault, row.injected, sum(case.times for case in of))
        line.looks = {held: [is_so for case in of for is_so in case.found(held)] for held in Held}
        line.wrong = [case.name for case in of if not case.is_good] + [f"not run: {test}" for test in row.tests if test not in tried]
        lines.append(line)
    return lines
