"""Disclosures that turned out otherwise: finding them by the two clocks, and keeping what became of them.

What was told of a person stands as long as the hub's knowledge of *that day* stands. A person who moves house next week makes nothing
untrue; a record that proves to be another person's, a delivery that is withdrawn, a late correction does.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from schemas.contract import Contract
from schemas.survivorship import Survivorship
from warehouse import agency_tables, database, past, timeline
from warehouse.asking import Asking
from warehouse.disclosure import question_column
from warehouse.forms import PERSON_COLUMNS
from warehouse.homes import Rule

_WORK = "looking back"  # one program at a time


@dataclass(frozen=True)
class Disclosure:
    """An entry of the log by which somebody was told something.

    Attributes:
        body: its canonical JSON.
        number: the publication it spoke of.
    """

    leaf_index: int
    receipt_id: str
    at: datetime
    client_id: str
    department: str
    purpose: str
    subject: bytes
    body: str
    number: int


@dataclass(frozen=True)
class Known:
    """What the hub knows of a person at a pair of times.

    Attributes:
        person: golden values as a row of ``core.person``; None = nothing was known.
        records: record → (source, its fields).
        homes: kind and id of the households.
        person_id: to whom the records belonged; None = nothing was known.
    """

    person: dict[str, Any] | None
    records: dict[str, tuple[str, dict[str, Any]]]
    homes: tuple[tuple[str, str], ...]
    person_id: str | None = None


@dataclass(frozen=True)
class Recall:
    """A disclosure that turned out otherwise; see ``share.recall``.

    Attributes:
        effects: how each that changed had been told, in the order of ``changed``; None = its entry in the log was erased.
        acknowledged_at: None = open.
    """

    recall_id: str
    receipt_id: str
    told_at: datetime
    department: str
    client_id: str
    purpose: str
    person_id: str
    persons: list[str]
    changed: list[str]
    cause: str
    stands: bool
    night: date | None
    found_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    effects: list[str | None]


def due(connection: sa.Connection) -> tuple[int, int] | None:
    """The last publication looked at and the newest; None when there is nothing to do, or another program does it. Holds the lock."""
    if not connection.scalar(sa.text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": database.lock_key(_WORK)}):
        return None
    since, newest = connection.execute(sa.text("SELECT s.publication, p.number FROM share.recall_scan s, ops.publication p")).one()
    return None if since >= newest else (int(since), int(newest))


def done(connection: sa.Connection, newest: int) -> None:
    """Note up to which publication was looked."""
    connection.execute(sa.text("UPDATE share.recall_scan SET publication = :newest"), {"newest": newest})


_CONCERNED = """
WITH moved AS (
    SELECT record_id FROM history.link WHERE upper(known_during) > :since AND upper(known_during) <= :newest
), revised AS (
    SELECT record_id FROM history.record_revised WHERE upper(known_during) > :since AND upper(known_during) <= :newest
    -- brought by a late delivery: it was past when it became known
    UNION SELECT record_id FROM history.record WHERE known_from > :since AND known_from <= :newest AND open_until = known_from
    -- a record that a late or withdrawn delivery ended, or began again
    UNION SELECT record_id FROM moved{released}
)
SELECT (row ->> 'person_id')::uuid::text FROM history.link JOIN revised USING (record_id) WHERE row IS NOT NULL
UNION SELECT person_id::text FROM identity.link JOIN revised USING (record_id)
"""


def concerned(connection: sa.Connection, stems: Iterable[str], since: int, newest: int) -> list[str]:
    """Persons of whose past something became known otherwise in some publications, by every id they had.

    What the next ordinary delivery says is news, even where an agency's as-of date lies before the night; a delivery that was held or withdrawn
    and is let in now is not.
    """
    released = "".join(
        f" UNION SELECT record_id FROM {agency_tables.core_table(stem)} WHERE known_from > :since"
        " AND delivery_id IN (SELECT delivery_id FROM ops.ruling WHERE ruling = 'released')"
        for stem in stems
        if connection.scalar(sa.text("SELECT to_regclass(:t)"), {"t": agency_tables.core_table(stem)})
    )
    found = connection.scalars(sa.text(_CONCERNED.format(released=released)), {"since": since, "newest": newest})
    return [key for key in found if key is not None]


def disclosures(connection: sa.Connection, subjects: Sequence[bytes], newest: int) -> Iterator[Disclosure]:
    """What was told of some subjects by publications before the newest."""
    rows = connection.execute(
        sa.text(
            "SELECT e.leaf_index, e.entry_id::text AS receipt_id, e.at, e.client_id, e.department, e.purpose, e.subject, e.body,"
            " (SELECT max(number) FROM ops.published WHERE published_at <= e.at) AS number"
            " FROM audit.entry e WHERE subject = ANY(:subjects) AND decision IN ('told', 'unchanged', 'notified') AND body IS NOT NULL ORDER BY leaf_index"
        ),
        {"subjects": list(subjects)},
    )
    for row in rows.all():
        if row.number is not None and row.number < newest:
            yield Disclosure(**{**row._mapping, "subject": bytes(row.subject)})


def known(
    connection: sa.Connection,
    contracts: dict[str, Contract],
    person_id: str,
    at: past.Moment,
    rule: Rule,
    *,
    by: Survivorship | None = None,
) -> Known:
    """What is known of a person at a pair of times.

    Args:
        connection: to the pool.
        contracts: of the sources.
        person_id: of the person.
        at: the pair of times.
        rule: how persons become households.
        by: survivorship policy of the golden values; None = the one that was in force then.
    """
    try:
        told = past.person(connection, person_id, at, rule, by=by)
    except ConfigError:  # nothing was known of it
        return Known(None, {}, ())
    person = {column: told[column] for column in PERSON_COLUMNS}
    records = {}
    for record in told["records"]:
        contract = contracts.get(record["stem"])
        fields = None if contract is None else _fields(connection, contract, record, at.number)
        if fields is not None:
            records[record["record_id"]] = (record["stem"], {**fields, "as_of_date": str(record["valid_from"])})
    homes = tuple(sorted((h["kind"], str(h["household_id"])) for h in told["households"]))
    return Known(json.loads(json.dumps(person, default=str)), records, homes, told["person_id"])


def _fields(connection: sa.Connection, contract: Contract, record: dict[str, Any], number: int) -> dict[str, Any] | None:
    """The contract's fields of the version of a record that began on a day, by a publication."""
    core = agency_tables.core_table(contract.stem)
    found: dict[str, Any] | None = connection.scalar(
        sa.text(
            f"SELECT row FROM (SELECT {timeline.core_row(contract)} AS row FROM {core} c WHERE c.record_key = :key AND c.as_of_date = :begins"
            " AND c.known_from <= :n"
            " UNION ALL SELECT h.row FROM history.record h WHERE h.record_id = CAST(:record AS uuid) AND lower(h.valid_during) = :begins"
            " AND h.known_from <= :n"
            " UNION ALL SELECT h.row FROM history.record_revised h WHERE h.record_id = CAST(:record AS uuid)"
            " AND lower(h.valid_during) = :begins AND h.known_during @> CAST(:n AS bigint)) AS f LIMIT 1"
        ),
        {"key": record["record_key"], "record": record["record_id"], "begins": record["valid_from"], "n": number},
    )
    return found


def evaluated(connection: sa.Connection, table: str, row: dict[str, Any], expressions: dict[str, str]) -> dict[str, Any]:
    """What expressions over a table's columns make of a row that is not in it.

    Args:
        connection: an open connection.
        table: the table.
        row: columns by name; those left out are null.
        expressions: name → SQL over the table's columns.
    """
    parts = ", ".join(f"CAST(:n{i} AS text), {expression}" for i, expression in enumerate(expressions.values()))
    found: dict[str, Any] = connection.scalar(
        sa.text(f"SELECT jsonb_build_object({parts}) FROM jsonb_populate_record(NULL::{table}, CAST(:row AS jsonb)) AS c"),
        {"row": json.dumps(row, default=str), **{f"n{i}": name for i, name in enumerate(expressions)}},
    )
    return found


def questions(connection: sa.Connection) -> dict[str, tuple[str, str]]:
    """Code of each question the database answers → its source, and SQL over the columns of that source's table."""
    mark = question_column("")
    rows = connection.execute(
        sa.text(
            "SELECT relname, attname, pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum"
            " JOIN pg_class ON pg_class.oid = adrelid WHERE relnamespace = 'core'::regnamespace AND attgenerated = 'v'"
            " AND starts_with(attname, :mark)"
        ),
        {"mark": mark},
    )
    return {name.removeprefix(mark): (stem, expression) for stem, name, expression in rows}


def add(
    connection: sa.Connection,
    found: Disclosure,
    *,
    person_id: str,
    persons: list[str],
    changed: list[str],
    cause: str,
    stands: bool,
    publication: int,
) -> bool:
    """Keep a recall; whether it is new."""
    return bool(
        connection.execute(
            sa.text(
                "INSERT INTO share.recall (leaf_index, receipt_id, told_at, department, client_id, purpose, person_id, persons, changed, cause, stands,"
                " publication, night) SELECT :leaf, :receipt, :at, :department, :client, :purpose, :person, CAST(:persons AS uuid[]), :changed, :cause, :stands, number,"
                " business_date FROM ops.published WHERE number = :publication ON CONFLICT DO NOTHING"
            ),
            {
                "leaf": found.leaf_index, "receipt": found.receipt_id, "at": found.at, "department": found.department, "client": found.client_id,
                "purpose": found.purpose, "person": person_id, "persons": persons, "changed": changed, "cause": cause, "stands": stands, "publication": publication,
            },
        ).rowcount
    )  # fmt: skip


def has_withdrawal(connection: sa.Connection, since: int, newest: int) -> bool:
    """Whether a delivery was taken out by one of some publications."""
    return bool(
        connection.scalar(
            sa.text("SELECT EXISTS (SELECT FROM ops.published WHERE cause = 'withdrawal' AND number > :since AND number <= :newest)"),
            {"since": since, "newest": newest},
        )
    )


_COLUMNS = (
    "recall_id::text, receipt_id::text, told_at, department, client_id, purpose, person_id::text, persons::text[], changed, cause, stands, night, found_at,"
    " acknowledged_at, acknowledged_by, ARRAY(SELECT e.body::jsonb -> 'told' ->> c.name FROM audit.entry e, unnest(recall.changed) WITH ORDINALITY AS c(name, n)"
    " WHERE e.leaf_index = recall.leaf_index ORDER BY c.n) AS effects"
)


async def page(asking: Asking, department: str, after: Any, limit: int, *, open_only: bool) -> list[Any]:
    """A department's recalls behind one of them (None = from the first), oldest first."""
    return await asking.read(
        None,
        f"SELECT {_COLUMNS} FROM share.recall WHERE department = $1 AND ($2::uuid IS NULL OR recall_id > $2)"
        " AND (NOT $3 OR acknowledged_at IS NULL) ORDER BY share.recall.recall_id LIMIT $4",
        department, after, open_only, limit,
    )  # fmt: skip


async def one(asking: Asking, department: str, recall_id: Any) -> Any | None:
    """A recall of a department; None = it has none of that id."""
    rows = await asking.read(None, f"SELECT {_COLUMNS} FROM share.recall WHERE department = $1 AND recall_id = $2", department, recall_id)
    return rows[0] if rows else None


async def acknowledge(asking: Asking, department: str, recall_id: Any, client_id: str) -> Any | None:
    """Note that a department dealt with a recall: the first time counts. The recall; None = it has none of that id."""
    rows = await asking.read(
        None,
        "UPDATE share.recall SET acknowledged_at = coalesce(acknowledged_at, now()), acknowledged_by = coalesce(acknowledged_by, $3)"
        f" WHERE department = $1 AND recall_id = $2 RETURNING {_COLUMNS}",
        department, recall_id, client_id,
    )  # fmt: skip
    return rows[0] if rows else None


def listed(connection: sa.Connection, *, department: str | None = None, open_only: bool = True) -> list[Recall]:
    """Recalls, oldest first.

    Args:
        connection: an open connection.
        department: only to this one.
        open_only: leave out what was acknowledged.
    """
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM share.recall WHERE (CAST(:department AS text) IS NULL OR department = :department)"
            " AND (NOT :open_only OR acknowledged_at IS NULL) ORDER BY share.recall.recall_id"
        ),
        {"department": department, "open_only": open_only},
    )
    return [Recall(**row._mapping) for row in rows]


@dataclass(frozen=True)
class OpenRecalls:
    """A department's recalls that it has not acknowledged."""

    department: str
    recalls: int
    persons: int
    oldest_at: datetime


def open_by_department(connection: sa.Connection) -> list[OpenRecalls]:
    """Recalls that wait to be acknowledged, by department, most first."""
    rows = connection.execute(
        sa.text(
            "SELECT department, count(*) AS recalls, count(DISTINCT person_id) AS persons, min(found_at) AS oldest_at FROM share.recall"
            " WHERE acknowledged_at IS NULL GROUP BY department ORDER BY recalls DESC, department"
        )
    )
    return [OpenRecalls(**row._mapping) for row in rows]
