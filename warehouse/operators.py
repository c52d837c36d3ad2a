"""Operators that clients named with their requests, sealed; what is in a seal is decided elsewhere."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from warehouse.asking import Asking


async def keep(asking: Asking, client_id: str, request_id: str, sealed: bytes) -> None:
    """Keep that a client named somebody with a request. Another name with the same request does not take its place."""
    await asking.read(
        None, "INSERT INTO share.operator (client_id, request_id, sealed) VALUES ($1, $2, $3)", client_id, request_id, sealed
    )  # fmt: skip


async def forget(asking: Asking, before: datetime) -> None:
    """Forget those named before an instant."""
    await asking.read(None, "DELETE FROM share.operator WHERE named_at < $1", before)


def named(connection: sa.Connection, since: datetime, until: datetime, clients: Sequence[str]) -> list[Any]:
    """Whom some clients named between two instants, by client and request: ``client_id``, ``request_id``, ``sealed``."""
    return list(
        connection.execute(
            sa.text(
                "SELECT client_id, request_id, sealed FROM share.operator WHERE named_at >= :since AND named_at < :until AND client_id = ANY(:clients)"
            ),
            {"since": since, "until": until, "clients": list(clients)},
        )
    )


def of_emergencies(connection: sa.Connection) -> dict[str, str]:
    """Operators of emergencies, by their ids."""
    return {r[0]: r[1] for r in connection.execute(sa.text("SELECT emergency_id::text, operator FROM share.emergency"))}
