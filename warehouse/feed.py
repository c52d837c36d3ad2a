"""The change feed: what each publication changed, and why; and what each subject became by it.

An entry of the outbox holds no value; what its subject became is read from the pool and its history as of that publication. So a feed read late, or
again, says what it said at first, and no value is stored twice.
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
    (SELECT FROM history.person h WHERE h.person_id = p.person_id AND h.known_during @> e.publication)
UNION ALL SELECT h.row FROM history.person h WHERE h.person_id = e.subject_id AND h.known_during @> e.publication AND h.row IS NOT NULL
"""
_HOMES = """
SELECT to_jsonb(c) FROM core.household c WHERE c.household_id = e.subject_id AND NOT EXISTS
    (SELECT FROM history.household h WHERE h.household_id = c.household_id AND h.known_during @> e.publication)
UNION ALL SELECT h.row FROM history.household h WHERE h.household_id = e.subject_id AND h.known_during @> e.publication AND h.row IS NOT NULL
"""
_MEMBERS = """
SELECT jsonb_agg(m.row - 'household_id' - 'kind' ORDER BY m.row ->> 'person_id') FROM (
    SELECT to_jsonb(c) AS row FROM core.household_member c WHERE c.household_id = e.subject_id AND NOT EXISTS (SELECT FROM history.household_member h
        WHERE h.person_id = c.person_id AND h.kind = c.kind AND h.known_during @> e.publication)
    UNION ALL SELECT h.row FROM history.household_member h
        WHERE (h.row ->> 'household_id')::uuid = e.subject_id AND h.known_during @> e.publication
) AS m
"""
_RECORD = "jsonb_build_object('stem', {stem}, 'record_key', {v}.record_key, 'as_of_date', {since}, 'fields', {fields})"
# The current row of a record, where it was that already.
_CURRENT = """
SELECT e.publication, e.subject_id, {told} AS becomes FROM e JOIN identity.record r ON r.record_id = e.subject_id AND r.stem = '{stem}'
JOIN {core} c ON c.record_key = r.record_key WHERE e.kind = 'record' AND c.known_from <= e.publication
"""
# A version that is not current any more was the newest one until its end was known.
_FORMER = f"""
SELECT e.publication, e.subject_id, {_RECORD.format(stem="v.stem", v="v", since="lower(v.valid_during)", fields="v.row")} AS becomes
FROM e JOIN history.record v ON v.record_id = e.subject_id
    WHERE e.kind = 'record' AND v.known_from <= e.publication AND e.publication < v.open_until AND NOT v.is_withdrawn
UNION ALL SELECT e.publication, e.subject_id, {_RECORD.format(stem="v.stem", v="v", since="lower(v.valid_during)", fields="v.row")}
FROM e JOIN history.record_revised v ON v.record_id = e.subject_id
    WHERE e.kind = 'record' AND v.known_during @> e.publication AND (upper_inf(v.valid_during) OR e.publication < v.open_until) AND NOT v.is_withdrawn
"""
_ENTRIES = f"""
WITH e AS MATERIALIZED (
    SELECT * FROM history.change WHERE (publication, kind, subject_id) > (:publication, :kind, CAST(:subject AS uuid))
    ORDER BY publication, kind, subject_id LIMIT :limit
), record AS MATERIALIZED ({{records}})
SELECT e.publication, p.published_at, p.business_date, p.cause, e.kind, e.subject_id::text, e.change, e.reasons,
    (SELECT r.person_id::text FROM identity.redirect r WHERE r.old_person_id = e.subject_id AND e.kind = 'person' AND e.change = 'gone')
        AS leads_to,
    CASE e.kind WHEN 'person' THEN ({_PEOPLE})
        WHEN 'household' THEN (SELECT h.row || jsonb_build_object('members', ({_MEMBERS})) FROM ({_HOMES}) AS h (row))
        ELSE (SELECT r.becomes FROM record r WHERE r.publication = e.publication AND r.subject_id = e.subject_id) END AS becomes
FROM e JOIN ops.published p ON p.number = e.publication ORDER BY e.publication, e.kind, e.subject_id
"""
_FIRST = "00000000-0000-0000-0000-000000000000"
_LAST_KIND = "~"  # sorts behind all


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
    # A publication alone stands behind all its entries.
    return {"publication": int(number), "kind": kind or _LAST_KIND, "subject": as_uuid(subject, "--since") if rest else _FIRST}


def since(connection: sa.Connection, contracts: Iterable[Contract], cursor: str, *, limit: int) -> list[dict[str, Any]]:
    """Entries after a cursor, oldest first, at most so many: those of one subject in the order they befell it.

    Each has its `cursor`; the publication with its instant, night and cause; what befell which subject and why; for a person who is gone, the one
    the id leads to today; and what the subject became by it, values included (null = it is gone).

    Args:
        connection: to the pool.
        contracts: of the sources.
        cursor: number of a publication, for all after it; or the cursor of an entry.
        limit: entries at most.

    Raises:
        ConfigError: the cursor is none, or lies ahead.
    """
    place = _place(connection, cursor)
    records = [_FORMER]
    for contract in contracts:
        core = agency_tables.core_table(contract.stem)
        if connection.scalar(sa.text("SELECT to_regclass(:core)"), {"core": core}):
            told = _RECORD.format(stem="r.stem", v="c", since="c.as_of_date", fields=timeline.core_row(contract))
            records.append(_CURRENT.format(told=told, stem=contract.stem, core=core))
    found = connection.execute(sa.text(_ENTRIES.format(records=" UNION ALL ".join(records))), {**place, "limit": limit})
    return [{"cursor": f"{r.publication}.{r.kind}.{r.subject_id}", **r._mapping} for r in found]
