"""Poison in files: the row or the file is refused with a pointer, and memory stays bounded."""

import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import pyzipper

from hub.errors import SourceChanged
from hub.settings import CHECKOUT
from pipeline import parsing, readers
from schemas.contract import Contract, load_contract, stems

# Parse a file by a contract in a process of its own; tell the error or the counts, and the most memory it ever held.
_CHILD = """
import json, sys
from hub.errors import HubError
from pipeline import parsing, readers
from schemas.contract import load_contract
contract, path = load_contract(sys.argv[1]), sys.argv[2]
def chunks():
    with open(path, "rb") as file:
        while chunk := file.read(1 << 18):
            yield chunk
rows = rejected = 0
error = ""
try:
    for batch in parsing.parse(contract, readers.read(contract, [("part-1", chunks())], password="x"), parsing.Drift()):
        rows += batch.rows
        rejected += batch.rejects.height
except HubError as raised:
    error = str(raised)
# The kernel's high-water mark of this process alone; getrusage would begin with that of the parent.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"rows": rows, "rejected": rejected, "error": error, "peak_mib": peak >> 10}))
"""
# Above what a process holds that has loaded the libraries: a bomb of these tests would take gigabytes.
_BOUND_MIB = 400


def parsed(stem: str, path: Path) -> dict[str, object]:
    """What became of a file."""
    done = subprocess.run([sys.executable, "-c", _CHILD, stem, str(path)], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def refusal(contract: Contract, data: bytes) -> str:
    """What is told of a file that is refused."""
    with pytest.raises(SourceChanged) as raised:
        list(readers.read(contract, [("part-1", [data])], password="x"))
    return str(raised.value)


def of_media(media: str) -> Contract:
    """An agency that delivers in a medium."""
    return next(c for c in map(load_contract, stems()) if c.delivery.media == media)


def csv_of(contract: Contract, *rows: str) -> bytes:
    header = ",".join(f.physical_name for f in contract.fields)
    return "\r\n".join([header, *rows]).encode(contract.delivery.encoding)


def json_of(contract: Contract, value: str) -> bytes:
    """A page of one row whose second field is raw JSON."""
    *steps, last = (contract.delivery.records_path or "data.records").split(".")
    key, second = contract.key.physical_name, contract.fields[1].physical_name
    text = json.dumps({last: ["ROW"]}).replace('"ROW"', f'{{"{key}": "1", "{second}": {value}}}')
    for step in reversed(steps):
        text = json.dumps({step.rstrip("!"): text}) if step.endswith("!") else f'{{"{step}": {text}}}'
    return text.encode()


def gzip_of_one_endless_line(contract: Contract, path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(csv_of(contract, ""))
        for _ in range(64):
            file.write(b"x" * (32 << 20))


def zip_around(path: Path, write: Callable[[zipfile.ZipFile], None]) -> None:
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
        write(archive)
    with pyzipper.AESZipFile(path, "w", compression=pyzipper.ZIP_STORED, encryption=pyzipper.WZ_AES) as outer:
        outer.setpassword(b"x")
        outer.writestr("book.xlsx", book.getvalue())


def inflating(archive: zipfile.ZipFile) -> None:
    with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
        for _ in range(64):
            sheet.write(bytes(32 << 20))


def of_entities(archive: zipfile.ZipFile) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 11))
    archive.writestr("xl/sharedStrings.xml", f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "{"x" * 100}">{entities}]><a>&e10;</a>')


@pytest.mark.slow
def test_a_gzip_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    contract = of_media("csv-gzip")
    gzip_of_one_endless_line(contract, tmp_path / "bomb")
    told = parsed(contract.stem, tmp_path / "bomb")
    assert "part part-1: a line never ends" in str(told["error"])
    assert int(str(told["peak_mib"])) < _BOUND_MIB


@pytest.mark.slow
@pytest.mark.parametrize(("bomb", "says"), [(inflating, "inflates beyond any honest size"), (of_entities, "defines entities")])
def test_a_workbook_that_is_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, bomb: Callable[[zipfile.ZipFile], None], says: str) -> None:
    zip_around(tmp_path / "bomb", bomb)
    told = parsed(of_media("xlsx-zip").stem, tmp_path / "bomb")
    assert "part part-1" in str(told["error"]) and says in str(told["error"])
    assert int(str(told["peak_mib"])) < _BOUND_MIB


def test_a_workbook_that_lies_about_its_size_is_refused() -> None:
    book, sent = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(64 << 20))
    forged = book.getvalue().replace((64 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    with pyzipper.AESZipFile(sent, "w", encryption=pyzipper.WZ_AES) as outer:
        outer.setpassword(b"x")
        outer.writestr("book.xlsx", forged)
    assert "not an XLSX workbook, or damaged" in refusal(of_media("xlsx-zip"), sent.getvalue())


@pytest.mark.parametrize(
    "value", ["[" * 10_000 + "]" * 10_000, '"\\ud800"', "1e400"], ids=["nested ten thousand deep", "lone surrogate", "1e400"]
)
def test_json_that_cannot_be_read_is_refused_with_its_page(value: str) -> None:
    contract = of_media("json-pages")
    assert "part part-1: not valid JSON, or nested too deep" in refusal(contract, json_of(contract, value))


def _rows_refused(contract: Contract, second: str) -> list[tuple[int, str, str]]:
    rows = [",".join(["1", *[""] * (len(contract.fields) - 1)]), ",".join(["2", second, *[""] * (len(contract.fields) - 2)])]
    parts = [("part-1", [gzip.compress(csv_of(contract, *rows))])]
    batches = list(parsing.parse(contract, readers.read(contract, parts), parsing.Drift()))
    assert sum(b.rows for b in batches) == 2
    assert [r for b in batches for r in b.typed["row_number"]] == [1], "the row beside it goes on"
    assert [k for b in batches for k in b.refused["record_key"]] == ["2"], "the agency still holds the key"
    return [row for b in batches for row in b.rejects.rows()]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("字" * 3_500_000, "text_too_long"),
        ("a\x00b", "text_unreadable"),
        ("=cmd|'/c calc'!A1", "text_is_formula"),
        ("@SUM(1)", "text_is_formula"),
        ("+cmd|x!A1", "text_is_formula"),
    ],
    ids=["10 MB", "NUL", "formula", "at sign", "plus"],
)
def test_a_poisoned_text_refuses_its_row_alone_and_points_at_it(value: str, rule: str) -> None:
    contract = of_media("csv-gzip")
    assert (2, rule, contract.fields[1].name) in _rows_refused(contract, value)


def test_an_object_where_a_text_was_agreed_refuses_its_row_and_points_at_it() -> None:
    contract = of_media("json-pages")
    page = [("page-1", [json_of(contract, '{"a": [1]}')])]
    (batch,) = parsing.parse(
        contract,
        (frame.with_columns(**{f.physical_name: None for f in contract.fields[2:]}) for frame in readers.read(contract, page)),
        parsing.Drift(),
    )
    assert (1, "text_unreadable", contract.fields[1].name) in batch.rejects.rows()
