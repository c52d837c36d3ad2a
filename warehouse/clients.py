"""Programs of departments that may ask, and the hashes of their secrets."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError


@dataclass(frozen=True)
class ClientRow:
    """One client. ``revoked_at`` is None while it may ask; ``purposes`` None = all its department has; ``certificate`` None = none is asked of it."""

    client_id: str
    department: str
    title: str
    purposes: tuple[str, ...] | None
    generation: int
    created_at: datetime
    revoked_at: datetime | None
    secrets: int
    has_keys: bool
    certificate: str | None


_SELECT = (
    "SELECT c.client_id, department, title, purposes, generation, c.created_at, revoked_at, public_keys IS NOT NULL AS has_keys, certificate,"
    " (SELECT count(*) FROM share.client_secret s WHERE s.client_id = c.client_id AND (s.expires_at IS NULL OR s.expires_at > now())) AS secrets"
    " FROM share.client c"
)


def _client(row: Any) -> ClientRow:
    purposes = None if row.purposes is None else tuple(row.purposes)
    return ClientRow(
        row.client_id,
        row.department,
        row.title,
        purposes,
        row.generation,
        row.created_at,
        row.revoked_at,
        row.secrets,
        row.has_keys,
        row.certificate,
    )


def listed(connection: sa.Connection) -> list[ClientRow]:
    """All clients, revoked ones too."""
    return [_client(r) for r in connection.execute(sa.text(f"{_SELECT} ORDER BY c.client_id"))]


def one(connection: sa.Connection, client_id: str) -> ClientRow:
    """A client.

    Raises:
        ConfigError: there is none.
    """
    row = connection.execute(sa.text(f"{_SELECT} WHERE c.client_id = :id"), {"id": client_id}).one_or_none()
    if row is None:
        raise ConfigError("there is no such client", where="CLIENT", next_step="see `hub client list`")
    return _client(row)


def add(
    connection: sa.Connection, client_id: str, *, department: str, title: str, purposes: tuple[str, ...] | None, public_keys: Any = None
) -> None:
    """Add a client.

    Raises:
        ConfigError: the name is taken.
    """
    added = connection.execute(
        sa.text(
            "INSERT INTO share.client (client_id, department, title, purposes, public_keys) VALUES (:id, :department, :title, :purposes,"
            " CAST(:keys AS jsonb)) ON CONFLICT DO NOTHING"
        ),
        {
            "id": client_id, "department": department, "title": title, "purposes": None if purposes is None else list(purposes),
            "keys": None if public_keys is None else json.dumps(public_keys),
        },
    ).rowcount  # fmt: skip
    if not added:
        raise ConfigError("this name is taken, be it by a revoked client", where="CLIENT", next_step="choose another")


def add_secret(connection: sa.Connection, client_id: str, hashed: str, *, keep_former_s: int) -> None:
    """Give a client a new secret; former ones run out after some seconds."""
    connection.execute(
        sa.text(
            "UPDATE share.client_secret SET expires_at = least(expires_at, now() + make_interval(secs => :keep)) WHERE client_id = :id"
        ),
        {"id": client_id, "keep": keep_former_s},
    )
    connection.execute(sa.text("INSERT INTO share.client_secret (client_id, hash) VALUES (:id, :hash)"), {"id": client_id, "hash": hashed})


def bind(connection: sa.Connection, client_id: str, certificate: str | None) -> None:
    """Bind a client to a certificate of TLS by its thumbprint, or to none; every token it was given so far is refused."""
    connection.execute(
        sa.text("UPDATE share.client SET certificate = :certificate WHERE client_id = :id"), {"id": client_id, "certificate": certificate}
    )
    end_tokens(connection, client_id)


def end_tokens(connection: sa.Connection, client_id: str) -> None:
    """Refuse every token a client was given so far."""
    connection.execute(sa.text("UPDATE share.client SET generation = generation + 1 WHERE client_id = :id"), {"id": client_id})


def revoke(connection: sa.Connection, client_id: str) -> None:
    """Refuse a client for ever, its tokens too; waits for answers that are being written down."""
    connection.execute(
        sa.text("UPDATE share.client SET revoked_at = coalesce(revoked_at, now()), generation = generation + 1 WHERE client_id = :id"),
        {"id": client_id},
    )
