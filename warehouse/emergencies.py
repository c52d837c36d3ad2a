"""Emergencies: who broke the glass, why, until when, of how many persons it was told, and what the review found."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse.asking import Asking

_COLUMNS = (
    "emergency_id::text, client_id, department, purpose, operator, reason, persons, opened_at, closes_at, closed_at, reviewed_at, reviewed_by,"
    " finding, words"
)
_IS_OPEN = "closed_at IS NULL AND closes_at > clock_timestamp()"
# Persons told of since it was opened, by the log; read from where it stood then, however long it is.
_TOLD = (
    "(SELECT count(DISTINCT a.subject) FROM audit.entry a WHERE a.leaf_index >= e.opened_leaf AND a.client_id = e.client_id AND a.purpose = e.purpose"
    " AND a.at <= coalesce(e.closed_at, e.closes_at) AND a.decision IN ('told', 'unchanged'))"
)


@dataclass(frozen=True)
class Emergency:
    """A row of ``share.emergency``.

    Attributes:
        persons: of how many it may be told.
        told: of how many it was.
        closed_at: closed before its time; None = it ends by itself.
        finding: justified or unjustified; None = not reviewed.
        is_open: whether it still lasts.
    """

    emergency_id: str
    client_id: str
    department: str
    purpose: str
    operator: str
    reason: str
    persons: int
    opened_at: datetime
    closes_at: datetime
    closed_at: datetime | None
    reviewed_at: datetime | None
    reviewed_by: str | None
    finding: str | None
    words: str | None
    told: int
    is_open: bool


async def open_(
    asking: Asking, client_id: str, department: str, purpose: str, *, operator: str, reason: str, minutes: int, persons: int
) -> Any | None:
    """Open an emergency; its row. None = the client has one open for the purpose."""
    rows = await asking.read(
        None,
        "INSERT INTO share.emergency AS e (client_id, department, purpose, operator, reason, persons, closes_at, opened_leaf)"
        " SELECT $1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(mins => $7), (SELECT size FROM audit.log)"
        f" WHERE NOT EXISTS (SELECT FROM share.emergency WHERE client_id = $1 AND purpose = $3 AND {_IS_OPEN}) RETURNING {_COLUMNS}, 0::bigint AS told",
        client_id, department, purpose, operator, reason, persons, minutes,
    )  # fmt: skip
    return rows[0] if rows else None


async def unreviewed(asking: Asking, department: str, days: int) -> bool:
    """Whether an emergency of a department ended more than some days ago and nobody has reviewed it."""
    rows = await asking.read(
        None,
        "SELECT EXISTS (SELECT FROM share.emergency WHERE department = $1 AND reviewed_at IS NULL"
        " AND coalesce(closed_at, closes_at) < clock_timestamp() - make_interval(days => $2))",
        department, days,
    )  # fmt: skip
    return bool(rows[0][0])


async def held(asking: Asking, client_id: str, purpose: str) -> Any | None:
    """The emergency a client has open for a purpose, with of how many persons it was told; None = it has none."""
    rows = await asking.read(
        None,
        f"SELECT {_COLUMNS}, {_TOLD} AS told FROM share.emergency e WHERE client_id = $1 AND purpose = $2 AND {_IS_OPEN} LIMIT 1",
        client_id, purpose,
    )  # fmt: skip
    return rows[0] if rows else None


async def of_client(asking: Asking, client_id: str) -> list[Any]:
    """A client's emergencies, newest first."""
    return await asking.read(
        None, f"SELECT {_COLUMNS}, {_TOLD} AS told FROM share.emergency e WHERE client_id = $1 ORDER BY opened_at DESC LIMIT 100", client_id
    )


async def close(asking: Asking, client_id: str, emergency_id: Any) -> bool:
    """Close a client's emergency; whether it was open."""
    rows = await asking.read(
        None,
        f"UPDATE share.emergency SET closed_at = clock_timestamp() WHERE client_id = $1 AND emergency_id = $2 AND {_IS_OPEN} RETURNING 1",
        client_id, emergency_id,
    )  # fmt: skip
    return bool(rows)


_SELECT = f"SELECT {_COLUMNS}, {_TOLD} AS told, {_IS_OPEN} AS is_open FROM share.emergency e"


def listed(connection: sa.Connection, *, waiting_only: bool = True) -> list[Emergency]:
    """Emergencies, oldest first.

    Args:
        connection: an open connection.
        waiting_only: only those that last or nobody has reviewed.
    """
    rows = connection.execute(sa.text(f"{_SELECT} WHERE NOT :waiting OR reviewed_at IS NULL ORDER BY opened_at"), {"waiting": waiting_only})
    return [Emergency(**row._mapping) for row in rows]


def waiting(connection: sa.Connection) -> tuple[int, int]:
    """How many emergencies last, and how many are over and not reviewed."""
    row = connection.execute(
        sa.text(
            f"SELECT count(*) FILTER (WHERE {_IS_OPEN}), count(*) FILTER (WHERE NOT ({_IS_OPEN}) AND reviewed_at IS NULL) FROM share.emergency"
        )
    ).one()
    return int(row[0]), int(row[1])


def _one(connection: sa.Connection, emergency_id: str) -> Emergency:
    rows = connection.execute(sa.text(f"{_SELECT} WHERE :id <> '' AND starts_with(emergency_id::text, :id)"), {"id": emergency_id}).all()
    if len(rows) != 1:
        raise ConfigError(f"{len(rows)} emergencies begin with that id", where="EMERGENCY", next_step="see `hub emergency list --all`")
    return Emergency(**rows[0]._mapping)


def end(connection: sa.Connection, emergency_id: str) -> Emergency:
    """End an emergency now, from the operator's side.

    Raises:
        ConfigError: there is none of that id, or it is over.
    """
    found = _one(connection, emergency_id)
    if not found.is_open:
        raise ConfigError("this emergency is over", where="EMERGENCY", next_step="review it: `hub emergency review`")
    connection.execute(
        sa.text("UPDATE share.emergency SET closed_at = clock_timestamp() WHERE emergency_id = CAST(:id AS uuid)"),
        {"id": found.emergency_id},
    )
    return _one(connection, found.emergency_id)


def review(connection: sa.Connection, emergency_id: str, *, by: str, finding: str, words: str) -> Emergency:
    """Write down what a review found.

    Raises:
        ConfigError: there is none of that id, it lasts still, it was reviewed, or the reviewer is who asked.
    """
    found = _one(connection, emergency_id)
    if found.is_open:
        raise ConfigError("this emergency still lasts", where="EMERGENCY", next_step="wait for its end, or `hub emergency end` it")
    if found.finding is not None:
        raise ConfigError(f"it was reviewed by {found.reviewed_by} already", where="EMERGENCY")
    if by == found.operator:
        raise ConfigError("who asked cannot review it as well", where="--by", next_step="another person reviews it")
    connection.execute(
        sa.text(
            "UPDATE share.emergency SET reviewed_at = clock_timestamp(), reviewed_by = :by, finding = :finding, words = :words"
            " WHERE emergency_id = CAST(:id AS uuid)"
        ),
        {"id": found.emergency_id, "by": by, "finding": finding, "words": words},
    )
    return _one(connection, found.emergency_id)
