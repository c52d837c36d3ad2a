"""Pages of JSON as an agency makes them: rows serialised by column, never one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from sandbox.servers.switches import Switches

_OVERLAP_ROWS = 5
_POISON = {"nested_deep": b"[" * 10_000 + b"]" * 10_000, "lone_surrogate": b'"\\ud800"'}


@dataclass(frozen=True)
class Slice:
    """Which rows a page holds.

    Attributes:
        first: number of the first row, from 0.
        size: most rows on the page.
    """

    first: int
    size: int


def wrap(records_path: str, beside: dict[str, Any], rows: bytes, success: dict[str, Any]) -> bytes:
    """A reply: rows at the contract's path, what stands beside them, and the code at the top.

    Args:
        records_path: e.g. ``data.records``; a segment with ``!`` is sent as a string holding JSON.
        beside: totals, dates and position, beside the rows.
        rows: a JSON list.
        success: what stands at the top.
    """
    *outer, last = records_path.split(".")
    body = _object(beside, last.rstrip("!"), _quoted(rows) if last.endswith("!") else rows)
    for depth, step in enumerate(reversed(outer), 1):
        value = _quoted(body) if step.endswith("!") else body
        body = _object(success if depth == len(outer) else {}, step.rstrip("!"), value)
    return body


def _quoted(json: bytes) -> bytes:
    return orjson.dumps(json.decode())


def _object(fields: dict[str, Any], name: str, value: bytes) -> bytes:
    head = orjson.dumps(fields)[:-1]
    return b"".join([head, b"," if fields else b"", orjson.dumps(name), b":", value, b"}"])


def page(rows: pl.DataFrame, wanted: Slice, switches: Switches, make: Callable[[int, bytes], bytes]) -> bytes:
    """One page, with the faults a paged interface can have.

    Args:
        rows: the whole selection.
        wanted: which rows.
        switches: the agency's faults.
        make: makes the reply of a total and a JSON list.
    """
    first = wanted.first
    if first > 0 and switches.strikes("page_repeated"):
        first -= wanted.size
    if first > 0 and switches.strikes("pages_overlap"):
        first -= min(_OVERLAP_ROWS, wanted.size)
    total = rows.height + (7 if switches.is_on("total_disagrees") else 0)
    if first > 0 and switches.is_on("total_changes"):
        total += 1
    chosen = rows.slice(first, wanted.size)
    return make(total, _poisoned(chosen.write_json().encode() if chosen.height else b"[]", switches))


def _poisoned(rows: bytes, switches: Switches) -> bytes:
    """A value that no honest system writes, before the first row's own."""
    for fault, value in _POISON.items():
        if rows.startswith(b"[{") and switches.is_on(fault):
            rows = rows.replace(b"[{", b'[{"remark":' + value + b",", 1)
    return rows
