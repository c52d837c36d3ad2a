"""Consents: what persons authorised a department to ask of them, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse.asking import Asking

# Not the number: whoever registered it knows it, and nobody else is to.
_COLUMNS = (
    "consent_id::text, client_id, department, purpose, reference, lower(valid_during) AS valid_from, upper(valid_during) - 1 AS valid_to,"
    " registered_at, withdrawn_at, withdrawn_by"
)


@dataclass(frozen=True)
class Consent:
    """A row of ``share.consent``, without the person.

    Attributes:
        valid_from, valid_to: first and last day.
        withdrawn_at: None = it was not withdrawn.
        holds: whether it decides anything on the day answers speak of.
    """

    consent_id: str
    client_id: str
    department: str
    purpose: str
    reference: str
    valid_from: date
    valid_to: date
    registered_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    holds: bool


async def register(
    asking: Asking, client_id: str, department: str, purpose: str, *, number: str, reference: str, valid_from: date, valid_to: date
) -> Any:
    """Keep an authorisation; its row. Whether the pool knows the number makes no difference."""
    rows = await asking.read(
        None,
        "INSERT INTO share.consent (client_id, department, purpose, resident_id, reference, valid_during)"
        f" VALUES ($1, $2, $3, $4, $5, daterange($6, $7, '[]')) RETURNING {_COLUMNS}",
        client_id, department, purpose, number, reference, valid_from, valid_to,
    )  # fmt: skip
    return rows[0]


async def page(asking: Asking, department: str, after: Any | None, most: int) -> list[Any]:
    """A department's consents behind an id, oldest first."""
    return await asking.read(
        None,
        f"SELECT {_COLUMNS} FROM share.consent WHERE department = $1 AND ($2::uuid IS NULL OR consent_id > $2) ORDER BY share.consent.consent_id LIMIT $3",
        department, after, most,
    )  # fmt: skip


async def one(asking: Asking, department: str, consent_id: Any) -> Any | None:
    """A department's consent; None = it has none of that id."""
    rows = await asking.read(
        None, f"SELECT {_COLUMNS} FROM share.consent WHERE department = $1 AND consent_id = $2", department, consent_id
    )
    return rows[0] if rows else None


async def withdraw(asking: Asking, department: str, consent_id: Any, client_id: str) -> Any | None:
    """Let a department's consent hold no longer; its row. The first withdrawal counts. None = it has none of that id."""
    rows = await asking.read(
        None,
        "UPDATE share.consent SET withdrawn_at = coalesce(withdrawn_at, clock_timestamp()), withdrawn_by = coalesce(withdrawn_by, $3)"
        f" WHERE department = $1 AND consent_id = $2 RETURNING {_COLUMNS}",
        department, consent_id, client_id,
    )  # fmt: skip
    return rows[0] if rows else None


_HOLDS = "withdrawn_at IS NULL AND valid_during @> coalesce(share.today(), current_date) AS holds"


def listed(connection: sa.Connection, *, department: str | None = None, everything: bool = False) -> list[Consent]:
    """Consents, oldest first.

    Args:
        connection: an open connection.
        department: whose; None = all.
        everything: those that hold no longer, or not yet, as well.
    """
    rows = connection.execute(
        sa.text(
            f"SELECT * FROM (SELECT {_COLUMNS}, {_HOLDS} FROM share.consent WHERE CAST(:department AS text) IS NULL OR department = :department) AS c"
            " WHERE :everything OR holds ORDER BY consent_id"
        ),
        {"department": department, "everything": everything},
    )
    return [Consent(**row._mapping) for row in rows]


def end(connection: sa.Connection, consent_id: str, by: str) -> Consent:
    """Withdraw a consent from the hub's side, for a person who came to the operator of the hub.

    Raises:
        ConfigError: there is none of that id, or several, or it was withdrawn.
    """
    found = connection.execute(
        sa.text("SELECT consent_id, withdrawn_at FROM share.consent WHERE :id <> '' AND starts_with(consent_id::text, :id)"),
        {"id": consent_id},
    ).all()
    if len(found) != 1:
        raise ConfigError(f"{len(found)} consents begin with that id", where="CONSENT", next_step="see `hub consent list`")
    if found[0].withdrawn_at is not None:
        raise ConfigError("this consent was withdrawn already", where="CONSENT", next_step="see `hub consent list --all`")
    row = connection.execute(
        sa.text(f"UPDATE share.consent SET withdrawn_at = clock_timestamp(), withdrawn_by = :by WHERE consent_id = :id RETURNING {_COLUMNS}, {_HOLDS}"),
        {"id": found[0].consent_id, "by": by},
    ).one()  # fmt: skip
    return Consent(**row._mapping)


def forget(connection: sa.Connection, numbers: Sequence[str]) -> None:
    """Take numbers of erased persons off their consents, but one that somebody else in the pool has; the consents end by that."""
    connection.execute(
        sa.text(
            "UPDATE share.consent c SET resident_id = NULL, reference = 'erased', withdrawn_at = coalesce(withdrawn_at, clock_timestamp()),"
            " withdrawn_by = coalesce(withdrawn_by, 'erasure') WHERE resident_id = ANY(:numbers)"
            " AND NOT EXISTS (SELECT FROM core.person p WHERE p.resident_id = c.resident_id)"
        ),
        {"numbers": list(numbers)},
    )
