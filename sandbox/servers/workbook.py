"""An agency's stock as a workbook in an AES-encrypted ZIP."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyzipper
import xlsxwriter

_BOMB_BYTES = 256 << 20
_ZEROS = bytes(1 << 24)


def write(rows: pl.DataFrame, title: str, password: str, path: Path) -> None:
    """Write a file that appears under its name when it is whole.

    Args:
        rows: text columns; written as text, so that long numbers keep their digits.
        title: name of the sheet and of the workbook.
        password: of the ZIP file.
        path: where to.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        book = Path(folder) / "book.xlsx"
        _fill(rows, title, book)
        _pack(book, title, password, path)


def _fill(rows: pl.DataFrame, title: str, book: Path) -> None:
    with xlsxwriter.Workbook(str(book), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as file:
        sheet = file.add_worksheet(title[:31])
        for number, row in enumerate([tuple(rows.columns), *rows.iter_rows()]):
            for place, value in enumerate(row):
                if value is not None:
                    sheet.write_string(number, place, value[:32767])


def write_bomb(fault: str, rows: pl.DataFrame, title: str, password: str, path: Path) -> None:
    """Write a small file that fills the memory of whoever opens it carelessly.

    Args:
        fault: one of :data:`BOMBS`.
        rows: what an honest file would hold.
        title: name of the sheet and of the workbook.
        password: of the ZIP file.
        path: where to.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        book = Path(folder) / "book.xlsx"
        BOMBS[fault](rows, title, book)
        _pack(book, title, password, path)


def _inflating(_rows: pl.DataFrame, _title: str, book: Path) -> None:
    """A workbook that inflates a thousandfold."""
    with (
        zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as sheet,
    ):
        for _ in range(_BOMB_BYTES // len(_ZEROS)):
            sheet.write(_ZEROS)


def _of_entities(rows: pl.DataFrame, title: str, book: Path) -> None:
    """A workbook in whose texts one entity stands for ten of the one before, ten times over."""
    honest = book.with_name("honest.xlsx")
    _fill(rows, title, honest)
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 11))
    doctype = f'<!DOCTYPE sst [<!ENTITY e0 "{"x" * 100}">{entities}]>'
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            text = source.read(entry)
            if entry.filename.endswith(".xml") and b"<t" in text:
                head, _, rest = text.partition(b"?>")
                before, opening, after = rest.partition(b"<t>")
                text = head + b"?>" + doctype.encode() + before + opening + b"&e10;" + after
            target.writestr(entry.filename, text)


BOMBS: dict[str, Callable[[pl.DataFrame, str, Path], None]] = {"zip_bomb": _inflating, "entity_bomb": _of_entities}


def _pack(book: Path, title: str, password: str, path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with pyzipper.AESZipFile(draft, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(password.encode())
        archive.write(book, f"{title}.xlsx")
    draft.replace(path)


def sha256_of(path: Path) -> str:
    """Lower-case hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def head_of(path: Path, share: float) -> bytes:
    """The first part of a file: what a broken copy holds."""
    with path.open("rb") as file:
        return file.read(int(os.path.getsize(path) * share))
