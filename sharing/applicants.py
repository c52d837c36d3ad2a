"""Lists of applicants as departments send them, read as a stream: CSV, lines of JSON, Parquet.

A row that cannot be read keeps its place and says why; it stops nobody else's answer. A file that is none of the three, or has other
columns, is refused as a whole, with the place and never a value: where the head is missing, the first row is a person's.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import date
from enum import StrEnum
from itertools import islice
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

COLUMNS = ("ref", "resident_id", "name", "birth_date", "person_id")
_WAYS = ({"person_id"}, {"resident_id"}, {"name", "birth_date"})
_LONGEST = 4_096  # characters of a line, or of a cell in Parquet
_UNPACKED = 512 << 20  # bytes of a row group of Parquet
_REF = re.compile(r"[A-Za-z0-9._-]{0,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_CHARSETS = {"utf-8": "utf-8-sig", "utf8": "utf-8-sig", "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030"}
_LOST = "\ufffd"


class Format(StrEnum):
    """In which a list comes, and in which its answers are handed out."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


MEDIA = {Format.CSV: "text/csv", Format.NDJSON: "application/x-ndjson", Format.PARQUET: "application/vnd.apache.parquet"}


class Unreadable(Exception):
    """A list that is refused as a whole.

    Attributes:
        pointer: where.
        complaint: what is wrong there.
    """

    def __init__(self, pointer: str, complaint: str) -> None:
        super().__init__(f"{pointer}: {complaint}")
        self.pointer = pointer
        self.complaint = complaint


class Applicant(NamedTuple):
    """One row of a list.

    Attributes:
        row: number, from 1, the head not counted.
        ref: the caller's own mark; None = none, or the row is malformed in it.
        way: ``person_id``, ``resident_id`` or ``name_birth_date``; None = malformed.
        name: id, number or name it is named by.
        birth_date: together with a name.
        fault: what is wrong with the row; None = nothing.
    """

    row: int
    ref: str | None
    way: str | None
    name: str = ""
    birth_date: date | None = None
    fault: str | None = None


def media(content_type: str) -> tuple[Format, str | None] | None:
    """Format and charset that a Content-Type names; None = it is none of the three, or another charset."""
    named, *parameters = [p.strip() for p in content_type.split(";")]
    form = next((f for f, m in MEDIA.items() if m == named.lower()), None)
    given = {k.strip().lower(): v.strip().strip('"').lower() for k, _, v in (p.partition("=") for p in parameters if p)}
    charset = given.pop("charset", None)
    if form is None or given.keys() - {"header"} or (charset is not None and charset not in _CHARSETS):
        return None
    if form is not Format.CSV and charset not in (None, "utf-8", "utf8"):
        return None
    return form, charset if form is Format.CSV else None


def _as_date(value: Any) -> date | None:
    if isinstance(value, date):
        return value
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return None


def _applicant(row: int, ref: Any, resident_id: Any, name: Any, born: Any, person_id: Any) -> Applicant:
    """A row by its cells; None or an empty text = not given."""
    if ref and not (isinstance(ref, str) and _REF.fullmatch(ref)):
        return Applicant(row, None, None, fault="ref")
    ref = ref or None
    if bool(resident_id) + bool(person_id) + bool(name or born) != 1:
        return Applicant(row, ref, None, fault="not_named_once")
    if person_id:
        try:
            return Applicant(row, ref, "person_id", str(UUID(person_id)))
        except (ValueError, AttributeError, TypeError):
            return Applicant(row, ref, None, fault="person_id")
    if resident_id:
        if not isinstance(resident_id, str) or not 4 <= len(resident_id) <= 40 or _CONTROL.search(resident_id):
            return Applicant(row, ref, None, fault="resident_id")
        return Applicant(row, ref, "resident_id", resident_id)
    if not isinstance(name, str) or not 0 < len(name) <= 60 or _CONTROL.search(name):
        return Applicant(row, ref, None, fault="name")
    birth_date = _as_date(born)
    if birth_date is None:
        return Applicant(row, ref, None, fault="birth_date")
    return Applicant(row, ref, "name_birth_date", name, birth_date)


def _placed(names: Sequence[str], pointer: str) -> tuple[int | None, ...]:
    """Where each of the known columns stands; None = it is not there.

    Raises:
        Unreadable: a column is unknown or stands twice, or nobody can be named.
    """
    known = [n.lstrip("\ufeff").strip().lower() for n in names]
    for place, name in enumerate(known, start=1):
        if name not in COLUMNS:
            raise Unreadable(f"{pointer}/{place}", f"none of {', '.join(COLUMNS)}; the first row names the columns")
        if name in known[: place - 1]:
            raise Unreadable(f"{pointer}/{place}", "stands twice")
    if not any(way <= set(known) for way in _WAYS):
        raise Unreadable(pointer, "names nobody: resident_id, person_id, or name and birth_date")
    return tuple(known.index(c) if c in known else None for c in COLUMNS)


def _bounded_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines; of one that is too long, so that it cannot fill the memory, a mark that no row is."""
    while line := text.readline(_LONGEST):
        if len(line) < _LONGEST or line.endswith(("\n", "\r")):
            yield line
            continue
        while line and not line.endswith(("\n", "\r")):
            line = text.readline(_LONGEST)
        yield "\x00\n"


def _csv(source: BinaryIO, charset: str | None) -> Iterator[Applicant]:
    text = io.TextIOWrapper(source, encoding=_CHARSETS[charset or "utf-8"], errors="replace", newline="")
    reader = csv.reader(_bounded_lines(text))
    try:
        places = _placed(next(reader, []), "input/column")
        width = sum(p is not None for p in places)
    except csv.Error:
        raise Unreadable("input/column", "the first row cannot be read") from None
    row = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            row += 1
            yield Applicant(row, None, None, fault="columns")
            continue
        if not cells:
            continue
        row += 1
        if len(cells) != width:
            yield Applicant(row, None, None, fault="columns")
        elif any(_LOST in c for c in cells):
            yield Applicant(row, None, None, fault="encoding")
        else:
            yield _applicant(row, *(None if p is None else cells[p].strip() for p in places))


def _ndjson(source: BinaryIO) -> Iterator[Applicant]:
    row, longest = 0, 4 * _LONGEST
    while line := source.readline(longest):
        is_whole = len(line) < longest or line.endswith(b"\n")
        while not is_whole and (rest := source.readline(longest)) and not rest.endswith(b"\n"):
            pass
        if row == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if is_whole and not line.strip():
            continue
        row += 1
        if not is_whole:
            yield Applicant(row, None, None, fault="too_long")
            continue
        try:
            given = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield Applicant(row, None, None, fault="json")
            continue
        if not isinstance(given, dict) or given.keys() - set(COLUMNS):
            yield Applicant(row, None, None, fault="json" if not isinstance(given, dict) else "columns")
            continue
        yield _applicant(row, *(v.strip() if isinstance(v := given.get(c), str) else v for c in COLUMNS))


def _parquet_file(source: BinaryIO) -> tuple[pq.ParquetFile, tuple[int | None, ...]]:
    try:
        schema = pq.read_schema(source)
        names = [n for n in schema.names if pa.types.is_string(schema.field(n).type) or pa.types.is_large_string(schema.field(n).type)]
        file = pq.ParquetFile(source, read_dictionary=names, pre_buffer=False, buffer_size=1 << 20)
        groups = range(file.metadata.num_row_groups)
        if any(file.metadata.row_group(n).total_byte_size > _UNPACKED for n in groups):
            raise Unreadable("input", "a row group of the Parquet file is too large: write smaller ones")
    except (pa.ArrowException, OSError):
        raise Unreadable("input", "not a Parquet file") from None
    return file, _placed(schema.names, "input/column")


def _column(column: Any, is_date: bool) -> list[Any]:
    """Values of a column; of one that is too long, a mark that no value is: a long value is kept once in the file, and would fill the memory here."""
    if pa.types.is_dictionary(column.type):
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        if longest > _LONGEST:
            lengths: Any = pc.binary_length(column.dictionary)
            kept = pc.if_else(pc.greater(lengths, pa.scalar(_LONGEST, pa.int32())), "\x00", column.dictionary)
            column = pa.DictionaryArray.from_arrays(column.indices, kept)
        return list(column.cast(pa.string()).to_pylist())
    if is_date and pa.types.is_date(column.type):
        return list(column.to_pylist())
    if pa.types.is_integer(column.type):
        return list(column.cast(pa.string()).to_pylist())
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:  # a UUID as Parquet keeps it
        return [None if v is None else str(UUID(bytes=v)) for v in column.to_pylist()]
    return ["\x00"] * len(column)


def _parquet(source: BinaryIO, batch: int) -> Iterator[Applicant]:
    file, places = _parquet_file(source)
    row = 0
    try:
        for found in file.iter_batches(batch_size=batch):
            columns = [
                [None] * len(found) if p is None else _column(found.column(p), name == "birth_date")
                for p, name in zip(places, COLUMNS, strict=True)
            ]
            for cells in zip(*columns, strict=True):
                row += 1
                yield _applicant(row, *(c.strip() if isinstance(c, str) else c for c in cells))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise Unreadable(f"input/row/{row + 1}", "the Parquet file cannot be read from there on") from None


def batches(source: BinaryIO, form: Format, charset: str | None, size: int, done: int = 0) -> Iterator[list[Applicant]]:
    """A list in batches of rows.

    Args:
        source: its bytes, at their beginning; for Parquet they must be seekable.
        form: of the list.
        charset: of CSV; None = UTF-8.
        size: rows of a batch.
        done: rows at the beginning to leave out.

    Raises:
        Unreadable: it is none, or has other columns.
    """
    rows = {
        Format.CSV: lambda: _csv(source, charset),
        Format.NDJSON: lambda: _ndjson(source),
        Format.PARQUET: lambda: _parquet(source, size),
    }[form]()
    for _ in islice(rows, done):
        pass
    while batch := list(islice(rows, size)):
        yield batch


def look(source: BinaryIO, form: Format, charset: str | None, lines: int) -> int:
    """Look whether a list can be read, as far as its head; how many rows it has, as its lines or its metadata tell.

    Raises:
        Unreadable: it is none, or has other columns.
    """
    if form is Format.PARQUET:
        return int(_parquet_file(source)[0].metadata.num_rows)
    next(batches(source, form, charset, 1), None)
    return max(0, lines - 1) if form is Format.CSV else lines
