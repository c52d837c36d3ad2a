"""The pool itself: links, persons and households as a publish writes them."""

from collections.abc import Iterable

import sqlalchemy as sa

from warehouse import fingerprint, identity_pool, outbox, survivorship, versions, weighing


def write(connection: sa.Connection, *, was_empty: bool) -> None:
    """Publish what was resolved; part of the publishing transaction.

    Args:
        connection: that transaction; in a first load, indexes were dropped in it.
        was_empty: whether this is the first load.
    """
    write_records(connection, was_empty=was_empty)
    if was_empty:
        build_indexes(connection, RECORDS)
    write_persons(connection, was_empty=was_empty)
    write_households(connection, was_empty=was_empty)
    if not was_empty:
        outbox.note_people(connection)
    weighing.write(connection)
    if was_empty:
        build_indexes(connection, PEOPLE)
        analyse(connection)


def write_records(connection: sa.Connection, *, was_empty: bool) -> None:
    """Put the night's identity rows and links in the place of the former ones."""
    columns = ", ".join(identity_pool.COLUMNS)
    records = f"INSERT INTO identity.record ({columns}) SELECT {columns} FROM staging.work_candidate c"
    names = ("person_id", "rule_id", "node_id", "node_rule_id", "is_open")
    links = f"INSERT INTO identity.link (record_id, {', '.join(names)}) SELECT record_id, {', '.join(names)} FROM staging.work_link"
    if was_empty:
        connection.execute(sa.text(records))
        connection.execute(sa.text(links))
        return
    # In place where there is one: most are only newer than they were, and that is in no index.
    sets = ", ".join(f"{c} = c.{c}" for c in identity_pool.COLUMNS if c != "record_id")
    for statement in (
        "DELETE FROM identity.record r USING staging.work_gone g WHERE r.record_id = g.record_id"
        " AND NOT EXISTS (SELECT FROM staging.work_candidate c WHERE c.record_id = r.record_id)",
        f"UPDATE identity.record r SET {sets} FROM staging.work_candidate c WHERE r.record_id = c.record_id",
        f"{records} WHERE NOT EXISTS (SELECT FROM identity.record r WHERE r.record_id = c.record_id)",
        "CREATE TEMP TABLE relinked ON COMMIT DROP AS SELECT record_id, old.person_id AS old_person_id, new.person_id"
        " FROM staging.work_touched LEFT JOIN identity.link old USING (record_id) LEFT JOIN staging.work_link new USING (record_id)"
        f" WHERE ({', '.join(f'old.{n}' for n in names)}) IS DISTINCT FROM ({', '.join(f'new.{n}' for n in names)})",
        "CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT * FROM relinked"
        " WHERE old_person_id IS NOT NULL AND old_person_id IS DISTINCT FROM person_id",
    ):
        connection.execute(sa.text(statement))
    versions.remember(connection, "identity.link", "record_id", "SELECT record_id FROM relinked")
    connection.execute(sa.text("DELETE FROM identity.link l USING relinked t WHERE l.record_id = t.record_id"))
    connection.execute(sa.text(f"{links} JOIN (SELECT record_id FROM relinked) AS t USING (record_id)"))
    versions.keep(connection, "identity.link", "record_id")
    # An id that was answered to leads to the person its own first record belongs to now; a living id leads nowhere.
    connection.execute(
        sa.text(
            "INSERT INTO identity.redirect SELECT DISTINCT m.old_person_id, l.person_id FROM moved m"
            " JOIN identity.link l ON l.record_id = m.old_person_id WHERE l.person_id <> m.old_person_id"
            " ON CONFLICT (old_person_id) DO UPDATE SET person_id = excluded.person_id"
        )
    )
    connection.execute(
        sa.text(
            "UPDATE identity.redirect r SET person_id = l.person_id FROM identity.link l, staging.work_touched t"
            " WHERE l.record_id = t.record_id AND l.record_id = r.old_person_id AND r.person_id <> l.person_id"
        )
    )
    connection.execute(sa.text("DELETE FROM identity.redirect r USING staging.work_link l WHERE r.old_person_id = l.person_id"))
    # An id that led to a record which was gone follows it where it comes back.
    connection.execute(
        sa.text(
            "UPDATE identity.redirect r SET person_id = l.person_id FROM relinked l"
            " WHERE l.old_person_id IS NULL AND r.person_id = l.record_id AND l.person_id <> l.record_id"
        )
    )
    # A record that was a person, went and came back into another one.
    connection.execute(
        sa.text(
            "INSERT INTO identity.redirect SELECT l.record_id, l.person_id FROM relinked l"
            " WHERE l.old_person_id IS NULL AND l.record_id <> l.person_id"
            " AND EXISTS (SELECT FROM history.person h WHERE h.person_id = l.record_id AND h.row IS NOT NULL)"
            " ON CONFLICT (old_person_id) DO UPDATE SET person_id = excluded.person_id"
        )
    )
    # Where the record that an id named is gone, the id follows the one it led to.
    connection.execute(
        sa.text(
            "UPDATE identity.redirect r SET person_id = l.person_id FROM moved m JOIN identity.link l ON l.record_id = m.old_person_id"
            " WHERE r.person_id = m.old_person_id AND l.person_id <> m.old_person_id"
            " AND NOT EXISTS (SELECT FROM identity.link o WHERE o.record_id = r.old_person_id)"
        )
    )
    # Where it was born anew, the id follows it wherever it goes.
    connection.execute(
        sa.text(
            "UPDATE identity.redirect r SET person_id = l.person_id FROM (SELECT d.old_person_id, v.stem, v.record_key FROM identity.redirect d"
            " CROSS JOIN LATERAL (SELECT stem, record_key FROM history.record_revised v WHERE v.record_id = d.old_person_id LIMIT 1) AS v"
            " WHERE NOT EXISTS (SELECT FROM identity.link o WHERE o.record_id = d.old_person_id)) AS k JOIN identity.record c USING (stem, record_key)"
            " JOIN relinked n USING (record_id) JOIN identity.link l USING (record_id)"
            " WHERE r.old_person_id = k.old_person_id AND r.person_id <> l.person_id"
        )
    )


def write_persons(connection: sa.Connection, *, was_empty: bool) -> None:
    """Compute the persons of touched records anew. Grain of ``core.person``: one row a person."""
    if not was_empty:
        touched = "SELECT old_person_id AS person_id FROM moved UNION SELECT person_id FROM staging.work_link"
        versions.remember(connection, "core.person", "person_id", touched)
        connection.execute(
            sa.text(
                "DELETE FROM core.person p USING former_person f WHERE p.person_id = f.person_id"
                " AND NOT EXISTS (SELECT FROM staging.work_link l WHERE l.person_id = p.person_id)"
            )
        )
    policy = survivorship.in_force(connection)
    linked = "(SELECT l.person_id, o.* FROM staging.work_link l JOIN identity.record o USING (record_id))"
    columns = (*survivorship.COLUMNS, "records", "sources", "as_of_date")
    in_place = f" ON CONFLICT (person_id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in columns)}"
    connection.execute(
        sa.text(
            f"INSERT INTO core.person (person_id, {', '.join(columns)})"
            f" SELECT r.person_id, {survivorship.golden(policy)}, count(*), array_agg(DISTINCT r.stem ORDER BY r.stem), max(r.as_of_date)"
            f" FROM {survivorship.placed(policy, linked)} AS r GROUP BY r.person_id{'' if was_empty else in_place}"
        )
    )
    if not was_empty:
        versions.keep(connection, "core.person", "person_id")


def write_households(connection: sa.Connection, *, was_empty: bool) -> None:
    """Put affected persons into their households. Grain of ``core.household``: one row a household of either kind."""
    columns = ("household_id", "relation", "stem", "evidence")
    members = f"INSERT INTO core.household_member (kind, person_id, {', '.join(columns)}) SELECT kind, person_id, {', '.join(columns)} FROM staging.work_member"
    where = ""
    if was_empty:
        connection.execute(sa.text(members))
    else:
        # Of those judged anew, few are elsewhere than they were.
        was, is_now = (", ".join(f"{alias}.{c}" for c in columns) for alias in ("o", "n"))
        resettled = (
            "SELECT DISTINCT person_id FROM (SELECT o.* FROM core.household_member o JOIN staging.work_affected USING (person_id)) AS o"
            f" FULL JOIN staging.work_member n USING (kind, person_id) WHERE ({was}) IS DISTINCT FROM ({is_now})"
        )
        versions.remember(connection, "core.household_member", "person_id", resettled)
        for statement in (
            "CREATE TEMP TABLE regrouped ON COMMIT DROP AS SELECT household_id FROM former_household_member UNION"
            " SELECT household_id FROM staging.work_member JOIN former_household_member_key USING (person_id)",
            "DELETE FROM core.household_member m USING former_household_member_key k WHERE m.person_id = k.person_id",
            f"{members} JOIN former_household_member_key USING (person_id)",
        ):
            connection.execute(sa.text(statement))
        versions.keep(connection, "core.household_member", "person_id")
        versions.remember(connection, "core.household", "household_id", "SELECT household_id FROM regrouped")
        connection.execute(sa.text("DELETE FROM core.household h USING regrouped r WHERE h.household_id = r.household_id"))
        where = "WHERE m.household_id IN (SELECT household_id FROM regrouped)"
    # GB/T 4761-2008: 01 self and 02 head both mark the head of a household.
    connection.execute(
        sa.text(
            "INSERT INTO core.household (household_id, kind, head_person_id, members)"
            " SELECT m.household_id, m.kind, (array_agg(m.person_id ORDER BY m.person_id) FILTER (WHERE m.relation IN ('01', '02')))[1],"
            f" count(*) FROM core.household_member m {where} GROUP BY m.household_id, m.kind"
        )
    )
    if not was_empty:
        versions.keep(connection, "core.household", "household_id")


_KEYS = {
    "identity.record": "record_id",
    "identity.link": "record_id",
    "core.person": "person_id",
    "core.household_member": "kind, person_id",
    "core.household": "household_id",
}


RECORDS = ("identity.record", "identity.link")
PEOPLE = ("core.person", "core.household_member", "core.household")


def drop_indexes(connection: sa.Connection) -> None:
    """Before the very first load: keys and indexes are built once at its end instead of row by row.

    The empty tables are made anew as well: a server that keeps no more log than a restart needs then writes their rows once.
    """
    connection.execute(sa.text(f"TRUNCATE {', '.join(_KEYS)}"))
    for table in _KEYS:  # a row that a night changes in place finds room beside it
        connection.execute(sa.text(f"ALTER TABLE {table} SET (fillfactor = 90)"))
    for name, on in identity_pool.INDEXES.items():
        connection.execute(sa.text(f"DROP INDEX IF EXISTS {on.split('.')[0]}.{name}"))
    for table in _KEYS:
        fingerprint.pause(connection, table)
        connection.execute(sa.text(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table.split('.')[1]}_pkey"))


def build_indexes(connection: sa.Connection, tables: Iterable[str]) -> None:
    """Build what :func:`drop_indexes` dropped on some tables, once they are filled."""
    for table in tables:
        connection.execute(sa.text(f"ALTER TABLE {table} ADD PRIMARY KEY ({_KEYS[table]})"))
        for name, on in identity_pool.INDEXES.items():
            if on.split(" ")[0] == table:
                unique = "UNIQUE " if name == "record_source_key" else ""
                connection.execute(sa.text(f"CREATE {unique}INDEX {name} ON {on}"))
        fingerprint.resume(connection, table)


def analyse(connection: sa.Connection) -> None:
    """Refresh the planner's figures after a first load."""
    connection.execute(sa.text("ANALYZE identity.record, identity.link, core.person, core.household_member, core.household"))


def counts(connection: sa.Connection) -> tuple[int, int]:
    """Persons and households in the pool."""
    persons = connection.scalar(sa.text("SELECT count(*) FROM core.person"))
    households = connection.scalar(sa.text("SELECT count(*) FROM core.household"))
    return int(persons or 0), int(households or 0)
