"""Clients that speak the DCI interface: their names, keys and addresses there, and the messages they have used."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse.asking import Asking


@dataclass(frozen=True)
class SenderRow:
    """One sender as the operator sees it. ``address``, ``purpose`` None = not registered; ``has_keys``: of its own or its client's.

    Attributes:
        waiting, dead: messages that wait to be answered, and those whose answer was given up.
        fault: how the last try of a message that waits ended; None = none waits, or none was tried.
    """

    client_id: str
    sender_id: str
    department: str
    address: str | None
    purpose: str | None
    has_keys: bool
    may_leave_unsigned: bool
    is_revoked: bool
    waiting: int
    dead: int
    fault: str | None


async def one(asking: Asking, client_id: str) -> Any | None:
    """A client's sender: ``sender_id``, ``address``, ``purpose``, ``public_keys`` (JSON text; null = none), ``may_leave_unsigned``; None = it is none."""
    rows = await asking.read(
        None,
        "SELECT s.sender_id, s.address, s.purpose, coalesce(s.public_keys, c.public_keys) AS public_keys, s.may_leave_unsigned"
        " FROM share.sender s JOIN share.client c USING (client_id) WHERE s.client_id = $1 AND c.revoked_at IS NULL",
        client_id,
    )
    return rows[0] if rows else None


async def use_message(asking: Asking, client_id: str, message_id: str, expires_at: datetime) -> bool:
    """Note that a message was taken in; whether it is the first time. Those that could not come again in time are forgotten."""
    await asking.read(None, "DELETE FROM share.used_message WHERE expires_at < now()")
    rows = await asking.read(
        None, "INSERT INTO share.used_message VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1", client_id, message_id, expires_at
    )  # fmt: skip
    return bool(rows)


def register(
    connection: sa.Connection, client_id: str, sender_id: str, *, address: str | None, purpose: str | None, public_keys: Any,
    may_leave_unsigned: bool,
) -> None:  # fmt: skip
    """Register a client as a sender, or change how it is.

    Raises:
        ConfigError: another client has this name.
    """
    try:
        connection.execute(
            sa.text(
                "INSERT INTO share.sender (client_id, sender_id, address, purpose, public_keys, may_leave_unsigned)"
                " VALUES (:client, :sender, :address, :purpose, CAST(:keys AS jsonb), :unsigned) ON CONFLICT (client_id) DO UPDATE SET"
                " sender_id = excluded.sender_id, address = excluded.address, purpose = excluded.purpose, public_keys = excluded.public_keys,"
                " may_leave_unsigned = excluded.may_leave_unsigned"
            ),
            {
                "client": client_id, "sender": sender_id, "address": address, "purpose": purpose, "unsigned": may_leave_unsigned,
                "keys": None if public_keys is None else json.dumps(public_keys),
            },
        )  # fmt: skip
    except sa.exc.IntegrityError:
        raise ConfigError("another client is registered by this name", where="--sender", next_step="see `hub dci list`") from None


def remove(connection: sa.Connection, client_id: str) -> None:
    """End a registration.

    Raises:
        ConfigError: there is none.
    """
    if not connection.execute(sa.text("DELETE FROM share.sender WHERE client_id = :client"), {"client": client_id}).rowcount:
        raise ConfigError("this client is not registered as a sender", where="CLIENT", next_step="see `hub dci list`")


def listed(connection: sa.Connection) -> list[SenderRow]:
    """All senders, those of revoked clients too."""
    rows = connection.execute(
        sa.text(
            "SELECT s.client_id, s.sender_id, c.department, s.address, s.purpose, coalesce(s.public_keys, c.public_keys) IS NOT NULL AS has_keys,"
            " s.may_leave_unsigned, c.revoked_at IS NOT NULL AS is_revoked, count(t.correlation_id) FILTER (WHERE t.state = 'waiting') AS waiting,"
            " count(t.correlation_id) FILTER (WHERE t.state = 'dead') AS dead, max(t.fault) FILTER (WHERE t.state = 'waiting') AS fault"
            " FROM share.sender s JOIN share.client c USING (client_id) LEFT JOIN share.dci_transaction t USING (client_id)"
            " GROUP BY s.client_id, c.client_id ORDER BY s.client_id"
        )
    )
    return [SenderRow(**row._mapping) for row in rows]
