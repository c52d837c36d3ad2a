"""What engineers ruled on whole deliveries, against the gate: withdrawn, released. Appended, never changed."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa


@dataclass(frozen=True)
class Ruling:
    """What somebody ruled on a delivery: withdrawn or released, by whom, when and why."""

    ruling: str
    ruled_by: str
    ruled_at: datetime
    reason: str


def by_delivery(connection: sa.Connection) -> dict[str, list[Ruling]]:
    """All rulings by delivery, newest first; deliveries on which nobody ruled are left out."""
    rows = connection.execute(
        sa.text("SELECT delivery_id::text, ruling, ruled_by, ruled_at, reason FROM ops.ruling ORDER BY ruled_at DESC, ruling_id DESC")
    )
    found: dict[str, list[Ruling]] = {}
    for delivery_id, *ruling in rows:
        found.setdefault(delivery_id, []).append(Ruling(*ruling))
    return found


def newest(connection: sa.Connection, delivery_id: str) -> tuple[str, str] | None:
    """The ruling that counts on a delivery, and its reason; None = the gate decides."""
    found = connection.execute(
        sa.text(
            "SELECT ruling, reason FROM ops.ruling WHERE delivery_id = CAST(:id AS uuid) ORDER BY ruled_at DESC, ruling_id DESC LIMIT 1"
        ),
        {"id": delivery_id},
    ).one_or_none()
    return tuple(found) if found else None


def releases(connection: sa.Connection, delivery_id: str) -> list[tuple[str, datetime, str]]:
    """Who released a delivery, when and why, oldest first, since it was last withdrawn."""
    rows = connection.execute(
        sa.text(
            "SELECT ruled_by, ruled_at, reason FROM ops.ruling r WHERE delivery_id = CAST(:id AS uuid) AND ruling = 'released' AND NOT EXISTS (SELECT"
            " FROM ops.ruling w WHERE w.delivery_id = r.delivery_id AND w.ruling = 'withdrawn' AND w.ruled_at > r.ruled_at) ORDER BY ruled_at"
        ),
        {"id": delivery_id},
    )
    return [tuple(row) for row in rows]


def is_confirmed(connection: sa.Connection, delivery_id: str, shown_at: datetime) -> bool:
    """Whether two persons released a delivery, one of them after it was shown what it would withdraw."""
    found = releases(connection, delivery_id)
    return len({by for by, _, _ in found}) > 1 and max(at for _, at, _ in found) > shown_at


def append(connection: sa.Connection, delivery_id: str, ruling: str, *, by: str, reason: str) -> None:
    """Write a ruling down."""
    connection.execute(
        sa.text("INSERT INTO ops.ruling (delivery_id, ruling, reason, ruled_by) VALUES (CAST(:id AS uuid), :ruling, :reason, :by)"),
        {"id": delivery_id, "ruling": ruling, "reason": reason, "by": by},
    )


def counts(connection: sa.Connection, stem: str, core: str) -> dict[str, int]:
    """Persons, households, records of the pool, and the records a source holds and has to mend: what a ruling is measured by."""
    query = (
        "SELECT (SELECT count(*) FROM core.person) AS persons, (SELECT count(*) FROM core.household) AS households,"
        " (SELECT count(*) FROM identity.record) AS records, (SELECT count(*) FROM identity.record WHERE stem = :stem) AS records_of_source,"
        f" (SELECT count(*) FROM history.record WHERE stem = :stem) AS past_versions, (SELECT count(*) FROM {core} WHERE withdrawn_date IS NOT NULL) AS withdrawn_keys,"
        " (SELECT count(DISTINCT (rule_id, key_ref)) FROM quarantine.ticket_item WHERE stem = :stem AND proof_kind IS NULL) AS to_be_mended"
    )
    return dict(connection.execute(sa.text(query), {"stem": stem}).one()._mapping)


def merged_on(connection: sa.Connection, delivery_id: str) -> bool:
    """Whether a delivery is in the pool."""
    return bool(
        connection.scalar(
            sa.text("SELECT EXISTS (SELECT FROM history.observation WHERE delivery_id = CAST(:id AS uuid))"), {"id": delivery_id}
        )
    )
