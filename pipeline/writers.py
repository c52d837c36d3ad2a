"""Write rows of text as an agency's own medium, so that it reads them with what it wrote them with: the counterpart of `readers`."""

import gzip
import io
from collections.abc import Callable
from typing import Any

import orjson
import polars as pl
import xlsxwriter

from hub.errors import ContractError
from hub.formulas import FORMULA, NUMBER
from schemas.contract import Contract

_CELL_CHARS = 32_767  # a cell of a workbook holds no more


def _neutral(rows: pl.DataFrame) -> pl.DataFrame:
    """An apostrophe before a text that a spreadsheet would take for a formula, as OWASP advises against CSV injection."""
    is_formula = {name: pl.col(name).str.contains(FORMULA) & ~pl.col(name).str.contains(NUMBER) for name in rows.columns}
    return rows.with_columns(
        pl.when(hit).then(pl.lit("'") + pl.col(name)).otherwise(pl.col(name)).alias(name) for name, hit in is_formula.items()
    )


def _csv(contract: Contract, rows: pl.DataFrame) -> bytes:
    return _neutral(rows).write_csv(line_terminator="\r\n").encode(contract.delivery.encoding, "replace")


def _csv_gzip(contract: Contract, rows: pl.DataFrame) -> bytes:
    return gzip.compress(_csv(contract, rows), mtime=0)


def _json_pages(contract: Contract, rows: pl.DataFrame) -> bytes:
    node: Any = rows.to_dicts()
    for step in reversed((contract.delivery.records_path or "data.records").split(".")):
        if step.endswith("!"):
            node = orjson.dumps(node).decode()
        node = {step.rstrip("!"): node}
    return orjson.dumps(node)


def workbook(held: io.BytesIO) -> xlsxwriter.Workbook:
    """A workbook in which no text becomes a formula or a link; made in memory, so that nothing of a person is on disk unencrypted."""
    return xlsxwriter.Workbook(held, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})


def _xlsx(contract: Contract, rows: pl.DataFrame) -> bytes:
    held = io.BytesIO()
    with workbook(held) as book:
        sheet = book.add_worksheet(contract.title_zh[:31])
        for number, row in enumerate([tuple(rows.columns), *_neutral(rows).iter_rows()]):
            for place, value in enumerate(row):
                if value is not None:
                    sheet.write_string(number, place, value[:_CELL_CHARS])
    return held.getvalue()


_WRITERS: dict[str, tuple[str, Callable[[Contract, pl.DataFrame], bytes]]] = {
    "json-pages": ("json", _json_pages),
    "csv-gzip": ("csv.gz", _csv_gzip),
    "csv": ("csv", _csv),
    "xlsx-zip": ("xlsx", _xlsx),
}


def write(contract: Contract, rows: pl.DataFrame) -> tuple[str, bytes]:
    """Rows in the agency's medium and encoding.

    Args:
        contract: names medium, encoding and the path of records.
        rows: text columns under the agency's names.

    Returns:
        The file's extension, and its bytes.

    Raises:
        ContractError: the contract names a medium without a writer.
    """
    try:
        extension, writer = _WRITERS[contract.delivery.media]
    except KeyError:
        raise ContractError(
            f"no writer for {contract.delivery.media!r}", where=f"schemas/{contract.stem}.yml delivery.media",
            next_step=f"one of {', '.join(_WRITERS)}",
        ) from None  # fmt: skip
    return extension, writer(contract, rows)
