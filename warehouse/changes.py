"""What a night brings: typed rows in staging compared with the pool, key by key."""

from dataclasses import dataclass

import sqlalchemy as sa

from schemas.contract import Contract, Scope
from warehouse import agency_tables, born, fingerprint, ledger, outbox, timeline

_ROW_HASH = "md5(ROW({columns})::text)::uuid"


@dataclass(frozen=True)
class Changes:
    """Counts of one delivery against the pool; the first four in rows, the rest in keys.

    Attributes:
        table: unlogged table with one row a key that the delivery shows otherwise than the pool: `record_key`, `op` (I, U, W; of a late
            delivery L, whose versions are in a plan of :mod:`warehouse.timeline`), `record_id`, `row_number`.
        past: rows of a late delivery that say something of the past alone.
        keys_before, keys_kept: each counted by itself; None for a delta, which cannot withdraw any.
    """

    table: str
    unchanged: int
    inserted: int
    updated: int
    past: int
    keys_before: int | None
    keys_kept: int | None
    withdrawn: int


def row_hash(contract: Contract, row: str) -> str:
    """SQL expression of the hash of a row of a source's table, as :func:`prepare` makes it of a row in staging.

    Args:
        contract: of the source.
        row: alias of the table.
    """
    fields = (f"CAST({row}.record_key AS {f.physical_type})" if f.is_key else f'{row}."{f.name}"' for f in contract.fields)
    return _ROW_HASH.format(columns=", ".join(fields))


def change_table(stem: str, business_date: str) -> str:
    """Name of the unlogged table of a night's changes of a source."""
    return f'staging."change_{stem}_{business_date.replace("-", "")}"'


def prepare(
    connection: sa.Connection, contract: Contract, *, business_date: str, delivery_id: str, as_of: str, scope: str, pool: str
) -> Changes:
    """Compare accepted rows with the pool; writes only unlogged tables, so it may be repeated.

    A delivery older than the newest one of its source, or of a former night, is late: what it says is compared with what the pool has for
    its day, and goes to its place in valid time. What is current changes only where nothing newer spoke of the key. A key it shows before
    the night on which it was first seen is born on its night, under another id.
    A key is withdrawn only by a full delivery.
    """
    core = agency_tables.core_table(contract.stem)
    table = change_table(contract.stem, business_date)
    values: dict[str, object] = {
        "stem": contract.stem, "day": business_date, "delivery": delivery_id, "as_of": as_of, "pool": pool, "authority": contract.authority
    }  # fmt: skip
    newest = timeline.newest(connection, contract.stem)
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))
    timeline.drop(connection, contract.stem, business_date)
    held = f"SELECT count(*) FROM {core} WHERE withdrawn_date IS NULL"
    if newest is not None and (as_of < newest or timeline.is_overtaken(connection, contract.stem, business_date)):
        return _prepare_late(connection, contract, values, scope, connection.scalar(sa.text(held)) or 0)
    is_empty = not connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {core})"))
    known = None if is_empty else "c.row_hash = h.row_hash AND c.withdrawn_date IS NULL"
    counts = _compare(connection, contract, values, known)
    before: int | None = None
    kept: int | None = None
    withdrawn = 0
    if scope == Scope.FULL:
        withdrawn = connection.execute(sa.text(_absent(contract, business_date, "W", "c.withdrawn_date IS NULL")), values).rowcount
        before, kept = connection.execute(sa.text(keys_counted(contract, business_date))).one()
    return Changes(table, counts.get("=", 0), counts.get("I", 0), counts.get("U", 0), 0, before, kept, withdrawn)


def keys_counted(contract: Contract, business_date: str) -> str:
    """Query of the keys the pool holds of a source, and of those that the night's changes do not withdraw: each counted by itself."""
    held = f"FROM {agency_tables.core_table(contract.stem)} c WHERE withdrawn_date IS NULL"
    # As a condition of the query, not of the aggregate: there it would be looked up once a key, in a table that has never been analysed.
    gone = f"SELECT FROM {change_table(contract.stem, business_date)} w WHERE w.record_key = c.record_key AND w.op = 'W'"
    return f"SELECT (SELECT count(*) {held}), (SELECT count(*) {held} AND NOT EXISTS ({gone}))"


def _compare(
    connection: sa.Connection, contract: Contract, values: dict[str, object], known: str | None, on_day: str = ""
) -> dict[str, int]:
    """Make the change table of the rows in staging; how many there are of each `op`, `=` included.

    Args:
        known: SQL condition under which a row says what the pool has, over core `c`, the row's hash `h` and what `on_day` joins; None = the pool is empty.
        on_day: SQL joins of what the pool has for the day of a late delivery; empty = it is not late.
    """
    business_date = str(values["day"])
    staged = agency_tables.staging_table(contract.stem, business_date)
    core, table = agency_tables.core_table(contract.stem), change_table(contract.stem, business_date)
    key = f's."{contract.key.name}"::text'
    row_hash = _ROW_HASH.format(columns=", ".join(f's."{f.name}"' for f in contract.fields))
    born_id = born.record_id(":stem", key, "CAST(:day AS date)")
    accepted = "NOT EXISTS (SELECT FROM quarantine.row q WHERE q.delivery_id = CAST(:delivery AS uuid) AND q.row_number = s.row_number"
    accepted += " AND q.stage <> 'field')"
    if known is None:
        body = f"SELECT {key} AS record_key, 'I'::text AS op, {born_id} AS record_id, s.row_number, {row_hash} AS row_hash"
        body += f" FROM {staged} s WHERE {accepted}"
    else:
        body = f"""
            SELECT {key} AS record_key, CASE WHEN {known} THEN {_BORN_EARLIER if on_day else "'='"} WHEN c.record_key IS NULL THEN 'I' ELSE 'U' END AS op,
                CASE WHEN c.record_key IS NULL THEN {born_id} ELSE c.record_id END AS record_id,
                s.row_number, h.row_hash
            FROM {staged} s
            CROSS JOIN LATERAL (SELECT {row_hash} AS row_hash OFFSET 0) h
            LEFT JOIN {core} c ON c.record_key = {key} {on_day}
            WHERE {accepted}"""
    connection.execute(sa.text(f"CREATE UNLOGGED TABLE {table} WITH (autovacuum_enabled = false) AS {body}"), values)
    counts = {row.op: row.n for row in connection.execute(sa.text(f"SELECT op, count(*) AS n FROM {table} GROUP BY op"))}
    connection.execute(sa.text(f"DELETE FROM {table} WHERE op = '='"))
    return counts


def _absent(contract: Contract, business_date: str, op: str, was_held: str, on_day: str = "") -> str:
    """Statement that adds the keys which a full delivery does not hold any more.

    A key in quarantine is still held by the agency: its row is bad, but it is there. So is one whose row parse refused.
    """
    staged, refused = (of(contract.stem, business_date) for of in (agency_tables.staging_table, agency_tables.refused_table))
    return (
        f"INSERT INTO {change_table(contract.stem, business_date)} SELECT c.record_key, '{op}', c.record_id, NULL, c.row_hash"
        f" FROM {agency_tables.core_table(contract.stem)} c {on_day} WHERE {was_held}"
        f' AND NOT EXISTS (SELECT FROM {staged} s WHERE s."{contract.key.name}"::text = c.record_key)'
        f" AND NOT EXISTS (SELECT FROM {refused} r WHERE r.record_key = c.record_key)"
    )


# What the pool has for the day of a late delivery: the current version, or one of the past, or none.
_ON_DAY = (
    "LEFT JOIN history.record v ON v.record_id = c.record_id AND v.valid_during @> CAST(:as_of AS date)"
    " AND c.as_of_date > CAST(:as_of AS date)"
)
_IS_CURRENT = "c.as_of_date <= CAST(:as_of AS date)"
# What the pool has, but of a record that was first seen later: B, it is born earlier.
_BORN_EARLIER = "CASE WHEN c.first_seen_date > CAST(:day AS date) THEN 'B' ELSE '=' END"


def _prepare_late(connection: sa.Connection, contract: Contract, values: dict[str, object], scope: str, keys_before: int) -> Changes:
    """Compare a late delivery with what the pool has for its day, and draw the plan of where it belongs."""
    day, as_of = str(values["day"]), str(values["as_of"])
    table = change_table(contract.stem, day)
    known = (
        f"CASE WHEN {_IS_CURRENT} THEN c.row_hash = h.row_hash AND c.withdrawn_date IS NULL"
        " ELSE coalesce(v.row_hash = h.row_hash AND NOT v.is_withdrawn, false) END"
    )
    counts = _compare(connection, contract, values, known, _ON_DAY)
    if scope == Scope.FULL:
        held = f"CASE WHEN {_IS_CURRENT} THEN c.withdrawn_date IS NULL ELSE coalesce(NOT v.is_withdrawn, false) END"
        connection.execute(sa.text(_absent(contract, day, "L", held, _ON_DAY)), values)
    columns = ", ".join(f"{expression} AS {column}" for column, expression in identity_columns(contract).items())
    traits = f"(SELECT jsonb_strip_nulls(to_jsonb(t) - ARRAY['record_id', 'delivery_id', 'as_of_date']) FROM (SELECT {columns}) AS t)"
    timeline.place(
        connection, contract, business_date=day, as_of=as_of, delivery_id=str(values["delivery"]), changes=table, traits=traits,
        pool=str(values["pool"]),
    )  # fmt: skip
    connection.execute(sa.text(f"DELETE FROM {table} WHERE op = 'B'"))  # they show the record unchanged
    becomes = {
        row.op: row.n
        for row in connection.execute(
            sa.text(
                "SELECT CASE WHEN p.is_withdrawn THEN CASE WHEN p.was_held THEN 'W' END WHEN c.row_number IS NOT NULL AND p.valid_from ="
                f" CAST(:as_of AS date) AND p.row_hash = c.row_hash THEN CASE WHEN p.was_known THEN 'U' ELSE 'I' END END AS op, count(*) AS n FROM ({timeline.current(contract.stem, day)}) AS p"
                f" JOIN {table} c USING (record_key) WHERE NOT (p.was_held AND p.was_hash = p.row_hash AND NOT p.is_withdrawn) GROUP BY 1"
            ),
            values,
        )
    }
    connection.execute(sa.text(f"UPDATE {table} SET op = 'L'"))
    inserted, updated, withdrawn = (becomes.get(op, 0) for op in ("I", "U", "W"))
    past = counts.get("I", 0) + counts.get("U", 0) - inserted - updated
    unchanged = counts.get("=", 0) + counts.get("B", 0)
    return Changes(table, unchanged, inserted, updated, past, keys_before, keys_before - withdrawn, withdrawn)


def apply(connection: sa.Connection, contract: Contract, *, business_date: str, delivery_id: str, as_of: str, scope: str) -> None:
    """Write prepared changes into the source's core table, what they supersede into history; part of the publishing transaction."""
    staged = agency_tables.staging_table(contract.stem, business_date)
    core = agency_tables.core_table(contract.stem)
    table = change_table(contract.stem, business_date)
    own = [f.name for f in contract.fields if not f.is_key]
    names = ", ".join(f'"{n}"' for n in own)
    values = {
        "day": business_date, "delivery": delivery_id, "as_of": as_of, "number": ledger.publication(connection) + 1, "stem": contract.stem
    }  # fmt: skip
    moved = ["row_hash", "delivery_id", "as_of_date", "changed_date", "withdrawn_date", "known_from"]
    sets = ", ".join(f'"{n}" = excluded."{n}"' for n in [*own, *moved])
    timeline.observe(
        connection, contract, business_date=business_date, delivery_id=delivery_id, as_of=as_of, scope=scope, changes=table
    )  # fmt: skip
    if timeline.apply(connection, contract, business_date):
        return
    outbox.note_delivered(connection, table)
    is_empty = not connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {core})"))
    if is_empty:  # the first load: rows once, then the key
        fingerprint.pause(connection, core)
        connection.execute(sa.text(f'TRUNCATE {core}; ALTER TABLE {core} DROP CONSTRAINT IF EXISTS "{contract.stem}_pkey"'))
    else:
        _supersede(connection, contract, table, values)
    connection.execute(
        sa.text(
            f"INSERT INTO {core} (record_key, record_id, {names}, row_hash, delivery_id, as_of_date, first_seen_date, changed_date, known_from)"
            f" SELECT c.record_key, c.record_id, {', '.join(f's.{chr(34)}{n}{chr(34)}' for n in own)}, c.row_hash,"
            " CAST(:delivery AS uuid), CAST(:as_of AS date), CAST(:day AS date), CAST(:day AS date), :number"
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
            f"UPDATE {core} SET withdrawn_date = CAST(:day AS date), changed_date = CAST(:day AS date), as_of_date = CAST(:as_of AS date),"
            f" delivery_id = CAST(:delivery AS uuid), known_from = :number FROM {table} c WHERE c.op = 'W' AND {core}.record_key = c.record_key"
        ),
        values,
    )


def _supersede(connection: sa.Connection, contract: Contract, table: str, values: dict[str, object]) -> None:
    """Keep the versions that end with this delivery; one that began on the same day is refuted, it never was."""
    former = (
        "SELECT c.record_id, :stem, c.record_key, {during}, c.withdrawn_date IS NOT NULL, c.row_hash,"
        f" {timeline.core_row(contract)}, {timeline.RECORD_TRAITS}, c.changed_date, c.delivery_id, {{known}} FROM {table} n JOIN {agency_tables.core_table(contract.stem)} c"
        " USING (record_key) LEFT JOIN identity.record r ON r.record_id = c.record_id WHERE n.op IN ('U', 'W') AND {when}"
    )
    columns = "record_id, stem, record_key, valid_during, is_withdrawn, row_hash, row, traits, changed_date, delivery_id"
    ended = former.format(
        during="daterange(c.as_of_date, CAST(:as_of AS date))", known="c.known_from, :number", when="c.as_of_date < CAST(:as_of AS date)"
    )
    refuted = former.format(
        during="daterange(c.as_of_date, NULL)", known=":number, int8range(c.known_from, :number)",
        when="c.as_of_date = CAST(:as_of AS date) AND c.known_from < :number",
    )  # fmt: skip
    connection.execute(sa.text(f"INSERT INTO history.record ({columns}, known_from, open_until) {ended}"), values)
    connection.execute(sa.text(f"INSERT INTO history.record_revised ({columns}, open_until, known_during) {refuted}"), values)


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
    timeline.drop(connection, stem, business_date)
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {change_table(stem, business_date)}"))
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {agency_tables.staging_table(stem, business_date)}"))
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {agency_tables.refused_table(stem, business_date)}"))
