"""Who lives in the county, and a search for any of them in what a night leaves behind."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from hub.settings import CHECKOUT, Settings
from sandbox import agency
from schemas.contract import load_contracts

_KINDS = {"name": ("person.name", "guardian.name"), "number": ("person.resident_id", "guardian.resident_id"),
          "phone": ("person.phone", "guardian.phone"), "address": ("person.address", "person.registered_address")}  # fmt: skip
_LEAST_CHARS = {"name": 3, "number": 15, "phone": 8, "address": 8}


def of(settings: Settings, nights: Iterable[int]) -> dict[str, set[str]]:
    """Names of three characters and more, numbers, telephones and addresses of all whom an agency knows, by kind.

    A name that is also a word of the product's own texts tells nothing and is left out; there must be next to none.
    """
    found: dict[str, set[str]] = {kind: set() for kind in _KINDS}
    for contract in load_contracts().values():
        for night in nights:
            held = agency.snapshot(contract, night, settings)
            for kind, concepts in _KINDS.items():
                for spec in filter(None, map(contract.by_concept, concepts)):
                    values = held[spec.physical_name].drop_nulls().unique()
                    found[kind] |= set(values.filter(values.str.len_chars() >= _LEAST_CHARS[kind]))
    assert all(len(values) > 100 for values in found.values()), {kind: len(values) for kind, values in found.items()}
    own = found["name"] & _words(found["name"])
    assert len(own) < 0.01 * len(found["name"])
    found["name"] -= own
    return found


def _words(names: set[str]) -> set[str]:
    """The names that stand in a text of the product."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = (CHECKOUT / name for name in listed if name.endswith((".py", ".yml", ".csv", ".html", ".md")))
    return {
        name
        for values in search(
            {"name": names}, {str(f): f.read_text(encoding="utf-8", errors="replace") for f in files if f.is_file()}
        ).values()
        for name in values
    }


def search(people: dict[str, set[str]], texts: dict[str, str]) -> dict[str, set[str]]:
    """Texts with a person in them, and which values they hold; all values are looked for in one pass over each text."""
    lines = pl.DataFrame(
        [(name, line) for name, text in texts.items() for line in text.splitlines() if line], schema=["name", "line"], orient="row"
    )
    hits: dict[str, set[str]] = {}
    for values in people.values():
        found = lines.filter(pl.col("line").str.contains_any(list(values))) if lines.height else lines
        for name, line in found.iter_rows():
            hits.setdefault(name, set()).update(v for v in values if v in line)
    return hits


def files_of(home: Path) -> dict[str, str]:
    """Every file a hub leaves in its home that is no store of records: logs, reports, notes, Airflow's own."""
    kept_apart = ("postgres", "landing", "secrets", "sandbox", "spool")
    return {
        str(path.relative_to(home)): path.read_bytes().decode("utf-8", "replace")
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.relative_to(home).parts[0] not in kept_apart
    }


def told(hits: dict[str, set[str]]) -> dict[str, int]:
    """How many values each text holds; never the values, for a test's output is an artefact as well."""
    return {name: len(values) for name, values in hits.items()}
