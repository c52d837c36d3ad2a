"""Staging: typed rows of one delivery, on their way through the gate."""

import io
import tempfile
from collections.abc import Iterable
from datetime import date

import polars as pl
import sqlalchemy as sa

from schemas.contract import Contract
from warehouse import agency_tables
from warehouse.database import copy_in


def fill(connection: sa.Connection, contract: Contract, business_date: date, batches: Iterable[pl.DataFrame]) -> int:
    """Make the staging table anew and COPY batches into it; how many rows came."""
    table = agency_tables.create_staging(connection, contract, str(business_date))
    columns, rows = agency_tables.staging_columns(contract), 0
    for batch in batches:
        with tempfile.TemporaryFile() as spill:
            batch.select(columns).write_csv(spill, include_header=False)
            spill.seek(0)
            copy_in(connection, table, columns, spill)
        rows += batch.height
    # The planner needs to know what rows are joined by, and how many there are; figures on every column cost more than they help.
    connection.execute(sa.text(f'ANALYZE {table} (row_number, "{contract.key.name}")'))
    return rows


def note_refused(connection: sa.Connection, contract: Contract, business_date: date, keys: Iterable[pl.DataFrame]) -> None:
    """Note the keys of rows that parse refused, ``row_number`` and ``record_key``: in a full delivery they are not absent."""
    table = agency_tables.create_refused(connection, contract.stem, str(business_date))
    for some in keys:
        data = io.BytesIO(some.write_csv(include_header=False).encode())
        copy_in(connection, table, ["row_number", "record_key"], data)
    connection.execute(sa.text(f"ANALYZE {table}"))


def height(connection: sa.Connection, contract: Contract, business_date: date) -> int | None:
    """Rows in a staging table; None if there is none. A crash of the server empties unlogged tables."""
    table = agency_tables.staging_table(contract.stem, str(business_date))
    if not connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": table}):
        return None
    return int(connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0)


def missing_areas(connection: sa.Connection, contract: Contract, business_date: date) -> int:
    """Townships (first nine digits) that the pool knows from this source with at least ten records and staging lacks."""
    spec = contract.by_concept("person.area_code")
    if spec is None:
        return 0
    table = agency_tables.staging_table(contract.stem, str(business_date))
    return int(
        connection.scalar(
            sa.text(
                f"SELECT count(*) FROM (SELECT left(area_code, 9) AS area FROM identity.record WHERE stem = :stem GROUP BY 1"
                f" HAVING count(*) >= 10) AS known WHERE area IS NOT NULL AND NOT EXISTS"
                f' (SELECT FROM {table} s WHERE left(s."{spec.name}", 9) = known.area)'
            ),
            {"stem": contract.stem},
        )
        or 0
    )
