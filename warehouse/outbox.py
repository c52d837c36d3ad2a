"""The outbox: what a publication changed, and why, written in the transaction that publishes. Read by :mod:`warehouse.feed`."""

import sqlalchemy as sa

from warehouse import ledger, versions

_CHANGE = "CASE WHEN was IS NULL THEN 'came' WHEN is_now IS NULL THEN 'gone' ELSE 'changed' END"

# Records are touched far more often than they change; only what happened to them tells why a person changed.
_PERSON_REASONS = """
SELECT person_id, array_agg(DISTINCT reason ORDER BY reason) AS reasons FROM (
    SELECT n.person_id, CASE WHEN o.record_id IS NULL THEN 'record_came' ELSE 'joined' END AS reason
        FROM former_link_key JOIN identity.link n USING (record_id) LEFT JOIN former_link o USING (record_id)
        WHERE o.person_id IS DISTINCT FROM n.person_id
    UNION ALL SELECT o.person_id, CASE WHEN n.record_id IS NULL THEN 'record_gone' ELSE 'left' END
        FROM former_link o LEFT JOIN identity.link n USING (record_id) WHERE o.person_id IS DISTINCT FROM n.person_id
    UNION ALL SELECT n.person_id, 'record_changed' FROM staging.work_candidate c JOIN staging.work_gone USING (record_id)
        JOIN identity.link n USING (record_id)
    UNION ALL SELECT l.person_id, 'judged' FROM rejudged JOIN identity.link l USING (record_id)
    UNION ALL SELECT l.person_id, 'judged' FROM rejudged JOIN former_link l USING (record_id)
) AS told GROUP BY person_id
"""
_REJUDGED = """
CREATE TEMP TABLE rejudged ON COMMIT DROP AS SELECT unnest(ARRAY[record_a, record_b]) AS record_id FROM
    ((TABLE staging.work_judged EXCEPT TABLE identity.judgement_applied) UNION ALL
    (TABLE identity.judgement_applied EXCEPT TABLE staging.work_judged)) AS one_side
"""
_HOUSEHOLDS = """
WITH moved AS (
    SELECT (was ->> 'household_id')::uuid AS household_id, person_id, was IS NOT NULL AS was_in, false AS is_in FROM changed_household_member
        WHERE was IS NOT NULL
    UNION ALL SELECT (is_now ->> 'household_id')::uuid, person_id, false, is_now IS NOT NULL FROM changed_household_member
        WHERE is_now IS NOT NULL
), member AS (
    SELECT household_id, person_id, bool_or(was_in) AS was_in, bool_or(is_in) AS is_in FROM moved GROUP BY household_id, person_id
), told AS (
    SELECT household_id, array_agg(DISTINCT CASE WHEN NOT was_in THEN 'member_came' WHEN NOT is_in THEN 'member_left' ELSE 'members_changed' END)
        AS reasons FROM member GROUP BY household_id
)
SELECT household_id, CASE WHEN h.household_id IS NULL OR (h.was IS NOT NULL AND h.is_now IS NOT NULL) THEN 'changed'
    WHEN h.was IS NULL THEN 'came' ELSE 'gone' END, coalesce(told.reasons, '{}')
FROM told FULL JOIN changed_household h USING (household_id)
"""


def note_people(connection: sa.Connection) -> None:
    """Enter the persons and households that differ, once both are written; before the judgements heeded are."""
    number = ledger.publication(connection) + 1
    into = "INSERT INTO history.change (publication, kind, subject_id, change, reasons)"
    for statement in (
        "DROP TABLE IF EXISTS rejudged",
        _REJUDGED,
        f"{into} SELECT :number, 'person', person_id, {_CHANGE}, coalesce(reasons, '{{}}') FROM {versions.changed_table('core.person')}"
        f" LEFT JOIN ({_PERSON_REASONS}) AS told USING (person_id)",
        f"{into} SELECT :number, 'household', * FROM ({_HOUSEHOLDS}) AS found",
    ):
        connection.execute(sa.text(statement), {"number": number})


def note_golden(connection: sa.Connection) -> None:
    """Enter the persons of whom another survivorship policy changed golden values, once they are written."""
    connection.execute(
        sa.text(
            "INSERT INTO history.change (publication, kind, subject_id, change, reasons)"
            f" SELECT :number, 'person', person_id, 'changed', '{{policy}}' FROM {versions.changed_table('core.person')}"
        ),
        {"number": ledger.publication(connection) + 1},
    )


def note_delivered(connection: sa.Connection, changes: str) -> None:
    """Enter the records that a delivery changed; before identity's are written. Nothing in the pool's first load.

    Args:
        connection: the publishing transaction.
        changes: table of them: `record_id`, `op` (I, U, W).
    """
    connection.execute(
        sa.text(
            "INSERT INTO history.change (publication, kind, subject_id, change, reasons) SELECT :number, 'record', record_id, CASE op"
            " WHEN 'I' THEN 'came' WHEN 'U' THEN 'changed' ELSE 'gone' END, ARRAY[CASE op WHEN 'W' THEN 'withdrawn' ELSE 'delivered' END]"
            f" FROM {changes} WHERE EXISTS (SELECT FROM identity.record)"
        ),
        {"number": ledger.publication(connection) + 1},
    )


def note_replanned(connection: sa.Connection, *, core: str, keys: str, plan: str) -> None:
    """Enter the records that a plan of :mod:`warehouse.timeline` changes, before it is applied.

    Args:
        connection: the publishing transaction.
        core: the source's table.
        keys: table of the keys concerned.
        plan: the plan; what it makes current is in `becomes`.
    """
    connection.execute(
        sa.text(
            "INSERT INTO history.change (publication, kind, subject_id, change, reasons)"
            " SELECT :number, 'record', record_id, CASE WHEN NOT bool_or(is_held) THEN 'gone' WHEN bool_or(was_held) THEN 'changed'"
            " ELSE 'came' END, '{past}' FROM ("
            f" SELECT c.record_id, true AS was_held, false AS is_held, c.row_hash FROM {keys} k JOIN {core} c USING (record_key)"
            "  WHERE c.withdrawn_date IS NULL AND (EXISTS (SELECT FROM becomes b WHERE b.record_key = k.record_key)"
            f"  OR NOT EXISTS (SELECT FROM {plan} p WHERE p.record_key = k.record_key))"
            " UNION ALL SELECT record_id, false, true, row_hash FROM becomes WHERE NOT is_withdrawn"
            ") AS told GROUP BY record_id HAVING count(DISTINCT row_hash) > 1 OR count(*) = 1"
        ),
        {"number": ledger.publication(connection) + 1},
    )
