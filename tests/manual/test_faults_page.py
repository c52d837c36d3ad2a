"""The page of faults is true: every fault of the catalogue is on it, and every test it names exists."""

import re
from pathlib import Path

from sandbox.servers.catalogue import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
LINES = PAGE.splitlines()
ROWS = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in LINES if line.startswith("| ") and "| |" not in line]


def test_the_page_is_one_table() -> None:
    """An empty line would end it, and a row with a cell too many or too few would shift."""
    inside = [number for number, line in enumerate(LINES) if line.startswith("|")]
    assert inside == list(range(inside[0], inside[-1] + 1))
    assert {LINES[number].count("|") for number in inside} == {5}


def test_every_fault_of_the_catalogue_is_on_the_page_once() -> None:
    told = [name for row in ROWS for name in re.findall(r"`([a-z_0-9]+)`", row[0])]
    assert sorted(told) == sorted(FAULTS)


def test_every_row_says_how_it_ends_in_both_languages_and_names_a_test_that_exists() -> None:
    for fault, how, ends, tests in ROWS[1:]:
        assert re.search(r"[\u4e00-\u9fff]", how) and re.search(r"[a-z]{3}", how), fault
        assert re.search(r"[\u4e00-\u9fff]", ends) and re.search(r"[a-z]{3}", ends), fault
        named = re.findall(r"`([^`]+)`", tests)
        assert named, fault
        for name in named:
            file, _, function = name.rpartition("::")
            folder = ROOT if file.startswith("benchmarks/") else ROOT / "tests"
            source = (folder / (file or "pipeline/test_faults.py")).read_text(encoding="utf-8")
            assert f"def {function}(" in source, name
