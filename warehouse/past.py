"""Questions to the pool as of other times: what was true on a date, by what the hub knew at an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from hub.dates import shown_exactly
from hub.errors import ConfigError
from schemas.survivorship import Survivorship, parsed
from warehouse import erasures, hindsight, homes, prepared, survivorship, versions
from warehouse.homes import Rule
from warehouse.questions import as_uuid


@dataclass(frozen=True)
class Moment:
    """A pair of times, placed on the hub's clocks.

    Attributes:
        number: the last publication at the instant; the known clock counts publications.
        published_at: its instant; None = the pool was never published.
        valid: the date asked for; None = whatever is newest.
        night: the last publication up to the end of that date.
        homes_on: the date of which households are made anew, by what was learnt of it since; None = those that stood in the publication.
    """

    number: int
    published_at: datetime | None
    valid: date | None
    night: int
    homes_on: date | None = None


_MOMENT = """
SELECT p.number, p.published_at, CAST(:at AS timestamptz) > clock_timestamp() AS is_ahead,
    (SELECT min(published_at) FROM ops.published) AS first_instant,
    (SELECT max(business_date) FROM ops.published n WHERE n.number <= p.number) AS last_night,
    (SELECT min(number) - 1 FROM ops.published n WHERE n.number <= p.number AND n.business_date > CAST(:day AS date)) AS night,
    (SELECT min(as_of_date) FROM history.observation WHERE publication <= p.number) AS first_day
FROM (SELECT) AS one LEFT JOIN (SELECT number, published_at FROM ops.published
    WHERE CAST(:at AS timestamptz) IS NULL OR published_at <= CAST(:at AS timestamptz) ORDER BY number DESC LIMIT 1) AS p ON true
"""


def moment(connection: sa.Connection, *, as_of: date | None, known_at: datetime | None) -> Moment:
    """Place a date and an instant, either or both, on the hub's clocks.

    Raises:
        ConfigError: the instant lies ahead or before the first publication, or the date lies outside what was known then.
    """
    found = connection.execute(_text(_MOMENT), {"at": known_at, "day": as_of}).one()
    if found.is_ahead:
        raise ConfigError("this instant lies ahead: the hub cannot have known anything then", where="--known-at")
    if found.number is None:
        first = found.first_instant
        told = f"the hub knew nothing then: its first publication was at {shown_exactly(first)}" if first else "nothing was published yet"
        raise ConfigError(told, where="--known-at" if known_at else "ID")
    if as_of is None:
        return Moment(found.number, found.published_at, None, found.number)
    if found.last_night is not None and as_of > found.last_night:
        raise ConfigError(f"the date lies after {found.last_night}, the last night the hub had published by then", where="--as-of")
    if found.first_day is None or as_of < found.first_day:
        raise ConfigError(f"the date lies before {found.first_day}, the first day any delivery tells of", where="--as-of")
    is_latest = found.night is None
    return Moment(found.number, found.published_at, as_of, found.number if is_latest else found.night, None if is_latest else as_of)


def intakes(connection: sa.Connection, at: Moment) -> tuple[date | None, dict[str, str]]:
    """The last night published by a moment and up to its date, and how the intake of each source stands in it; None = there was none."""
    rows = connection.execute(
        sa.text(
            "SELECT n.night, i.stem, i.state FROM (SELECT max(business_date) AS night FROM ops.published WHERE number <= :n"
            " AND (CAST(:day AS date) IS NULL OR business_date <= :day)) AS n LEFT JOIN ops.intake i ON i.business_date = n.night"
        ),
        {"n": at.number, "day": at.valid},
    ).all()
    return rows[0].night, {r.stem: r.state for r in rows if r.stem is not None}


_LINK = versions.led(":key")


def answers_to(connection: sa.Connection, record_id: str, number: int) -> str | None:
    """The person that a record belonged to in a publication, or last before it was withdrawn; None = it was not known yet."""
    found = prepared.execute(connection, _LINK, {"key": "uuid", "n": "bigint"}, {"key": record_id, "n": number}).scalar()
    return str(found) if found else None


_PERSON = """
WITH linked AS MATERIALIZED (
    SELECT l.record_id, l.rule_id FROM identity.link l WHERE l.person_id = :key
        AND NOT EXISTS (SELECT FROM history.link h WHERE h.record_id = l.record_id AND h.known_during @> CAST(:n AS bigint))
    UNION ALL SELECT h.record_id, h.row ->> 'rule_id' FROM history.link h
        WHERE (h.row ->> 'person_id')::uuid = :key AND h.known_during @> CAST(:n AS bigint)
    -- withdrawn by then: it stays with the person it was last linked to
    UNION ALL SELECT h.record_id, h.row ->> 'rule_id' FROM history.link h
        WHERE :dated AND (h.row ->> 'person_id')::uuid = :key AND upper(h.known_during) <= :n
        AND NOT EXISTS (SELECT FROM history.link o WHERE o.record_id = h.record_id AND o.row IS NOT NULL
            AND lower(o.known_during) >= upper(h.known_during) AND lower(o.known_during) <= :n)
        AND NOT EXISTS (SELECT FROM identity.link o WHERE o.record_id = h.record_id
            AND NOT EXISTS (SELECT FROM history.link p WHERE p.record_id = h.record_id AND p.known_during @> CAST(:n AS bigint)))
), past AS MATERIALIZED (
    SELECT l.rule_id, v.record_id, v.valid_during, v.is_withdrawn, v.traits, v.delivery_id,
        CASE WHEN :n >= v.open_until THEN upper(v.valid_during) END AS valid_to
    FROM linked l JOIN history.record v USING (record_id)
    WHERE known_from <= :n AND lower(valid_during) <= CAST(:day AS date) AND (CAST(:day AS date) < upper(valid_during) OR :n < open_until)
    UNION ALL SELECT l.rule_id, v.record_id, v.valid_during, v.is_withdrawn, v.traits, v.delivery_id,
        CASE WHEN :n >= v.open_until THEN upper(v.valid_during) END
    FROM linked l JOIN history.record_revised v USING (record_id)
    WHERE known_during @> CAST(:n AS bigint) AND lower(valid_during) <= CAST(:day AS date)
        AND (CAST(:day AS date) <@ valid_during OR :n < open_until)
), r AS MATERIALIZED (
    SELECT o.rule_id, NULL::date AS valid_to, c.* FROM linked o JOIN identity.record c USING (record_id)
    WHERE c.as_of_date <= CAST(:day AS date) AND NOT EXISTS (SELECT FROM past p WHERE p.record_id = c.record_id)
    UNION ALL SELECT p.rule_id, p.valid_to, c.* FROM past p, jsonb_populate_record(NULL::identity.record, p.traits
        || jsonb_build_object('record_id', p.record_id, 'as_of_date', lower(p.valid_during), 'delivery_id', p.delivery_id)) AS c
    WHERE NOT p.is_withdrawn
)
SELECT {golden}, max(as_of_date) AS as_of_date,
    jsonb_agg(jsonb_build_object('stem', stem, 'record_id', record_id, 'record_key', record_key, 'rule_id', rule_id, 'valid_from', as_of_date,
        'valid_to', valid_to, 'delivery_id', delivery_id) ORDER BY stem, record_key) AS records
FROM {records} AS r HAVING count(*) > 0
"""
# Memberships as they stood in a publication.
_STOOD = """
SELECT c.kind, c.person_id::text, c.household_id::text, c.relation, c.stem, c.evidence FROM core.household_member c WHERE c.{current}
    AND NOT EXISTS (SELECT FROM history.household_member h WHERE h.person_id = c.person_id AND h.kind = c.kind AND h.known_during @> :n)
UNION ALL SELECT f.kind, f.person_id::text, f.household_id::text, f.relation, f.stem, f.evidence
    FROM history.household_member h, jsonb_populate_record(NULL::core.household_member, h.row) AS f
    WHERE {former} AND h.known_during @> :n AND h.row IS NOT NULL
ORDER BY kind, person_id
"""
_STOOD_OF = _STOOD.format(current="person_id = ANY(:persons)", former="h.person_id = ANY(:persons)")
_STOOD_IN = _STOOD.format(current="household_id = :key", former="(h.row ->> 'household_id')::uuid = :key")


@cache
def _person(policy: str) -> str:
    by = parsed(policy)
    return _PERSON.format(golden=survivorship.golden(by), records=survivorship.placed(by, "r", are_of_one=True))


@cache  # a text is read for its parameters each time it is made
def _text(query: str) -> sa.TextClause:
    return sa.text(query)


def _rows(connection: sa.Connection, query: str, **values: Any) -> list[dict[str, Any]]:
    return [dict(r._mapping) for r in connection.execute(_text(query), values)]


def _golden(connection: sa.Connection, policy: Survivorship, key: str, number: int, day: date | None) -> list[dict[str, Any]]:
    """Golden values and records of a person on a day, None = whatever is newest, by what was known in a publication; none = no record was valid."""
    types = {"key": "uuid", "n": "bigint", "day": "date", "dated": "boolean"}
    values = {"key": key, "n": number, "day": day or "infinity", "dated": day is not None}
    return [dict(r._mapping) for r in prepared.execute(connection, _person(policy.model_dump_json()), types, values)]


def person(connection: sa.Connection, person_id: str, at: Moment, rule: Rule, *, by: Survivorship | None = None) -> dict[str, Any]:
    """One person as of a moment: golden values, records with the time each version was valid, households.

    An id that led elsewhere then is followed. Golden values and households are made of the versions valid on the date.

    Args:
        connection: to the pool, in a transaction.
        person_id: of the person.
        at: the moment.
        rule: how persons become households.
        by: survivorship policy; None = the one that was in force at the instant.

    Raises:
        ConfigError: no such person, not known by then, or nothing is known of it on the date.
    """
    key = as_uuid(person_id)
    found = answers_to(connection, key, at.number)
    # the record a person is named by may belong to another person by now
    leads = found if found == key or found is None else answers_to(connection, found, at.number)
    if leads is None:
        erasures.tell(connection, key)
        is_known = (
            "SELECT EXISTS (SELECT FROM identity.link WHERE record_id = :key) OR EXISTS (SELECT FROM history.link WHERE record_id = :key)"
        )
        if connection.scalar(sa.text(is_known), {"key": key}):
            raise ConfigError(
                f"the hub did not know this person yet at publication {at.number}", where="ID", next_step="ask with a later --known-at"
            )
        raise ConfigError("there is no such person", where="ID")
    policy = survivorship.in_force(connection, at.number) if by is None else by
    told = _golden(connection, policy, leads, at.number, at.valid)
    if not told:
        erasures.tell(connection, leads)
        day = at.valid or "that instant"
        raise ConfigError(f"no agency held a record of this person on {day}, by what was known then", where="ID")
    found_homes = homes_of(connection, rule, at, [leads])
    shown = [{name: home[name] for name in ("kind", "household_id", "relation", "stem", "evidence")} for home in found_homes]
    return {"person_id": leads, **_shown(at), **told[0], "households": shown}


def homes_of(connection: sa.Connection, rule: Rule, at: Moment, persons: Sequence[str]) -> list[dict[str, Any]]:
    """The households of some persons as of a moment: those that stood, and of whom something was learnt of that day since, those made anew.

    Returns:
        As :func:`warehouse.homes.of_persons`, in no order.
    """
    anew: list[dict[str, Any]] = []
    if at.homes_on is not None and (learnt := hindsight.concerned(connection, persons, at.night, at.number)):
        anew = homes.of_persons(connection, rule, at.homes_on, at.number, sorted(learnt))
        persons = [p for p in persons if p not in learnt]
    return [*_stood(connection, _STOOD_OF, "uuid[]", at, persons=list(persons)), *anew]


def _stood(connection: sa.Connection, query: str, of: str, at: Moment, **whom: Any) -> list[dict[str, Any]]:
    ((name, value),) = whom.items()
    found = prepared.execute(connection, query, {name: of, "n": "bigint"}, {name: value, "n": at.night})
    return [dict(row) for row in found.mappings()]


def _shown(at: Moment) -> dict[str, Any]:
    return {"valid_on": at.valid, "publication": at.number, "known_at": at.published_at}


_HOUSEHOLD = """
SELECT household_id::text, kind, head_person_id::text, members AS size FROM core.household c WHERE household_id = :key
    AND NOT EXISTS (SELECT FROM history.household h WHERE h.household_id = c.household_id AND h.known_during @> CAST(:n AS bigint))
UNION ALL SELECT f.household_id::text, f.kind, f.head_person_id::text, f.members
    FROM history.household h, jsonb_populate_record(NULL::core.household, h.row) AS f
    WHERE h.household_id = :key AND h.known_during @> CAST(:n AS bigint) AND h.row IS NOT NULL
"""
_MEMBERS = """
WITH m AS MATERIALIZED (
    SELECT c.* FROM core.household_member c WHERE household_id = :key AND NOT EXISTS (SELECT FROM history.household_member h
        WHERE h.person_id = c.person_id AND h.kind = c.kind AND h.known_during @> CAST(:n AS bigint))
    UNION ALL SELECT f.* FROM history.household_member h, jsonb_populate_record(NULL::core.household_member, h.row) AS f
        WHERE (h.row ->> 'household_id')::uuid = :key AND h.known_during @> CAST(:n AS bigint)
), p AS MATERIALIZED (
    SELECT c.* FROM m JOIN core.person c USING (person_id)
        WHERE NOT EXISTS (SELECT FROM history.person h WHERE h.person_id = c.person_id AND h.known_during @> CAST(:n AS bigint))
    UNION SELECT f.* FROM m JOIN history.person h USING (person_id), jsonb_populate_record(NULL::core.person, h.row) AS f
        WHERE h.known_during @> CAST(:n AS bigint) AND h.row IS NOT NULL
)
SELECT m.person_id::text, p.name, p.sex, p.birth_date, m.relation, m.stem, m.evidence FROM m LEFT JOIN p USING (person_id)
ORDER BY m.relation, p.birth_date
"""


def household(connection: sa.Connection, household_id: str, at: Moment, rule: Rule) -> dict[str, Any]:
    """One household as of a moment, with its members.

    Raises:
        ConfigError: no such household, or there was none of that id then.
    """
    key = as_uuid(household_id)
    found = _rows(connection, _HOUSEHOLD, key=key, n=at.number) if at.homes_on is None else _of_day(connection, key, at, rule)
    if not found:
        is_known = "SELECT EXISTS (SELECT FROM core.household WHERE household_id = :key) OR EXISTS (SELECT FROM history.household WHERE household_id = :key)"
        if connection.scalar(sa.text(is_known), {"key": key}):
            when = f"in publication {at.number}" if at.valid is None else f"on {at.valid}, by what was known in publication {at.number}"
            raise ConfigError(f"there was no such household {when}", where="ID", next_step="ask with another --as-of or --known-at")
        raise ConfigError("there is no such household", where="ID")
    members = found[0].pop("members", None)
    return {**found[0], **_shown(at), "members": _rows(connection, _MEMBERS, key=key, n=at.number) if members is None else members}


def records(connection: sa.Connection, at: Moment, persons: Sequence[str]) -> dict[str, str]:
    """Record id → person, of the records that some persons had as of a moment: those :func:`person` tells."""
    policy = survivorship.in_force(connection, at.number)
    found: dict[str, str] = {}
    for key in persons:
        told = _golden(connection, policy, key, at.number, at.valid)
        found |= {r["record_id"]: key for golden in told for r in golden["records"]}
    return found


def _of_day(connection: sa.Connection, key: str, at: Moment, rule: Rule) -> list[dict[str, Any]]:
    """A household of a date by what was learnt of it since, with its members; none = there was none of that id."""
    assert at.homes_on is not None
    ever = [str(p) for p in prepared.execute(connection, homes.EVER, {"id": "uuid"}, {"id": key}).scalars()]
    if ever and not hindsight.concerned(connection, ever, at.night, at.number):
        found = _stood(connection, _STOOD_IN, "uuid", at, key=key)
    else:
        found = homes.members(connection, rule, at.homes_on, at.number, key)
    if not found:
        return []
    policy = survivorship.in_force(connection, at.number)
    members = []
    for member in found:
        person_id = member["person_id"]
        (golden,) = _golden(connection, policy, person_id, at.number, at.homes_on)
        own = {name: golden[name] for name in ("name", "sex", "birth_date")}
        members.append({"person_id": person_id, **own, **{n: member[n] for n in ("relation", "stem", "evidence")}})
    members.sort(key=lambda m: (m["relation"] is None, m["relation"] or "", m["birth_date"] is None, str(m["birth_date"])))
    # GB/T 4761-2008: 01 self and 02 head both mark the head of a household.
    head = min((m["person_id"] for m in members if m["relation"] in ("01", "02")), default=None)
    return [{"household_id": key, "kind": found[0]["kind"], "head_person_id": head, "size": len(members), "members": members}]
