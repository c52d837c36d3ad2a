"""An agency's stock as a workbook in an AES-encrypted ZIP."""

import hashlib
import os
import tempfile
import zipfile
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
        with xlsxwriter.Workbook(str(book), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as file:
            sheet = file.add_worksheet(title[:31])
            for number, row in enumerate([tuple(rows.columns), *rows.iter_rows()]):
                for place, value in enumerate(row):
                    if value is not None:
                        sheet.write_string(number, place, value[:32767])
        _pack(book, title, password, path)


def write_bomb(title: str, password: str, path: Path) -> None:
    """Write a small file whose workbook inflates a thousandfold."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        book = Path(folder) / "book.xlsx"
        with (
            zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("xl/worksheets/sheet1.xml", "w") as sheet,
        ):
            for _ in range(_BOMB_BYTES // len(_ZEROS)):
                sheet.write(_ZEROS)
        _pack(book, title, password, path)


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
