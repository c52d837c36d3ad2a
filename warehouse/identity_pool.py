"""The records identity is judged by: which of them a night touches, and their way to and from the pure functions.

A night looks only at what changed and at everything that hangs together with it by number, by name and birth date, by the node it
belonged to, or by a judgement. The set is closed, so the outcome equals that of judging the whole pool.
"""

from collections.abc import Callable, Iterable

import polars as pl
import sqlalchemy as sa

from schemas.contract import Contract
from warehouse import agency_tables, binary_copy, blocks, born, changes, timeline, weighing

COLUMNS = (
    "record_id", "stem", "authority", "record_key", "delivery_id", "as_of_date", "id_key", "name_key", "birth_date", "phone_key",
    "address_key", "resident_id", "name", "sex", "phone", "address", "area_code", "registered_no", "registered_relation",
    "living_no", "living_relation",
)  # fmt: skip
_LISTED = ", ".join(COLUMNS)
INDEXES = {
    "record_id_key": "identity.record (id_key) WHERE id_key IS NOT NULL",
    "record_name_birth": "identity.record (name_key, birth_date)",
    "record_source_key": "identity.record (stem, record_key)",
    "record_registered": "identity.record (stem, registered_no) WHERE registered_no IS NOT NULL",
    "record_living": "identity.record (stem, living_no) WHERE living_no IS NOT NULL",
    "record_phone": "identity.record (phone_key) WHERE phone_key IS NOT NULL",
    "record_birth_surname": f"identity.record (birth_date, ({blocks.PARTS['surname'].replace('r.', '')}))",
    "record_number_tail": f"identity.record (({blocks.PARTS['tail'].replace('r.', '')}))",
    "link_person": "identity.link (person_id)",
    "link_open": "identity.link (record_id) WHERE is_open",
    "person_resident_id": "core.person (resident_id)",
    "household_member_household": "core.household_member (household_id)",
}
# How persons become households, from identity, which this layer does not know; see :func:`group`.
Resolve = Callable[[pl.DataFrame, pl.DataFrame | None], pl.DataFrame]
Follow = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
_WORK = ("candidate", "gone", "touched", "frontier", "link", "affected", "placed", "member", "seal", *weighing.WORK)


def is_empty(connection: sa.Connection) -> bool:
    """Whether the pool holds no record yet."""
    return not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM identity.record)"))


def drop_work(connection: sa.Connection) -> None:
    """Drop the tables between resolve and merge."""
    for name in _WORK:
        connection.execute(sa.text(f"DROP TABLE IF EXISTS staging.work_{name}"))


def collect(connection: sa.Connection, sources: Iterable[tuple[Contract, str, str, str]]) -> None:
    """Gather the new identity rows of a night and the records that are replaced or withdrawn.

    Args:
        connection: an open transaction.
        sources: contract, business date, delivery id and as-of date of each source with prepared changes.
    """
    drop_work(connection)
    connection.execute(sa.text("CREATE UNLOGGED TABLE staging.work_candidate (LIKE identity.record) WITH (autovacuum_enabled = false)"))
    connection.execute(sa.text("CREATE UNLOGGED TABLE staging.work_gone (record_id uuid)"))
    for contract, day, delivery, as_of in sources:
        columns = changes.identity_columns(contract)
        table = changes.change_table(contract.stem, day)
        connection.execute(
            sa.text(
                f"INSERT INTO staging.work_candidate ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
                f" FROM {table} c JOIN {agency_tables.staging_table(contract.stem, day)} s USING (row_number)"
                " WHERE c.op IN ('I', 'U')"
            ),
            {"stem": contract.stem, "authority": contract.authority, "delivery": delivery, "as_of": as_of},
        )
        connection.execute(sa.text(f"INSERT INTO staging.work_gone SELECT record_id FROM {table} WHERE op IN ('U', 'W')"))
        if connection.scalar(sa.text("SELECT to_regclass(:plan)"), {"plan": timeline.plan_table(contract.stem, day)}):
            timeline.collect(connection, contract.stem, day)
    connection.execute(sa.text("ANALYZE staging.work_candidate, staging.work_gone"))


# Records that somebody judged and that are born earlier now; one that a withdrawn delivery let be born later waits.
_NAMED_NOW = """
SELECT j.record_id, n.record_id AS is_now FROM (SELECT record_a AS record_id FROM staging.work_judged UNION SELECT record_b FROM staging.work_judged) AS j
CROSS JOIN LATERAL (
    SELECT stem, record_key FROM identity.record o WHERE o.record_id = j.record_id
    UNION ALL (SELECT stem, record_key FROM history.record_revised v WHERE v.record_id = j.record_id LIMIT 1) LIMIT 1
) AS k
JOIN (
    SELECT record_id, stem, record_key FROM staging.work_candidate UNION ALL SELECT record_id, stem, record_key FROM identity.record r
    WHERE NOT EXISTS (SELECT FROM staging.work_gone g WHERE g.record_id = r.record_id)
) AS n ON n.stem = k.stem AND n.record_key = k.record_key AND n.record_id < j.record_id
"""
_TRANSLATED = """
WITH told AS (
    DELETE FROM staging.work_judged j USING staging.work_judged w
    LEFT JOIN named_now a ON a.record_id = w.record_a LEFT JOIN named_now b ON b.record_id = w.record_b
    WHERE (w.record_a, w.record_b) = (j.record_a, j.record_b) AND (a.record_id IS NOT NULL OR b.record_id IS NOT NULL)
    RETURNING coalesce(a.is_now, w.record_a) AS one, coalesce(b.is_now, w.record_b) AS other, w.judgement
)
INSERT INTO staging.work_judged SELECT DISTINCT ON (1, 2) least(one, other), greatest(one, other), judgement FROM told
WHERE one <> other AND NOT EXISTS
    (SELECT FROM staging.work_judged s WHERE (s.record_a, s.record_b) = (least(one, other), greatest(one, other)))
ORDER BY 1, 2, 3
"""


def judge(connection: sa.Connection, *, again: bool = False) -> int:
    """Take up the judgements in force; how many of them are new since the last publication, or no longer in force.

    A judgement on a record that a late delivery let be born earlier is one on the record by its id now, as if that delivery had come in order.

    Args:
        connection: the transaction of resolve.
        again: stay with those of the last publication.
    """
    source = "identity.judgement_applied" if again else "identity.judgement_in_force"
    for statement in (
        f"CREATE UNLOGGED TABLE staging.work_judged AS SELECT record_a, record_b, judgement FROM {source}",
        "ANALYZE staging.work_judged",
        f"CREATE TEMP TABLE named_now ON COMMIT DROP AS {_NAMED_NOW}",
        _TRANSLATED,
        "CREATE TEMP TABLE differing ON COMMIT DROP AS SELECT * FROM"
        " ((TABLE staging.work_judged EXCEPT TABLE identity.judgement_applied) UNION"
        " (TABLE identity.judgement_applied EXCEPT TABLE staging.work_judged)) AS one_side",
        "CREATE TEMP TABLE rejudged ON COMMIT DROP AS"
        " SELECT record_a AS record_id FROM differing UNION SELECT record_b FROM differing",
        "ANALYZE rejudged",
    ):  # fmt: skip
        connection.execute(sa.text(statement))
    return int(connection.scalar(sa.text("SELECT count(*) FROM differing")) or 0)


def touch(connection: sa.Connection, *, everything: bool = False) -> int:
    """Close the set of touched records under everything that can decide sure links; how many there are.

    In an empty pool everything is touched and nothing is listed; the count is then that of the candidates.

    Args:
        connection: the transaction that collected the night's rows and took up judgements.
        everything: touch all records of the pool.
    """
    connection.execute(sa.text("CREATE UNLOGGED TABLE staging.work_touched (record_id uuid PRIMARY KEY)"))
    if is_empty(connection):
        return int(connection.scalar(sa.text("SELECT count(*) FROM staging.work_candidate")) or 0)
    connection.execute(
        sa.text("CREATE INDEX ON staging.work_candidate (id_key); CREATE INDEX ON staging.work_candidate (name_key, birth_date)")
    )
    weighing.alter(connection)
    if everything:
        connection.execute(
            sa.text(
                "INSERT INTO staging.work_touched SELECT record_id FROM identity.record UNION SELECT record_id FROM staging.work_candidate"
            )
        )
    connection.execute(sa.text("CREATE UNLOGGED TABLE staging.work_frontier AS SELECT record_id FROM altered"))
    while connection.execute(
        sa.text("INSERT INTO staging.work_touched SELECT record_id FROM staging.work_frontier ON CONFLICT DO NOTHING")
    ).rowcount:
        connection.execute(sa.text("ANALYZE staging.work_frontier"))
        connection.execute(sa.text(_NEXT_FRONTIER))
        connection.execute(sa.text("DROP TABLE staging.work_frontier"))
        connection.execute(sa.text("ALTER TABLE staging.work_next RENAME TO work_frontier"))
    connection.execute(sa.text("ANALYZE staging.work_touched"))
    return int(connection.scalar(sa.text("SELECT count(*) FROM staging.work_touched")) or 0)


_NEXT_FRONTIER = """
CREATE UNLOGGED TABLE staging.work_next AS
WITH keys AS MATERIALIZED (
    SELECT id_key, name_key, birth_date FROM staging.work_candidate JOIN staging.work_frontier USING (record_id)
    UNION
    SELECT id_key, name_key, birth_date FROM identity.record JOIN staging.work_frontier USING (record_id)
)
SELECT DISTINCT record_id FROM (
    SELECT other.record_id FROM staging.work_frontier JOIN identity.link own USING (record_id)
        JOIN identity.link other ON other.person_id = own.person_id AND other.node_id = own.node_id
    UNION ALL SELECT r.record_id FROM keys JOIN identity.record r ON r.id_key = keys.id_key
    UNION ALL SELECT r.record_id FROM keys JOIN identity.record r ON r.name_key = keys.name_key AND r.birth_date = keys.birth_date
    UNION ALL SELECT r.record_id FROM keys JOIN staging.work_candidate r ON r.id_key = keys.id_key
    UNION ALL SELECT r.record_id FROM keys JOIN staging.work_candidate r
        ON r.name_key = keys.name_key AND r.birth_date = keys.birth_date
    UNION ALL SELECT j.record_b FROM staging.work_frontier f JOIN staging.work_judged j ON j.record_a = f.record_id
    UNION ALL SELECT j.record_a FROM staging.work_frontier f JOIN staging.work_judged j ON j.record_b = f.record_id
) AS neighbour WHERE NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = neighbour.record_id)
"""


def _future(columns: str, where: str = "") -> str:
    """The records as they will be: the night's candidates, and the pool's that are not replaced or withdrawn."""
    return (
        f"SELECT {columns} FROM staging.work_candidate r {where} UNION ALL SELECT {columns} FROM identity.record r {where}"
        f" {'AND' if where else 'WHERE'} NOT EXISTS (SELECT FROM staging.work_gone g WHERE g.record_id = r.record_id)"
    )


def link(connection: sa.Connection, resolve: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]) -> int:
    """Group the touched records into nodes by `resolve` (see :func:`identity.persons.resolve`), under the judgements in force.

    Values leave the database only as 64-bit hashes: the function compares for equality alone.
    """
    hashed = ", ".join(
        f"hashtextextended({c}, 0)" if c != "birth_date" else c for c in ("id_key", "name_key", "birth_date", "phone_key", "address_key")
    )
    columns = f"record_id, {hashed}, substr(id_key, 7, 8)::date"
    where = "" if is_empty(connection) else "WHERE EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = r.record_id)"
    kinds: dict[str, binary_copy.Kind] = {
        "record_id": "uuid", "id_key": "bigint", "name_key": "bigint", "birth_date": "date", "phone_key": "bigint",
        "address_key": "bigint", "id_birth_date": "date",
    }  # fmt: skip
    pairs: dict[str, binary_copy.Kind] = {"record_a": "uuid", "record_b": "uuid", "is_must": "smallint"}
    judged = binary_copy.read(
        connection, "SELECT record_a, record_b, CASE judgement WHEN 'must' THEN 1 ELSE 0 END::smallint FROM staging.work_judged", pairs
    ).with_columns(judgement=pl.when(pl.col("is_must") == 1).then(pl.lit("must")).otherwise(pl.lit("cannot")))
    nodes = resolve(binary_copy.read(connection, _future(columns, where), kinds), judged)
    connection.execute(sa.text("CREATE UNLOGGED TABLE staging.work_node (record_id uuid, node_id uuid, is_open boolean, rule_id text)"))
    ids: dict[str, binary_copy.Kind] = {"record_id": "uuid", "node_id": "uuid", "is_open": "boolean"}
    binary_copy.write(connection, "staging.work_node", nodes, ids, texts=("rule_id",))
    connection.execute(sa.text("ANALYZE staging.work_node"))
    return nodes.height


_RULE = "CASE WHEN NOT p.is_alone AND (p.person_id <> n.node_id OR n.rule_id = 'single') THEN 'weighed' ELSE n.rule_id END"
_ASSIGNED = (
    # A node that was not united anew belongs where it belonged; a new one that nothing was weighed against is a person of its own.
    "INSERT INTO staging.work_link SELECT n.record_id, n.node_id, n.is_open, n.rule_id,"
    " coalesce(p.person_id, CASE WHEN l.node_id = n.node_id THEN l.person_id ELSE n.node_id END),"
    f" CASE WHEN p.node_id IS NULL AND l.node_id = n.node_id AND l.rule_id = 'weighed' THEN l.rule_id WHEN p.node_id IS NULL THEN n.rule_id ELSE {_RULE} END"
    " FROM staging.work_node n LEFT JOIN staging.work_person p USING (node_id) LEFT JOIN identity.link l USING (record_id)",
    "INSERT INTO staging.work_link"
    f" SELECT n.record_id, n.node_id, n.is_open, n.rule_id, p.person_id, {_RULE} FROM staging.work_person p"
    " JOIN identity.link own ON own.record_id = p.node_id JOIN LATERAL (SELECT record_id, node_id, is_open, node_rule_id AS rule_id FROM"
    " identity.link l WHERE l.person_id = own.person_id AND l.node_id = p.node_id) AS n ON true"
    " WHERE NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = n.record_id)",
    # A person is written with all its records, also where one is only newer than it was.
    "CREATE TEMP TABLE concerned ON COMMIT DROP AS SELECT person_id FROM staging.work_link"
    " UNION SELECT l.person_id FROM staging.work_link w JOIN identity.link l USING (record_id)"
    " UNION SELECT l.person_id FROM staging.work_touched t JOIN identity.link l USING (record_id)"
    " UNION SELECT l.person_id FROM staging.work_candidate c JOIN identity.link l USING (record_id)",
    "ANALYZE staging.work_link; ANALYZE concerned",
    "INSERT INTO staging.work_link SELECT l.record_id, l.node_id, l.is_open, l.node_rule_id, l.person_id, l.rule_id"
    " FROM concerned JOIN identity.link l USING (person_id)"
    " WHERE NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = l.record_id)"
    " AND NOT EXISTS (SELECT FROM staging.work_link w WHERE w.record_id = l.record_id)",
    "INSERT INTO staging.work_touched SELECT record_id FROM staging.work_link ON CONFLICT DO NOTHING",
    "ANALYZE staging.work_touched",
)


def assign(connection: sa.Connection) -> None:
    """Make the links of all records of the persons that the night concerns: their nodes, and the persons these were united to."""
    connection.execute(
        sa.text(
            "CREATE UNLOGGED TABLE staging.work_link"
            " (record_id uuid, node_id uuid, is_open boolean, node_rule_id text, person_id uuid, rule_id text)"
        )
    )
    is_first = is_empty(connection)
    for statement in _ASSIGNED[:1] if is_first else _ASSIGNED:
        connection.execute(sa.text(statement))
    connection.execute(sa.text("ANALYZE staging.work_link"))


def _number(kind: str) -> str:
    return f"hashtextextended('{kind}' || stem || chr(31) || {kind}_no, 1)"


def _memberships(kind: str) -> str:
    return f"SELECT person_id, record_id, authority, as_of_date, {_number(kind)} FROM voice WHERE {kind}_no IS NOT NULL"


def _told(kind: str) -> str:
    """What records with a number tell of kinship: codes of sex and relation are numbers."""
    code = f"CASE WHEN {kind}_relation ~ '^[0-9]{{2}}$' THEN {kind}_relation::smallint END"
    return (
        f"SELECT person_id, record_id, as_of_date, {_number(kind)}, {code}, birth_date, CASE WHEN sex ~ '^[0-9]$' THEN sex::smallint END"
        f" FROM voice WHERE {kind}_no IS NOT NULL"
    )


# Addresses and telephones; a row a record, for to make them distinct costs more than it saves.
_TRACES = """
SELECT person_id, trace FROM voice
CROSS JOIN LATERAL (VALUES (hashtextextended(address_key, 2)), (hashtextextended(phone_key, 3))) AS t (trace) WHERE trace IS NOT NULL
"""


# One step from persons to all who share a number with them, as records were and as they will be. A step a table, each with the planner's
# figures: as parts of one query the planner would guess, and scan the pool.
_STEP = {
    "hop_record": "SELECT record_id FROM hop_person JOIN identity.link USING (person_id)"
    " UNION SELECT record_id FROM hop_person JOIN staging.work_link USING (person_id)",
    "hop_number": "SELECT stem, registered_no, living_no FROM hop_record JOIN identity.record USING (record_id)"
    " UNION SELECT stem, registered_no, living_no FROM hop_record JOIN staging.work_candidate USING (record_id)",
    "hop_near": " UNION ".join(
        f"SELECT r.record_id FROM hop_number n JOIN {table} r ON r.stem = n.stem AND r.{kind}_no = n.{kind}_no"
        for table in ("identity.record", "staging.work_candidate")
        for kind in ("registered", "living")
    ),
    "hop_found": "SELECT person_id FROM hop_near JOIN identity.link USING (record_id)"
    " UNION SELECT person_id FROM hop_near JOIN staging.work_link USING (record_id)",
}


def _walk(connection: sa.Connection, table: str, steps: int) -> None:
    """Add to a table of persons all who are within some steps of `hop_person`, from number to number; there remain those last found."""
    for _ in range(steps):
        for name, query in _STEP.items():
            connection.execute(sa.text(f"CREATE TEMP TABLE {name} ON COMMIT DROP AS {query}"))
            connection.execute(sa.text(f"ANALYZE {name}"))
        connection.execute(sa.text("DROP TABLE hop_person, hop_record, hop_number, hop_near"))
        connection.execute(
            sa.text(
                "CREATE TEMP TABLE hop_person ON COMMIT DROP AS SELECT person_id FROM hop_found"
                f" WHERE NOT EXISTS (SELECT FROM {table} known WHERE known.person_id = hop_found.person_id)"
            )
        )
        connection.execute(sa.text(f"INSERT INTO {table} SELECT person_id FROM hop_person; ANALYZE hop_person; ANALYZE {table}"))
        connection.execute(sa.text("DROP TABLE hop_found"))


# What a record tells of households, beside its day: of that only the year counts, for ages (:mod:`identity.following`).
_TOLD = (
    "stem", "authority", "registered_no", "registered_relation", "living_no", "living_relation", "birth_date", "sex", "address_key",
    "phone_key",
)  # fmt: skip


def _ways(kind: str, of: str = "") -> str:
    """In how many ways a person's records `r` tell its place of a kind: number and relation by source; `of` = columns told apart as well."""
    return f"count(DISTINCT ({of}r.stem, {kind}_no, {kind}_relation)) FILTER (WHERE {kind}_no IS NOT NULL)"


def _unsettled() -> str:
    """Query of the persons whose records tell otherwise of households than they did; the others' households hang on these alone.

    Those whose records went from one person to another, or came or went; those of whose records one tells something else; and, where a
    record is only newer than it was, those with another of the same authority that it may now be preferred to.
    """
    was, is_now = (", ".join((*(f"{alias}.{c}" for c in _TOLD), f"extract(year FROM {alias}.as_of_date)")) for alias in ("o", "c"))
    of_one = " OR ".join(
        f"{_ways(kind, 'r.authority, ')} > count(DISTINCT r.authority) FILTER (WHERE {kind}_no IS NOT NULL)"
        for kind in ("registered", "living")
    )
    records = blocks.future(
        "n.person_id, r.stem, r.authority, r.registered_no, r.registered_relation, r.living_no, r.living_relation",
        "(SELECT person_id, record_id FROM newer JOIN staging.work_link USING (person_id)) AS n", "n.record_id = r.record_id",
    )  # fmt: skip
    # Where no living number is known, the register of any source stands in, and the newest does.
    of_any = f"count(living_no) = 0 AND {_ways('registered')} > 1"
    return f"""
SELECT person_id FROM (
    SELECT unnest(ARRAY[l.person_id, w.person_id]) AS person_id FROM staging.work_touched t
        LEFT JOIN identity.link l USING (record_id) LEFT JOIN staging.work_link w USING (record_id)
        WHERE l.person_id IS DISTINCT FROM w.person_id
    UNION
    SELECT w.person_id FROM staging.work_candidate c JOIN identity.record o USING (record_id) JOIN staging.work_link w USING (record_id)
        WHERE ({is_now}) IS DISTINCT FROM ({was})
    UNION
    SELECT person_id FROM ({records}) AS r GROUP BY person_id HAVING {of_one} OR {of_any}
) AS p WHERE person_id IS NOT NULL
"""


_EVERYBODY = "SELECT person_id FROM staging.work_link UNION SELECT person_id FROM identity.link"


def _gather_voices(connection: sa.Connection, steps: int, *, is_first: bool, everything: bool) -> None:
    """Make the tables of the affected persons, and of `voice`: every record, as it will be, that can decide their households.

    A household hangs on persons some steps away, so the affected are so many steps from what changed, and what decides so many further.
    """
    columns = "r.record_id, h.person_id, stem, authority, as_of_date, registered_no, registered_relation, living_no, living_relation, birth_date, sex, address_key, phone_key"
    if is_first:
        connection.execute(
            sa.text(
                f"CREATE TEMP TABLE voice ON COMMIT DROP AS SELECT {columns}"
                " FROM staging.work_candidate r JOIN staging.work_link h USING (record_id)"
            )
        )
        return
    for statement in (
        "CREATE TEMP TABLE newer ON COMMIT DROP AS SELECT DISTINCT w.person_id FROM staging.work_candidate c"
        " JOIN identity.record o USING (record_id) JOIN staging.work_link w USING (record_id) WHERE c.as_of_date <> o.as_of_date",
        "ANALYZE newer",
        f"CREATE UNLOGGED TABLE staging.work_affected AS {_EVERYBODY if everything else _unsettled()}",
        "CREATE TEMP TABLE hop_person ON COMMIT DROP AS SELECT person_id FROM staging.work_affected",
        "ANALYZE staging.work_affected; ANALYZE hop_person",
    ):
        connection.execute(sa.text(statement))
    _walk(connection, "staging.work_affected", steps)
    connection.execute(sa.text("CREATE TEMP TABLE persons ON COMMIT DROP AS SELECT person_id FROM staging.work_affected; ANALYZE persons"))
    _walk(connection, "persons", steps)
    connection.execute(sa.text("DROP TABLE hop_person"))
    connection.execute(
        sa.text(
            "CREATE TEMP TABLE holders ON COMMIT DROP AS SELECT record_id, person_id FROM persons JOIN identity.link USING (person_id)"
            " WHERE NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = link.record_id)"
            " UNION ALL SELECT record_id, person_id FROM persons JOIN staging.work_link USING (person_id); ANALYZE holders"
        )
    )
    future = " UNION ALL ".join(
        f"SELECT {columns} FROM holders h JOIN {source} r USING (record_id)" for source in ("staging.work_candidate", "identity.record")
    )
    connection.execute(
        sa.text(
            f"CREATE TEMP TABLE voice ON COMMIT DROP AS {future}"
            " WHERE NOT EXISTS (SELECT FROM staging.work_gone g WHERE g.record_id = r.record_id)"
        )
    )


def group(
    connection: sa.Connection,
    resolve: Resolve,
    follow: Follow,
    steps: int,
    pool: str,
    *,
    everything: bool,
) -> None:
    """Judge the households of the affected persons, both kinds.

    Args:
        connection: an open transaction.
        resolve: see :func:`identity.households.resolve`.
        follow: who lives with spouse or parents whatever the numbers say; see :func:`identity.following.follow`.
        steps: from number to number, within which lies all that decides a person's household.
        pool: id of the pool.
        everything: whether everybody is affected, as under another rule.
    """
    is_first = is_empty(connection)
    _gather_voices(connection, steps, is_first=is_first, everything=everything)
    connection.execute(sa.text(f"CREATE UNLOGGED TABLE staging.work_placed ({PLACED})"))
    place(connection, "staging.work_placed", resolve, follow)
    connection.execute(sa.text("ANALYZE staging.work_placed"))
    where = "" if is_first else "WHERE EXISTS (SELECT FROM staging.work_affected a WHERE a.person_id = m.person_id)"
    anchors = "SELECT record_id, stem, registered_no, living_no FROM staging.work_candidate"
    if not is_first:  # a candidate takes the place of the record it updates
        anchors += (
            " UNION ALL SELECT record_id, stem, registered_no, living_no FROM identity.record old JOIN"
            " (SELECT DISTINCT anchor_record_id AS record_id FROM staging.work_placed) AS named USING (record_id)"
            " WHERE NOT EXISTS (SELECT FROM staging.work_candidate c WHERE c.record_id = old.record_id)"
        )
    connection.execute(
        sa.text(
            f"CREATE UNLOGGED TABLE staging.work_member AS SELECT {MEMBER} FROM staging.work_placed m JOIN voice v ON v.record_id = m.record_id"
            f" JOIN ({anchors}) AS r ON r.record_id = m.anchor_record_id {where}"
        ),
        {"pool": pool},
    )
    connection.execute(sa.text("ANALYZE staging.work_member"))


# What the table of places holds, and what a row `m` of it says of a member, with its own record `v` and the anchor's `r`.
PLACED = "kind text, person_id uuid, record_id uuid, anchor_record_id uuid, anchor_authority smallint, evidence text"
_STANDS_IN = "m.kind = 'living' AND m.anchor_authority = 0"
# A household is named by the agency and number of its anchor.
_BORN = born.household_id(
    f"CASE WHEN {_STANDS_IN} THEN 'living by register' ELSE m.kind END",
    "r.stem",
    f"CASE WHEN m.kind = 'registered' OR {_STANDS_IN} THEN r.registered_no ELSE r.living_no END",
)
MEMBER = (
    "m.kind, m.person_id, v.stem, m.evidence,"
    # What spouse and child are to the head of the household they follow to, nobody told.
    " CASE WHEN m.evidence IN ('spouse', 'parent') THEN NULL"
    " WHEN m.kind = 'registered' OR m.evidence = 'registered_household' THEN v.registered_relation"
    f" ELSE v.living_relation END AS relation, {_BORN} AS household_id"
)


def place(connection: sa.Connection, table: str, resolve: Resolve, follow: Follow) -> None:
    """Put everybody whose records are in `voice` into a household of each kind.

    Args:
        connection: the transaction that has the temporary table `voice`.
        table: to which the places are added; its columns are :data:`PLACED`.
        resolve, follow: as for :func:`group`.
    """
    kinds: dict[str, binary_copy.Kind] = {
        "person_id": "uuid", "record_id": "uuid", "authority": "smallint", "as_of_date": "date", "group": "bigint"
    }  # fmt: skip
    registered = binary_copy.read(connection, _memberships("registered"), kinds)
    _write_places(connection, table, "registered", resolve(registered, None))
    # Where nobody knows with whom a person lives, the register stands in, believed less than any living number.
    stand_in = registered.with_columns(authority=pl.lit(0, dtype=pl.Int16))
    del registered
    traces = binary_copy.read(connection, _TRACES, {"person_id": "uuid", "trace": "bigint"})
    living = resolve(pl.concat([binary_copy.read(connection, _memberships("living"), kinds), stand_in]), traces)
    del traces
    del stand_in
    of_kin: dict[str, binary_copy.Kind] = {
        "person_id": "uuid", "record_id": "uuid", "as_of_date": "date", "group": "bigint", "relation": "smallint", "birth_date": "date",
        "sex": "smallint",
    }  # fmt: skip
    told = pl.concat([binary_copy.read(connection, _told(kind), of_kin) for kind in ("registered", "living")])
    _write_places(connection, table, "living", follow(living, told))


def _write_places(connection: sa.Connection, table: str, kind: str, members: pl.DataFrame) -> None:
    ids: dict[str, binary_copy.Kind] = {
        "person_id": "uuid", "record_id": "uuid", "anchor_record_id": "uuid", "anchor_authority": "smallint"
    }  # fmt: skip
    members = members.with_columns(kind=pl.lit(kind))
    binary_copy.write(connection, table, members, ids, texts=("kind", "evidence"))


def seal(connection: sa.Connection, publication: int, deliveries: Iterable[str]) -> None:
    """Mark the working tables as whole and prepared from some deliveries against a publication.

    The mark is an unlogged table as they are: a crash that empties them empties it too.
    """
    connection.execute(sa.text("DROP TABLE IF EXISTS staging.work_seal"))
    connection.execute(
        sa.text("CREATE UNLOGGED TABLE staging.work_seal AS SELECT CAST(:n AS bigint) AS publication, CAST(:d AS text) AS deliveries"),
        {"n": publication, "d": " ".join(sorted(deliveries))},
    )


def is_sealed(connection: sa.Connection, publication: int, deliveries: Iterable[str]) -> bool:
    """Whether the working tables are whole and of these deliveries, and nothing was published since they were prepared."""
    if not connection.scalar(sa.text("SELECT to_regclass('staging.work_seal')")):
        return False
    found = connection.execute(sa.text("SELECT publication, deliveries FROM staging.work_seal")).one_or_none()
    return found is not None and tuple(found) == (publication, " ".join(sorted(deliveries)))
