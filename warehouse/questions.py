"""Questions to the pool about one person or one household."""

import uuid
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse import erasures


def as_uuid(text: str, where: str = "ID", what: str = "ids are UUIDs") -> str:
    """An id in its usual form.

    Raises:
        ConfigError: the text is none.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ConfigError(f"not an id: {what}", where=where) from None


def _rows(connection: sa.Connection, query: str, key: str) -> list[dict[str, Any]]:
    return [dict(r._mapping) for r in connection.execute(sa.text(query), {"key": key})]


def person(connection: sa.Connection, person_id: str) -> dict[str, Any]:
    """One person with records, households and open disputes; an id that leads elsewhere is followed.

    Raises:
        ConfigError: no such person.
    """
    key = as_uuid(person_id)
    key = str(connection.scalar(sa.text("SELECT person_id FROM identity.redirect WHERE old_person_id = :key"), {"key": key}) or key)
    found = _rows(
        connection,
        "SELECT person_id::text, resident_id, name, sex, birth_date, phone, address, area_code, as_of_date FROM core.person WHERE person_id = :key",
        key,
    )
    if not found:
        erasures.tell(connection, key)
        raise ConfigError("there is no such person", where="ID")
    records = _rows(
        connection,
        "SELECT r.stem, r.record_key, l.rule_id, r.as_of_date, r.delivery_id::text FROM identity.link l JOIN identity.record r USING (record_id) WHERE l.person_id = :key ORDER BY r.stem, r.record_key",
        key,
    )
    homes = _rows(
        connection,
        "SELECT kind, household_id::text, relation, stem, evidence FROM core.household_member WHERE person_id = :key ORDER BY kind",
        key,
    )
    disputes = _rows(
        connection,
        "SELECT d.attribute, d.kind, d.stem, d.opened_date, d.due_date, d.dispute_id::text FROM ops.dispute d JOIN identity.link l USING (record_id)"
        " WHERE l.person_id = :key AND NOT EXISTS (SELECT FROM ops.dispute_event e WHERE e.dispute_id = d.dispute_id AND e.event <> 'open')"
        " ORDER BY d.dispute_id",
        key,
    )
    return {**found[0], "records": records, "households": homes, "disputes": disputes}


def household(connection: sa.Connection, household_id: str) -> dict[str, Any]:
    """One household with its members.

    Raises:
        ConfigError: no such household.
    """
    key = as_uuid(household_id)
    found = _rows(
        connection,
        "SELECT household_id::text, kind, head_person_id::text, members AS size FROM core.household WHERE household_id = :key",
        key,
    )
    if not found:
        raise ConfigError("there is no such household", where="ID")
    members = _rows(
        connection,
        "SELECT m.person_id::text, p.name, p.sex, p.birth_date, m.relation, m.stem, m.evidence FROM core.household_member m JOIN core.person p USING (person_id) WHERE m.household_id = :key ORDER BY m.relation, p.birth_date",
        key,
    )
    return {**found[0], "members": members}


def records_by_source(connection: sa.Connection) -> dict[str, int]:
    """Records in the pool by source; a source without any is left out."""
    rows = connection.execute(sa.text("SELECT stem, count(*) AS records FROM identity.record GROUP BY stem"))
    return {row.stem: row.records for row in rows}
