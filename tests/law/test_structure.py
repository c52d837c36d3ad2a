"""The laws of the house: who imports whom, where SQL lives, what an agency is made of."""

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from schemas.contract import load_contract, stems

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "hub",
    "schemas",
    "connectors",
    "expectations",
    "identity",
    "warehouse",
    "pipeline",
    "sharing",
    "sandbox",
    "dags",
    "benchmarks",
    "manual",
)
# The four files of an agency.
PLACES = ("schemas/{}.yml", "connectors/{}.py", "expectations/{}.py", "tests/fixtures/{}")
_SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|CREATE\s+(UNLOGGED\s+|TEMP\w*\s+)?(TABLE|SCHEMA|VIEW|INDEX)\s"
    r"|ALTER\s+TABLE\s|DROP\s+(TABLE|SCHEMA|VIEW)\s|TRUNCATE\s|COPY\s+\S+\s+FROM)",
    re.IGNORECASE | re.DOTALL,
)


def modules(*rooms: str) -> list[Path]:
    """Python files of the rooms."""
    return [p for room in rooms for p in sorted((ROOT / room).rglob("*.py"))]


@cache
def tree(path: Path) -> ast.Module:
    """A file as it is parsed."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> set[str]:
    """Names of the top-level packages a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_rooms_import_only_what_the_law_allows() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("airflow", {"dags"}),
        ("great_expectations", {"expectations"}),
        ("splink", {"identity", "benchmarks"}),
        ("fastapi", {"sharing", "sandbox", "benchmarks"}),
        ("asyncpg", {"warehouse", "benchmarks"}),
        ("joserfc", {"sharing"}),
    ],
)
def test_a_large_library_is_imported_in_its_own_room_alone(package: str, rooms: set[str]) -> None:
    strangers = [str(p.relative_to(ROOT)) for p in modules(*ROOMS) if package in imported(p) and p.relative_to(ROOT).parts[0] not in rooms]
    assert strangers == []


def test_sql_text_lives_in_the_warehouse_alone() -> None:
    """The simulated exchange database is a server of its own: its side of the SQL is the sandbox's."""
    strangers = []
    for path in modules(*(r for r in ROOMS if r not in ("warehouse", "sandbox", "benchmarks"))):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value):
                strangers.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert strangers == []


@pytest.mark.parametrize("stem", stems())
def test_an_agency_is_four_files_with_one_stem(stem: str) -> None:
    missing = [place.format(stem) for place in PLACES if not (ROOT / place.format(stem)).exists()]
    assert missing == []
    assert len((ROOT / f"connectors/{stem}.py").read_text(encoding="utf-8").splitlines()) <= 80


@cache
def _literals(path: Path) -> set[str]:
    """String literals of a Python file, docstrings and comments left out."""
    found = set()
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.STRING and not token.string.lstrip("rbfuRBFU").startswith('"""'):
                found |= set(re.findall(r"\w+", token.string))
    return found


@pytest.mark.parametrize("stem", stems())
def test_an_agencys_own_column_names_are_written_in_its_four_files_alone(stem: str) -> None:
    # Names of one or two characters, and words that are field names of the hub as well, cannot be told apart.
    hub_names = {f.name for s in stems() for f in load_contract(s).fields}
    own = {f.physical_name for f in load_contract(stem).fields if len(f.physical_name) > 3} - hub_names
    strangers = [
        f"{path.relative_to(ROOT)}: {sorted(own & _literals(path))}"
        for path in modules(*ROOMS)
        if path.stem not in stems() and own & _literals(path)
    ]
    assert strangers == []


@pytest.mark.parametrize("stem", stems())
def test_no_module_outside_its_four_files_names_an_agency(stem: str) -> None:
    strangers = [
        str(path.relative_to(ROOT))
        for path in modules(
            "hub", "schemas", "connectors", "expectations", "identity", "warehouse", "pipeline", "sharing", "dags", "sandbox"
        )
        if path.stem not in stems() and re.search(rf"""["']{stem}["']""", path.read_text(encoding="utf-8"))
    ]
    assert strangers == []


def test_no_property_keeps_a_search_from_trying_others() -> None:
    """How many examples there are, and that they are the same each time, is said in one place."""
    fixed = re.compile(r"max_examples\s*=|derandomize\s*=")
    own = {ROOT / "tests/examples.py", ROOT / "tests/conftest.py"}
    found = [
        p.name for p in (ROOT / "tests").rglob("*.py") if p not in own | {Path(__file__)} and fixed.search(p.read_text(encoding="utf-8"))
    ]
    assert found == [], "use tests.examples.examples"


def test_module_sizes_are_reported(record_property: Callable[[str, object], None]) -> None:
    """Reported, not enforced: a module is one noun or one verb, about 300 lines at most."""
    sizes = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in modules(*ROOMS)}
    large = {name: lines for name, lines in sorted(sizes.items(), key=lambda item: -item[1]) if lines > 300}
    record_property("modules_over_300_lines", large)
    print("modules over 300 lines:", large or "none")
    assert sizes
