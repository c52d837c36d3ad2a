"""Questions to the pool about one person or one household."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.dates import CHINA
from hub.errors import ConfigError
from warehouse import disputes, erasures


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


@dataclass(frozen=True)
class Merged:
    """An id that leads to another person's.

    Attributes:
        person_id: as it was asked for.
        into: whose it is now.
        since: when that was published; None = it is not told.
    """

    person_id: str
    into: str
    since: datetime | None


def merged(connection: sa.Connection, person_id: str) -> Merged | None:
    """Where an id leads that is no person's any more; None = it is not known to lead anywhere."""
    row = connection.execute(
        sa.text(
            "SELECT r.old_person_id::text AS person_id, r.person_id::text AS into, (SELECT p.published_at FROM history.link h"
            " JOIN ops.published p ON p.number = upper(h.known_during) WHERE h.record_id = r.old_person_id AND (h.row ->> 'person_id')::uuid = h.record_id"
            " ORDER BY upper(h.known_during) DESC LIMIT 1) AS since FROM identity.redirect r WHERE r.old_person_id = CAST(:key AS uuid)"
        ),
        {"key": person_id},
    ).one_or_none()
    return Merged(**row._mapping) if row else None


def unmerged(connection: sa.Connection, person_id: str, where: str) -> str:
    """A person's id as it was given, for what is done to a person and must not meet another one.

    Raises:
        ConfigError: not an id, or it was merged into another person's.
    """
    key = as_uuid(person_id, where)
    leads = merged(connection, key)
    if leads is not None:
        since = "" if leads.since is None else f" since {leads.since.astimezone(CHINA):%Y-%m-%d %H:%M}"
        raise ConfigError(
            f"this id was merged into another person's{since}: nothing was done",
            where=where,
            next_step=f"look at `hub person {leads.into}`; if that is who is meant, repeat with {leads.into}",
        )
    return key


def person(connection: sa.Connection, person_id: str) -> dict[str, Any]:
    """One person with records, households and open disputes; an id that leads elsewhere is followed, and ``merged`` says so.

    Raises:
        ConfigError: no such person.
    """
    asked = as_uuid(person_id)
    leads = merged(connection, asked)
    key = asked if leads is None else leads.into
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
        "SELECT r.record_id::text, r.stem, r.record_key, l.rule_id, r.as_of_date, r.delivery_id::text FROM identity.link l JOIN identity.record r USING (record_id) WHERE l.person_id = :key ORDER BY r.stem, r.record_key",
        key,
    )
    homes = _rows(
        connection,
        "SELECT kind, household_id::text, relation, stem, evidence FROM core.household_member WHERE person_id = :key ORDER BY kind",
        key,
    )
    told = {**found[0], "records": records, "households": homes, "disputes": disputes.marks(connection, [r["record_id"] for r in records])}
    return told if leads is None else {**told, "merged": [vars(leads)]}


def household(connection: sa.Connection, household_id: str) -> dict[str, Any]:
    """One household with its members, and the open disputes about their records.

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
    told = {**found[0], "members": members}
    records = connection.execute(
        sa.text(
            "SELECT l.record_id::text, l.person_id::text FROM identity.link l JOIN core.household_member m USING (person_id) WHERE m.household_id = CAST(:key AS uuid)"
        ),
        {"key": key},
    )
    disputes.mark_members(connection, told, dict(records.tuples().all()))
    return told


def records_by_source(connection: sa.Connection) -> dict[str, int]:
    """Records in the pool by source; a source without any is left out."""
    rows = connection.execute(sa.text("SELECT stem, count(*) AS records FROM identity.record GROUP BY stem"))
    return {row.stem: row.records for row in rows}
