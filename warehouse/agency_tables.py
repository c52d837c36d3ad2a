"""The tables of one agency's records, derived from its contract."""

import sqlalchemy as sa

from schemas.contract import Contract
from warehouse import fingerprint

# What identity judges by, computed while parsing; stored beside the fields in staging.
IDENTITY_COLUMNS = {
    "_id_key": "text",
    "_id_birth_date": "date",
    "_name_key": "text",
    "_birth_date": "date",
    "_phone_key": "text",
    "_address_key": "text",
}


def core_table(stem: str) -> str:
    """Name of the table of a source's records: one row a key."""
    return f'core."{stem}"'


def staging_table(stem: str, business_date: str) -> str:
    """Name of the unlogged table that holds one delivery's typed rows."""
    return f'staging."{stem}_{business_date.replace("-", "")}"'


def staging_columns(contract: Contract) -> list[str]:
    """Columns of a staging table, in COPY order."""
    return ["row_number", *(f.name for f in contract.fields), *IDENTITY_COLUMNS]


def create_staging(connection: sa.Connection, contract: Contract, business_date: str) -> str:
    """Make an empty staging table for a night, dropping a former one; its name."""
    table = staging_table(contract.stem, business_date)
    fields = [f'"{f.name}" {f.physical_type}' for f in contract.fields]
    identity = [f'"{name}" {kind}' for name, kind in IDENTITY_COLUMNS.items()]
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))
    connection.execute(
        sa.text(
            f"CREATE UNLOGGED TABLE {table} (row_number bigint NOT NULL, {', '.join(fields + identity)}) WITH (autovacuum_enabled = false)"
        )
    )
    return table


def refused_table(stem: str, business_date: str) -> str:
    """Name of the table of keys whose rows were refused before they came into staging."""
    return f'staging."refused_{stem}_{business_date.replace("-", "")}"'


def create_refused(connection: sa.Connection, stem: str, business_date: str) -> str:
    """Make that table anew; its name. It is logged: a crash may not turn a refused key into an absent one."""
    table = refused_table(stem, business_date)
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))
    connection.execute(sa.text(f"CREATE TABLE {table} (row_number bigint NOT NULL, record_key text NOT NULL)"))
    return table


def ensure_core(connection: sa.Connection, contract: Contract) -> None:
    """Make a source's core table, or add the columns its contract has gained.

    Grain: one row a key, the record as last delivered. `record_id` is the id it was born with, `row_hash` the MD5 of its
    typed fields, `first_seen_date` and `changed_date` business dates, `withdrawn_date` null while the agency holds the key,
    `known_from` the publication that brought the row. Versions before it are in `history.record`.
    """
    table = core_table(contract.stem)
    own = [f for f in contract.fields if not f.is_key]
    gained = own
    if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": table}):
        present = set(
            connection.scalars(
                sa.text("SELECT column_name FROM information_schema.columns WHERE table_schema = 'core' AND table_name = :stem"),
                {"stem": contract.stem},
            )
        )
        gained = [f for f in own if f.name not in present]
        for field in gained:
            connection.execute(sa.text(f'ALTER TABLE {table} ADD COLUMN "{field.name}" {field.physical_type}'))
        if gained:
            fingerprint.recount(connection, table)
    else:
        fields = "".join(f'"{f.name}" {f.physical_type}, ' for f in own)
        connection.execute(
            sa.text(
                f"CREATE TABLE {table} (record_key text PRIMARY KEY, record_id uuid NOT NULL, {fields}"
                "row_hash uuid NOT NULL, delivery_id uuid NOT NULL, as_of_date date NOT NULL, first_seen_date date NOT NULL,"
                " changed_date date NOT NULL, withdrawn_date date, known_from bigint NOT NULL) WITH (fillfactor = 90)"
            )
        )
        fingerprint.watch(connection, table)
    for field in gained:
        comment = f"{field.title_zh} / {field.title_en}".replace("'", "''")
        connection.execute(sa.text(f"COMMENT ON COLUMN {table}.\"{field.name}\" IS '{comment}'"))
