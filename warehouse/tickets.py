"""Tickets: what items of quarantine add up to, one an agency, rule and business day, and what happened to each."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class Group:
    """What a ticket adds up to; counts are of keys (of rows where a row has none).

    Attributes:
        opened_date: business date of the first failure.
        delivery_id: a delivery the ticket is about; None when none came.
        rows: all; each is open, passed (delivered, for a delivery as a whole) or withdrawn (by the agency,
            with the whole delivery by the hub, or erased by law).
        again: failures beyond the first: the agency sent the same key wrong again.
        proved_date: business date of the last proof; None while there is none.
    """

    stem: str
    rule_id: str
    opened_date: date
    stage: str
    field: str | None
    delivery_id: str | None
    rows: int
    open: int
    passed: int
    withdrawn: int
    again: int
    proved_date: date | None


@dataclass(frozen=True)
class Stored:
    """A ticket as it was opened, with the last state it was given.

    Attributes:
        escalated_date: business date of the night that escalated it since it was last opened; None = none did.
        escalated_to: who was asked then, beside the agency.
    """

    ticket_id: str
    stem: str
    rule_id: str
    opened_date: date
    stage: str
    field: str | None
    title_zh: str
    title_en: str
    owner: str
    due_date: date
    is_due_provisional: bool
    state: str
    state_date: date
    detail: dict[str, Any]
    escalated_date: date | None
    escalated_to: str | None


@dataclass(frozen=True)
class Event:
    """One change of state, one export, or one escalation."""

    event: str
    business_date: date
    actor: str
    detail: dict[str, Any]
    noted_at: datetime


@dataclass(frozen=True)
class Pointer:
    """A failing row that is still open: where it was last delivered."""

    delivery_id: str
    row_number: int
    field: str | None


def groups(connection: sa.Connection, stem: str | None = None) -> list[Group]:
    """What each ticket adds up to, by source, day and rule."""
    rows = connection.execute(
        sa.text(
            "SELECT stem, rule_id, opened_date, min(stage) AS stage, min(field) AS field, min(delivery_id::text) AS delivery_id,"
            " count(DISTINCT key_ref) AS rows, count(DISTINCT key_ref) FILTER (WHERE proof_kind IS NULL) AS open,"
            " count(DISTINCT key_ref) FILTER (WHERE proof_kind IN ('passed', 'delivered')) AS passed,"
            " count(DISTINCT key_ref) FILTER (WHERE proof_kind IN ('withdrawn', 'taken_out', 'erased')) AS withdrawn,"
            " count(*) - count(DISTINCT key_ref) AS again, max(proof_date) AS proved_date"
            " FROM quarantine.ticket_item WHERE CAST(:stem AS text) IS NULL OR stem = :stem"
            " GROUP BY stem, rule_id, opened_date ORDER BY stem, opened_date, rule_id"
        ),
        {"stem": stem},
    )
    return [Group(**row._mapping) for row in rows]


def stored(connection: sa.Connection, *, stem: str | None = None, ticket_id: str | None = None) -> list[Stored]:
    """Tickets that were opened, with their last state, by source, day and rule."""
    rows = connection.execute(
        sa.text(
            "SELECT t.ticket_id, t.stem, t.rule_id, t.opened_date, t.stage, t.field, t.title_zh, t.title_en, t.owner, t.due_date,"
            " t.is_due_provisional, e.event AS state, e.business_date AS state_date, e.detail, up.business_date AS escalated_date,"
            " up.detail ->> 'owner' AS escalated_to FROM quarantine.ticket t CROSS JOIN LATERAL"
            " (SELECT event, business_date, detail FROM quarantine.ticket_event e WHERE e.ticket_id = t.ticket_id"
            " AND event NOT IN ('exported', 'escalated') ORDER BY event_no DESC LIMIT 1) e LEFT JOIN LATERAL"
            " (SELECT u.business_date, u.detail FROM quarantine.ticket_event u WHERE u.ticket_id = t.ticket_id AND u.event = 'escalated'"
            " AND NOT EXISTS (SELECT FROM quarantine.ticket_event r WHERE r.ticket_id = u.ticket_id AND r.event = 'reopened'"
            " AND r.event_no > u.event_no) ORDER BY u.event_no DESC LIMIT 1) up ON true"
            " WHERE (CAST(:stem AS text) IS NULL OR t.stem = :stem)"
            " AND (CAST(:ticket AS text) IS NULL OR t.ticket_id = :ticket) ORDER BY t.stem, t.opened_date, t.rule_id"
        ),
        {"stem": stem, "ticket": ticket_id},
    )
    return [Stored(**row._mapping) for row in rows]


def add(connection: sa.Connection, ticket_id: str, group: Group, **told: Any) -> None:
    """Write a ticket down.

    Args:
        told: ``title_zh``, ``title_en``, ``owner``, ``due_date``, ``is_due_provisional``.
    """
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.ticket (ticket_id, stem, rule_id, opened_date, stage, field, title_zh, title_en, owner, due_date,"
            " is_due_provisional) VALUES (:ticket_id, :stem, :rule_id, :opened_date, :stage, :field, :title_zh, :title_en, :owner,"
            " :due_date, :is_due_provisional)"
        ),
        {"ticket_id": ticket_id, "stem": group.stem, "rule_id": group.rule_id, "opened_date": group.opened_date, "stage": group.stage,
         "field": group.field, **told},
    )  # fmt: skip


def note(connection: sa.Connection, ticket_id: str, event: str, business_date: date, actor: str, detail: dict[str, Any]) -> None:
    """Append an event."""
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.ticket_event (ticket_id, event, business_date, actor, detail)"
            " VALUES (:ticket, :event, :day, :actor, CAST(:detail AS jsonb))"
        ),
        {"ticket": ticket_id, "event": event, "day": business_date, "actor": actor, "detail": json.dumps(detail, ensure_ascii=False, default=str)},
    )  # fmt: skip


def lock(connection: sa.Connection) -> None:
    """Hold everybody else who writes tickets until this transaction ends: two may not open the same one."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(1953063787)"))


def events(connection: sa.Connection, ticket_id: str) -> list[Event]:
    """What happened to a ticket, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT event, business_date, actor, detail, noted_at FROM quarantine.ticket_event WHERE ticket_id = :ticket ORDER BY event_no"
        ),
        {"ticket": ticket_id},
    )
    return [Event(**row._mapping) for row in rows]


def pointers(connection: sa.Connection, group: Group, *, is_open: bool = True) -> list[Pointer]:
    """Rows of a ticket that are still failing, each where it was last delivered; a delivery as a whole has none."""
    rows = connection.execute(
        sa.text(
            "SELECT delivery_id::text, row_number, field FROM (SELECT DISTINCT ON (key_ref) key_ref, delivery_id, row_number, field FROM"
            " quarantine.ticket_item WHERE stem = :stem AND rule_id = :rule AND opened_date = :day AND row_number > 0"
            " AND (proof_kind IS NULL) = :is_open ORDER BY key_ref, failed_date DESC, delivery_id, row_number) AS last"
            " ORDER BY delivery_id, row_number"
        ),
        {"stem": group.stem, "rule": group.rule_id, "day": group.opened_date, "is_open": is_open},
    )
    return [Pointer(**row._mapping) for row in rows]


def proofs(connection: sa.Connection, group: Group) -> list[dict[str, Any]]:
    """How each item of a ticket was settled: its pointer and the proof's; no value."""
    rows = connection.execute(
        sa.text(
            "SELECT delivery_id::text, row_number, failed_date, proof_kind, proof_delivery_id::text, proof_row_number, proof_date"
            " FROM quarantine.ticket_item WHERE stem = :stem AND rule_id = :rule AND opened_date = :day"
            " ORDER BY failed_date, row_number, delivery_id"
        ),
        {"stem": group.stem, "rule": group.rule_id, "day": group.opened_date},
    )
    return [dict(row._mapping) for row in rows]
