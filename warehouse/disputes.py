"""Disputed values: by record and attribute, never by value."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from warehouse import survivorship
from warehouse.survivorship import COLUMNS

_REF = "md5({record}::text || chr(31) || coalesce({value}::text, ''))::uuid"
_VALUE = "CASE d.attribute " + " ".join(f"WHEN '{name}' THEN r.{column}::text" for name, column in COLUMNS.items()) + " END"


@dataclass(frozen=True)
class Source:
    """Where a person's value comes from."""

    stem: str
    record_id: str
    value_ref: str


@dataclass(frozen=True)
class Stored:
    """A dispute with how it ended; the last four are None while it is open."""

    dispute_id: str
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
    outcome: str | None
    ended_date: date | None
    delivery_id: str | None
    words: str | None


def lock(connection: sa.Connection) -> None:
    """Hold everybody else who writes disputes until this transaction ends."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(1953063788)"))


def source(connection: sa.Connection, person_id: str, attribute: str) -> Source | None:
    """The record a person's value comes from now; None where no record has one."""
    column, policy = COLUMNS[attribute], survivorship.in_force(connection)
    held = "(SELECT o.* FROM identity.link l JOIN identity.record o USING (record_id) WHERE l.person_id = CAST(:person AS uuid))"
    row = connection.execute(
        sa.text(
            f"SELECT r.stem, r.record_id::text, {_REF.format(record='r.record_id', value=f'r.{column}')}::text AS value_ref"
            f" FROM {survivorship.records(policy, held, are_of_one=True)} AS r WHERE r.{column} IS NOT NULL"
            f" ORDER BY {survivorship.order(policy, attribute)} LIMIT 1"
        ),
        {"person": person_id},
    ).one_or_none()
    return Source(**row._mapping) if row else None


def add(connection: sa.Connection, found: Source, **told: Any) -> str:
    """Write a dispute down, open; its id.

    Args:
        found: where the value comes from.
        told: ``kind``, ``reason``, ``attribute``, ``asker``, ``owner``, ``opened_date``, ``due_date``, ``is_due_provisional``.
    """
    key = connection.scalar(
        sa.text(
            "INSERT INTO ops.dispute (kind, reason, attribute, stem, record_id, value_ref, asker, owner, opened_date, due_date,"
            " is_due_provisional) VALUES (:kind, :reason, :attribute, :stem, CAST(:record_id AS uuid), CAST(:value_ref AS uuid), :asker, :owner,"
            " :opened_date, :due_date, :is_due_provisional) RETURNING dispute_id::text"
        ),
        {**vars(found), **told},
    )
    note(connection, str(key), "open", told["opened_date"], told["asker"])
    return str(key)


def note(connection: sa.Connection, dispute_id: str, event: str, day: date, actor: str, words: str | None = None) -> None:
    """Append the opening or the end of a dispute."""
    connection.execute(
        sa.text(
            "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor, words) VALUES (CAST(:key AS uuid), :event, :day, :actor, :words)"
        ),
        {"key": dispute_id, "event": event, "day": day, "actor": actor, "words": words},
    )


def answer(connection: sa.Connection, stem: str, delivery_id: str, day: date, actor: str) -> int:
    """End open disputes whose record a delivery that is being published changed in the disputed value, or withdrew; how many."""
    return connection.execute(
        sa.text(
            "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor, delivery_id)"
            " SELECT d.dispute_id, 'answered', :day, :actor, CAST(:delivery AS uuid) FROM ops.dispute d"
            " LEFT JOIN identity.record r USING (record_id) WHERE d.stem = :stem"
            " AND NOT EXISTS (SELECT FROM ops.dispute_event e WHERE e.dispute_id = d.dispute_id AND e.event <> 'open')"
            f" AND (r.record_id IS NULL OR {_REF.format(record='r.record_id', value=_VALUE)} <> d.value_ref)"
        ),
        {"stem": stem, "delivery": delivery_id, "day": day, "actor": actor},
    ).rowcount


def stored(connection: sa.Connection, *, dispute_id: str | None = None, person_id: str | None = None) -> list[Stored]:
    """Disputes, oldest first.

    Args:
        connection: an open connection.
        dispute_id: only this one; its id or the beginning of it.
        person_id: only those about records that belong to this person now.
    """
    rows = connection.execute(
        sa.text(
            "SELECT d.dispute_id::text, d.kind, d.reason, d.attribute, d.stem, d.record_id::text, l.person_id::text, d.asker, d.owner,"
            " d.opened_date, d.due_date, d.is_due_provisional, e.event AS outcome, e.business_date AS ended_date, e.delivery_id::text, e.words"
            " FROM ops.dispute d LEFT JOIN identity.link l USING (record_id)"
            " LEFT JOIN ops.dispute_event e ON e.dispute_id = d.dispute_id AND e.event <> 'open'"
            " WHERE (CAST(:key AS text) IS NULL OR starts_with(d.dispute_id::text, :key))"
            " AND (CAST(:person AS text) IS NULL OR l.person_id::text = :person) ORDER BY d.dispute_id"
        ),
        {"key": dispute_id, "person": person_id},
    )
    return [Stored(**row._mapping) for row in rows]
