"""Send rows back: a ticket's failing rows, read from landing by pointer, in the agency's own format, with the reason, encrypted.

Values of persons are in the encrypted file alone. Who exported what is written down before the file gets its name.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyzipper
import sqlalchemy as sa

from hub.errors import ConfigError
from hub.settings import Settings, load_endpoint
from pipeline import parsing, readers, tickets, writers
from pipeline.suppression import ERASED
from pipeline.tickets import Ticket
from schemas.contract import Contract, load_contract
from warehouse import database, landing
from warehouse import tickets as ledger
from warehouse.ledger import today

# Columns added behind the agency's own.
REASON, FIELD, POINTER = "退回原因", "问题字段", "退回行号"


@dataclass(frozen=True)
class Exported:
    """An export.

    Attributes:
        rows: failing rows in the file.
        sha256: of the encrypted file.
        password_at: where its password is written down; never the password.
    """

    ticket_id: str
    path: Path
    rows: int
    sha256: str
    password_at: str


def _open_rows(connection: sa.Connection, ticket: Ticket, group: ledger.Group) -> pl.DataFrame:
    """Pointers to the failing rows: delivery, row number, field."""
    found = ledger.pointers(connection, group)
    if not found:
        why = "nothing of it is open" if not ticket.open else "it is about a delivery as a whole, and no row of it is wrong by itself"
        raise ConfigError(
            f"this ticket has no rows to send back: {why}", where=ticket.ticket_id, next_step="ask the agency to send it anew"
        )
    return pl.DataFrame(
        [(p.delivery_id, p.row_number, p.field) for p in found], schema=["delivery_id", "row_number", "field"], orient="row"
    )


def _raw(settings: Settings, connection: sa.Connection, contract: Contract, delivery_id: str) -> Iterator[pl.DataFrame]:
    """A delivery's rows as sent, with their row numbers as parse counts them."""
    delivery = landing.deliveries(connection, delivery=delivery_id)[0]
    offset = 0
    for raw in readers.delivered(settings, contract, delivery):
        if raw.columns:
            numbered = raw.drop(ERASED, strict=False).with_row_index("row_number", offset=offset + 1)
            yield numbered.with_columns(pl.col("row_number").cast(pl.Int64))
            offset += raw.height


def _rows(settings: Settings, connection: sa.Connection, contract: Contract, ticket: Ticket, pointers: pl.DataFrame) -> pl.DataFrame:
    """The failing rows under the agency's column names, in order, with reason, field and pointer behind."""
    found = []
    for (delivery_id,), some in pointers.group_by("delivery_id", maintain_order=True):
        for raw in _raw(settings, connection, contract, str(delivery_id)):
            hit = raw.join(some, on="row_number", maintain_order="left")
            if hit.height:
                found.append(hit)
    rows = pl.concat(found, how="diagonal")
    titles = {f.name: f"{f.physical_name} {f.title_zh}" for f in contract.fields}
    agreed = [h for f in contract.fields for h in (f.physical_name, *f.synonyms) if h in rows.columns]
    own = [*agreed, *(c for c in rows.columns if c not in agreed and c not in pointers.columns)]
    return rows.select(
        *own,
        pl.lit(f"{ticket.title_zh}（{ticket.ticket_id}）").alias(REASON),
        pl.col("field").cast(pl.String).replace(titles).alias(FIELD),
        pl.format("{}#{}", pl.col("delivery_id").str.slice(0, 8), "row_number").alias(POINTER),
    )  # fmt: skip


def _password(settings: Settings, stem: str) -> tuple[str, str]:
    """The agency's own password, or the one agreed for exports, or one made once; and where it is written down."""
    extra = load_endpoint(stem, settings).extra
    for name in ("zip_password", "export_password"):
        if extra.get(name):
            return str(extra[name]), f"sources/{stem}.json extra.{name}"
    name = f"export-{stem}.password"
    return settings.secret(name, 12), str(settings.secrets_dir / name)


def _sealed(name: str, content: bytes, password: str) -> bytes:
    held = io.BytesIO()
    with pyzipper.AESZipFile(held, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(password.encode())
        archive.writestr(name, content)
    return held.getvalue()


def export(settings: Settings, ticket_id: str, folder: Path, *, actor: str) -> Exported:
    """Write a ticket's failing rows into ``TICKET.zip`` (AES-256) for the agency.

    Args:
        folder: made if it is not there.
        actor: who exports; written down with time, rows and the file's hash.

    Raises:
        ConfigError: no such ticket, no row to send back, or the folder cannot be written to.
    """
    with database.engine(settings).begin() as connection:
        ticket, group = tickets.find(connection, settings, ticket_id)
        contract = load_contract(ticket.stem)
        rows = _rows(settings, connection, contract, ticket, _open_rows(connection, ticket, group))
        extension, content = writers.write(contract, rows)
        password, password_at = _password(settings, ticket.stem)
        sealed = _sealed(f"{ticket_id}.{extension}", content, password)
        sha256 = hashlib.sha256(sealed).hexdigest()
        path = folder / f"{ticket_id}.zip"
        draft = _write(path, sealed)
        try:
            detail = {"rows": rows.height, "sha256": sha256, "file": path.name}
            ledger.note(connection, ticket_id, "exported", today(settings, connection), actor, detail)
            connection.commit()
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        draft.replace(path)
    return Exported(ticket_id, path, rows.height, sha256, password_at)


def _write(path: Path, sealed: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(sealed)
    except OSError as error:
        raise ConfigError(f"the file cannot be written: {error.strerror}", where=f"--out {path.parent}") from None
    return draft


def keys(settings: Settings, ticket_id: str, stem: str) -> list[str]:
    """Record keys of a ticket's failing rows, as the agency finds them in the file it was sent; for the sandbox's agencies.

    Raises:
        ConfigError: no such ticket of that source, or no row to send back.
    """
    contract = load_contract(stem)
    with database.engine(settings).connect() as connection:
        ticket, group = tickets.find(connection, settings, ticket_id)
        if ticket.stem != stem:
            raise ConfigError(f"this ticket is about {ticket.stem}", where=ticket_id)
        pointers = _open_rows(connection, ticket, group)
        found = []
        for (delivery_id,), some in pointers.group_by("delivery_id", maintain_order=True):
            raw = (batch.drop("row_number") for batch in _raw(settings, connection, contract, str(delivery_id)))
            found += [batch.join(some, on="row_number") for batch in parsing.keys(contract, raw)]
    return pl.concat(found).sort("delivery_id", "row_number")["record_key"].to_list()
