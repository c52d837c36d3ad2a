"""Traces of rows that are gone: what PostgreSQL keeps of them in the planner's figures, in its files and in its log.

A deleted row lies in its page until the page is written anew, the former version of a changed one as well, and an index keeps its keys; VACUUM marks
the space as free and leaves the bytes. The figures hold values of columns (most frequent ones, bounds of histograms) until the next ANALYZE.
"""

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psycopg2.errors
import sqlalchemy as sa

from warehouse import database

# Whoever reads a table waits while it is written anew: a few seconds at the most for one that is no larger.
AT_ONCE_BYTES = 64 * 2**20
# All that asks for a table waits behind whoever waits to write it anew.
_WAIT_FOR_TABLE_S = 5
_WAIT_FOR_READERS_S = 10
_FIGURES = "pg_catalog.pg_statistic"


@dataclass(frozen=True)
class Table:
    """A table that may hold traces; ``size_bytes`` with its indexes and long values."""

    name: str
    size_bytes: int


# Of the log of disclosures nothing is ever deleted or changed, and it holds nobody's values in clear.
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'audit', 'public') AND n.nspname !~ '^pg_'
ORDER BY 1
"""


def tables(connection: sa.Connection) -> list[str]:
    """Tables that values of persons stand in; the planner's figures, which are made of all the others, come last."""
    return [*connection.scalars(sa.text(_TABLES)), _FIGURES]


def measured(connection: sa.Connection, names: Collection[str]) -> list[Table]:
    """Those of some tables that are still there, in the order of :func:`tables`; the files of a table that was dropped went with it."""
    rows = connection.execute(
        sa.text(
            "SELECT name, pg_total_relation_size(to_regclass(name)) AS size_bytes FROM unnest(CAST(:names AS text[])) AS name"
            f" WHERE to_regclass(name) IS NOT NULL ORDER BY name = '{_FIGURES}', name"
        ),
        {"names": list(names)},
    )
    return [Table(**row._mapping) for row in rows]


def renew_figures(engine: sa.Engine) -> None:
    """Let the planner's figures be those of the rows there are now."""
    with database.connected(engine, isolation_level="AUTOCOMMIT") as connection:
        for name in tables(connection):
            if name != _FIGURES:
                connection.execute(sa.text(f"ANALYZE {name}"))
        # Of a table without rows ANALYZE leaves what was known of it.
        connection.execute(
            sa.text(
                "SELECT pg_clear_attribute_stats(s.schemaname, s.tablename, s.attname, s.inherited) FROM pg_stats s"
                " JOIN pg_class c ON c.oid = format('%I.%I', s.schemaname, s.tablename)::regclass LEFT JOIN pg_index i ON i.indexrelid = c.oid"
                " JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid)"
                " WHERE t.reltuples <= 0 AND s.schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
        )


def rewrite(engine: sa.Engine, found: Sequence[Table]) -> list[str]:
    """Write tables and their indexes anew, of the rows there are now, and put it on disk.

    A table is left as it is while somebody may still see rows of before, or has it in use.

    Returns:
        Those that were written anew.
    """
    with database.connected(engine, isolation_level="AUTOCOMMIT") as connection:
        if not _is_past_for_all(connection):
            return []
        connection.execute(sa.text(f"SET lock_timeout = '{_WAIT_FOR_TABLE_S}s'"))
        done = [table.name for table in found if _is_rewritten(connection, table.name)]
        connection.execute(sa.text("RESET lock_timeout"))
        _settle(connection)
        return done


def _is_past_for_all(connection: sa.Connection) -> bool:
    """Whether nobody looks at the pool as it was before now: rows that somebody may see are copied with the table."""
    now = connection.scalar(sa.text("SELECT pg_current_xact_id()::xid::text"))
    ends_at = time.monotonic() + _WAIT_FOR_READERS_S
    while connection.scalar(
        sa.text(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND age(backend_xmin) > age(CAST(:now AS xid)))"
        ),
        {"now": now},
    ):
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.1)
    return True


def _is_rewritten(connection: sa.Connection, name: str) -> bool:
    file = sa.text("SELECT pg_relation_filenode(CAST(:name AS regclass))")
    before = connection.scalar(file, {"name": name})
    try:
        connection.execute(sa.text(f"VACUUM (FULL) {name}"))
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            return False
        raise
    # PostgreSQL only warns whoever may not do it.
    return bool(connection.scalar(file, {"name": name}) != before)


def _settle(connection: sa.Connection) -> None:
    """Write what is in memory over what is on disk, remove the files that were replaced, and be done with the log until now."""
    for statement in ("SELECT pg_switch_wal()", "CHECKPOINT"):
        # A server of one's own may not let us; it does both by itself in time.
        with contextlib.suppress(sa.exc.ProgrammingError):
            connection.execute(sa.text(statement))
