"""One value that tells whether two pools hold the same.

Per table, the sum of two independent 64-bit hashes over its rows, run times left out; then SHA-256 over tables in order. A sum
does not depend on the order of rows, so no sort is needed and a pool of any size is one scan.
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
        count, first, second = connection.execute(
            sa.text(
                "SELECT count(*), coalesce(sum(hash_record_extended(t, 1)::numeric), 0),"
                f" coalesce(sum(hash_record_extended(t, 2)::numeric), 0) FROM {table} t"
            )
        ).one()
        digest.update(f"{table}|{count}|{first}|{second}\n".encode())
    return digest.hexdigest()
