"""Quarantine: rows that were delivered but not let into the pool, as pointers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import sqlalchemy as sa

from schemas.contract import Contract
from warehouse import agency_tables


@dataclass(frozen=True)
class RuleCount:
    """How many rows of a source one rule holds in quarantine."""

    stem: str
    rule_id: str
    stage: str
    field: str | None
    rows: int
    since: date


def replace_parse(connection: sa.Connection, *, delivery_id: str, stem: str, business_date: date, rejects: pl.DataFrame) -> None:
    """Put the rows a parse rejected in the place of those of a former parse of the same delivery.

    Args:
        rejects: one row a rejected row and rule: ``row_number``, ``rule_id``, ``field`` (null = the row as a whole).
    """
    connection.execute(sa.text("DELETE FROM quarantine.row WHERE delivery_id = :delivery"), {"delivery": delivery_id})
    rows = rejects.unique(["row_number", "rule_id"], keep="first").sort("row_number", "rule_id").to_dicts()
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO quarantine.row (delivery_id, row_number, rule_id, stem, stage, field, quarantined_date)"
                " VALUES (CAST(:delivery AS uuid), :row_number, :rule_id, :stem, 'parse', :field, :day)"
            ),
            [{**row, "delivery": delivery_id, "stem": stem, "day": business_date} for row in rows],
        )


def clear_gate(connection: sa.Connection, delivery_id: str) -> None:
    """Forget what a former gate run found in a delivery."""
    connection.execute(
        sa.text("DELETE FROM quarantine.row WHERE delivery_id = :delivery AND stage IN ('gate', 'field')"), {"delivery": delivery_id}
    )


def clear_replaced(connection: sa.Connection, *, stem: str, business_date: date, delivery_id: str | None) -> None:
    """Take out the rows of a night's deliveries of a source but one: held, or broken off and another took their place.

    None of them is let in; their tickets have their rows.
    """
    connection.execute(
        sa.text(
            "DELETE FROM quarantine.row WHERE stem = :stem AND quarantined_date = :day AND delivery_id IS DISTINCT FROM CAST(:delivery AS uuid)"
        ),
        {"stem": stem, "day": business_date, "delivery": delivery_id},
    )


def clear(connection: sa.Connection, delivery_id: str) -> None:
    """Take out the rows of a delivery that is withdrawn: none of it is in the pool any more."""
    connection.execute(sa.text("DELETE FROM quarantine.row WHERE delivery_id = :delivery"), {"delivery": delivery_id})


def add_failing(
    connection: sa.Connection, contract: Contract, *, delivery_id: str, business_date: date, rule_id: str, field: str | None,
    fails: Callable[[Any], sa.ColumnElement[bool]], stage: str = "gate",
) -> int:  # fmt: skip
    """Quarantine the staged rows for which a condition holds; how many. The pointers never leave the database."""
    staged = staging_selectable(contract, str(business_date))
    query = sa.select(
        sa.cast(delivery_id, sa.Uuid), staged.c.row_number, sa.literal(rule_id), sa.literal(contract.stem), sa.literal(stage),
        sa.literal(field, sa.Text), sa.literal(business_date, sa.Date),
    ).where(fails(staged))  # fmt: skip
    target = sa.table(
        "row", *(sa.column(c) for c in ("delivery_id", "row_number", "rule_id", "stem", "stage", "field", "quarantined_date")),
        schema="quarantine",
    )  # fmt: skip
    return connection.execute(sa.insert(target).from_select([c.name for c in target.columns], query)).rowcount


def hold_field(
    connection: sa.Connection, contract: Contract, *, delivery_id: str, business_date: date, rule_id: str, field: str,
    fails: Callable[[Any], sa.ColumnElement[bool]],
) -> int:  # fmt: skip
    """Point at a field whose value is not let in, and take it out of the staged rows, which go on without it; how many.

    Belongs in the transaction that accepts the delivery: judged again afterwards, the rows would look good.
    """
    n_rows = add_failing(
        connection, contract, delivery_id=delivery_id, business_date=business_date, rule_id=rule_id, field=field, fails=fails, stage="field"
    )
    staged = staging_selectable(contract, str(business_date))
    connection.execute(sa.update(staged).values({field: None}).where(fails(staged)))
    return n_rows


def add_double_keys(connection: sa.Connection, contract: Contract, *, delivery_id: str, business_date: date) -> int:
    """Quarantine rows whose key came more than once: all of them if they differ, all but the first if they are the same."""
    staged = agency_tables.staging_table(contract.stem, str(business_date))
    key = f's."{contract.key.name}"'
    columns = ", ".join(f's."{f.name}"' for f in contract.fields)
    done = connection.execute(
        sa.text(
            f"""INSERT INTO quarantine.row (delivery_id, row_number, rule_id, stem, stage, field, quarantined_date)
            SELECT CAST(:delivery AS uuid), row_number, 'key_repeated', :stem, 'gate', :field, :day FROM (
                SELECT s.row_number, row_number() OVER (PARTITION BY {key} ORDER BY s.row_number) AS place,
                    min(hash) OVER (PARTITION BY {key}) <> max(hash) OVER (PARTITION BY {key}) AS differ
                FROM {staged} s CROSS JOIN LATERAL (SELECT md5(ROW({columns})::text) AS hash) h
                WHERE {key} IN (SELECT s.{contract.key.name} FROM {staged} s GROUP BY 1 HAVING count(*) > 1)
            ) AS double WHERE differ OR place > 1 ON CONFLICT DO NOTHING"""
        ),
        {"delivery": delivery_id, "stem": contract.stem, "field": contract.key.name, "day": business_date},
    )
    return done.rowcount


def counts(connection: sa.Connection, delivery_id: str) -> dict[str, int]:
    """Rows of a delivery in quarantine by stage that put them there first; a row counts once."""
    rows = connection.execute(
        sa.text(
            "SELECT stage, count(*) AS n FROM (SELECT row_number, max(stage) AS stage FROM quarantine.row"
            " WHERE delivery_id = :delivery GROUP BY row_number) AS first GROUP BY stage"
        ),
        {"delivery": delivery_id},
    )
    return {row.stage: row.n for row in rows}


def summary(connection: sa.Connection, *, stem: str | None = None, business_date: date | None = None) -> list[RuleCount]:
    """Rows in quarantine by source and rule, most first."""
    rows = connection.execute(
        sa.text(
            "SELECT stem, rule_id, stage, max(field) AS field, count(*) AS rows, min(quarantined_date) AS since FROM quarantine.row"
            " WHERE (CAST(:stem AS text) IS NULL OR stem = :stem) AND (CAST(:day AS date) IS NULL OR quarantined_date = :day)"
            " GROUP BY stem, rule_id, stage ORDER BY count(*) DESC, stem, rule_id"
        ),
        {"stem": stem, "day": business_date},
    )
    return [RuleCount(**row._mapping) for row in rows]


def pointers(connection: sa.Connection, stem: str, rule_id: str | None, limit: int) -> list[dict[str, Any]]:
    """Pointers to rows in quarantine, newest first: delivery, row number, rule, field, date."""
    rows = connection.execute(
        sa.text(
            "SELECT delivery_id::text, row_number, rule_id, stage, field, quarantined_date FROM quarantine.row WHERE stem = :stem"
            " AND (CAST(:rule AS text) IS NULL OR rule_id = :rule) ORDER BY quarantined_date DESC, delivery_id, row_number LIMIT :limit"
        ),
        {"stem": stem, "rule": rule_id, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


def staging_selectable(contract: Contract, business_date: str) -> sa.TableClause:
    """The staging table of a night as a selectable with its columns."""
    schema, name = agency_tables.staging_table(contract.stem, business_date).replace('"', "").split(".")
    return sa.table(name, *(sa.column(c) for c in agency_tables.staging_columns(contract)), schema=schema)
