"""Notices: what subscribers are to be told of, until they were or nobody tries any longer."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from warehouse.asking import Asking

_COLUMNS = "sequence, notice_id::text, subject_id::text, ref, change, night, made_at, state, waiting_since, tries, receipt_id::text, fault"


async def note_changes(
    asking: Asking, subscription_id: str, subjects: Sequence[str], marks: Sequence[bytes | None], *, number: int, night: date | None, now: datetime
) -> None:  # fmt: skip
    """Move the marks of what a subscription watches, and make a notice of each that moved: one statement."""
    await asking.read(
        None,
        "WITH moved AS (UPDATE share.watched w SET mark = u.mark FROM unnest($2::uuid[], $3::bytea[]) AS u(subject_id, mark)"
        " WHERE w.subscription_id = $1 AND w.subject_id = u.subject_id AND w.mark IS DISTINCT FROM u.mark RETURNING w.subject_id, w.ref)"
        " INSERT INTO share.notice (subscription_id, subject_id, ref, change, publication, night, waiting_since)"
        " SELECT $1, subject_id, ref, 'changed', $4, $5, $6 FROM moved ORDER BY moved.subject_id",
        subscription_id, list(subjects), list(marks), number, night, now,
    )  # fmt: skip


async def note_condition(
    asking: Asking, subscription_id: str, subjects: Sequence[str], *, number: int, night: date | None, now: datetime
) -> None:
    """Take over for whom a condition holds now, and make a notice of each for whom it began or ended: one statement.

    Where the beginning was never told, it is not told any more, nor the end.
    """
    await asking.read(
        None,
        "WITH holds AS (SELECT DISTINCT unnest($2::uuid[]) AS subject_id),"
        " came AS (INSERT INTO share.watched (subscription_id, subject_id) SELECT $1, subject_id FROM holds ON CONFLICT DO NOTHING RETURNING subject_id),"
        " went AS (DELETE FROM share.watched w WHERE w.subscription_id = $1 AND NOT EXISTS (SELECT FROM holds h WHERE h.subject_id = w.subject_id)"
        "  RETURNING w.subject_id),"
        " untold AS (DELETE FROM share.notice n USING went WHERE n.subscription_id = $1 AND n.subject_id = went.subject_id AND n.change = 'began'"
        "  AND n.receipt_id IS NULL RETURNING n.subject_id)"
        " INSERT INTO share.notice (subscription_id, subject_id, change, publication, night, waiting_since)"
        " SELECT $1, t.subject_id, t.change, $3, $4, $5 FROM (SELECT subject_id, 'began' AS change FROM came UNION ALL SELECT subject_id, 'ended'"
        "  FROM went WHERE subject_id NOT IN (SELECT subject_id FROM untold)) AS t ORDER BY t.subject_id",
        subscription_id, list(subjects), number, night, now,
    )  # fmt: skip


async def forget(asking: Asking, subscription_id: str, before: datetime) -> None:
    """Remove notices made before an instant that nobody waits for."""
    await asking.read(
        None, "DELETE FROM share.notice WHERE subscription_id = $1 AND state <> 'waiting' AND made_at < $2", subscription_id, before
    )  # fmt: skip


async def first(asking: Asking, subscription_id: str, now: datetime, limit: int) -> list[Any]:
    """What may be sent now: of each subject the oldest notice that waits, unless its next try is later. Oldest first."""
    return await asking.read(
        None,
        f"SELECT {_COLUMNS} FROM share.notice n WHERE subscription_id = $1 AND state = 'waiting' AND (next_try_at IS NULL OR next_try_at <= $2)"
        " AND NOT EXISTS (SELECT FROM share.notice o WHERE o.subscription_id = n.subscription_id AND o.subject_id = n.subject_id"
        " AND o.state = 'waiting' AND o.sequence < n.sequence) ORDER BY sequence LIMIT $3",
        subscription_id, now, limit,
    )  # fmt: skip


async def after(asking: Asking, subscription_id: str, cursor: int, limit: int, state: str | None) -> list[Any]:
    """Notices behind a cursor, oldest first, in a state or in any (None)."""
    return await asking.read(
        None,
        f"SELECT {_COLUMNS} FROM share.notice WHERE subscription_id = $1 AND sequence > $2 AND ($4::text IS NULL OR state = $4)"
        " ORDER BY sequence LIMIT $3",
        subscription_id, cursor, limit, state,
    )  # fmt: skip


async def leaving(asking: Asking, receipts: dict[int, str]) -> None:
    """Note the entries of the log under which notices leave."""
    await asking.read(
        None,
        "UPDATE share.notice n SET receipt_id = u.receipt FROM unnest($1::bigint[], $2::uuid[]) AS u(sequence, receipt) WHERE n.sequence = u.sequence",
        list(receipts), list(receipts.values()),
    )  # fmt: skip


async def fetched(asking: Asking, subscription_id: str, cursor: int) -> None:
    """Note that a subscriber who fetches has all up to a cursor."""
    await asking.read(
        None,
        "UPDATE share.notice n SET state = 'delivered' FROM share.subscription s WHERE s.subscription_id = n.subscription_id AND s.address IS NULL"
        " AND n.subscription_id = $1 AND n.sequence <= $2 AND n.state = 'waiting'",
        subscription_id, cursor,
    )  # fmt: skip


async def delivered(asking: Asking, sequence: int) -> None:
    """Note that a receiver took a notice."""
    await asking.read(None, "UPDATE share.notice SET state = 'delivered', fault = NULL WHERE sequence = $1", sequence)


async def failed(asking: Asking, sequence: int, fault: str, next_try_at: datetime) -> None:
    """Note that a notice was not taken, and when it is tried again."""
    await asking.read(
        None, "UPDATE share.notice SET tries = tries + 1, fault = $2, next_try_at = $3 WHERE sequence = $1", sequence, fault, next_try_at
    )  # fmt: skip


async def bury(asking: Asking, subscription_id: str, before: datetime, fault: str, sequence: int | None) -> int:
    """Stop trying what waits since before an instant, all or one; how many that are."""
    rows = await asking.read(
        None,
        "UPDATE share.notice SET state = 'dead', fault = coalesce(fault, $3) WHERE subscription_id = $1 AND state = 'waiting' AND waiting_since <= $2"
        " AND ($4::bigint IS NULL OR sequence = $4) RETURNING 1",
        subscription_id, before, fault, sequence,
    )  # fmt: skip
    return len(rows)


_REPLAY = (
    "WITH again AS (UPDATE share.notice SET state = 'waiting', waiting_since = {now}, tries = 0, next_try_at = NULL, fault = NULL"
    " WHERE subscription_id = {id} AND sequence > {cursor} AND (state = 'dead' OR NOT {dead_only}) RETURNING 1),"
    " reached AS (UPDATE share.subscription SET tries = 0, next_try_at = NULL WHERE subscription_id = {id})"
    " SELECT count(*) FROM again"
)


async def replay(asking: Asking, subscription_id: str, cursor: int, now: datetime, *, dead_only: bool) -> int:
    """Let notices behind a cursor wait again, dead ones alone or all; how many."""
    rows = await asking.read(
        None, _REPLAY.format(id="$1", cursor="$2", now="$3", dead_only="$4"), subscription_id, cursor, now, dead_only
    )  # fmt: skip
    return int(rows[0][0])


def replayed(connection: sa.Connection, subscription_id: str, cursor: int, now: datetime, *, dead_only: bool) -> int:
    """The same for the operator."""
    statement = _REPLAY.format(id="CAST(:id AS uuid)", cursor=":cursor", now=":now", dead_only=":dead_only")
    found = connection.scalar(sa.text(statement), {"id": subscription_id, "cursor": cursor, "now": now, "dead_only": dead_only})
    return int(found or 0)


def dead(connection: sa.Connection, subscription_id: str | None) -> list[Any]:
    """Dead letters of a subscription, or of all (None), oldest first: cursor, subscription, change, when made, tries, how the last one ended."""
    return list(
        connection.execute(
            sa.text(
                "SELECT sequence AS cursor, subscription_id::text, notice_id::text, change, night, made_at, tries, fault FROM share.notice"
                " WHERE state = 'dead' AND (CAST(:id AS uuid) IS NULL OR subscription_id = CAST(:id AS uuid)) ORDER BY sequence"
            ),
            {"id": subscription_id},
        )
    )
