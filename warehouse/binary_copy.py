"""Tables between database and memory by binary COPY: rows of one fixed width, read and written without any text in between.

The format is that of PostgreSQL's manual, COPY, "Binary Format": a header, then per row the number of fields and per field its
length and big-endian bytes. Where no field is null and none varies in length, all rows are equally long, and NumPy reads them as
they lie. A UUID of version 7, whose first bit is 0,
becomes a 128-bit integer, which sorts as the UUID does and takes a third of the memory of its text.
"""

import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import sqlalchemy as sa

from hub.errors import MergeError
from warehouse.database import copying

Kind = Literal["uuid", "bigint", "smallint", "date", "boolean"]
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_WIDTH: dict[str, int] = {"uuid": 16, "bigint": 8, "smallint": 2, "date": 4, "boolean": 1}
_FORMAT: dict[str, str] = {"uuid": ">u8", "bigint": ">i8", "smallint": ">i2", "date": ">i4", "boolean": "u1"}
_DAYS_TO_2000 = 10_957  # the database counts days from 2000, Polars from 1970
# What stands for null on the way; no hash and no date of a person is that small.
_NULL: dict[str, str] = {"bigint": "(-9223372036854775808)::bigint", "date": "'-infinity'::date", "smallint": "(-32768)::smallint"}
_ROWS_AT_ONCE = 250_000
Layout = npt.NDArray[np.void]


def _row_type(columns: Mapping[str, Kind], texts: Mapping[str, bytes] | None = None) -> np.dtype[np.void]:
    """How a row lies: the number of fields, then a length before every field; a UUID is two halves."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns.items():
        halves = (f"{name}.high", f"{name}.low") if kind == "uuid" else (name,)
        fields += [(f"{name}.length", ">i4"), *((half, _FORMAT[kind]) for half in halves)]
    for name, value in (texts or {}).items():
        fields += [(f"{name}.length", ">i4"), (name, f"S{len(value)}")]
    return np.dtype(fields)


_NOTHING = {"bigint": -(2**63), "smallint": -(2**15), "date": -(2**31)}


def _column(name: str, kind: Kind) -> pl.Expr:
    """A column from the fields of :func:`_row_type`."""
    if kind == "uuid":
        return (pl.col(f"{name}.high").cast(pl.Int128) * (1 << 64) + pl.col(f"{name}.low").cast(pl.Int128)).alias(name)
    if kind == "boolean":
        return pl.col(name) == 1
    known = pl.when(pl.col(name) != _NOTHING[kind]).then(pl.col(name))
    return (known.cast(pl.Int64) + _DAYS_TO_2000).cast(pl.Int32).cast(pl.Date).alias(name) if kind == "date" else known.alias(name)


def _table(rows: Layout, columns: Mapping[str, Kind]) -> pl.DataFrame:
    native = {n: rows[n].astype(rows.dtype[n].newbyteorder("=")) for n in rows.dtype.names or () if n != "fields" and ".length" not in n}
    return pl.DataFrame(native).select(_column(name, kind) for name, kind in columns.items())


def read(connection: sa.Connection, query: str, columns: Mapping[str, Kind]) -> pl.DataFrame:
    """The rows of a query.

    Args:
        connection: an open connection.
        query: SQL without parameters.
        columns: name and kind of each column the query gives, in its order; a uuid or boolean must not be null.

    Returns:
        The columns: uuid as Int128, bigint as Int64, smallint as Int16, date as Date, boolean as Boolean.

    Raises:
        MergeError: a uuid is null, or a column is not of its kind.
    """
    listed = ", ".join(
        f'"{name}"' if kind in ("uuid", "boolean") else f'coalesce("{name}", {_NULL[kind]})' for name, kind in columns.items()
    )
    row_type = _row_type(columns)
    with tempfile.TemporaryFile() as spill:
        with copying(connection) as cursor:
            names = ", ".join(f'"{name}"' for name in columns)
            cursor.copy_expert(f"COPY (SELECT {listed} FROM ({query}) AS asked ({names})) TO STDOUT (FORMAT binary)", spill)
        size = spill.tell() - len(_HEADER) - len(_TRAILER)
        if size % row_type.itemsize:
            raise MergeError("rows of a working table are not of one width: an id is missing", next_step="run resolve again")
        spill.seek(len(_HEADER))
        parts = [_table(rows, columns) for rows in _rows(spill, row_type, size)]
    return pl.concat(parts, rechunk=False)


def _rows(spill: IO[bytes], row_type: np.dtype[np.void], size: int) -> Iterator[Layout]:
    yield np.empty(0, row_type)
    step = _ROWS_AT_ONCE * row_type.itemsize
    for start in range(0, size, step):
        yield np.frombuffer(spill.read(min(step, size - start)), row_type)


def write(connection: sa.Connection, table: str, frame: pl.DataFrame, columns: Mapping[str, Kind], texts: tuple[str, ...] = ()) -> None:
    """COPY a table into one of the database.

    Args:
        connection: an open connection.
        table: its name.
        frame: without nulls; uuid as Int128.
        columns: name and kind of its columns.
        texts: text columns, each with few values: rows with the same ones are written together.
    """
    names = ", ".join(f'"{name}"' for name in [*columns, *texts])
    with tempfile.TemporaryFile() as spill:
        spill.write(_HEADER)
        groups = frame.partition_by(texts, as_dict=True, include_key=False, maintain_order=True) if texts else {(): frame}
        for values, rows in groups.items():
            fixed = {name: str(value).encode() for name, value in zip(texts, values, strict=True)}
            for part in rows.iter_slices(_ROWS_AT_ONCE):
                spill.write(_bytes(part, columns, fixed))
        spill.write(_TRAILER)
        spill.seek(0)
        with copying(connection) as cursor:
            cursor.copy_expert(f"COPY {table} ({names}) FROM STDIN (FORMAT binary)", spill)


def _bytes(part: pl.DataFrame, columns: Mapping[str, Kind], texts: Mapping[str, bytes]) -> bytes:
    rows = np.empty(part.height, _row_type(columns, texts))
    rows["fields"] = len(columns) + len(texts)
    for name, kind in columns.items():
        rows[f"{name}.length"] = _WIDTH[kind]
        if kind == "uuid":
            halves = part.select(high=pl.col(name) // (1 << 64), low=pl.col(name) % (1 << 64)).cast(pl.UInt64)
            rows[f"{name}.high"], rows[f"{name}.low"] = halves["high"].to_numpy(), halves["low"].to_numpy()
        elif kind == "date":
            rows[name] = part[name].cast(pl.Int32).to_numpy() - _DAYS_TO_2000
        else:
            rows[name] = part[name].to_numpy()
    for name, value in texts.items():
        rows[f"{name}.length"], rows[name] = len(value), value
    return rows.tobytes()
