"""What some groups of records (nodes) of the pool are weighed by, outside a night. Values leave the database for the pure functions alone."""

from collections.abc import Sequence

import polars as pl
import sqlalchemy as sa

from hub.errors import ConfigError

# Columns of a record, as text: where it is, what it is weighed by, and what sure links are made by.
_POINTER = ("record_id", "node_id", "person_id", "node_rule_id", "source", "record_key", "as_of_date")
EVIDENCE = ("source", "resident_id", "name", "sex", "birth_date", "phone", "address", "area_code", "household_id_local")
_KEYS = ("id_key", "name_key", "phone_key", "address_key")
_COLUMNS = (*_POINTER, *EVIDENCE[1:], *_KEYS)
_SELECT = (
    "SELECT r.record_id::text, l.node_id::text, l.person_id::text, l.node_rule_id, r.stem, r.record_key, r.as_of_date::text, r.resident_id,"
    " r.name, r.sex, r.birth_date::text, r.phone, r.address, r.area_code, coalesce(r.living_no, r.registered_no), r.id_key, r.name_key,"
    " r.phone_key, r.address_key FROM identity.link l JOIN identity.record r USING (record_id)"
)


def _frame(connection: sa.Connection, query: str, columns: Sequence[str], **values: object) -> pl.DataFrame:
    rows = connection.execute(sa.text(query), values).all()
    return pl.DataFrame([tuple(r) for r in rows], schema=dict.fromkeys(columns, pl.String), orient="row")


def around(connection: sa.Connection, records: Sequence[str]) -> pl.DataFrame:
    """All records of the nodes that some records are in: where each is and what it is weighed by, as text, the oldest first."""
    # A node is named after its oldest record, so its person is found by that record's key.
    query = (
        f"{_SELECT} JOIN (SELECT DISTINCT person_id, node_id FROM identity.link WHERE record_id = ANY(CAST(:records AS uuid[]))) AS n"
        " ON n.person_id = l.person_id AND n.node_id = l.node_id ORDER BY l.node_id, r.record_id"
    )
    return _frame(connection, query, _COLUMNS, records=list(records))


def of_person(connection: sa.Connection, person_id: str) -> pl.DataFrame:
    """All records of a person, as :func:`around` gives them; an id that leads elsewhere is followed.

    Raises:
        ConfigError: there is no such person.
    """
    found = _frame(
        connection,
        f"{_SELECT} WHERE l.person_id = coalesce((SELECT person_id FROM identity.redirect WHERE old_person_id = :id), :id)"
        " ORDER BY l.node_id, r.record_id",
        _COLUMNS, id=person_id,
    )  # fmt: skip
    if found.is_empty():
        raise ConfigError("there is no such person", where="PERSON", next_step="`hub person` takes the same ids")
    return found


def listed(connection: sa.Connection, nodes: Sequence[str], *, largest_home: int) -> pl.DataFrame:
    """Who is listed in one home with some nodes: ``node_id``, ``other_id``; homes of more nodes than `largest_home` say nothing."""
    parts = [
        f"SELECT DISTINCT o.node_id::text, l.node_id::text FROM home o JOIN identity.record r ON r.stem = o.stem AND r.{kind}_no = o.no"
        f" JOIN identity.link l USING (record_id) WHERE o.kind = '{kind}' AND"
        f" (SELECT count(DISTINCT m.node_id) FROM identity.record x JOIN identity.link m USING (record_id)"
        f" WHERE x.stem = o.stem AND x.{kind}_no = o.no) BETWEEN 2 AND {largest_home}"
        for kind in ("registered", "living")
    ]
    homes = " UNION ".join(
        f"SELECT l.node_id, '{kind}' AS kind, r.stem, r.{kind}_no AS no FROM identity.link own JOIN identity.link l"
        " ON l.person_id = own.person_id AND l.node_id = own.node_id JOIN identity.record r ON r.record_id = l.record_id"
        f" WHERE own.record_id = ANY(CAST(:nodes AS uuid[])) AND r.{kind}_no IS NOT NULL"
        for kind in ("registered", "living")
    )
    return _frame(connection, f"WITH home AS MATERIALIZED ({homes}) {' UNION '.join(parts)}", ("node_id", "other_id"), nodes=list(nodes))
