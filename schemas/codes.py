"""Code sets: the coded values of national standards, as dated CSV files."""

import csv
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from hub.errors import ContractError

CODES_DIR = Path(__file__).resolve().parent / "codes"
_HEADER = ["code", "zh", "en", "parent", "valid_from", "valid_to", "source"]


@dataclass(frozen=True)
class CodeEntry:
    """One code of a set.

    Attributes:
        parent: code one level up; None at the top.
        valid_from: first day of validity; None = since ever.
        valid_to: last day of validity; None = still valid.
        source: standard or document; ``project`` = chosen by the project and to be checked.
    """

    code: str
    zh: str
    en: str
    parent: str | None
    valid_from: date | None
    valid_to: date | None
    source: str


def code_set_exists(name: str) -> bool:
    """Whether there is a code set with that name."""
    return (CODES_DIR / f"{name}.csv").is_file()


@cache
def _read(name: str) -> tuple[CodeEntry, ...]:
    path = CODES_DIR / f"{name}.csv"
    where = f"schemas/codes/{name}.csv"
    if not path.is_file():
        raise ContractError("there is no such code set", where=where)
    entries = []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        if next(rows, None) != _HEADER:
            raise ContractError(f"the header must be {','.join(_HEADER)}", where=where)
        for row in rows:
            try:
                code, zh, en, parent, start, end, source = row
                entry = CodeEntry(code, zh, en, parent or None, _day(start), _day(end), source)
            except ValueError:
                raise ContractError("not seven columns with ISO dates", where=f"{where} line {rows.line_num}") from None
            entries.append(entry)
    return tuple(entries)


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


@cache
def load_code_set(name: str, on: date | None = None) -> dict[str, CodeEntry]:
    """A code set by code.

    Args:
        name: file name without ending.
        on: only codes valid on that day; None = every code that ever was, as old records may carry.

    Raises:
        ContractError: there is no such set, or its file is damaged.
    """
    return {
        e.code: e
        for e in _read(name)
        if on is None or ((e.valid_from is None or e.valid_from <= on) and (e.valid_to is None or on <= e.valid_to))
    }
