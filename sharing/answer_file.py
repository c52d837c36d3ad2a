"""Answers to a list as a file: lines of JSON as a comparison gives them, or a table with a column for each attribute and question."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from hub.formulas import FORMULA, NUMBER
from sharing.applicants import Format

_FIRST = ("row", "ref", "status", "fault", "person_id", "night", "receipt_id")
_FORMULA, _NUMBER = re.compile(FORMULA), re.compile(NUMBER)
_BETWEEN = "; "  # what several records of one source say, in one cell
_ROW_GROUP = 50_000


def columns(told: Iterable[str], sources: Iterable[str]) -> tuple[str, ...]:
    """Columns of the table.

    Args:
        told: attributes, and questions with a ?.
        sources: whose records the answers rest on.
    """
    return (*_FIRST, *(name.removeprefix("?") for name in told), *(f"{s}.as_of_date" for s in sources), "stale_sources", "disputed")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _record(answer: dict[str, Any]) -> dict[str, list[str]]:
    """What an answer says, by column; what several records say stands in their order."""
    found: dict[str, list[str]] = {}
    stale: dict[str, None] = {}
    disputed: dict[str, None] = {}
    for value in answer["values"]:
        if value["value"] is not None:
            found.setdefault(value["attribute"], []).append(_text(value["value"]))
        dates = found.setdefault(f"{value['source']}.as_of_date", [])
        if value["as_of_date"] not in dates:
            dates.append(value["as_of_date"])
        if value["is_stale"]:
            stale[value["source"]] = None
        if "disputed" in value:
            disputed[value["attribute"]] = None
    for verdict in answer["answers"]:
        found[verdict["question"]] = [verdict["answer"]]
        dates = found.setdefault(f"{verdict['source']}.as_of_date", [])
        if verdict["as_of_date"] is not None and verdict["as_of_date"] not in dates:
            dates.append(verdict["as_of_date"])
        if verdict["is_stale"]:
            stale[verdict["source"]] = None
        if "disputed" in verdict:
            disputed[verdict["question"]] = None
    found["stale_sources"], found["disputed"] = list(stale), list(disputed)
    return found


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + text if _FORMULA.match(text) and not _NUMBER.match(text) else text


def _first(answer: dict[str, Any]) -> list[Any]:
    receipt = answer["receipt"]
    return [
        answer["row"],
        answer["ref"],
        answer["status"],
        answer["fault"],
        answer["person_id"],
        answer["night"],
        receipt and receipt["receipt_id"],
    ]


def _csv(answers: Sequence[dict[str, Any]], names: Sequence[str], is_first: bool) -> bytes:
    held = io.StringIO()
    writer = csv.writer(held, lineterminator="\r\n")
    if is_first:
        writer.writerow(names)
    rest = names[len(_FIRST) :]
    for answer in answers:
        found = _record(answer)
        cells = [*_first(answer), *(_BETWEEN.join(found.get(name, ())) for name in rest)]
        writer.writerow(["" if c is None else _cell(c) if isinstance(c, str) else c for c in cells])
    # A spreadsheet takes a file without the mark for one in its own code page.
    return held.getvalue().encode("utf-8-sig" if is_first else "utf-8")


def _schema(names: Sequence[str]) -> pa.Schema:
    kinds: dict[str, pa.DataType] = {"row": pa.int64(), **{name: pa.string() for name in _FIRST[1:]}}
    return pa.schema([(name, kinds.get(name, pa.list_(pa.string()))) for name in names])


def _arrow(answers: Sequence[dict[str, Any]], names: Sequence[str]) -> bytes:
    schema = _schema(names)
    first = list(zip(*map(_first, answers), strict=True))
    found = [_record(a) for a in answers]
    arrays = [pa.array(values, type=schema.field(n).type) for n, values in enumerate(first)]
    arrays += [pa.array([f.get(name) for f in found], type=schema.field(name).type) for name in names[len(_FIRST) :]]
    held = io.BytesIO()
    with pa.ipc.new_stream(held, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    return held.getvalue()


def part(form: Format, answers: Sequence[dict[str, Any]], names: Sequence[str], *, is_first: bool) -> bytes:
    """Some answers as part of the file; of Parquet, whose parts are no file side by side, as Arrow's stream, see :func:`parquet`.

    Args:
        form: of the file.
        answers: in the order of the list.
        names: columns of the table.
        is_first: whether the file begins with it.
    """
    if form is Format.NDJSON:
        return b"".join(orjson.dumps(a, option=orjson.OPT_APPEND_NEWLINE) for a in answers)
    return _csv(answers, names, is_first) if form is Format.CSV else _arrow(answers, names)


class _Sink(io.RawIOBase):
    """Hands on what is written in pieces of at least a size."""

    def __init__(self, size: int, put: Callable[[bytes], None]) -> None:
        super().__init__()
        self._size, self._put, self._held, self._at = size, put, bytearray(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        self._held += data
        self._at += len(data)
        if len(self._held) >= self._size:
            self.flush()
        return len(data)

    def flush(self) -> None:
        if self._held:
            self._put(bytes(self._held))
            self._held.clear()


def parquet(parts: Iterator[bytes], names: Sequence[str], size: int, put: Callable[[bytes], None]) -> None:
    """Make the Parquet file of parts, a row group at a time.

    Args:
        parts: as :func:`part` made them.
        names: columns of the table.
        size: least bytes of a piece.
        put: takes the file's pieces in order.
    """
    schema = _schema(names)
    sink = _Sink(size, put)
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        held: list[pa.Table] = []
        for part in parts:
            held.append(pa.ipc.open_stream(part).read_all())
            if sum(t.num_rows for t in held) >= _ROW_GROUP:
                writer.write_table(pa.concat_tables(held))
                held = []
        if held:
            writer.write_table(pa.concat_tables(held))
    sink.flush()
