"""Items of quarantine and their proofs: what ever came in, and what settled it.

An item is never taken out. It is open until a published delivery proves it settled: the same key was let in, a full delivery no
longer holds the key, or, for a delivery that was held or missing, another one was let in. The proof kept is the earliest by business
date, so it does not depend on the order in which nights are run. A delivery that is withdrawn proves nothing any more, and nothing is
asked about its own rows.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from schemas.contract import Contract, Scope
from warehouse import agency_tables
from warehouse.database import copy_in
from warehouse.landing import Delivery

WHOLE = 0  # row number of a delivery as a whole
MISSING = "delivery_missing"
Condition = Callable[[Any], sa.ColumnElement[bool]]

# Rows of a delivery that were let in or refused, with the hash by which a key is known again; U+001F separates as in `born`.
_REF = "md5(:stem || chr(31) || {key})::uuid"
_WHOLE_REF = "md5(:stem)::uuid"


@dataclass(frozen=True)
class Rows:
    """Where the readable keys of a delivery's rows are: SQL that gives ``row_number`` and ``record_key``."""

    query: str


@dataclass(frozen=True)
class Books:
    """The books of quarantine of one source, in items: ``opened = open + passed + withdrawn``, and nothing without an item."""

    stem: str
    opened: int
    open: int
    passed: int
    withdrawn: int
    unaccounted: int


def staged(contract: Contract, business_date: date) -> Rows:
    """The rows of the delivery a night holds in staging."""
    table = agency_tables.staging_table(contract.stem, str(business_date))
    refused = agency_tables.refused_table(contract.stem, str(business_date))
    key = f'"{contract.key.name}"::text'
    return Rows(f"SELECT row_number, {key} AS record_key FROM {table} UNION ALL SELECT row_number, record_key FROM {refused}")


def landed(connection: sa.Connection, keys: Iterable[pl.DataFrame]) -> Rows:
    """The rows of a delivery read again from landing: frames of ``row_number`` and ``record_key``."""
    connection.execute(sa.text("CREATE TEMP TABLE IF NOT EXISTS landed_key (row_number bigint, record_key text) ON COMMIT DROP"))
    connection.execute(sa.text("TRUNCATE landed_key"))
    for some in keys:
        data = io.BytesIO(some.select("row_number", "record_key").write_csv(include_header=False).encode())
        copy_in(connection, "landed_key", ["row_number", "record_key"], data)
    return Rows("SELECT row_number, record_key FROM landed_key")


def unopened(connection: sa.Connection, stem: str, but: str | None = None) -> list[str]:
    """Deliveries of a source with rows in quarantine that have no items, as those from before there were any; one may be left out."""
    return list(
        connection.scalars(
            sa.text(
                "SELECT DISTINCT q.delivery_id::text FROM quarantine.row q WHERE q.stem = :stem"
                " AND q.delivery_id IS DISTINCT FROM CAST(:but AS uuid) AND NOT EXISTS (SELECT FROM quarantine.item i"
                " WHERE i.delivery_id = q.delivery_id AND i.row_number = q.row_number AND i.rule_id = q.rule_id) ORDER BY 1"
            ),
            {"stem": stem, "but": but},
        )
    )


def open_rows(connection: sa.Connection, stem: str, delivery_id: str, rows: Rows) -> int:
    """Make items of a delivery's rows in quarantine; those that are there stay. How many are new.

    A row whose key cannot be read is known by its number among such rows of the same rule.
    """
    if not connection.scalar(
        sa.text("SELECT EXISTS (SELECT FROM quarantine.row WHERE delivery_id = :delivery)"), {"delivery": delivery_id}
    ):
        return 0
    keyless = "'keyless' || chr(31) || q.rule_id || chr(31) || row_number() OVER (PARTITION BY q.rule_id, k.record_key IS NULL ORDER BY q.row_number)"
    done = connection.execute(
        sa.text(
            "INSERT INTO quarantine.item (stem, rule_id, stage, field, delivery_id, row_number, key_ref)"
            f" SELECT q.stem, q.rule_id, q.stage, q.field, q.delivery_id, q.row_number, {_REF.format(key=f'coalesce(k.record_key, {keyless})')}"
            f" FROM quarantine.row q LEFT JOIN ({rows.query}) k USING (row_number) WHERE q.delivery_id = CAST(:delivery AS uuid)"
            " ORDER BY q.rule_id, q.row_number ON CONFLICT DO NOTHING"
        ),
        {"stem": stem, "delivery": delivery_id},
    )
    return done.rowcount


def open_held(
    connection: sa.Connection,
    contract: Contract,
    business_date: date,
    delivery_id: str,
    rule_id: str,
    field: str | None,
    fails: Condition | None,
) -> None:
    """Make items of the rows for which a held delivery is held; of the delivery as a whole where no row of it is wrong by itself."""
    schema, name = agency_tables.staging_table(contract.stem, str(business_date)).replace('"', "").split(".")
    table = sa.table(name, *(sa.column(c) for c in agency_tables.staging_columns(contract)), schema=schema)
    columns = ("stem", "rule_id", "stage", "field", "delivery_id", "row_number", "key_ref")
    target = sa.table("item", *(sa.column(c) for c in columns), schema="quarantine")
    about = [sa.literal(contract.stem), sa.literal(rule_id), sa.literal("held"), sa.literal(field, sa.Text), sa.cast(delivery_id, sa.Uuid)]
    if fails is not None:
        key = sa.cast(table.c[contract.key.name], sa.Text)
        ref = sa.cast(sa.func.md5(sa.literal(contract.stem) + sa.func.chr(31) + key), sa.Uuid)
        query = sa.select(*about, table.c.row_number, ref).where(fails(table)).order_by(table.c.row_number)
        connection.execute(postgresql.insert(target).from_select(columns, query).on_conflict_do_nothing())
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.item (stem, rule_id, stage, field, delivery_id, row_number, key_ref)"
            f" SELECT :stem, :rule, 'held', :field, CAST(:delivery AS uuid), {WHOLE}, {_WHOLE_REF} WHERE NOT EXISTS (SELECT FROM"
            " quarantine.item WHERE delivery_id = CAST(:delivery AS uuid) AND rule_id = :rule)"
        ),
        {"stem": contract.stem, "rule": rule_id, "field": field, "delivery": delivery_id},
    )


def open_missing(connection: sa.Connection, stem: str, business_date: date) -> None:
    """Make an item of a delivery that was due and without which a night was published; does nothing if it is there."""
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.item (stem, rule_id, stage, row_number, key_ref, missing_date)"
            f" VALUES (:stem, :rule, 'missing', {WHOLE}, {_WHOLE_REF}, :day) ON CONFLICT DO NOTHING"
        ),
        {"stem": stem, "rule": MISSING, "day": business_date},
    )


def settle(connection: sa.Connection, stem: str, delivery: Delivery, rows: Rows) -> None:
    """Prove what a delivery that is being published settles, anew: what it proved before and does not prove now is open again.

    An item is looked at if it is of the delivery's business date or before, and not settled by then. A row of the delivery proves
    its key if it was let in, and no row of that key broke the item's rule in it.
    """
    values = {"stem": stem, "delivery": delivery.delivery_id}
    connection.execute(sa.text("DELETE FROM quarantine.proof WHERE delivery_id = CAST(:delivery AS uuid) AND kind <> 'erased'"), values)
    connection.execute(sa.text("DROP TABLE IF EXISTS pending, present"))
    connection.execute(
        sa.text(
            "CREATE TEMP TABLE pending ON COMMIT DROP AS SELECT item_id, rule_id, stage, delivery_id, row_number, key_ref FROM quarantine.ticket_item"
            " t WHERE stem = :stem AND failed_date <= :day AND (proof_date IS NULL OR proof_date > :day)"
            " AND NOT EXISTS (SELECT FROM quarantine.row q WHERE t.delivery_id = CAST(:delivery AS uuid) AND q.delivery_id = t.delivery_id"
            " AND q.row_number = t.row_number AND q.rule_id = t.rule_id)"
        ),
        {**values, "day": delivery.business_date},
    )
    if not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM pending)")):
        return
    connection.execute(
        sa.text(
            f"CREATE TEMP TABLE present ON COMMIT DROP AS SELECT row_number, key_ref FROM (SELECT row_number, {_REF.format(key='record_key')}"
            f" AS key_ref FROM ({rows.query}) r) AS keyed WHERE key_ref IN (SELECT key_ref FROM pending)"
            " OR row_number IN (SELECT row_number FROM pending WHERE delivery_id = CAST(:delivery AS uuid))"
        ),
        values,
    )
    refused = "SELECT FROM quarantine.row q WHERE q.delivery_id = CAST(:delivery AS uuid) AND q.row_number = p.row_number"
    passed = (
        "INSERT INTO quarantine.proof (item_id, kind, delivery_id, row_number) SELECT DISTINCT ON (i.item_id) i.item_id, 'passed',"
        " CAST(:delivery AS uuid), p.row_number FROM pending i JOIN present p USING ({join}) WHERE i.row_number > 0 AND {which}"
        f" AND NOT EXISTS ({refused} AND (q.stage <> 'field' OR q.rule_id = i.rule_id))"
        f" AND NOT EXISTS (SELECT FROM present p WHERE p.key_ref = i.key_ref AND EXISTS ({refused} AND q.rule_id = i.rule_id))"
        " ORDER BY i.item_id, p.row_number"
    )
    for join, which in (
        ("key_ref", "i.delivery_id IS DISTINCT FROM CAST(:delivery AS uuid)"),
        ("row_number", "i.delivery_id = CAST(:delivery AS uuid)"),  # judged again, by a corrected contract
    ):
        _prove(connection, passed.format(join=join, which=which), values)
    whole = f"SELECT i.item_id, 'delivered', CAST(:delivery AS uuid), CAST(NULL AS bigint) FROM pending i WHERE i.row_number = {WHOLE}"
    _prove(connection, f"INSERT INTO quarantine.proof (item_id, kind, delivery_id, row_number) {whole}", values)
    # What a whole delivery was held for is settled for a row that came again, even if another rule keeps it out now: that has a ticket.
    _prove(
        connection,
        "INSERT INTO quarantine.proof (item_id, kind, delivery_id, row_number) SELECT i.item_id, 'delivered', CAST(:delivery AS uuid), NULL"
        " FROM pending i WHERE i.stage = 'held' AND i.row_number > 0 AND EXISTS (SELECT FROM present p WHERE p.key_ref = i.key_ref)"
        " AND NOT EXISTS (SELECT FROM quarantine.proof x WHERE x.item_id = i.item_id AND x.delivery_id = CAST(:delivery AS uuid))",
        values,
    )
    if delivery.scope == Scope.FULL:
        _prove(
            connection,
            "INSERT INTO quarantine.proof (item_id, kind, delivery_id) SELECT i.item_id, 'withdrawn', CAST(:delivery AS uuid) FROM pending i"
            " WHERE i.row_number > 0 AND i.delivery_id IS DISTINCT FROM CAST(:delivery AS uuid)"
            " AND NOT EXISTS (SELECT FROM present p WHERE p.key_ref = i.key_ref)"
            " AND NOT EXISTS (SELECT FROM quarantine.item n WHERE n.delivery_id = CAST(:delivery AS uuid) AND n.key_ref = i.key_ref)",
            values,
        )


def _prove(connection: sa.Connection, insert: str, values: dict[str, Any]) -> None:
    """An earlier delivery's proof takes the place of a later one's."""
    connection.execute(
        sa.text(
            f"{insert} ON CONFLICT (item_id) DO UPDATE SET kind = excluded.kind, delivery_id = excluded.delivery_id,"
            " row_number = excluded.row_number, noted_at = now() WHERE proof.kind <> 'erased'"
        ),
        values,
    )


def take_back(connection: sa.Connection, delivery_id: str) -> int:
    """Let the proofs of a delivery that is taken out of the pool fall; what is open of its own rows is settled with it.

    Let in again, it is looked at like any other by :func:`settle`, which takes that back.

    Returns:
        Items it had settled that are open again.
    """
    values = {"delivery": delivery_id}
    fallen = connection.execute(
        sa.text(
            "DELETE FROM quarantine.proof p USING quarantine.item i WHERE i.item_id = p.item_id AND p.delivery_id = CAST(:delivery AS uuid)"
            " AND kind <> 'erased' RETURNING i.delivery_id IS DISTINCT FROM p.delivery_id"
        ),
        values,
    ).scalars()
    n_fallen = sum(bool(other) for other in fallen)
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.proof (item_id, kind, delivery_id) SELECT item_id, 'taken_out', delivery_id FROM quarantine.item"
            " WHERE delivery_id = CAST(:delivery AS uuid) ON CONFLICT DO NOTHING"
        ),
        values,
    )
    return n_fallen


def later(connection: sa.Connection, stem: str, business_date: date) -> list[str]:
    """Deliveries of a source published for nights after a date, oldest first, if items up to that date are still to be settled."""
    return list(
        connection.scalars(
            sa.text(
                "SELECT d.delivery_id::text FROM landing.delivery d WHERE d.stem = :stem AND d.business_date > :day"
                " AND EXISTS (SELECT FROM ops.intake i WHERE i.delivery_id = d.delivery_id AND i.state = 'merged')"
                " AND EXISTS (SELECT FROM quarantine.ticket_item WHERE stem = :stem AND failed_date <= :day AND proof_kind IS NULL)"
                " ORDER BY d.business_date, d.delivery_id"
            ),
            {"stem": stem, "day": business_date},
        )
    )


def books(connection: sa.Connection) -> list[Books]:
    """The books of quarantine by source; what is in quarantine without an item counts as unaccounted and must be nothing."""
    rows = connection.execute(
        sa.text(
            "SELECT stem, coalesce(opened, 0) AS opened, coalesce(open, 0) AS open, coalesce(passed, 0) AS passed,"
            " coalesce(withdrawn, 0) AS withdrawn, coalesce(unaccounted, 0) AS unaccounted FROM (SELECT stem, count(*) AS opened,"
            " count(*) FILTER (WHERE proof_kind IS NULL) AS open, count(*) FILTER (WHERE proof_kind IN ('passed', 'delivered')) AS passed,"
            " count(*) FILTER (WHERE proof_kind IN ('withdrawn', 'taken_out', 'erased')) AS withdrawn FROM quarantine.ticket_item GROUP BY stem) AS items"
            " FULL JOIN (SELECT q.stem, count(*) AS unaccounted FROM quarantine.row q WHERE NOT EXISTS (SELECT FROM quarantine.item i"
            " WHERE i.delivery_id = q.delivery_id AND i.row_number = q.row_number AND i.rule_id = q.rule_id) GROUP BY q.stem) AS lost"
            " USING (stem) ORDER BY stem"
        )
    )
    return [Books(**row._mapping) for row in rows]
