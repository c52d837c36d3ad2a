"""Disputed values: by record and attribute, never by value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag

from hub.seal import Seal
from hub.settings import Settings
from hub.working_days import working_days
from schemas.contract import BOOKKEEPING, Contract, load_contract, load_contracts
from warehouse import agency_tables, ledger, survivorship
from warehouse.asking import Asking
from warehouse.survivorship import COLUMNS

GOLDEN = "person"
_SEALED_BYTES = 2048  # of one length, so that it does not tell the text's
DETAILS_CHARS = 500
_REF = "md5({record}::text || chr(31) || coalesce({value}::text, ''))::uuid"


@dataclass(frozen=True)
class Source:
    """Where a person's value comes from."""

    stem: str
    record_id: str
    value_ref: str


@dataclass(frozen=True)
class By:
    """Who disputes what for, in the words they chose.

    Attributes:
        department, client_id, receipt_id: of a dispute over the service; None = it is opened at the hub.
        details: what the agency is told beside; None = nothing. It is kept sealed.
    """

    asker: str
    kind: str
    reason: str
    details: str | None = None
    department: str | None = None
    client_id: str | None = None
    receipt_id: str | None = None


class Disputed(Exception):
    """Every record's value is disputed already."""


@dataclass(frozen=True)
class Stored:
    """A dispute with how it ended; the last four are None while it is open.

    Attributes:
        attribute: as the catalogue names it.
        department, receipt_id: of a dispute over the service; None = it was opened at the hub.
        continues: the dispute it goes on from, whose answer was withdrawn; None = somebody opened it.
    """

    dispute_id: str
    continues: str | None
    kind: str
    reason: str
    attribute: str
    stem: str
    record_id: str
    person_id: str | None
    asker: str
    owner: str
    opened_date: date
    due_date: date
    is_due_provisional: bool
    department: str | None
    receipt_id: str | None
    outcome: str | None
    ended_date: date | None
    delivery_id: str | None
    words: str | None


def lock(connection: sa.Connection) -> None:
    """Hold everybody else who writes disputes until this transaction ends."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(1953063788)"))


def is_known(attribute: str) -> bool:
    """Whether an attribute can be disputed: a golden one, or a field of an agency's records that says something about a person."""
    room, _, name = attribute.partition(".")
    if room == GOLDEN:
        return name in COLUMNS
    contract = load_contracts().get(room)
    return contract is not None and name in _fields(contract)


def _fields(contract: Contract) -> list[str]:
    return [f.name for f in contract.fields if not f.is_key and f.concept not in BOOKKEEPING]


def source(connection: sa.Connection, person_id: str, attribute: str) -> Source | None:
    """The record a person's golden value comes from now; None where no record has one."""
    column, policy = COLUMNS[attribute], survivorship.in_force(connection)
    held = "(SELECT o.* FROM identity.link l JOIN identity.record o USING (record_id) WHERE l.person_id = CAST(:person AS uuid))"
    row = connection.execute(
        sa.text(
            f"SELECT r.stem, r.record_id::text, {_REF.format(record='r.record_id', value=f'r.{column}')}::text AS value_ref"
            f" FROM {survivorship.records(policy, held, are_of_one=True, of=[attribute])} AS r WHERE r.{column} IS NOT NULL"
            f" ORDER BY {survivorship.order(policy, attribute)} LIMIT 1"
        ),
        {"person": person_id},
    ).one_or_none()
    return Source(**row._mapping) if row else None


def sources(connection: sa.Connection, person_id: str, attribute: str, record_key: str | None = None) -> list[Source]:
    """The records a person's value is in: of a golden one the record it comes from, of an agency's each that the person has there, whatever it says.

    Args:
        connection: an open connection.
        person_id: of the person.
        attribute: that :func:`is_known`.
        record_key: only this record of the agency; None = each.
    """
    room, _, name = attribute.partition(".")
    if room == GOLDEN:
        golden = source(connection, person_id, name)
        return [golden] if golden is not None else []
    table = agency_tables.core_table(room)
    if not connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": table}):
        return []
    column = f'r."{name}"'
    rows = connection.execute(
        sa.text(
            f"SELECT CAST(:stem AS text) AS stem, r.record_id::text, {_REF.format(record='r.record_id', value=column)}::text AS value_ref"
            f" FROM {table} r JOIN identity.link l USING (record_id) WHERE l.person_id = CAST(:person AS uuid) AND r.withdrawn_date IS NULL"
            " AND (CAST(:key AS text) IS NULL OR r.record_key = :key) ORDER BY r.record_key"
        ),
        {"stem": room, "person": person_id, "key": record_key},
    )
    return [Source(**row._mapping) for row in rows]


def open_(connection: sa.Connection, settings: Settings, attribute: str, found: Sequence[Source], by: By) -> list[Stored]:
    """Dispute a value in records where it is not disputed yet, each asked of its agency; the legal clock begins today.

    Args:
        connection: in a transaction of the owner of the tables.
        settings: whose calendar and secrets.
        attribute: that :func:`is_known`.
        found: the records, at least one.
        by: who disputes it.

    Raises:
        Disputed: it is in every one of them.
    """
    lock(connection)
    ids = [s.record_id for s in found]
    taken = connection.scalars(
        sa.text("SELECT record_id::text FROM share.disputed WHERE attribute = :attribute AND record_id = ANY(CAST(:ids AS uuid[]))"),
        {"attribute": attribute, "ids": ids},
    ).all()
    day = ledger.today(settings, connection)
    made = []
    for one in found:
        if one.record_id not in taken:
            key = _write(connection, settings, attribute, one, by, day)
            note(connection, key, "open", day, by.asker)
            made += stored(connection, dispute_id=key)
    if not made:
        raise Disputed
    return made


def _write(
    connection: sa.Connection, settings: Settings, attribute: str, one: Source, by: By, day: date, continues: str | None = None
) -> str:
    """Write a dispute of a record down, its legal clock begins on the day; its id."""
    due = working_days(settings).after(day, settings.dispute_due_days)
    key = str(connection.scalar(sa.text("SELECT uuidv7()")))
    connection.execute(
        sa.text(
            "INSERT INTO ops.dispute (dispute_id, kind, reason, attribute, stem, record_id, value_ref, asker, owner, opened_date, due_date,"
            " is_due_provisional, department, client_id, receipt_id, details, continues) VALUES (CAST(:key AS uuid), :kind, :reason, :attribute, :stem,"
            " CAST(:record_id AS uuid), CAST(:value_ref AS uuid), :asker, :owner, :opened_date, :due_date, :is_due_provisional, :department, :client_id,"
            " CAST(:receipt_id AS uuid), :details, CAST(:continues AS uuid))"
        ),
        {**vars(one), **vars(by), "attribute": attribute, "owner": load_contract(one.stem).owner, "opened_date": day, "due_date": due.day,
         "is_due_provisional": due.is_provisional, "key": key, "details": _sealed(settings, key, by.details), "continues": continues},
    )  # fmt: skip
    return key


def note(connection: sa.Connection, dispute_id: str, event: str, day: date, actor: str, words: str | None = None) -> None:
    """Append the opening or the end of a dispute."""
    connection.execute(
        sa.text(
            "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor, words) VALUES (CAST(:key AS uuid), :event, :day, :actor, :words)"
        ),
        {"key": dispute_id, "event": event, "day": day, "actor": actor, "words": words},
    )


def _sealed(settings: Settings, dispute_id: str, details: str | None) -> bytes | None:
    return None if not details else Seal(settings, "dispute.key").close(details.encode().ljust(_SEALED_BYTES, b"\0"), dispute_id)


def details(connection: sa.Connection, settings: Settings, dispute_id: str) -> str | None:
    """What the agency is told beside; None = nothing, it was erased, or its key is gone."""
    sealed = connection.scalar(sa.text("SELECT details FROM ops.dispute WHERE dispute_id = CAST(:key AS uuid)"), {"key": dispute_id})
    if sealed is None:
        return None
    try:
        return Seal(settings, "dispute.key").open(bytes(sealed), dispute_id).rstrip(b"\0").decode()
    except InvalidTag:
        return None


def _value(contract: Contract) -> str:
    """What a record says now of the attribute of a dispute `d`, of its columns `r` in the pool and `c` in its agency's table."""
    golden = " ".join(f"WHEN '{GOLDEN}.{name}' THEN r.{column}::text" for name, column in COLUMNS.items())
    own = " ".join(f"""WHEN '{contract.stem}.{name}' THEN c."{name}"::text""" for name in _fields(contract))
    return f"CASE d.attribute {golden} {own} END"


def answer(connection: sa.Connection, contract: Contract, delivery_id: str, day: date, actor: str) -> int:
    """End open disputes whose record a delivery that is being published changed in the disputed value, or withdrew; how many."""
    value = _value(contract)
    return connection.execute(
        sa.text(
            "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor, delivery_id)"
            " SELECT d.dispute_id, 'answered', :day, :actor, CAST(:delivery AS uuid) FROM share.disputed o JOIN ops.dispute d USING (dispute_id)"
            # the record may have been born anew since; the hash is of the id it had
            f" LEFT JOIN identity.record r ON r.record_id = o.record_id LEFT JOIN {agency_tables.core_table(contract.stem)} c ON c.record_id = o.record_id"
            f" WHERE d.stem = :stem AND (r.record_id IS NULL OR {_REF.format(record='d.record_id', value=value)} <> d.value_ref)"
        ),
        {"stem": contract.stem, "delivery": delivery_id, "day": day, "actor": actor},
    ).rowcount


def open_again(connection: sa.Connection, settings: Settings, contract: Contract, delivery_id: str, actor: str) -> int:
    """Dispute anew what a delivery had answered that is taken out of the pool, where the record says again what was disputed; how many.

    Each is a dispute of its own that continues the one that ended: a new legal clock, and the same words of whoever asked.
    """
    lock(connection)
    held = _REF.format(record="d.record_id", value=_value(contract))
    ended = connection.execute(
        sa.text(
            "SELECT d.dispute_id::text, d.attribute, d.stem, d.record_id::text, d.value_ref::text, d.asker, d.kind, d.reason, d.department, d.client_id,"
            " d.receipt_id::text FROM ops.dispute d JOIN ops.dispute_event e USING (dispute_id) JOIN identity.record r USING (record_id)"
            f" LEFT JOIN {agency_tables.core_table(contract.stem)} c USING (record_id)"
            f" WHERE e.event = 'answered' AND e.delivery_id = CAST(:delivery AS uuid) AND d.stem = :stem AND {held} = d.value_ref"
            " AND NOT EXISTS (SELECT FROM share.disputed o WHERE o.record_id = d.record_id AND o.attribute = d.attribute)"
            " AND NOT EXISTS (SELECT FROM ops.dispute n WHERE n.continues = d.dispute_id) ORDER BY d.dispute_id"
        ),
        {"delivery": delivery_id, "stem": contract.stem},
    ).all()
    day = ledger.today(settings, connection)
    for former in ended:
        told = details(connection, settings, former.dispute_id)
        by = By(former.asker, former.kind, former.reason, told, former.department, former.client_id, former.receipt_id)
        source = Source(former.stem, former.record_id, former.value_ref)
        note(connection, _write(connection, settings, former.attribute, source, by, day, former.dispute_id), "open", day, actor)
    return len(ended)


def marks(connection: sa.Connection, record_ids: Sequence[str], at: datetime | None = None) -> list[dict[str, Any]]:
    """Disputes about some records that were open at an instant (None = now), oldest first, as an operator reads them."""
    rows = connection.execute(
        sa.text(
            # one whose record was born anew since is found by either id
            "SELECT d.attribute, d.kind, d.stem, (CASE WHEN d.record_id = ANY(CAST(:ids AS uuid[])) THEN d.record_id ELSE o.record_id END)::text"
            " AS record_id, d.opened_date, d.due_date, d.dispute_id::text FROM ops.dispute d LEFT JOIN share.disputed o USING (dispute_id)"
            " WHERE d.dispute_id = ANY(ARRAY(SELECT dispute_id FROM ops.dispute WHERE record_id = ANY(CAST(:ids AS uuid[]))"
            " UNION SELECT dispute_id FROM share.disputed WHERE record_id = ANY(CAST(:ids AS uuid[])))) AND d.noted_at <= coalesce(CAST(:at AS timestamptz), 'infinity')"
            " AND NOT EXISTS (SELECT FROM ops.dispute_event e WHERE e.dispute_id = d.dispute_id AND e.event <> 'open'"
            " AND e.noted_at <= coalesce(CAST(:at AS timestamptz), 'infinity')) ORDER BY d.dispute_id"
        ),
        {"ids": list(record_ids), "at": at},
    )
    return [dict(r._mapping) for r in rows]


def mark_members(connection: sa.Connection, household: dict[str, Any], records: Mapping[str, str], at: datetime | None = None) -> None:
    """Mark the disputed values in a household as it was found: `disputes`, as of a person with whose they are; `disputed`, the attributes, at each member.

    Args:
        connection: an open connection.
        household: with its `members`.
        records: record id → the member it is of.
        at: disputes that were open at this instant; None = now.
    """
    household["disputes"] = [{"person_id": records[m["record_id"]], **m} for m in marks(connection, list(records), at)]
    for member in household["members"]:
        own = {m["attribute"] for m in household["disputes"] if m["person_id"] == member["person_id"]}
        member["disputed"] = sorted(own)


def stored(connection: sa.Connection, *, dispute_id: str | None = None, person_id: str | None = None) -> list[Stored]:
    """Disputes, oldest first.

    Args:
        connection: an open connection.
        dispute_id: only this one; its id or the beginning of it.
        person_id: only those about records that belong to this person now.
    """
    rows = connection.execute(
        sa.text(
            "SELECT d.dispute_id::text, d.continues::text, d.kind, d.reason, d.attribute, d.stem, coalesce(o.record_id, d.record_id)::text AS record_id, l.person_id::text, d.asker, d.owner,"
            " d.opened_date, d.due_date, d.is_due_provisional, d.department, d.receipt_id::text, e.event AS outcome, e.business_date AS ended_date, e.delivery_id::text, e.words"
            " FROM ops.dispute d LEFT JOIN share.disputed o USING (dispute_id) LEFT JOIN identity.link l ON l.record_id = coalesce(o.record_id, d.record_id)"
            " LEFT JOIN ops.dispute_event e ON e.dispute_id = d.dispute_id AND e.event <> 'open'"
            " WHERE (CAST(:key AS text) IS NULL OR starts_with(d.dispute_id::text, :key))"
            " AND (CAST(:person AS text) IS NULL OR l.person_id::text = :person) ORDER BY d.dispute_id"
        ),
        {"key": dispute_id, "person": person_id},
    )
    return [Stored(**row._mapping) for row in rows]


_OWN = (
    "SELECT d.dispute_id::text, d.continues::text, d.receipt_id::text, d.attribute, d.stem, d.kind, d.reason, d.client_id, d.opened_date, d.due_date, e.event AS outcome,"
    " e.business_date AS ended_date, e.words FROM ops.dispute d LEFT JOIN ops.dispute_event e ON e.dispute_id = d.dispute_id AND e.event <> 'open'"
    " WHERE d.department = $1"
)


async def page(asking: Asking, department: str, after: Any | None, most: int, *, open_only: bool) -> list[Any]:
    """A department's disputes behind an id, oldest first."""
    return await asking.read(
        None,
        f"{_OWN} AND ($2::uuid IS NULL OR d.dispute_id > $2) AND (NOT $3 OR e.event IS NULL) ORDER BY d.dispute_id LIMIT $4",
        department, after, open_only, most,
    )  # fmt: skip


async def one(asking: Asking, department: str, dispute_id: Any) -> Any | None:
    """A department's dispute; None = it has none of that id."""
    rows = await asking.read(None, f"{_OWN} AND d.dispute_id = $2::uuid", department, dispute_id)
    return rows[0] if rows else None
