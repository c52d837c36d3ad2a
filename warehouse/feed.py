"""The change feed: what each publication changed, and why; on request, what each subject became by it.

An entry of the outbox holds no value; what its subject was and became is read from the pool and its history as of the publications on either side. So a
feed read late, or again, says what it said at first, and no value is stored twice.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from schemas.contract import Contract
from warehouse import agency_tables, ledger, timeline
from warehouse.questions import as_uuid

_PEOPLE = """
SELECT to_jsonb(p) FROM core.person p WHERE p.person_id = e.subject_id AND NOT EXISTS
    (SELECT FROM history.person h WHERE h.person_id = p.person_id AND h.known_during @> {n})
UNION ALL SELECT h.row FROM history.person h WHERE h.person_id = e.subject_id AND h.known_during @> {n} AND h.row IS NOT NULL
"""
_HOMES = """
SELECT to_jsonb(c) FROM core.household c WHERE c.household_id = e.subject_id AND NOT EXISTS
    (SELECT FROM history.household h WHERE h.household_id = c.household_id AND h.known_during @> {n})
UNION ALL SELECT h.row FROM history.household h WHERE h.household_id = e.subject_id AND h.known_during @> {n} AND h.row IS NOT NULL
"""
_MEMBERS = """
SELECT jsonb_agg(m.row - 'household_id' - 'kind' ORDER BY m.row ->> 'person_id') FROM (
    SELECT to_jsonb(c) AS row FROM core.household_member c WHERE c.household_id = e.subject_id AND NOT EXISTS (SELECT FROM history.household_member h
        WHERE h.person_id = c.person_id AND h.kind = c.kind AND h.known_during @> {n})
    UNION ALL SELECT h.row FROM history.household_member h
        WHERE (h.row ->> 'household_id')::uuid = e.subject_id AND h.known_during @> {n}
) AS m
"""
_RECORD = "jsonb_build_object('stem', {stem}, 'record_key', {v}.record_key, 'as_of_date', {since}, 'fields', {fields})"
# The current row of a record, where it was that already.
_CURRENT = """
SELECT e.publication, e.subject_id, {told} AS row FROM e JOIN identity.record r ON r.record_id = e.subject_id AND r.stem = '{stem}'
JOIN {core} c ON c.record_key = r.record_key WHERE e.kind = 'record' AND c.known_from <= {n}
"""
# A version that is not current any more was the newest one until its end was known.
_FORMER = """
SELECT e.publication, e.subject_id, {record} AS row
FROM e JOIN history.record v ON v.record_id = e.subject_id
    WHERE e.kind = 'record' AND v.known_from <= {n} AND {n} < v.open_until AND NOT v.is_withdrawn
UNION ALL SELECT e.publication, e.subject_id, {record}
FROM e JOIN history.record_revised v ON v.record_id = e.subject_id
    WHERE e.kind = 'record' AND v.known_during @> {n} AND (upper_inf(v.valid_during) OR {n} < v.open_until) AND NOT v.is_withdrawn
"""
_FORMER_RECORD = _RECORD.format(stem="v.stem", v="v", since="lower(v.valid_during)", fields="v.row")
# What a subject was as of a publication.
_STOOD = f"""
CASE e.kind WHEN 'person' THEN ({_PEOPLE})
    WHEN 'household' THEN (SELECT h.row || jsonb_build_object('members', ({_MEMBERS})) FROM ({_HOMES}) AS h (row))
    ELSE (SELECT r.row FROM {{records}} r WHERE r.publication = e.publication AND r.subject_id = e.subject_id) END
"""
_AFTER, _BEFORE = "e.publication", "(e.publication - 1)"
_ENTRIES = """
WITH e AS MATERIALIZED (
    SELECT * FROM history.change WHERE (publication, kind, subject_id) > (:publication, :kind, CAST(:subject AS uuid))
    ORDER BY publication, kind, subject_id LIMIT :limit
), after AS MATERIALIZED ({after}), before AS MATERIALIZED ({before}),
told AS MATERIALIZED (SELECT e.*, {was} AS was, {becomes} AS becomes FROM e)
SELECT e.publication, p.published_at, p.business_date, p.cause, e.kind, e.subject_id::text, coalesce(e.becomes, e.was) ->> 'stem' AS stem,
    e.change, e.reasons,
    (SELECT r.person_id::text FROM identity.redirect r WHERE r.old_person_id = e.subject_id AND e.kind = 'person' AND e.change = 'gone')
        AS leads_to,
    ARRAY(SELECT f.key FROM jsonb_each(coalesce(e.becomes -> 'fields', e.becomes)) AS f
        WHERE e.change = 'changed' AND f.value IS DISTINCT FROM coalesce(e.was -> 'fields', e.was) -> f.key ORDER BY f.key) AS attributes,
    e.becomes
FROM told e JOIN ops.published p ON p.number = e.publication ORDER BY e.publication, e.kind, e.subject_id
"""
_FIRST = "00000000-0000-0000-0000-000000000000"
_LAST_KIND = "~"  # sorts behind all
_HAS_ENTRY = (
    "SELECT EXISTS (SELECT FROM history.change WHERE publication = :publication AND kind = :kind AND subject_id = CAST(:subject AS uuid))"
)


def _place(connection: sa.Connection, cursor: str) -> dict[str, Any]:
    number, _, rest = cursor.partition(".")
    kind, _, subject = rest.partition(".")
    if not (number.isascii() and number.isdigit()) or len(number) > 18 or (rest and kind not in ("household", "person", "record")):
        raise ConfigError(
            "not a cursor", where="--since", next_step="give the number of a publication, or the cursor of the last entry that was read"
        )
    last = ledger.publication(connection)
    if int(number) > last:
        raise ConfigError(f"the cursor lies ahead: the last publication is {last}", where="--since")
    if not rest:  # a publication alone stands behind all its entries
        return {"publication": int(number), "kind": _LAST_KIND, "subject": _FIRST}
    place = {"publication": int(number), "kind": kind, "subject": as_uuid(subject, "--since")}
    if not connection.scalar(sa.text(_HAS_ENTRY), place):
        step = f"give the cursor of the last entry that was read; {number} alone reads on after that publication"
        raise ConfigError("no entry has this cursor", where="--since", next_step=step)
    return place


def since(
    connection: sa.Connection, contracts: Iterable[Contract], cursor: str, *, limit: int, values: bool = False
) -> list[dict[str, Any]]:
    """Entries after a cursor, oldest first, at most so many: those of one subject in the order they befell it.

    Each has its `cursor`; the publication with its instant, night and cause; what befell which subject and why; of a record, its source (`stem`); for a
    person who is gone, the one the id leads to today; of what changed, the names of the attributes. No value of anybody, unless asked for.

    Args:
        connection: to the pool.
        contracts: of the sources.
        cursor: number of a publication, for all after it; or the cursor of an entry.
        limit: entries at most.
        values: add `becomes`, what the subject became by it (null = it is gone). Whoever shows it writes that down first: see :func:`records_behind`.

    Raises:
        ConfigError: the cursor is none, lies ahead, or is of no entry.
    """
    place = _place(connection, cursor)
    held = [c for c in contracts if connection.scalar(sa.text("SELECT to_regclass(:core)"), {"core": agency_tables.core_table(c.stem)})]
    query = _ENTRIES.format(
        after=_records(held, _AFTER), before=_records(held, _BEFORE),
        becomes=_STOOD.format(n=_AFTER, records="after"), was=_STOOD.format(n=_BEFORE, records="before"),
    )  # fmt: skip
    found = connection.execute(sa.text(query), {**place, "limit": limit})
    entries = [{"cursor": f"{r.publication}.{r.kind}.{r.subject_id}", **r._mapping} for r in found]
    return entries if values else [{name: told for name, told in entry.items() if name != "becomes"} for entry in entries]


def is_before_first_load(connection: sa.Connection, cursor: str) -> bool:
    """Whether a cursor lies before the pool's first load, of which there are no entries: whoever reads on from it misses all that came then."""
    place = _place(connection, cursor)
    return bool(
        connection.scalar(sa.text("SELECT CAST(:n AS bigint) < (SELECT min(number) FROM ops.published)"), {"n": place["publication"]})
    )


def _records(contracts: Iterable[Contract], known: str) -> str:
    """Records as of a publication, told as the feed tells them."""
    parts = [_FORMER.format(record=_FORMER_RECORD, n=known)]
    for contract in contracts:
        told = _RECORD.format(stem="r.stem", v="c", since="c.as_of_date", fields=timeline.core_row(contract))
        parts.append(_CURRENT.format(told=told, stem=contract.stem, core=agency_tables.core_table(contract.stem), n=known))
    return " UNION ALL ".join(parts)


def records_behind(connection: sa.Connection, entries: Iterable[dict[str, Any]]) -> list[str]:
    """The records whose values some entries with `becomes` tell: those themselves, those of the persons and of the members as of the publication."""
    own: set[str] = set()
    persons: set[tuple[int, str]] = set()
    for entry in entries:
        if entry["kind"] == "record":
            own.add(entry["subject_id"])
        elif entry["kind"] == "person":
            persons.add((entry["publication"], entry["subject_id"]))
        else:
            persons |= {(entry["publication"], m["person_id"]) for m in (entry["becomes"] or {}).get("members") or ()}
    linked = connection.scalars(
        sa.text(
            "WITH asked AS (SELECT * FROM unnest(CAST(:numbers AS bigint[]), CAST(:ids AS uuid[])) AS a (n, person_id))"
            " SELECT l.record_id::text FROM asked a JOIN identity.link l USING (person_id)"
            " WHERE NOT EXISTS (SELECT FROM history.link h WHERE h.record_id = l.record_id AND h.known_during @> a.n)"
            " UNION SELECT h.record_id::text FROM asked a JOIN history.link h ON (h.row ->> 'person_id')::uuid = a.person_id AND h.known_during @> a.n"
        ),
        {"numbers": [n for n, _ in persons], "ids": [person_id for _, person_id in persons]},
    )
    return sorted(own | set(linked))
