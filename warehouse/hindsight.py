"""Whose households of past days a publication may have put in another light: a late delivery, a withdrawal, a link found or taken back.

Households of a day are made anew of the records valid on it (:mod:`warehouse.homes`), which takes some hundredths of a second. Of nearly everybody
they are what the night of that day stored, for nothing was learnt of that day since. So each publication notes, in its own transaction, the persons
of whom that is not certain: those of the records about whose past it learnt something, and whoever is within reach of them by household numbers
that any version of a record ever bore. Whoever is not noted after a night has the households that night stored.
"""

from collections.abc import Sequence
from datetime import date

import sqlalchemy as sa

from warehouse import prepared

# Twice as far as a household reaches (`identity.following.STEPS`): whoever could have come to a household is within reach of who was in it.
STEPS = 6
# Beyond this share of the pool, and number, everybody is noted by one row: looking is dearer than making anew.
_SHARE, _FEW = 0.05, 1000

# Some of what the publication brought speaks of days before its own.
_IS_LATE = "EXISTS (SELECT FROM history.observation WHERE publication = :k AND as_of_date < :day)"
# Records of whose past the publication says something else than the one before it.
_LEARNT = f"""
SELECT h.record_id FROM history.link h LEFT JOIN identity.link l USING (record_id)
    WHERE upper(h.known_during) = :k AND h.row IS NOT NULL AND l.person_id IS DISTINCT FROM (h.row ->> 'person_id')::uuid
    -- what its agency holds no more since that day stays with the person it was of
    AND (l.record_id IS NOT NULL OR NOT EXISTS (SELECT FROM history.record v WHERE v.record_id = h.record_id AND v.open_until = :k
        AND upper(v.valid_during) >= :day))
UNION SELECT h.record_id FROM history.link h JOIN identity.link l USING (record_id)
    WHERE upper(h.known_during) = :k AND h.row IS NULL
    AND EXISTS (SELECT FROM history.link o WHERE o.record_id = h.record_id AND (o.row ->> 'person_id')::uuid <> l.person_id)
UNION SELECT h.record_id FROM history.link h JOIN identity.record r USING (record_id)
    WHERE upper(h.known_during) = :k AND h.row IS NULL AND r.as_of_date < :day AND {_IS_LATE}
UNION SELECT v.record_id FROM history.change c JOIN history.record v ON v.record_id = c.subject_id
    WHERE c.publication = :k AND c.kind = 'record' AND v.open_until = :k AND upper(v.valid_during) < :day AND {_IS_LATE}
UNION SELECT record_id FROM history.record WHERE known_from = :k
UNION SELECT record_id FROM history.record_revised WHERE upper(known_during) = :k
"""
_EVER_OF = (
    "SELECT l.person_id FROM {records} JOIN identity.link l USING (record_id) UNION"
    " SELECT (h.row ->> 'person_id')::uuid FROM {records} JOIN history.link h USING (record_id) WHERE h.row IS NOT NULL"
)
_VERSIONS = {
    "identity.record": "v.{kind}_no",
    "history.record": "v.traits ->> '{kind}_no'",
    "history.record_revised": "v.traits ->> '{kind}_no'",
}
_KINDS = ("registered", "living")
_BORNE = " UNION ".join(
    f"SELECT v.stem, {', '.join(f'{number.format(kind=kind)} AS {kind}_no' for kind in _KINDS)} FROM own JOIN {table} v USING (record_id)"
    for table, number in _VERSIONS.items()
)
# Query of the records that bear, now or in any version, one of the numbers in `hop`: `stem`, `registered_no`, `living_no`.
BEARING = " UNION ".join(
    f"SELECT v.record_id FROM hop h JOIN {table} v ON v.stem = h.stem AND {number.format(kind=kind)} = h.{kind}_no"
    for table, number in _VERSIONS.items()
    for kind in _KINDS
)
_STEP = f"""
INSERT INTO within_reach WITH fresh AS MATERIALIZED (SELECT person_id FROM within_reach WHERE step = :step - 1
), own AS MATERIALIZED (
    SELECT record_id FROM fresh JOIN identity.link USING (person_id)
    UNION SELECT h.record_id FROM fresh f JOIN history.link h ON (h.row ->> 'person_id')::uuid = f.person_id
), hop AS MATERIALIZED ({_BORNE}
), bearing AS MATERIALIZED ({BEARING})
SELECT person_id, :step FROM ({_EVER_OF.format(records="bearing")}) AS found ON CONFLICT DO NOTHING
"""


def note(connection: sa.Connection, publication: int, day: date) -> int:
    """Note whose past a publication may have changed; in its transaction, once all else is written. How many rows.

    Args:
        connection: the transaction.
        publication: its number.
        day: the newest business date published by then, its own included.
    """
    at = {"k": publication, "day": day}
    connection.execute(sa.text("DROP TABLE IF EXISTS within_reach"))
    connection.execute(sa.text("CREATE TEMP TABLE within_reach (person_id uuid PRIMARY KEY, step int NOT NULL) ON COMMIT DROP"))
    start = f"WITH learnt AS MATERIALIZED ({_LEARNT}) SELECT person_id, 0 FROM ({_EVER_OF.format(records='learnt')}) AS found"
    fresh = connection.execute(sa.text(f"INSERT INTO within_reach {start}"), at).rowcount
    persons = int(connection.scalar(sa.text("SELECT count(*) FROM core.person")) or 0) if fresh else 0
    noted = fresh
    # A few persons at a time, each by an index: nobody has counted the temporary table for the planner.
    _plan_by_index(connection, True)
    for step in range(1, STEPS + 1):
        if not fresh or noted > max(_FEW, persons * _SHARE):
            break
        fresh = connection.execute(sa.text(_STEP), {"step": step}).rowcount
        noted += fresh
    _plan_by_index(connection, False)
    is_everybody = noted > max(_FEW, persons * _SHARE)
    whom = "SELECT CAST(NULL AS uuid)" if is_everybody else "SELECT person_id FROM within_reach"
    connection.execute(
        sa.text(f"INSERT INTO history.hindsight (person_id, publication) SELECT person_id, :k FROM ({whom}) AS w(person_id)"), at
    )
    connection.execute(sa.text("DROP TABLE within_reach"))
    return 1 if is_everybody else noted


def _plan_by_index(connection: sa.Connection, is_on: bool) -> None:
    for name in ("enable_hashjoin", "enable_mergejoin"):
        connection.execute(sa.text(f"SET LOCAL {name} = {'off' if is_on else 'on'}"))


_CONCERNED = """
SELECT p::text FROM unnest(:persons) AS p WHERE EXISTS (SELECT FROM history.hindsight WHERE person_id = p AND publication > :night AND publication <= :n)
    OR EXISTS (SELECT FROM history.hindsight WHERE person_id IS NULL AND publication > :night AND publication <= :n)
"""


def concerned(connection: sa.Connection, persons: Sequence[str], night: int, number: int) -> set[str]:
    """Those of some persons of whose households until a night something may have been learnt after it, up to a publication."""
    types = {"persons": "uuid[]", "night": "bigint", "n": "bigint"}
    return set(prepared.execute(connection, _CONCERNED, types, {"persons": list(persons), "night": night, "n": number}).scalars())
