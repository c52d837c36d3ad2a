"""Findings of unusual access: each kept once, growing while it goes on, until somebody reviewed it. What the rules are is decided elsewhere."""

from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse import database

_WORK = "looking for unusual access"  # one program at a time
_COLUMNS = (
    "unusual_id::text, client_id, department, rule, first_day, last_day, days, found, usual, bound, first_leaf, last_leaf, found_at, grown_at,"
    " reviewed_at, reviewed_by, finding, words"
)


@dataclass(frozen=True)
class Finding:
    """A row of ``share.unusual``.

    Attributes:
        days: on how many of the days between the first and the last the rule was met.
        found, usual, bound: of the day it was most; usual None = there is no habit to hold it against.
        first_leaf, last_leaf: the client's entries that were looked at.
        finding: justified or unjustified; None = nobody has reviewed it.
    """

    unusual_id: str
    client_id: str
    department: str
    rule: str
    first_day: date
    last_day: date
    days: int
    found: int
    usual: float | None
    bound: float
    first_leaf: int
    last_leaf: int
    found_at: datetime
    grown_at: datetime
    reviewed_at: datetime | None
    reviewed_by: str | None
    finding: str | None
    words: str | None


@dataclass(frozen=True)
class OpenFindings:
    """A department's findings that nobody has reviewed."""

    department: str
    findings: int
    clients: int
    oldest_at: datetime


def due(connection: sa.Connection) -> tuple[int, int] | None:
    """The first entry nobody looked at and the end of the log; None when there is nothing to do, or another program does it. Holds the lock."""
    if not connection.scalar(sa.text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": database.lock_key(_WORK)}):
        return None
    since, until = connection.execute(sa.text("SELECT u.size, l.size FROM share.unusual_look u, audit.log l")).one()
    return None if since >= until else (int(since), int(until))


def done(connection: sa.Connection, until: int) -> None:
    """Note up to where the log was looked at."""
    connection.execute(sa.text("UPDATE share.unusual_look SET size = :until"), {"until": until})


def reviewed(connection: sa.Connection, clients: list[str]) -> dict[tuple[str, str], Finding]:
    """The last finding of each client and rule that was reviewed."""
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT ON (client_id, rule) {_COLUMNS} FROM share.unusual WHERE client_id = ANY(:clients) AND finding IS NOT NULL"
            " ORDER BY client_id, rule, last_leaf DESC, reviewed_at DESC"
        ),
        {"clients": clients},
    )
    return {(row.client_id, row.rule): Finding(**row._mapping) for row in rows}


def keep(
    connection: sa.Connection, *, client_id: str, department: str, rule: str, day: date, found: int, usual: float | None, bound: float,
    first_leaf: int, last_leaf: int,
) -> bool:  # fmt: skip
    """Keep that a client's day met a rule, in the row that is open for it; whether there was none."""
    return bool(
        connection.scalar(
            sa.text(
                "INSERT INTO share.unusual AS u (client_id, department, rule, first_day, last_day, found, usual, bound, first_leaf, last_leaf)"
                " VALUES (:client, :department, :rule, :day, :day, :found, :usual, :bound, :first, :last)"
                " ON CONFLICT (client_id, rule) WHERE finding IS NULL DO UPDATE SET last_day = greatest(u.last_day, excluded.last_day),"
                " days = u.days + CAST(excluded.last_day > u.last_day AS integer), found = greatest(u.found, excluded.found),"
                " usual = CASE WHEN excluded.found >= u.found THEN excluded.usual ELSE u.usual END,"
                " bound = CASE WHEN excluded.found >= u.found THEN excluded.bound ELSE u.bound END,"
                " first_leaf = least(u.first_leaf, excluded.first_leaf), last_leaf = greatest(u.last_leaf, excluded.last_leaf), grown_at = now()"
                " RETURNING old.unusual_id IS NULL"
            ),
            {
                "client": client_id, "department": department, "rule": rule, "day": day, "found": found, "usual": usual, "bound": bound,
                "first": first_leaf, "last": last_leaf,
            },
        )
    )  # fmt: skip


def listed(connection: sa.Connection, *, department: str | None = None, open_only: bool = True) -> list[Finding]:
    """Findings, oldest first.

    Args:
        connection: an open connection.
        department: only of this one.
        open_only: leave out what was reviewed.
    """
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM share.unusual WHERE (CAST(:department AS text) IS NULL OR department = :department)"
            " AND (NOT :open_only OR finding IS NULL) ORDER BY share.unusual.unusual_id"
        ),
        {"department": department, "open_only": open_only},
    )
    return [Finding(**row._mapping) for row in rows]


def open_by_department(connection: sa.Connection) -> list[OpenFindings]:
    """Findings that wait to be reviewed, by department, most first."""
    rows = connection.execute(
        sa.text(
            "SELECT department, count(*) AS findings, count(DISTINCT client_id) AS clients, min(found_at) AS oldest_at FROM share.unusual"
            " WHERE finding IS NULL GROUP BY department ORDER BY findings DESC, department"
        )
    )
    return [OpenFindings(**row._mapping) for row in rows]


def review(connection: sa.Connection, unusual_id: str, *, by: str, finding: str, words: str) -> Finding:
    """Write down what a review found.

    Raises:
        ConfigError: there is none of that id, or it was reviewed.
    """
    # It must not grow meanwhile: what a look has counted already would be raised a second time.
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": database.lock_key(_WORK)})
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM share.unusual WHERE :id <> '' AND starts_with(unusual_id::text, :id)"), {"id": unusual_id}
    ).all()
    if len(rows) != 1:
        raise ConfigError(f"{len(rows)} findings begin with that id", where="FINDING", next_step="see `hub audit unusual --all`")
    if rows[0].finding is not None:
        raise ConfigError(f"it was reviewed by {rows[0].reviewed_by} already", where="FINDING")
    done_now = connection.execute(
        sa.text(
            "UPDATE share.unusual SET reviewed_at = clock_timestamp(), reviewed_by = :by, finding = :finding, words = :words"
            f" WHERE unusual_id = CAST(:id AS uuid) RETURNING {_COLUMNS}"
        ),
        {"id": rows[0].unusual_id, "by": by, "finding": finding, "words": words},
    ).one()
    return Finding(**done_now._mapping)
