"""Fences: which run of a piece of work is the newest. A run that was frozen and taken over knows by its own that it may write no more.

A lock alone does not tell it: a session's lock goes with the session, and the run that held it may sleep through that. So each run takes a number when it
begins, and each of its transactions looks, as the last thing before it is committed, whether that is still the newest.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg2.errors
import sqlalchemy as sa

# A run that froze between looking and committing holds its fence; whoever comes after does not wait for it for ever.
_WAIT = "10s"


@dataclass(frozen=True)
class Fence:
    """What a run holds of a piece of work: a row of ``ops.fence`` as it was when the run began.

    Attributes:
        work: its name.
        number: rises with each run.
        holder: the run's own mark, which no other has: in a restored pool numbers are given again.
    """

    work: str
    number: int
    holder: str


def take(connection: sa.Connection, work: str) -> Fence | None:
    """Be the newest run of a piece of work, once this transaction is committed; None in a warehouse from before there were fences."""
    if connection.scalar(sa.text("SELECT to_regclass('ops.fence')")) is None:
        return None
    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_WAIT}'"))
    row = connection.execute(
        sa.text(
            "INSERT INTO ops.fence (work) VALUES (:work) ON CONFLICT (work) DO UPDATE SET number = fence.number + 1,"
            " holder = gen_random_uuid(), taken_at = clock_timestamp() RETURNING number, holder::text"
        ),
        {"work": work},
    ).one()
    return Fence(work, row.number, row.holder)


def outdated(connection: sa.Connection, held: Iterable[Fence], *, hold: bool = True) -> list[str]:
    """Names of the works another run has taken over since.

    Args:
        connection: the transaction that is to be committed.
        held: what the run holds.
        hold: keep those that are not taken over from being so until this transaction ends.
    """
    mine = {f.work: f.holder for f in held}
    query = f"SELECT work, holder::text FROM ops.fence WHERE work = ANY(:works) ORDER BY work {'FOR SHARE' if hold else ''}"
    try:
        rows = connection.execute(sa.text(query), {"works": list(mine)}).all()
    except sa.exc.ProgrammingError as error:
        if isinstance(error.orig, psycopg2.errors.UndefinedTable):  # the warehouse went back to a version without fences meanwhile
            return list(mine)
        raise
    newest = {row.work: row.holder for row in rows}
    return [work for work, holder in mine.items() if newest.get(work) != holder]


def give_up(connection: sa.Connection) -> None:
    """Let nobody hold anything: in a pool put back from a backup no run goes on that began in the former one."""
    if connection.scalar(sa.text("SELECT to_regclass('ops.fence')")) is not None:
        connection.execute(sa.text("UPDATE ops.fence SET number = number + 1, holder = gen_random_uuid(), taken_at = clock_timestamp()"))
