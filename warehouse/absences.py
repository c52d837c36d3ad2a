"""Keys that a full delivery would withdraw, before it is let in: counted by township and by range of keys."""

from datetime import date
from typing import Any

import sqlalchemy as sa

from schemas.contract import Contract
from warehouse import agency_tables


def expected(
    connection: sa.Connection, contract: Contract, business_date: date, as_of: date, *, fewest: int, ranges: int
) -> list[tuple[str, str | None, int, int]]:
    """Kind (all, township, range), name, keys in the pool and keys absent, of each group; nothing where fewer than `fewest` are absent at all.

    Ranges are equal parts of the source's keys in their order, by place and not by leading characters: serial numbers share those, while a page or file
    that was lost is a stretch of keys whatever they look like. A key in quarantine or refused by parse is there.
    """
    core, staged, refused = (
        agency_tables.core_table(contract.stem),
        *(of(contract.stem, str(business_date)) for of in (agency_tables.staging_table, agency_tables.refused_table)),
    )
    if not connection.scalar(sa.text("SELECT to_regclass(:core)"), {"core": core}):
        return []
    # As a late delivery: where something newer spoke of a key, this one withdraws nothing.
    held = f"FROM {core} c WHERE c.withdrawn_date IS NULL AND c.as_of_date <= :as_of"
    connection.execute(
        sa.text(
            f"CREATE TEMP TABLE absent ON COMMIT DROP AS SELECT c.record_key {held}"
            f' AND NOT EXISTS (SELECT FROM {staged} s WHERE s."{contract.key.name}"::text = c.record_key)'
            f" AND NOT EXISTS (SELECT FROM {refused} r WHERE r.record_key = c.record_key)"
        ),
        {"as_of": as_of},
    )
    groups: list[tuple[str, str | None, int, int]] = []
    if (connection.scalar(sa.text("SELECT count(*) FROM absent")) or 0) >= fewest:
        rows = connection.execute(
            sa.text(
                "SELECT CASE grouping(township, part) WHEN 3 THEN 'all' WHEN 1 THEN 'township' ELSE 'range' END, CASE grouping(township, part)"
                " WHEN 1 THEN township WHEN 2 THEN part::text END, count(*), count(*) FILTER (WHERE is_absent) FROM"
                ' (SELECT "left"(r.area_code, 9) AS township, k.part, a.record_key IS NOT NULL AS is_absent FROM'
                f" (SELECT c.record_key, c.record_id, ntile({ranges}) OVER (ORDER BY c.record_key) AS part {held}) AS k"
                " LEFT JOIN identity.record r ON r.record_id = k.record_id LEFT JOIN absent a ON a.record_key = k.record_key) AS told"
                " GROUP BY GROUPING SETS ((), (township), (part)) ORDER BY grouping(township, part) DESC, part, township NULLS LAST"
            ),
            {"as_of": as_of},
        )
        groups = [tuple(row) for row in rows]
    connection.execute(sa.text("DROP TABLE absent"))
    return groups


def recent(connection: sa.Connection, stem: str, before: date, limit: int) -> list[list[dict[str, Any]]]:
    """Groups of a source's recent full deliveries as the gate reported them, newest first; without those that had to be released."""
    rows = connection.scalars(
        sa.text(
            "SELECT coalesce(r.verdict -> 'withdrawals', '[]') FROM ops.intake i JOIN landing.report r USING (delivery_id) WHERE i.stem = :stem"
            " AND i.scope = 'full' AND i.state = 'merged' AND i.business_date < :before AND coalesce(i.keys_before, 0) > 0 AND NOT EXISTS"
            " (SELECT FROM ops.ruling u WHERE u.delivery_id = i.delivery_id AND u.ruling = 'released') ORDER BY i.business_date DESC LIMIT :limit"
        ),
        {"stem": stem, "before": before, "limit": limit},
    )
    return list(rows)
