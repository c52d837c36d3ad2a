"""What an agency's deliveries, put in order of their as-of dates, say of each key: the versions of its record in valid time.

The night's own delivery is the newest nearly always: :mod:`warehouse.changes` adds it at the end. Here is the rest: a delivery that comes late
goes to its place among the others, a delivery that is withdrawn leaves it. Both draw a *plan* of the keys they concern, all their versions
anew, which the publication puts in the place of the former ones. So the order of arrival does not matter, for the ids of records neither: a
record is born on the first night whose delivery shows its key, whenever that delivery came in.

A version begins with the delivery that showed it first; deliveries that showed it again left no mark. Where a late one divides a version,
the next delivery that showed the key again takes the version up (`history.observation`).
"""

import sqlalchemy as sa

from schemas.contract import Contract
from warehouse import agency_tables, born, ledger, outbox

# A column gained later is missing in what was kept before: null and missing are the same.
RECORD_TRAITS = "jsonb_strip_nulls(to_jsonb(r) - ARRAY['record_id', 'delivery_id', 'as_of_date'])"
_VERSION = "record_id, record_key, valid_from, valid_to, is_withdrawn, row_hash, row, traits, changed_date, delivery_id"


def core_row(contract: Contract) -> str:
    """SQL expression of the agency's fields of a row `c` of a source's table; a field gained later is missing in rows kept before."""
    fields = ", ".join(f'c."{f.name}"' for f in contract.fields if not f.is_key)
    return f"(SELECT jsonb_strip_nulls(to_jsonb(f)) FROM (SELECT {fields}) AS f)"


def plan_table(stem: str, business_date: str) -> str:
    """Name of the unlogged table of a plan: one row a version, `valid_to` null for the one that is to be current."""
    return f'staging."plan_{stem}_{business_date.replace("-", "")}"'


def newest(connection: sa.Connection, stem: str) -> str | None:
    """As-of date of the newest delivery of a source in the pool; None = there is none."""
    day = connection.scalar(sa.text("SELECT max(as_of_date) FROM history.observation WHERE stem = :stem"), {"stem": stem})
    return str(day) if day else None


def is_overtaken(connection: sa.Connection, stem: str, business_date: str) -> bool:
    """Whether a delivery of a later night than this one is in the pool already."""
    query = "SELECT EXISTS (SELECT FROM history.observation WHERE stem = :stem AND business_date > CAST(:day AS date))"
    return bool(connection.scalar(sa.text(query), {"stem": stem, "day": business_date}))


def _run(connection: sa.Connection, values: dict[str, object], *statements: str) -> None:
    for statement in statements:
        connection.execute(sa.text(statement), values)


def _read_versions(connection: sa.Connection, contract: Contract) -> None:
    """Make `mark`: the beginnings of all versions of the keys in `concerned` (``record_key``, ``record_id``)."""
    core = agency_tables.core_table(contract.stem)
    _run(
        connection, {},
        "ANALYZE concerned",
        f"CREATE TEMP TABLE mark ON COMMIT DROP AS SELECT {_VERSION} FROM (SELECT h.record_id, h.record_key, lower(h.valid_during) AS valid_from,"
        " upper(h.valid_during) AS valid_to, is_withdrawn, row_hash, row, traits, changed_date, delivery_id"
        " FROM concerned JOIN history.record h USING (record_id)"
        " UNION ALL SELECT c.record_id, c.record_key, c.as_of_date, NULL, c.withdrawn_date IS NOT NULL, c.row_hash,"
        f" {core_row(contract)}, {RECORD_TRAITS}, c.changed_date, c.delivery_id"
        f" FROM concerned JOIN {core} c USING (record_key) LEFT JOIN identity.record r ON r.record_id = c.record_id) AS known",
        "CREATE TEMP TABLE shown ON COMMIT DROP AS SELECT delivery_id, unnest(exceptions) AS record_key"
        " FROM history.observation WHERE false",
    )  # fmt: skip


def _take_up(connection: sa.Connection, contract: Contract, after: str, *, without: str) -> None:
    """Add a mark where a delivery after a date showed again what a mark in `lost` had shown until then.

    `lost` holds versions whose end has become uncertain: from `after` on they are known only by a delivery that showed them again.
    """
    values: dict[str, object] = {"stem": contract.stem, "after": after, "without": without}
    _run(
        connection, values,
        "CREATE TEMP TABLE sighting ON COMMIT DROP AS SELECT * FROM history.observation WHERE stem = :stem"
        " AND as_of_date > CAST(:after AS date) AND delivery_id <> CAST(:without AS uuid)",
        "INSERT INTO shown SELECT delivery_id, unnest(exceptions) FROM sighting",
        "ANALYZE lost; ANALYZE shown; ANALYZE sighting",
        # A full delivery shows every key but the excepted; a delta shows a key unchanged only where it is excepted.
        "INSERT INTO mark SELECT DISTINCT ON (l.record_key) l.record_id, l.record_key, s.as_of_date, NULL, l.is_withdrawn, l.row_hash, l.row,"
        " l.traits, s.business_date, s.delivery_id FROM lost l JOIN sighting s ON s.as_of_date > l.valid_from AND s.as_of_date < l.ends"
        " LEFT JOIN shown e ON e.delivery_id = s.delivery_id AND e.record_key = l.record_key"
        " WHERE s.is_full = (e.record_key IS NULL) ORDER BY l.record_key, s.as_of_date, s.publication DESC",
    )  # fmt: skip


def _draw(connection: sa.Connection, contract: Contract, business_date: str) -> None:
    """Make the plan of the marks: what goes on is one version, and before its first row a key has none."""
    plan = plan_table(contract.stem, business_date)
    same = "is_withdrawn AND before_is_withdrawn OR NOT is_withdrawn AND NOT before_is_withdrawn AND row_hash = before_row_hash"
    _run(
        connection, {},
        f"DROP TABLE IF EXISTS {plan}",
        "CREATE TEMP TABLE judged_mark ON COMMIT DROP AS SELECT m.*, CASE WHEN before_is_withdrawn IS NULL THEN is_withdrawn"
        f" ELSE {same} END AS goes_on FROM (SELECT *, lag(row_hash) OVER w AS before_row_hash,"
        " lag(is_withdrawn) OVER w AS before_is_withdrawn FROM mark WINDOW w AS (PARTITION BY record_key ORDER BY valid_from)) AS m",
        f"CREATE UNLOGGED TABLE {plan} AS SELECT record_id, record_key, valid_from, lead(valid_from) OVER w AS valid_to, is_withdrawn,"
        # a withdrawn record holds what it held before
        " CASE WHEN is_withdrawn THEN lag(row_hash) OVER w ELSE row_hash END AS row_hash,"
        " CASE WHEN is_withdrawn THEN lag(row) OVER w ELSE row END AS row, CASE WHEN NOT is_withdrawn THEN traits END AS traits,"
        " changed_date, delivery_id, CAST(NULL AS date) AS first_seen_date FROM judged_mark WHERE NOT goes_on"
        " WINDOW w AS (PARTITION BY record_key ORDER BY valid_from)",
        f"CREATE TABLE {plan[:-1]}_keys\" AS SELECT record_key, record_id FROM concerned",
        # A delta whose mark has become one of the same content shows the key unchanged from now on.
        f"CREATE TABLE {plan[:-1]}_shown\" AS SELECT o.delivery_id, array_agg(m.record_key) AS keys FROM judged_mark m"
        " JOIN history.observation o USING (delivery_id) WHERE m.goes_on AND NOT o.is_full GROUP BY o.delivery_id",
        "DROP TABLE mark, shown, sighting, lost, judged_mark, concerned",
    )  # fmt: skip


def place(
    connection: sa.Connection,
    contract: Contract,
    *,
    business_date: str,
    as_of: str,
    delivery_id: str,
    changes: str,
    traits: str,
    pool: str,
) -> None:
    """Draw the plan of a late delivery.

    A key that it shows on an earlier night than it was first seen is born anew, on that night.

    Args:
        connection: the transaction of resolve.
        contract: of its source.
        business_date: the night it comes in.
        as_of: its as-of date.
        delivery_id: its id.
        changes: table of what it shows otherwise than the pool has it for that day: ``record_key``, ``record_id``, ``row_number``
            (null = a key it does not hold), ``row_hash``, ``op`` (B = as the pool has it, but on an earlier night than it was first seen).
        traits: SQL expression of what identity judges a row of it by, over staging `s` and that table `c`.
        pool: name of the pool.
    """
    staged = agency_tables.staging_table(contract.stem, business_date)
    fields = ", ".join(f's."{f.name}"' for f in contract.fields if not f.is_key)
    values: dict[str, object] = {
        "as_of": as_of, "delivery": delivery_id, "day": business_date, "stem": contract.stem, "authority": contract.authority, "pool": pool,
    }  # fmt: skip
    _run(connection, values, f"CREATE TEMP TABLE concerned ON COMMIT DROP AS SELECT record_key, record_id FROM {changes}")
    _read_versions(connection, contract)
    here = "valid_from <= CAST(:as_of AS date) AND (valid_to IS NULL OR valid_to > CAST(:as_of AS date))"
    _run(
        connection, values,
        # What the key was on that day; where it was not known yet, the next full delivery that does not hold it says that it was gone.
        "CREATE TEMP TABLE lost ON COMMIT DROP AS SELECT k.record_id, k.record_key, CAST(:as_of AS date) AS valid_from,"
        " coalesce(v.is_withdrawn, true) AS is_withdrawn, v.row_hash, v.row, v.traits, coalesce(CASE WHEN v.record_key IS NULL THEN"
        " (SELECT min(n.valid_from) FROM mark n WHERE n.record_key = k.record_key AND n.valid_from > CAST(:as_of AS date))"
        f" ELSE v.valid_to END, 'infinity') AS ends FROM {changes} k LEFT JOIN (SELECT * FROM mark WHERE {here}) AS v USING (record_key) WHERE k.op <> 'B'",
    )  # fmt: skip
    _take_up(connection, contract, as_of, without=delivery_id)
    _run(
        connection, values,
        f"DELETE FROM mark m USING {changes} c WHERE m.record_key = c.record_key AND c.op <> 'B' AND m.valid_from = CAST(:as_of AS date)",
        "INSERT INTO mark SELECT c.record_id, c.record_key, CAST(:as_of AS date), NULL, c.row_number IS NULL, c.row_hash,"
        f" CASE WHEN c.row_number IS NOT NULL THEN (SELECT jsonb_strip_nulls(to_jsonb(f)) FROM (SELECT {fields}) AS f) END,"
        f" CASE WHEN c.row_number IS NOT NULL THEN {traits} END, CAST(:day AS date), CAST(:delivery AS uuid)"
        f" FROM {changes} c LEFT JOIN {staged} s USING (row_number) WHERE c.op <> 'B'",
    )  # fmt: skip
    _draw(connection, contract, business_date)
    plan = plan_table(contract.stem, business_date)
    _run(
        connection, values,
        f"UPDATE {plan} p SET first_seen_date = coalesce((SELECT first_seen_date FROM"
        f" {agency_tables.core_table(contract.stem)} c WHERE c.record_key = p.record_key), CAST(:day AS date))",
        f"UPDATE {plan} p SET first_seen_date = CAST(:day AS date), record_id = {born.record_id(':stem', 'p.record_key', 'CAST(:day AS date)')}"
        f" FROM {changes} c WHERE c.record_key = p.record_key AND c.row_number IS NOT NULL AND p.first_seen_date > CAST(:day AS date)",
    )  # fmt: skip


def current(stem: str, business_date: str) -> str:
    """Query of the plan's current versions that differ from what is current now: columns of the plan, and `was_held`."""
    core, plan = agency_tables.core_table(stem), plan_table(stem, business_date)
    return (
        f"SELECT p.*, c.record_key IS NOT NULL AS was_known, c.record_key IS NOT NULL AND c.withdrawn_date IS NULL AS was_held,"
        f" c.row_hash AS was_hash FROM {plan} p LEFT JOIN {core} c USING (record_key) WHERE p.valid_to IS NULL AND (c.record_key IS NULL"
        " OR (c.record_id, c.as_of_date, c.withdrawn_date IS NOT NULL, c.row_hash, c.changed_date)"
        " IS DISTINCT FROM (p.record_id, p.valid_from, p.is_withdrawn, p.row_hash, p.changed_date))"
    )


def collect(connection: sa.Connection, stem: str, business_date: str) -> None:
    """Give the identity rows that a plan makes current, and those it puts an end to, to the night's working tables."""
    core, plan = agency_tables.core_table(stem), plan_table(stem, business_date)
    _run(
        connection, {},
        "INSERT INTO staging.work_candidate SELECT r.* FROM"
        f" ({current(stem, business_date)}) AS p, jsonb_populate_record(NULL::identity.record,"
        " p.traits || jsonb_build_object('record_id', p.record_id, 'as_of_date', p.valid_from, 'delivery_id', p.delivery_id)) AS r"
        " WHERE NOT p.is_withdrawn",
        f"INSERT INTO staging.work_gone SELECT c.record_id FROM {plan[:-1]}_keys\" k JOIN {core} c USING (record_key)"
        f" WHERE c.withdrawn_date IS NULL AND (EXISTS (SELECT FROM ({current(stem, business_date)}) AS p WHERE p.record_key = k.record_key)"
        f" OR NOT EXISTS (SELECT FROM {plan} p WHERE p.record_key = k.record_key))",
    )  # fmt: skip


def apply(connection: sa.Connection, contract: Contract, business_date: str) -> bool:
    """Put a plan, if there is one, in the place of what was known of its keys; part of the publishing transaction. Whether there was."""
    core, plan = agency_tables.core_table(contract.stem), plan_table(contract.stem, business_date)
    if not connection.scalar(sa.text("SELECT to_regclass(:plan)"), {"plan": plan}):
        return False
    own = [f'"{f.name}"' for f in contract.fields if not f.is_key]
    keys, shown = f'{plan[:-1]}_keys"', f'{plan[:-1]}_shown"'
    number = ledger.publication(connection) + 1
    values: dict[str, object] = {"number": number, "stem": contract.stem}
    columns = "record_id, stem, record_key, valid_during, is_withdrawn, row_hash, row, traits, changed_date, delivery_id"
    planned = (
        "p.record_id = {v}.record_id AND p.valid_from = {begins} AND p.is_withdrawn = {withdrawn} AND p.row_hash = {v}.row_hash"
        " AND p.changed_date = {v}.changed_date"
    )
    stays = planned.format(v="h", begins="lower(h.valid_during)", withdrawn="h.is_withdrawn") + " AND p.valid_to = upper(h.valid_during)"
    begins = planned.format(v="c", begins="c.as_of_date", withdrawn="(c.withdrawn_date IS NOT NULL)")
    former = (
        f"SELECT c.record_id, :stem, c.record_key, {{during}}, c.withdrawn_date IS NOT NULL, c.row_hash, {core_row(contract)}, {RECORD_TRAITS},"
        f" c.changed_date, c.delivery_id, {{known}} FROM {keys} k JOIN {core} c USING (record_key)"
        " LEFT JOIN identity.record r ON r.record_id = c.record_id"
    )
    _run(
        connection, values,
        # Former versions of the past that are not in the plan.
        f"CREATE TEMP TABLE refuted ON COMMIT DROP AS SELECT h.* FROM {keys} k JOIN history.record h USING (record_id)"
        f" WHERE NOT EXISTS (SELECT FROM {plan} p WHERE {stays})",
        f"INSERT INTO history.record_revised ({columns}, open_until, known_during)"
        f" SELECT {columns}, open_until, int8range(known_from, :number) FROM refuted WHERE known_from < :number",
        "DELETE FROM history.record h USING refuted f WHERE h.record_id = f.record_id AND h.valid_during = f.valid_during",
        # What was current and is of the past now: in the plan, or refuted as well.
        f"INSERT INTO history.record ({columns}, known_from, open_until)"
        f" {former.format(during='daterange(c.as_of_date, p.valid_to)', known='c.known_from, :number')}"
        f" JOIN {plan} p ON {begins} WHERE p.valid_to IS NOT NULL",
        f"INSERT INTO history.record_revised ({columns}, open_until, known_during)"
        f" {former.format(during='daterange(c.as_of_date, NULL)', known=':number, int8range(c.known_from, :number)')}"
        f" WHERE NOT EXISTS (SELECT FROM {plan} p WHERE {begins}) AND c.known_from < :number",
        # The plan's own versions of the past.
        f"INSERT INTO history.record ({columns}, known_from, open_until) SELECT p.record_id, :stem, p.record_key,"
        " daterange(p.valid_from, p.valid_to), p.is_withdrawn, p.row_hash, p.row, p.traits, p.changed_date, p.delivery_id, :number, :number"
        f" FROM {plan} p WHERE p.valid_to IS NOT NULL AND NOT EXISTS (SELECT FROM history.record h WHERE h.record_id = p.record_id"
        " AND lower(h.valid_during) = p.valid_from)",
        f"CREATE TEMP TABLE becomes ON COMMIT DROP AS {current(contract.stem, business_date)}",
    )  # fmt: skip
    outbox.note_replanned(connection, core=core, keys=keys, plan=plan)
    _run(
        connection, values,
        f"DELETE FROM {core} c USING {keys} k WHERE c.record_key = k.record_key AND (EXISTS (SELECT FROM becomes b"
        f" WHERE b.record_key = k.record_key) OR NOT EXISTS (SELECT FROM {plan} p WHERE p.record_key = k.record_key))",
        f"INSERT INTO {core} (record_key, record_id, {', '.join(own)}, row_hash, delivery_id, as_of_date, first_seen_date, changed_date,"
        f" withdrawn_date, known_from) SELECT b.record_key, b.record_id, {', '.join(f'f.{n}' for n in own)}, b.row_hash, b.delivery_id,"
        " b.valid_from, b.first_seen_date, b.changed_date, CASE WHEN b.is_withdrawn THEN b.changed_date END, :number"
        f" FROM becomes b, jsonb_populate_record(NULL::{core}, b.row) AS f",
        f"UPDATE history.observation o SET exceptions = exceptions || s.keys FROM {shown} s WHERE s.delivery_id = o.delivery_id",
        "DROP TABLE refuted, becomes",
    )  # fmt: skip
    return True


def drop(connection: sa.Connection, stem: str, business_date: str) -> None:
    """Drop a plan."""
    plan = plan_table(stem, business_date)
    for name in (plan, f'{plan[:-1]}_keys"', f'{plan[:-1]}_shown"'):
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))


def observe(
    connection: sa.Connection, contract: Contract, *, business_date: str, delivery_id: str, as_of: str, scope: str, changes: str
) -> None:
    """Note that a delivery was merged, and the keys of which it says something else than its kind would; part of the publishing transaction."""
    staged = agency_tables.staging_table(contract.stem, business_date)
    key = f's."{contract.key.name}"::text'
    refused = agency_tables.refused_table(contract.stem, business_date)
    held = (
        "SELECT FROM quarantine.row q WHERE q.delivery_id = CAST(:delivery AS uuid) AND q.row_number = s.row_number AND q.stage <> 'field'"
    )
    values = {
        "delivery": delivery_id, "stem": contract.stem, "as_of": as_of, "day": business_date, "is_full": scope == "full",
        "number": ledger.publication(connection) + 1,
    }  # fmt: skip
    if scope == "full":
        keys = f"SELECT {key} FROM {staged} s WHERE EXISTS ({held}) UNION SELECT record_key FROM {refused}"
        nothing_held = "SELECT NOT EXISTS (SELECT FROM quarantine.row WHERE delivery_id = CAST(:delivery AS uuid))"
        if connection.scalar(sa.text(nothing_held), values):
            keys = "SELECT NULL::text WHERE false"
    else:
        keys = f"SELECT {key} FROM {staged} s WHERE NOT EXISTS ({held}) AND NOT EXISTS (SELECT FROM {changes} c WHERE c.row_number = s.row_number)"
    connection.execute(
        sa.text(
            "INSERT INTO history.observation (delivery_id, stem, as_of_date, business_date, is_full, publication, exceptions)"
            f" SELECT CAST(:delivery AS uuid), :stem, CAST(:as_of AS date), CAST(:day AS date), :is_full, :number, ARRAY({keys})"
            " ON CONFLICT (delivery_id) DO UPDATE SET exceptions = excluded.exceptions"
        ),
        values,
    )


def remove(connection: sa.Connection, contract: Contract, *, business_date: str, delivery_id: str, as_of: str, pool: str) -> int:
    """Draw the plan of a source without one delivery; how many keys it concerns.

    A key that this delivery was the first to show is born anew, as by the next one that shows it.

    Args:
        connection: the transaction that withdraws it.
        contract: of its source.
        business_date: names the plan.
        delivery_id: the delivery.
        as_of: its as-of date.
        pool: name of the pool.
    """
    core, plan = agency_tables.core_table(contract.stem), plan_table(contract.stem, business_date)
    values: dict[str, object] = {"delivery": delivery_id, "as_of": as_of, "stem": contract.stem, "pool": pool}
    drop(connection, contract.stem, business_date)
    _run(
        connection, values,
        "CREATE TEMP TABLE concerned ON COMMIT DROP AS SELECT record_key, record_id FROM history.record WHERE delivery_id = CAST(:delivery AS uuid)"
        f" UNION SELECT record_key, record_id FROM {core} WHERE delivery_id = CAST(:delivery AS uuid)",
    )  # fmt: skip
    _read_versions(connection, contract)
    _run(
        connection, values,
        "CREATE TEMP TABLE lost ON COMMIT DROP AS SELECT *, coalesce(valid_to, 'infinity') AS ends FROM mark WHERE delivery_id = CAST(:delivery AS uuid)",
    )  # fmt: skip
    _take_up(connection, contract, as_of, without=delivery_id)
    _run(
        connection, values,
        "DELETE FROM mark WHERE delivery_id = CAST(:delivery AS uuid)",
        # Another delivery of the same day, which this one had corrected, speaks again.
        f"INSERT INTO mark ({_VERSION}) SELECT DISTINCT ON (v.record_key) v.record_id, v.record_key, lower(v.valid_during), NULL, v.is_withdrawn,"
        " v.row_hash, v.row, v.traits, v.changed_date, v.delivery_id FROM concerned k JOIN history.record_revised v USING (record_id)"
        " JOIN history.observation o ON o.delivery_id = v.delivery_id WHERE lower(v.valid_during) = CAST(:as_of AS date)"
        " AND v.delivery_id <> CAST(:delivery AS uuid) ORDER BY v.record_key, lower(v.known_during) DESC",
    )  # fmt: skip
    _draw(connection, contract, business_date)
    first_seen = f"(SELECT c.first_seen_date FROM {core} c WHERE c.record_key = p.record_key)"
    _run(
        connection, values,
        f"UPDATE {plan} p SET first_seen_date = {first_seen}",
        f"UPDATE {plan} p SET first_seen_date = n.day, record_id = {born.record_id(':stem', 'p.record_key', 'n.day')} FROM"
        f" (SELECT DISTINCT ON (first.record_key) first.record_key, o.business_date AS day FROM {plan} first JOIN history.observation o"
        " USING (delivery_id) WHERE NOT first.is_withdrawn ORDER BY first.record_key, o.business_date) AS n"
        " WHERE n.record_key = p.record_key AND p.first_seen_date ="
        " (SELECT business_date FROM history.observation WHERE delivery_id = CAST(:delivery AS uuid))",
    )  # fmt: skip
    return int(connection.scalar(sa.text(f'SELECT count(*) FROM {plan[:-1]}_keys"')) or 0)


def strike(connection: sa.Connection, contract: Contract, business_date: str, record_ids: list[str]) -> None:
    """Draw a plan in which some records never were.

    Args:
        connection: the transaction.
        contract: of their source.
        business_date: names the plan.
        record_ids: the records; one that is not the source's now is left out.
    """
    plan = plan_table(contract.stem, business_date)
    drop(connection, contract.stem, business_date)
    _run(
        connection, {"ids": record_ids},
        "CREATE TEMP TABLE concerned ON COMMIT DROP AS SELECT record_key, record_id FROM"
        f" {agency_tables.core_table(contract.stem)} WHERE record_id = ANY(CAST(:ids AS uuid[]))",
    )  # fmt: skip
    _read_versions(connection, contract)
    _run(
        connection, {},
        "CREATE TEMP TABLE lost ON COMMIT DROP AS TABLE mark WITH NO DATA",
        "CREATE TEMP TABLE sighting ON COMMIT DROP AS TABLE history.observation WITH NO DATA",
        "DELETE FROM mark",
    )  # fmt: skip
    _draw(connection, contract, business_date)
    connection.execute(sa.text(f"ANALYZE {plan}"))


def lead_on(connection: sa.Connection, stem: str, business_date: str) -> None:
    """Let what names a record that a plan, if there is one, bore anew lead to where it is now: ids of persons, open disputes.

    Once links are written. A judgement follows when it is taken up (:func:`warehouse.identity_pool.judge`).
    """
    plan = plan_table(stem, business_date)
    if not connection.scalar(sa.text("SELECT to_regclass(:plan)"), {"plan": plan}):
        return
    _run(
        connection, {},
        "DROP TABLE IF EXISTS anew",
        # One that its agency does not hold now is led on from when it comes back.
        "CREATE TEMP TABLE anew ON COMMIT DROP AS SELECT k.record_id, p.record_id AS is_now, coalesce(l.person_id, p.record_id) AS person_id"
        f' FROM {plan[:-1]}_keys" k JOIN {plan} p ON p.record_key = k.record_key AND p.valid_to IS NULL'
        " LEFT JOIN identity.link l ON l.record_id = p.record_id WHERE p.record_id <> k.record_id",
        "ANALYZE anew",
        "UPDATE identity.redirect r SET person_id = n.person_id FROM anew n WHERE r.person_id = n.record_id",
        "INSERT INTO identity.redirect SELECT n.record_id, n.person_id FROM anew n"
        " WHERE EXISTS (SELECT FROM history.person h WHERE h.person_id = n.record_id AND h.row IS NOT NULL)"
        " ON CONFLICT (old_person_id) DO UPDATE SET person_id = excluded.person_id",
        "UPDATE share.disputed o SET record_id = n.is_now FROM anew n WHERE o.record_id = n.record_id"
        " AND NOT EXISTS (SELECT FROM share.disputed t WHERE t.record_id = n.is_now AND t.attribute = o.attribute)",
    )  # fmt: skip


def forget(connection: sa.Connection, delivery_id: str) -> None:
    """Take a delivery out of those that were observed; part of the transaction that withdraws it."""
    connection.execute(sa.text("DELETE FROM history.observation WHERE delivery_id = CAST(:delivery AS uuid)"), {"delivery": delivery_id})
