"""Guardians as other persons' records name them: number, name, telephone."""

from collections.abc import Sequence

import polars as pl
import sqlalchemy as sa

from schemas.contract import Contract
from warehouse import agency_tables, changes

_NUMBER = "guardian.resident_id"


def told(connection: sa.Connection, contract: Contract) -> pl.DataFrame | None:
    """The guardians' numbers that a source's records tell, or told, once each, under the field's name; None where it tells none."""
    field, core = contract.by_concept(_NUMBER), agency_tables.core_table(contract.stem)
    if field is None or not connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": core}):
        return None
    query = f'SELECT "{field.name}" AS number FROM {core}' + "".join(
        f" UNION SELECT row ->> '{field.name}' FROM {table} WHERE stem = :stem" for table in ("history.record", "history.record_revised")
    )
    numbers = connection.scalars(sa.text(f"SELECT number FROM ({query}) AS n WHERE number IS NOT NULL"), {"stem": contract.stem}).all()
    return pl.DataFrame({field.name: numbers}, schema={field.name: pl.String})


def forget(connection: sa.Connection, contract: Contract, fields: Sequence[str], numbers: Sequence[str]) -> None:
    """Empty a source's fields about guardians wherever one of some numbers is told; the rows then are as if they had come so.

    Args:
        connection: the transaction.
        contract: of the source.
        fields: to be emptied.
        numbers: as the source writes them.
    """
    field, core = contract.by_concept(_NUMBER), agency_tables.core_table(contract.stem)
    assert field is not None
    values = {"numbers": list(numbers), "stem": contract.stem, "fields": list(fields)}
    emptied = ", ".join(f'"{name}" = NULL' for name in fields)
    connection.execute(
        sa.text(f'CREATE TEMP TABLE named ON COMMIT DROP AS SELECT record_key FROM {core} WHERE "{field.name}" = ANY(:numbers)'),
        values,
    )
    connection.execute(sa.text(f"UPDATE {core} c SET {emptied} FROM named n WHERE n.record_key = c.record_key"))
    connection.execute(
        sa.text(f"UPDATE {core} c SET row_hash = {changes.row_hash(contract, 'c')} FROM named n WHERE n.record_key = c.record_key")
    )
    connection.execute(sa.text("DROP TABLE named"))
    left = "h.row - CAST(:fields AS text[])"
    for table in ("history.record", "history.record_revised"):
        connection.execute(
            sa.text(
                f"UPDATE {table} h SET row = {left}, row_hash = (SELECT {changes.row_hash(contract, 'f')} FROM"
                f" jsonb_populate_record(NULL::{core}, {left} || jsonb_build_object('record_key', h.record_key)) AS f)"
                f" WHERE stem = :stem AND row ->> '{field.name}' = ANY(:numbers)"
            ),
            values,
        )
