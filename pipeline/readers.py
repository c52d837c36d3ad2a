"""Read an agency's bytes as rows of text, exactly as sent: one reader per medium, in batches of bounded size."""

import codecs
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
import polars as pl

from hub.errors import ContractError, SourceChanged
from hub.settings import Settings, load_endpoint
from schemas.contract import Contract
from warehouse import landing

Parts = Iterable[tuple[str, Iterable[bytes]]]

# Limits against hostile files; the largest honest page, block and workbook are far below.
_PAGE_BYTES = 256 << 20
_BLOCK_BYTES = 16 << 20
_LINE_BYTES = 32 << 20
_WORKBOOK_BYTES = 1 << 30
_WORKBOOK_RATIO = 200


def _changed(message: str, part: str) -> SourceChanged:
    return SourceChanged(message, where=f"part {part}", next_step="ask the agency; the delivery stays landed for replay")


def _whole(part: str, chunks: Iterable[bytes], limit: int) -> bytes:
    held = io.BytesIO()
    for chunk in chunks:
        held.write(chunk)
        if held.tell() > limit:
            raise _changed(f"larger than {limit >> 20} MiB", part)
    return held.getvalue()


def _text_frame(rows: list[dict[str, Any]], part: str) -> pl.DataFrame:
    """Rows of a JSON page as text columns; numbers and truth values become their JSON spelling."""
    if not all(isinstance(row, dict) for row in rows):
        raise _changed("a row is not an object", part)
    names = sorted(set().union(*rows)) if rows else []
    schema = dict.fromkeys(names, pl.String)
    try:
        return pl.from_dicts(rows, schema=schema, strict=False) if rows else pl.DataFrame()
    except pl.exceptions.PolarsError:
        # A list or object stands where a text was agreed: marked as unreadable, so that parse points at its row.
        plain = [{k: "\ufffd" if isinstance(v, dict | list) else v for k, v in row.items()} for row in rows]
        return pl.from_dicts(plain, schema=schema, strict=False)


def _json_pages(contract: Contract, parts: Parts, _password: str | None) -> Iterator[pl.DataFrame]:
    path = (contract.delivery.records_path or "data.records").split(".")
    for name, chunks in parts:
        try:
            node: Any = orjson.loads(_whole(name, chunks, _PAGE_BYTES))
            for step in path:
                node = node[step.rstrip("!")]
                if step.endswith("!"):
                    node = orjson.loads(node)
        except orjson.JSONDecodeError as error:
            if "memory" in error.msg:  # the parser's own words, which hold nothing of the page
                raise MemoryError from None
            raise _changed("not valid JSON, or nested too deep", name) from None
        except (KeyError, TypeError):
            raise _changed(f"has no rows at {contract.delivery.records_path}", name) from None
        if not isinstance(node, list):
            raise _changed(f"{contract.delivery.records_path} is not a list", name)
        yield _text_frame(node, name)


def _blocks(text: Iterator[str], part: str) -> Iterator[str]:
    """Text in blocks that end at the end of a record: at a line's end outside quotes."""
    held = ""
    for piece in text:
        held += piece
        if len(held) < _BLOCK_BYTES:
            continue
        cut = held.rfind("\n") + 1
        while cut and held.count('"', 0, cut) % 2:
            cut = held.rfind("\n", 0, cut - 1) + 1
        if not cut and len(held) > _LINE_BYTES:
            raise _changed("a line never ends", part)
        yield held[:cut]
        held = held[cut:]
    yield held


def _csv_frames(text: Iterator[str], part: str) -> Iterator[pl.DataFrame]:
    header: list[str] | None = None
    for block in _blocks(text, part):
        if not block:
            continue
        try:
            frame = pl.read_csv(io.BytesIO(block.encode()), infer_schema=False, has_header=header is None, new_columns=header)
        except (pl.exceptions.PolarsError, UnicodeEncodeError) as error:
            kind = "a row has another number of columns than the header" if "field" in str(error) else "not CSV"
            raise _changed(kind, part) from None
        header = frame.columns
        yield frame


def _decoded(chunks: Iterable[bytes], encoding: str, part: str) -> Iterator[str]:
    """Text by the agreed encoding, strictly: guessing turns one encoding silently into another's nonsense."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chunks:
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _changed(f"not in the agreed encoding {encoding}", part) from None


def _inflated(chunks: Iterable[bytes], part: str) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            data = chunk
            while data:
                yield inflate.decompress(data, _BLOCK_BYTES)
                data = inflate.unconsumed_tail
    except zlib.error:
        raise _changed("not gzip, or damaged", part) from None
    if not inflate.eof:
        raise _changed("the gzip file ends too early", part)


def _csv_gzip(contract: Contract, parts: Parts, _password: str | None) -> Iterator[pl.DataFrame]:
    for name, chunks in parts:
        yield from _csv_frames(_decoded(_inflated(chunks, name), contract.delivery.encoding, name), name)


def _csv(contract: Contract, parts: Parts, _password: str | None) -> Iterator[pl.DataFrame]:
    for name, chunks in parts:
        yield from _csv_frames(_decoded(chunks, contract.delivery.encoding, name), name)


def _xlsx_zip(contract: Contract, parts: Parts, password: str | None) -> Iterator[pl.DataFrame]:
    import pyzipper  # here, because it loads a library of ciphers and few deliveries need it

    for name, chunks in parts:
        data = _whole(name, chunks, _PAGE_BYTES)
        try:
            with pyzipper.AESZipFile(io.BytesIO(data)) as archive:
                books = [i for i in archive.infolist() if i.filename.lower().endswith(".xlsx")]
                if len(books) != 1:
                    raise _changed(f"holds {len(books)} workbooks instead of one", name)
                if books[0].file_size > _WORKBOOK_BYTES or books[0].file_size > _WORKBOOK_RATIO * max(len(data), 1 << 16):
                    raise _changed("the workbook inflates beyond any honest size", name)
                archive.setpassword((password or "").encode())
                book = archive.read(books[0])
        except (pyzipper.BadZipFile, zlib.error, NotImplementedError):
            raise _changed("not a ZIP file, or damaged", name) from None
        except RuntimeError:
            raise _changed("the ZIP file does not open with the agreed password", name) from None
        yield from _sheet(book, contract, name)


def _sheet(book: bytes, contract: Contract, part: str) -> Iterator[pl.DataFrame]:
    from python_calamine import CalamineError, CalamineWorkbook

    _refuse_inflating(book, part)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = CalamineWorkbook.from_filelike(io.BytesIO(book)).get_sheet_by_index(0).to_python(skip_empty_area=True)
    except (CalamineError, OSError):
        raise _changed("not an XLSX workbook", part) from None
    known = {h for f in contract.fields for h in (f.physical_name, *f.synonyms)}
    # Title rows above the header are common: the header is the first row that names most of the fields.
    start = next((i for i, row in enumerate(rows[:20]) if sum(str(c).strip() in known for c in row) * 2 > len(contract.fields)), None)
    if start is None:
        raise _changed("no row names the agreed columns", part)
    header = [str(c).strip() for c in rows[start]]
    body = [[_cell(c) for c in row] for row in rows[start + 1 :]]
    yield pl.DataFrame(body, schema=dict.fromkeys(header, pl.String), orient="row", strict=False)


def _refuse_inflating(book: bytes, part: str) -> None:
    """A workbook is a ZIP itself: refuse one whose sheets inflate beyond any honest size."""
    try:
        with zipfile.ZipFile(io.BytesIO(book)) as archive:
            total = sum(i.file_size for i in archive.infolist())
            if total > _WORKBOOK_BYTES or total > _WORKBOOK_RATIO * max(len(book), 1 << 16):
                raise _changed("the workbook inflates beyond any honest size", part)
            for entry in archive.infolist():
                _refuse_entities(archive, entry, part)
    except (zipfile.BadZipFile, ValueError, zlib.error, NotImplementedError, RuntimeError, EOFError):
        raise _changed("not an XLSX workbook, or damaged", part) from None


def _refuse_entities(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, part: str) -> None:
    """Read a file of a workbook to its end, so that a forged size is found out, and refuse XML that defines entities."""
    with archive.open(entry) as file:
        if b"<!DOCTYPE" in file.read(1 << 12).replace(b"\0", b""):
            raise _changed("the workbook's XML defines entities", part)
        while file.read(_BLOCK_BYTES):
            pass


def _cell(value: Any) -> str | None:
    """A spreadsheet cell as the text a person sees; a number that is whole has no point."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


_READERS: dict[str, Callable[[Contract, Parts, str | None], Iterator[pl.DataFrame]]] = {
    "json-pages": _json_pages,
    "csv-gzip": _csv_gzip,
    "csv": _csv,
    "xlsx-zip": _xlsx_zip,
}


def read(contract: Contract, parts: Parts, *, password: str | None = None) -> Iterator[pl.DataFrame]:
    """Rows of a landed delivery as text, in batches, in the agency's order and under the agency's column names.

    Args:
        contract: names medium and encoding.
        parts: the agency's parts.
        password: of an encrypted medium.

    Raises:
        SourceChanged: a part is not what the contract says; the part is named.
        ContractError: the contract names a medium without a reader.
    """
    try:
        reader = _READERS[contract.delivery.media]
    except KeyError:
        raise ContractError(
            f"no reader for {contract.delivery.media!r}", where=f"schemas/{contract.stem}.yml delivery.media",
            next_step=f"one of {', '.join(_READERS)}",
        ) from None  # fmt: skip
    return reader(contract, parts, password)


def _retained(parts: Parts) -> Iterator[pl.DataFrame]:
    for _, chunks in parts:
        yield pl.read_ipc_stream(io.BytesIO(b"".join(chunks)))


def retained(batches: Iterable[pl.DataFrame]) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Parts of an object that holds rows as they were read, a batch a part: Apache Arrow's stream format."""
    for number, batch in enumerate(batches, 1):
        held = io.BytesIO()
        batch.write_ipc_stream(held)
        yield f"rows-{number:06d}", [held.getvalue()]


def delivered(settings: Settings, contract: Contract, delivery: landing.Delivery) -> Iterator[pl.DataFrame]:
    """Rows of a delivery as it lies in landing, opened by what is agreed with its agency; as :func:`read`.

    Of one that holds retained rows, those that were erased are empty but for :data:`pipeline.suppression.ERASED`.
    """
    if delivery.is_retained:
        return _retained(landing.Store(settings).parts(delivery.object))
    password = load_endpoint(contract.stem, settings).extra.get("zip_password")
    return read(contract, landing.Store(settings).parts(delivery.object), password=password)
