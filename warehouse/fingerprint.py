"""One value that tells whether two pools hold the same.

Per table, the sum of two independent 64-bit hashes over its rows; then SHA-256 over tables in order. A sum does not depend on
the order of rows, so no sort is needed; and it can be kept: triggers add what comes and take away what goes (`ops.digest`), so a
night's fingerprint costs what the night changed. :func:`scanned` counts everything anew and must agree with :func:`kept`.

What the pool says of earlier days is part of it, in whatever order it came; when the hub came to know it is not.
Run times are left out, and so are delivery ids: an encrypted file has other bytes each time it is made, although its rows are
the same. So are redirects: where one leads follows from `identity.link`, and which ids have one depends on what was published in
between. A night published while a source was down may part a person whose number was corrected, and the next run joins it again.
"""

import hashlib
from collections.abc import Callable

import sqlalchemy as sa

_TABLES = (
    "core.person",
    "core.household",
    "core.household_member",
    "identity.record",
    "identity.link",
    "quarantine.row",
    "history.record",
)
# Where something came from and when the hub came to know it is not what is true: a hub that had a fault and recovered published more often.
_LEFT_OUT = "{delivery_id,known_from,open_until}"
# A trigger that reads the changed rows may be for one event only; the rows' names are those `ops.keep_digest` reads.
EVENTS = {
    "insert": "INSERT ON {table} REFERENCING NEW TABLE AS came",
    "update": "UPDATE ON {table} REFERENCING OLD TABLE AS went NEW TABLE AS came",
    "delete": "DELETE ON {table} REFERENCING OLD TABLE AS went",
    "truncate": "TRUNCATE ON {table}",
}
Digest = tuple[int, int, int]
# The trigger function that keeps the sums. Generated columns follow from the others and are left out.
KEEP_DIGEST = """
CREATE OR REPLACE FUNCTION ops.keep_digest() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    listed text;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO ops.digest SELECT changed, -sum(rows), -sum(first), -sum(second) FROM ops.digest
            WHERE table_name = changed HAVING count(*) > 0;
        RETURN NULL;
    END IF;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) INTO listed FROM pg_attribute
        WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
        AND attname <> ALL ('{delivery_id,known_from,open_until}'::name[]);
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        EXECUTE format('INSERT INTO ops.digest SELECT %L, count(*), sum(hash_record_extended(t, 1)::numeric),'
            ' sum(hash_record_extended(t, 2)::numeric) FROM (SELECT %s FROM came) AS t HAVING count(*) > 0', changed, listed);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        EXECUTE format('INSERT INTO ops.digest SELECT %L, -count(*), -sum(hash_record_extended(t, 1)::numeric),'
            ' -sum(hash_record_extended(t, 2)::numeric) FROM (SELECT %s FROM went) AS t HAVING count(*) > 0', changed, listed);
    END IF;
    RETURN NULL;
END
$$;
"""


def tables(connection: sa.Connection) -> list[str]:
    """The tables under the fingerprint, in its order: the pool's own, then those of the agencies' records."""
    agencies = connection.scalars(
        sa.text(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables WHERE table_schema = 'core'"
            " AND table_type = 'BASE TABLE' AND table_name NOT IN ('person', 'household', 'household_member') ORDER BY table_name"
        )
    )
    present = (t for t in _TABLES if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": t}))
    return [*(_name(connection, t) for t in present), *agencies]


def _name(connection: sa.Connection, table: str) -> str:
    schema, name = table.replace('"', "").split(".")
    return str(
        connection.scalar(sa.text("SELECT format('%I.%I', CAST(:schema AS text), CAST(:name AS text))"), {"schema": schema, "name": name})
    )


def watch(connection: sa.Connection, table: str) -> None:
    """Keep the digest of a table from now on; does nothing if it is kept."""
    for event, clause in EVENTS.items():
        connection.execute(
            sa.text(
                f"CREATE OR REPLACE TRIGGER digest_{event} AFTER {clause.format(table=table)}"
                " FOR EACH STATEMENT EXECUTE FUNCTION ops.keep_digest()"
            )
        )


def pause(connection: sa.Connection, table: str) -> None:
    """Stop watching while a first load fills a table: one count at its end is cheaper. :func:`resume` ends it."""
    connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))


def resume(connection: sa.Connection, table: str) -> None:
    """Count a filled table and watch it again."""
    connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
    recount(connection, table)


def recount(connection: sa.Connection, table: str) -> None:
    """Set a table's digest to what it holds: after a first load, or after its columns changed."""
    held, kept_so_far = _scan(connection, table), _sum(connection, table)
    difference = [a - b for a, b in zip(held, kept_so_far, strict=True)]
    if any(difference):
        connection.execute(
            sa.text("INSERT INTO ops.digest VALUES (:table, :rows, :first, :second)"),
            {"table": _name(connection, table), **dict(zip(("rows", "first", "second"), difference, strict=True))},
        )


def kept(connection: sa.Connection) -> str:
    """64 hex digits over the content of core, identity, quarantine and past versions of records, from the digests kept while it changed."""
    return _fingerprint(connection, _sum)


def scanned(connection: sa.Connection) -> str:
    """The same, counted anew from every row."""
    return _fingerprint(connection, _scan)


def _fingerprint(connection: sa.Connection, digest_of: Callable[[sa.Connection, str], Digest]) -> str:
    digest = hashlib.sha256()
    for table in tables(connection):
        digest.update("|".join([table, *map(str, digest_of(connection, table))]).encode() + b"\n")
    return digest.hexdigest()


def _sum(connection: sa.Connection, table: str) -> Digest:
    found = connection.execute(
        sa.text(
            "SELECT coalesce(sum(rows), 0), coalesce(sum(first), 0), coalesce(sum(second), 0) FROM ops.digest WHERE table_name = :table"
        ),
        {"table": _name(connection, table)},
    ).one()
    return int(found[0]), int(found[1]), int(found[2])


def _scan(connection: sa.Connection, table: str) -> Digest:
    columns = connection.scalars(
        sa.text(
            "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' AND attname <> ALL (CAST(:left_out AS name[])) ORDER BY attname"
        ),
        {"table": table, "left_out": _LEFT_OUT},
    )
    found = connection.execute(
        sa.text(
            "SELECT count(*), coalesce(sum(hash_record_extended(t, 1)), 0),"
            f" coalesce(sum(hash_record_extended(t, 2)), 0) FROM (SELECT {', '.join(columns)} FROM {table}) AS t"
        )
    ).one()
    return int(found[0]), int(found[1]), int(found[2])
