"""The log of who was told what: growing, reading, erasing. What its hashes mean is decided elsewhere."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse.asking import Asking

_ENTRY = "leaf_index, entry_id::text, at, client_id, department, purpose, decision, subject, body, salt"


@dataclass(frozen=True)
class Written:
    """What became of a batch: ``done``; ``moved`` = another program wrote first; ``gone`` = clients named are not in force; ``other suite`` = the log is of another."""

    state: str
    gone: tuple[str, ...]


async def size(asking: Asking) -> int:
    """Entries so far."""
    return int((await asking.read(None, "SELECT size FROM audit.log"))[0][0])


async def tiles(asking: Asking, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Tiles by level and number; one that is not there is left out."""
    if not wanted:
        return {}
    rows = await asking.read(
        None,
        "SELECT t.level, t.number, t.hashes FROM audit.tile t JOIN unnest($1::smallint[], $2::bigint[]) AS w(level, number) USING (level, number)",
        [level for level, _ in wanted],
        [number for _, number in wanted],
    )
    return {(r[0], r[1]): bytes(r[2]) for r in rows}


async def append(
    asking: Asking, expected: int, suite: str, clients: Sequence[tuple[str, int]], bodies: Sequence[str], salts: Sequence[bytes],
    changed: dict[tuple[int, int], bytes], along: Callable[[Any], Awaitable[None]] | None = None,
) -> Written:  # fmt: skip
    """Append entries and the tiles they change, in one transaction that is on disk when this returns.

    Args:
        asking: the program's connections.
        expected: entries before these.
        suite: by which the tree is hashed; the first entry fixes the log's.
        clients: client and generation of everybody who is about to be told something.
        bodies: canonical JSON of each entry.
        salts: of each entry.
        changed: tiles by level and number.
        along: writes in the same transaction, on its connection, what must not be without the entries nor they without it; what it raises undoes both.
    """
    query = "SELECT state, gone FROM audit.append($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    given = (
        expected, suite, [c for c, _ in clients], [g for _, g in clients], list(bodies), list(salts),
        [level for level, _ in changed], [number for _, number in changed], list(changed.values()),
    )  # fmt: skip
    if along is None:
        rows = await asking.read(None, query, *given)
    else:
        async with asking.connection() as connection, connection.transaction():
            rows = await connection.fetch(query, *given)
            if rows[0][0] == "done":
                await along(connection)
    return Written(rows[0][0], tuple(rows[0][1] or ()))


async def entry(asking: Asking, entry_id: str, department: str | None) -> Any | None:
    """An entry by its id; only of a department, unless None."""
    rows = await asking.read(
        None, f"SELECT {_ENTRY} FROM audit.entry WHERE entry_id = $1::uuid AND ($2::text IS NULL OR department = $2)", entry_id, department
    )
    return rows[0] if rows else None


async def entries(asking: Asking, department: str, before: int | None, limit: int) -> list[Any]:
    """Entries of a department, newest first, before a leaf index."""
    return await asking.read(
        None,
        f"SELECT {_ENTRY} FROM audit.entry WHERE department = $1 AND ($2::bigint IS NULL OR leaf_index < $2) ORDER BY leaf_index DESC LIMIT $3",
        department,
        before,
        limit,
    )


async def newest_head(asking: Asking) -> Any | None:
    """The signed tree head of the most entries; None = none was signed yet."""
    rows = await asking.read(None, "SELECT size, root, signed_at, checkpoint FROM audit.head ORDER BY size DESC, signed_at DESC LIMIT 1")
    return rows[0] if rows else None


async def keep_head(asking: Asking, size: int, root: bytes, signed_at: datetime, checkpoint: str) -> None:
    """Keep a signed tree head."""
    await asking.read(
        None,
        "INSERT INTO audit.head (size, root, signed_at, checkpoint) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        size, root, signed_at, checkpoint,
    )  # fmt: skip


def keep_signed(connection: sa.Connection, size: int, root: bytes, signed_at: datetime, checkpoint: str) -> None:
    """Keep a signed tree head that the command line made."""
    connection.execute(
        sa.text(
            "INSERT INTO audit.head (size, root, signed_at, checkpoint) VALUES (:size, :root, :at, :checkpoint) ON CONFLICT DO NOTHING"
        ),
        {"size": size, "root": root, "at": signed_at, "checkpoint": checkpoint},
    )


def all_tiles(connection: sa.Connection) -> dict[tuple[int, int], bytes]:
    """Every tile: 32 bytes an entry and a little more."""
    rows = connection.execute(sa.text("SELECT level, number, hashes FROM audit.tile"))
    return {(r.level, r.number): bytes(r.hashes) for r in rows}


def suite(connection: sa.Connection) -> str | None:
    """The suite the log is hashed and signed by; None = it has no entry yet, and the first will say."""
    found: str | None = connection.scalar(sa.text("SELECT suite FROM audit.log"))
    return found


def log_size(connection: sa.Connection) -> int:
    """Entries so far."""
    return int(connection.scalar(sa.text("SELECT size FROM audit.log")) or 0)


def heads(connection: sa.Connection) -> list[str]:
    """Every signed tree head that was handed out, the smallest tree first."""
    return list(connection.scalars(sa.text("SELECT checkpoint FROM audit.head ORDER BY size, signed_at")))


def stream(connection: sa.Connection, start: int, limit: int) -> list[Any]:
    """Entries from a leaf index on, in order, with whether each was erased."""
    return list(
        connection.execute(
            sa.text(
                f"SELECT {_ENTRY}, EXISTS (SELECT FROM audit.erasure x WHERE x.leaf_index = e.leaf_index) AS is_erased"
                " FROM audit.entry e WHERE leaf_index >= :start ORDER BY leaf_index LIMIT :limit"
            ),
            {"start": start, "limit": limit},
        )
    )


class By(StrEnum):
    """What entries can be counted by; days and hours are Asia/Shanghai's."""

    DAY = "day"
    HOUR = "hour"
    DEPARTMENT = "department"
    CLIENT = "client_id"
    PURPOSE = "purpose"
    DECISION = "decision"


_BY = {
    By.DAY: "to_char(at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD')",
    By.HOUR: "to_char(at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD HH24:00')",
    By.DEPARTMENT: "department",
    By.CLIENT: "client_id",
    By.PURPOSE: "purpose",
    By.DECISION: "decision",
}


def counts(
    connection: sa.Connection, by: Sequence[By], *, since: datetime | None, until: datetime | None, department: str | None = None,
    purpose: str | None = None,
) -> list[Any]:  # fmt: skip
    """Entries: how many, about how many persons, first and last instant.

    Args:
        connection: an open connection.
        by: what they are counted by, the first first; none = all together.
        since: the first instant; None = from the beginning.
        until: the instant before which; None = to the end.
        department, purpose: of these alone; None = of all.

    Returns:
        One row each, in order, with a column of the name of each in ``by`` and ``entries``, ``persons``, ``first_at``, ``last_at``. Without an entry no row.
    """
    columns = "".join(f"{_BY[one]} AS {one.value}, " for one in by)
    places = ", ".join(str(n) for n in range(1, len(by) + 1)) or "()"
    return list(
        connection.execute(
            sa.text(
                f"SELECT {columns}count(*) AS entries, count(DISTINCT subject) AS persons, min(at) AS first_at, max(at) AS last_at FROM audit.entry"
                " WHERE (CAST(:since AS timestamptz) IS NULL OR at >= :since) AND (CAST(:until AS timestamptz) IS NULL OR at < :until)"
                " AND (CAST(:department AS text) IS NULL OR department = :department) AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose)"
                f" GROUP BY {places} HAVING count(*) > 0" + (f" ORDER BY {places}" if by else "")
            ),
            {"since": since, "until": until, "department": department, "purpose": purpose},
        )
    )


def singly(
    connection: sa.Connection, since: datetime, until: datetime, *, clients: Sequence[str] | None = None, first_leaf: int = 0
) -> list[Any]:
    """What clients were told of persons they asked about one at a time: by id, number, name or household; lists, exports, jobs and notices are not among it.

    Args:
        connection: an open connection.
        since: the first instant.
        until: the instant before which.
        clients: of these alone; None = of all.
        first_leaf: the first entry that can be of that time, so that the log is not read from its beginning.

    Returns:
        One row a client, day of Asia/Shanghai, request and person: ``client_id``, ``department``, ``day``, ``subject``, ``request_id``, ``emergency``
        (null = in none), ``entries``, ``first_leaf``, ``last_leaf``.
    """
    return list(
        connection.execute(
            sa.text(
                "SELECT client_id, department, CAST(at AT TIME ZONE 'Asia/Shanghai' AS date) AS day, subject, b.body ->> 'request_id' AS request_id,"
                " b.body ->> 'emergency' AS emergency, count(*) AS entries, min(leaf_index) AS first_leaf, max(leaf_index) AS last_leaf"
                " FROM audit.entry e CROSS JOIN LATERAL (SELECT e.body::jsonb AS body) AS b"
                " WHERE client_id IS NOT NULL AND subject IS NOT NULL AND decision IN ('told', 'unchanged') AND at >= :since AND at < :until"
                " AND leaf_index >= :first AND (CAST(:clients AS text[]) IS NULL OR client_id = ANY(CAST(:clients AS text[])))"
                # The kind stands first in the canonical JSON, or behind as_of: reading the whole of every list's entries would take four times as long.
                # In these very words it is the condition of an index (audit.entry_singly).
                " AND split_part(split_part(left(e.body, 60), '\"asked\":\"', 2), '\"', 1) IN ('person', 'resident_id', 'name_birth_date', 'household', 'dci_member', 'dci_group') GROUP BY 1, 2, 3, 4, 5, 6"
            ),
            {"since": since, "until": until, "clients": None if clients is None else list(clients), "first": first_leaf},
        ).all()
    )


def about(connection: sa.Connection, subjects: Sequence[bytes]) -> list[Any]:
    """Entries about one person, newest first, given all hashes it may be found by."""
    return list(
        connection.execute(
            sa.text(f"SELECT {_ENTRY} FROM audit.entry WHERE subject = ANY(:subjects) ORDER BY leaf_index DESC"),
            {"subjects": list(subjects)},
        )
    )


def names_of(connection: sa.Connection, person_id: str) -> list[str]:
    """Everything a person may have been asked for by: its ids now and before, and its number.

    Raises:
        ConfigError: there is no such person.
    """
    row = connection.execute(
        sa.text("SELECT person_id::text, resident_id FROM core.person WHERE person_id = coalesce((SELECT r.person_id FROM identity.redirect r"
                " WHERE r.old_person_id = CAST(:id AS uuid)), CAST(:id AS uuid))"), {"id": person_id},
    ).one_or_none()  # fmt: skip
    if row is None:
        raise ConfigError("there is no such person", where="ID")
    former = connection.scalars(
        sa.text("SELECT old_person_id::text FROM identity.redirect WHERE person_id = CAST(:id AS uuid)"), {"id": row.person_id}
    )
    return [row.person_id, *former, *([row.resident_id] if row.resident_id else [])]


def erase(connection: sa.Connection, entry_id: str, *, reason: str, erased_by: str) -> None:
    """Erase what an entry says; its place in the tree stays.

    Raises:
        ConfigError: there is no such entry.
    """
    leaf = connection.scalar(sa.text("SELECT leaf_index FROM audit.entry WHERE entry_id = CAST(:id AS uuid)"), {"id": entry_id})
    if leaf is None:
        raise ConfigError("there is no such entry", where="RECEIPT")
    connection.execute(
        sa.text("INSERT INTO audit.erasure (leaf_index, reason, erased_by) VALUES (:leaf, :reason, :by) ON CONFLICT DO NOTHING"),
        {"leaf": leaf, "reason": reason, "by": erased_by},
    )
    connection.execute(sa.text("UPDATE audit.entry SET body = NULL, salt = NULL, subject = NULL WHERE leaf_index = :leaf"), {"leaf": leaf})
