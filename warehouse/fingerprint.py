"""One value that tells whether two pools hold the same.

Per table, the sum of two independent 64-bit hashes over its rows; then SHA-256 over tables in order. A sum
does not depend on the order of rows, so no sort is needed and a pool of any size is one scan. Run times are left out, and so are delivery ids: an encrypted file has other bytes each time it is made,
although its rows are the same.
"""

import hashlib

import sqlalchemy as sa

_TABLES = (
    "core.person",
    "core.household",
    "core.household_member",
    "identity.record",
    "identity.link",
    "identity.redirect",
    "quarantine.row",
)


def fingerprint(connection: sa.Connection) -> str:
    """64 hex digits over the content of core, identity and quarantine."""
    agencies = connection.scalars(
        sa.text(
            "SELECT format('core.%I', table_name) FROM information_schema.tables WHERE table_schema = 'core'"
            " AND table_name NOT IN ('person', 'household', 'household_member') ORDER BY table_name"
        )
    )
    digest = hashlib.sha256()
    for table in [*_TABLES, *agencies]:
        columns = ", ".join(_columns(connection, table))
        count, first, second = connection.execute(
            sa.text(
                "SELECT count(*), coalesce(sum(hash_record_extended(t, 1)::numeric), 0),"
                f" coalesce(sum(hash_record_extended(t, 2)::numeric), 0) FROM (SELECT {columns} FROM {table}) AS t"
            )
        ).one()
        digest.update(f"{table}|{count}|{first}|{second}\n".encode())
    return digest.hexdigest()


def _columns(connection: sa.Connection, table: str) -> list[str]:
    return list(
        connection.scalars(
            sa.text(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0"
                " AND NOT attisdropped AND attname <> 'delivery_id' ORDER BY attname"
            ),
            {"table": table},
        )
    )
