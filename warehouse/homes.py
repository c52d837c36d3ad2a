"""Households of another day: made anew of the records that were valid on it, by what was known in a publication, as a night makes them.

What a night stored is what it knew. A late delivery, a withdrawal, or a link that was found or taken back since says otherwise of that day;
who was in whose household then follows from the records, by the very rule and within the very reach of the night (`identity.following`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from warehouse import hindsight, identity_pool, prepared, versions
from warehouse.identity_pool import Follow, Resolve

_VOICE = "r.record_id, r.stem, authority, as_of_date, r.registered_no, registered_relation, r.living_no, living_relation, birth_date, sex, address_key, phone_key"


@dataclass(frozen=True)
class Rule:
    """How persons become households.

    Attributes:
        resolve, follow, steps: as for :func:`warehouse.identity_pool.group`.
        pool: its name, which households' ids are made with.
    """

    resolve: Resolve
    follow: Follow
    steps: int
    pool: str


# Records of some persons: those linked to one in the publication, and those without a link by then that were last linked to it.
_OF_PERSONS = """
SELECT l.record_id FROM identity.link l WHERE l.person_id = ANY(:persons)
    AND NOT EXISTS (SELECT FROM history.link h WHERE h.record_id = l.record_id AND h.known_during @> :n)
UNION SELECT h.record_id FROM history.link h WHERE (h.row ->> 'person_id')::uuid = ANY(:persons) AND lower(h.known_during) <= :n
"""
_LED = f"({versions.led('r.record_id')})"


def _valid(of_these: str) -> str:
    """Query of the versions of some records that were valid on the day, each with its person; `of_these` gives an array of their ids."""
    return f"""
WITH past AS MATERIALIZED (
    SELECT v.record_id, v.valid_during, v.is_withdrawn, v.traits FROM history.record v WHERE v.record_id = ANY({of_these})
        AND known_from <= :n AND lower(valid_during) <= :day AND (:day < upper(valid_during) OR :n < open_until)
    UNION ALL SELECT v.record_id, v.valid_during, v.is_withdrawn, v.traits FROM history.record_revised v
        WHERE v.record_id = ANY({of_these}) AND known_during @> :n AND lower(valid_during) <= :day AND (:day <@ valid_during OR :n < open_until)
), valid AS (
    SELECT c.* FROM identity.record c WHERE c.record_id = ANY({of_these}) AND c.as_of_date <= :day
        AND NOT EXISTS (SELECT FROM past p WHERE p.record_id = c.record_id)
    UNION ALL SELECT c.* FROM past p, jsonb_populate_record(NULL::identity.record, p.traits
        || jsonb_build_object('record_id', p.record_id, 'as_of_date', lower(p.valid_during))) AS c WHERE NOT p.is_withdrawn
)
SELECT {_VOICE}, linked.person_id FROM valid r CROSS JOIN LATERAL {_LED} AS linked
"""


_MINE = f"own AS MATERIALIZED ({_OF_PERSONS})"
# Every version by which some persons are heard on the day.
_HEARD = f"WITH {_MINE} SELECT v.* FROM ({_valid('ARRAY(SELECT record_id FROM own)')}) AS v WHERE person_id = ANY(:persons)"
# One step: everybody who bears a number that some persons bore on the day, these among them.
_STEP = f"""
WITH {_MINE}, hop AS MATERIALIZED (SELECT DISTINCT stem, registered_no, living_no FROM ({_valid("ARRAY(SELECT record_id FROM own)")}) AS v
    WHERE person_id = ANY(:persons) AND coalesce(registered_no, living_no) IS NOT NULL
), near AS MATERIALIZED ({hindsight.BEARING})
SELECT DISTINCT person_id::text FROM ({_valid("ARRAY(SELECT record_id FROM near)")}) AS v
"""
_TYPES = {"persons": "uuid[]", "day": "date", "n": "bigint"}


def _within(connection: sa.Connection, day: date, number: int, persons: Sequence[str], steps: int) -> list[set[str]]:
    """Everybody within so many steps of some persons, from number to number: a set for 0, 1, 2 … steps, fewer where nobody came anew."""
    reached = [{str(p) for p in persons}]
    fresh = reached[0]
    while fresh and len(reached) <= steps:
        values = {"persons": sorted(fresh), "day": day, "n": number}
        fresh = set(prepared.execute(connection, _STEP, _TYPES, values).scalars()) - reached[-1]
        reached.append(reached[-1] | fresh)
    return reached


def _hear(connection: sa.Connection, day: date, number: int, persons: set[str]) -> None:
    """Make the temporary table `voice` of some persons."""
    connection.execute(sa.text("DROP TABLE IF EXISTS voice"))
    prepared.execute(connection, _HEARD, _TYPES, {"persons": sorted(persons), "day": day, "n": number}, table="voice")


def of_persons(connection: sa.Connection, rule: Rule, day: date, number: int, persons: Sequence[str]) -> list[dict[str, Any]]:
    """The households of some persons on a day, by what was known in a publication.

    Args:
        connection: a transaction; temporary tables are made in it, and dropped.
        rule: how persons become households.
        day: the day.
        number: the publication.
        persons: ids, as they led in that publication.

    Returns:
        One row a person and kind: ``kind``, ``person_id``, ``household_id``, ``relation``, ``stem``, ``evidence``, in their order.
    """
    _hear(connection, day, number, _within(connection, day, number, persons, rule.steps)[-1])
    return _placed(connection, rule, persons)


# Whoever was in a household in any publication.
EVER = (
    "SELECT person_id FROM core.household_member WHERE household_id = :id"
    " UNION SELECT person_id FROM history.household_member WHERE (row ->> 'household_id')::uuid = :id"
)


def members(connection: sa.Connection, rule: Rule, day: date, number: int, household_id: str) -> list[dict[str, Any]]:
    """The same of a household: a row a member. None of them = there was no such household on that day."""
    led = f"SELECT DISTINCT linked.person_id::text FROM ({EVER}) AS r(record_id) CROSS JOIN LATERAL {_LED} AS linked"
    leads = prepared.execute(connection, led, {"id": "uuid", "n": "bigint"}, {"id": household_id, "n": number}).scalars().all()
    # Whoever was in it on that day, though no publication ever said so, is as near to those who ever were as a household reaches; and those who
    # decide that are as near to these.
    reached = _within(connection, day, number, leads, 2 * rule.steps)
    start = sorted(reached[min(rule.steps, len(reached) - 1)])
    _hear(connection, day, number, reached[-1])
    return [m for m in _placed(connection, rule, start) if m["household_id"] == household_id]


def _placed(connection: sa.Connection, rule: Rule, persons: Sequence[str]) -> list[dict[str, Any]]:
    connection.execute(sa.text("DROP TABLE IF EXISTS placed"))
    connection.execute(sa.text(f"CREATE TEMP TABLE placed ({identity_pool.PLACED}) ON COMMIT DROP"))
    identity_pool.place(connection, "placed", rule.resolve, rule.follow)
    query = (
        f"SELECT kind, person_id::text, household_id::text, relation, stem, evidence FROM (SELECT {identity_pool.MEMBER} FROM placed m"
        " JOIN voice v ON v.record_id = m.record_id JOIN voice r ON r.record_id = m.anchor_record_id"
        " WHERE m.person_id = ANY(CAST(:persons AS uuid[]))) AS told ORDER BY kind, person_id"
    )
    found = [dict(row._mapping) for row in connection.execute(sa.text(query), {"pool": rule.pool, "persons": list(persons)})]
    connection.execute(sa.text("DROP TABLE placed, voice"))
    return found
