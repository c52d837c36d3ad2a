"""What stood in the pool before a publication changed it: links, persons, memberships, households.

A current row has no version of its own: it stands since the end of its last former version, or since the pool's beginning. So a first
load and a night without a change write nothing, and a question to the present costs what it always did.
"""

import sqlalchemy as sa

from warehouse import ledger

# Table → its key, and where the versions go. What is kept is the row as it was, so a column gained later needs nothing here.
_KEPT = {
    "identity.link": ("history.link", ("record_id",)),
    "core.person": ("history.person", ("person_id",)),
    "core.household_member": ("history.household_member", ("kind", "person_id")),
    "core.household": ("history.household", ("household_id",)),
}


def led(column: str) -> str:
    """SQL of the person whom a record belonged to in publication ``:n``, or last before, where it had none by then; no row = it was not known yet.

    A record that was born anew by then is asked about by the id it has now.

    Args:
        column: that holds the record's id, or a parameter.
    """
    return f"""SELECT person_id FROM (
    SELECT l.person_id, 9223372036854775807 AS until FROM identity.link l WHERE l.record_id = {column}
        AND NOT EXISTS (SELECT FROM history.link h WHERE h.record_id = l.record_id AND h.known_during @> CAST(:n AS bigint))
    UNION ALL SELECT (h.row ->> 'person_id')::uuid, upper(h.known_during) FROM history.link h
        WHERE h.record_id = {column} AND h.row IS NOT NULL AND lower(h.known_during) <= :n
    UNION ALL SELECT l.person_id, 9223372036854775806 FROM (SELECT stem, record_key FROM history.record_revised WHERE record_id = {column} LIMIT 1) AS v
        JOIN identity.record r ON r.stem = v.stem AND r.record_key = v.record_key AND r.record_id <> {column} JOIN identity.link l ON l.record_id = r.record_id
        WHERE NOT EXISTS (SELECT FROM history.link h WHERE h.record_id = l.record_id AND h.known_during @> CAST(:n AS bigint))
) AS told ORDER BY until DESC LIMIT 1"""


def _former(table: str) -> str:
    return f"former_{table.split('.')[1]}"


def changed_table(table: str) -> str:
    """Name of the temporary table in which :func:`keep` leaves the rows of a table that differ."""
    return f"changed_{table.split('.')[1]}"


def remember(connection: sa.Connection, table: str, column: str, concerned: str) -> None:
    """Note the rows that the publishing transaction is about to write anew.

    Args:
        connection: that transaction.
        table: one of those that have versions.
        column: of its key.
        concerned: query of the values of that column whose rows may change, go or come.
    """
    name = _former(table)
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}_key, {name}"))
    connection.execute(sa.text(f"CREATE TEMP TABLE {name}_key ON COMMIT DROP AS {concerned}"))
    connection.execute(sa.text(f"CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT t.* FROM {table} t JOIN {name}_key USING ({column})"))


def keep(connection: sa.Connection, table: str, column: str) -> None:
    """Keep what was noted and is no longer so; for rows that came, that there was none before.

    Leaves a temporary table of the rows that differ (`changed_…`): key, the row as it was and as it is, null = there is none.
    """
    history, key = _KEPT[table]
    name, number = _former(table), ledger.publication(connection) + 1
    changed, keys = changed_table(table), ", ".join(key)
    same = " AND ".join(f"h.{c} = v.{c}" for c in key)
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {changed}"))
    connection.execute(
        sa.text(
            f"CREATE TEMP TABLE {changed} ON COMMIT DROP AS SELECT {keys}, to_jsonb(was) AS was, to_jsonb(is_now) AS is_now"
            f" FROM (SELECT t AS was, {keys} FROM {name} t) AS f FULL JOIN"
            f" (SELECT t AS is_now, {keys} FROM {table} t JOIN {name}_key USING ({column})) AS n USING ({keys})"
            " WHERE was IS DISTINCT FROM is_now"
        )
    )
    connection.execute(
        sa.text(
            f"INSERT INTO {history} ({keys}, known_during, row)"
            f" SELECT {', '.join(f'v.{c}' for c in key)}, int8range(v.since, :number), v.was FROM (SELECT v.*,"
            f" coalesce((SELECT max(upper(h.known_during)) FROM {history} h WHERE {same}), (SELECT min(number) FROM ops.published)) AS since"
            f" FROM {changed} v) AS v WHERE v.since < :number"  # what came and went within one publication was never seen
        ),
        {"number": number},
    )
