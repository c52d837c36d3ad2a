"""What a night brings: typed rows in staging compared with the pool, key by key."""

from dataclasses import dataclass

import sqlalchemy as sa

from schemas.contract import Contract, Scope
from warehouse import agency_tables, born, fingerprint, ledger

_ROW_HASH = "md5(ROW({columns})::text)::uuid"


@dataclass(frozen=True)
class Changes:
    """Counts of one delivery against the pool; the first three in rows, the rest in keys.

    Attributes:
        table: unlogged table with one row a changed or withdrawn key: `record_key`, `op` (I, U, W), `record_id`, `row_number`.
    """

    table: str
    unchanged: int
    inserted: int
    updated: int
    keys_before: int
    keys_kept: int
    withdrawn: int


def change_table(stem: str, business_date: str) -> str:
    """Name of the unlogged table of a night's changes of a source."""
    return f'staging."change_{stem}_{business_date.replace("-", "")}"'


def prepare(
    connection: sa.Connection, contract: Contract, *, business_date: str, delivery_id: str, as_of: str, scope: str, pool: str
) -> Changes:
    """Compare accepted rows with the pool; writes only the unlogged change table, so it may be repeated.

    A row older than what the pool knows of its key changes nothing and counts as unchanged: there is no travel back in time.
    So does a row of a key that a newer full delivery did not hold any more.
    A key is withdrawn only by a full delivery that is not older than the newest one merged.
    """
    staged = agency_tables.staging_table(contract.stem, business_date)
    core = agency_tables.core_table(contract.stem)
    table = change_table(contract.stem, business_date)
    key = f's."{contract.key.name}"::text'
    columns = ", ".join(f's."{f.name}"' for f in contract.fields)
    is_empty = not connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {core})"))
    born_id = born.record_id(":stem", key, "CAST(:day AS date)")
    row_hash = _ROW_HASH.format(columns=columns)
    accepted = "NOT EXISTS (SELECT FROM quarantine.row q WHERE q.delivery_id = CAST(:delivery AS uuid) AND q.row_number = s.row_number"
    accepted += " AND q.stage <> 'field')"
    values = {
        "stem": contract.stem, "day": business_date, "delivery": delivery_id, "as_of": as_of, "pool": pool,
        "newest_full": ledger.newest_full(connection, contract.stem),
    }  # fmt: skip
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))
    kept = sum_of = 0
    if is_empty:
        body = f"SELECT {key} AS record_key, 'I'::text AS op, {born_id} AS record_id, s.row_number, {row_hash} AS row_hash"
        body += f" FROM {staged} s WHERE {accepted}"
    else:
        body = f"""
            SELECT {key} AS record_key,
                CASE WHEN c.record_key IS NULL AND CAST(:as_of AS date) < CAST(:newest_full AS date) THEN '='
                     WHEN c.record_key IS NULL THEN 'I'
                     WHEN c.as_of_date > CAST(:as_of AS date) THEN '='
                     WHEN c.row_hash = h.row_hash AND c.withdrawn_date IS NULL THEN '='
                     ELSE 'U' END AS op,
                CASE WHEN c.record_key IS NULL THEN {born_id} ELSE c.record_id END AS record_id,
                s.row_number, h.row_hash
            FROM {staged} s
            CROSS JOIN LATERAL (SELECT {row_hash} AS row_hash OFFSET 0) h
            LEFT JOIN {core} c ON c.record_key = {key}
            WHERE {accepted}"""
    connection.execute(sa.text(f"CREATE UNLOGGED TABLE {table} WITH (autovacuum_enabled = false) AS {body}"), values)
    counts = {row.op: row.n for row in connection.execute(sa.text(f"SELECT op, count(*) AS n FROM {table} GROUP BY op"))}
    keys_before = connection.scalar(sa.text(f"SELECT count(*) FROM {core} WHERE withdrawn_date IS NULL")) or 0
    withdrawn = 0
    if scope == Scope.FULL and not is_empty:
        # A key in quarantine is still held by the agency: its row is bad, but it is there. So is one whose row parse refused.
        refused = agency_tables.refused_table(contract.stem, business_date)
        result = connection.execute(
            sa.text(
                f"INSERT INTO {table} SELECT c.record_key, 'W', c.record_id, NULL, c.row_hash FROM {core} c"
                f" WHERE c.withdrawn_date IS NULL AND c.as_of_date <= CAST(:as_of AS date)"
                f" AND NOT EXISTS (SELECT FROM {staged} s WHERE {key} = c.record_key)"
                f" AND NOT EXISTS (SELECT FROM {refused} r WHERE r.record_key = c.record_key)"
            ),
            values,
        )
        withdrawn = result.rowcount
    kept = keys_before - withdrawn
    sum_of = counts.get("=", 0)
    connection.execute(sa.text(f"DELETE FROM {table} WHERE op = '='"))
    return Changes(table, sum_of, counts.get("I", 0), counts.get("U", 0), keys_before, kept, withdrawn)


def apply(connection: sa.Connection, contract: Contract, *, business_date: str, delivery_id: str, as_of: str) -> None:
    """Write prepared changes into the source's core table; part of the publishing transaction."""
    staged = agency_tables.staging_table(contract.stem, business_date)
    core = agency_tables.core_table(contract.stem)
    table = change_table(contract.stem, business_date)
    own = [f.name for f in contract.fields if not f.is_key]
    names = ", ".join(f'"{n}"' for n in own)
    values = {"day": business_date, "delivery": delivery_id, "as_of": as_of}
    sets = ", ".join(f'"{n}" = excluded."{n}"' for n in [*own, "row_hash", "delivery_id", "as_of_date", "changed_date", "withdrawn_date"])
    is_empty = not connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {core})"))
    if is_empty:  # the first load: rows once, then the key
        fingerprint.pause(connection, core)
        connection.execute(sa.text(f'TRUNCATE {core}; ALTER TABLE {core} DROP CONSTRAINT IF EXISTS "{contract.stem}_pkey"'))
    connection.execute(
        sa.text(
            f"INSERT INTO {core} (record_key, record_id, {names}, row_hash, delivery_id, as_of_date, first_seen_date, changed_date)"
            f" SELECT c.record_key, c.record_id, {', '.join(f's.{chr(34)}{n}{chr(34)}' for n in own)}, c.row_hash,"
            " CAST(:delivery AS uuid), CAST(:as_of AS date), CAST(:day AS date), CAST(:day AS date)"
            f" FROM {table} c JOIN {staged} s USING (row_number) WHERE c.op IN ('I', 'U')"
            + ("" if is_empty else f" ON CONFLICT (record_key) DO UPDATE SET {sets}")
        ),
        values,
    )
    if is_empty:
        connection.execute(sa.text(f"ALTER TABLE {core} ADD PRIMARY KEY (record_key)"))
        fingerprint.resume(connection, core)
        return
    connection.execute(
        sa.text(
            f"UPDATE {core} SET withdrawn_date = CAST(:day AS date), changed_date = CAST(:day AS date), as_of_date = CAST(:as_of AS date)"
            f" FROM {table} c WHERE c.op = 'W' AND {core}.record_key = c.record_key"
        ),
        values,
    )


_CONCEPT_COLUMNS = {
    "resident_id": "person.resident_id",
    "name": "person.name",
    "sex": "person.sex",
    "phone": "person.phone",
    "address": "person.address",
    "area_code": "person.area_code",
    "registered_no": "household.registered_no",
    "registered_relation": "household.registered_relation",
    "living_no": "household.living_no",
    "living_relation": "household.living_relation",
}


def identity_columns(contract: Contract) -> dict[str, str]:
    """Columns of ``identity.record`` and the SQL expression that fills each from staging `s` and changes `c`."""
    columns = {
        "record_id": "c.record_id", "stem": ":stem", "authority": ":authority", "record_key": "c.record_key",
        "delivery_id": "CAST(:delivery AS uuid)", "as_of_date": "CAST(:as_of AS date)", "id_key": 's."_id_key"',
        "name_key": 's."_name_key"', "birth_date": 's."_birth_date"', "phone_key": 's."_phone_key"',
        "address_key": 's."_address_key"',
    }  # fmt: skip
    for column, concept in _CONCEPT_COLUMNS.items():
        field = contract.by_concept(concept)
        if field is not None:
            columns[column] = f's."{field.name}"::text'
    return columns


def drop(connection: sa.Connection, stem: str, business_date: str) -> None:
    """Drop a night's staging and change tables of a source."""
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {change_table(stem, business_date)}"))
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {agency_tables.staging_table(stem, business_date)}"))
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {agency_tables.refused_table(stem, business_date)}"))
