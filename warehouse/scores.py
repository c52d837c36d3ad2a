"""What a month of one source was like, in counts: its nights, and the rows of its deliveries that broke a rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class NightCounts:
    """One night of a source; counts in rows, None = nothing was let in.

    Attributes:
        state: of the intake, as the ledger has it.
        was_late: whether the night was first published without a good delivery (it was held, or did not come).
        kept_out: rows refused by parse or gate.
        verdict: the gate's rules with counts; empty when it judged nothing.
    """

    business_date: date
    state: str
    was_late: bool
    delivered: int | None
    kept_out: int | None
    delivery_id: str | None
    verdict: list[dict[str, Any]]


def nights(connection: sa.Connection, stem: str, first: date, last: date) -> list[NightCounts]:
    """Nights of a source from one date to another, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT i.business_date, i.state, EXISTS (SELECT FROM quarantine.ticket_item t WHERE t.stem = i.stem"
            " AND t.failed_date = i.business_date AND t.stage IN ('held', 'missing')) AS was_late,"
            " CASE WHEN i.state = 'merged' THEN i.delivered END AS delivered,"
            " CASE WHEN i.state = 'merged' THEN i.rejected + i.quarantined END AS kept_out, i.delivery_id::text,"
            " CASE WHEN i.state = 'merged' THEN coalesce(r.verdict -> 'results', '[]') ELSE '[]' END AS verdict"
            " FROM ops.intake i JOIN ops.night n USING (business_date) LEFT JOIN landing.report r ON r.delivery_id = i.delivery_id"
            " WHERE i.stem = :stem AND i.business_date BETWEEN :first AND :last AND n.published_at IS NOT NULL AND i.state <> 'pending'"
            " ORDER BY i.business_date"
        ),
        {"stem": stem, "first": first, "last": last},
    )
    return [NightCounts(**row._mapping) for row in rows]


def rows_breaking(connection: sa.Connection, deliveries: Sequence[str], rules: Sequence[str]) -> int:
    """Rows of deliveries in quarantine for one of some rules; a row counts once."""
    return int(
        connection.scalar(
            sa.text(
                "SELECT count(DISTINCT (delivery_id, row_number)) FROM quarantine.row"
                " WHERE delivery_id = ANY(CAST(:deliveries AS uuid[])) AND rule_id = ANY(CAST(:rules AS text[]))"
            ),
            {"deliveries": list(deliveries), "rules": list(rules)},
        )
        or 0
    )
