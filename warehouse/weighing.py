"""The night's second pass in the database: which nodes it shakes, what they are weighed by, and what comes of it.

Everything is made in the transaction of resolve; what merge needs is left in working tables.
"""

from dataclasses import dataclass

import polars as pl
import sqlalchemy as sa

from warehouse import binary_copy, blocks, database, ledger

# What a record is linked and weighed by: a change of anything else leaves persons as they are.
_EVIDENCE = (
    "id_key", "name_key", "birth_date", "phone_key", "address_key", "resident_id", "name", "sex", "phone", "address", "area_code",
    "registered_no", "living_no",
)  # fmt: skip
WORK = ("node", "judged", "crowd", "crowd_gone", "bond", "unbound", "person")
_HOMES = ("registered", "living")


@dataclass(frozen=True)
class Version:
    """Versions of the model.

    Attributes:
        adopted: nights weigh by this one.
        made_by: the pool is made by this one; None = it was never weighed.
    """

    adopted: int
    made_by: int | None


def version(connection: sa.Connection) -> Version:
    """Which model nights weigh by, and which one the pool is made by."""
    return Version(*connection.execute(sa.text("SELECT adopted, made_by FROM ops.weighing")).one())


def model(connection: sa.Connection, number: int) -> tuple[str, pl.DataFrame]:
    """A fitted model: its JSON, and its listed values (``field``, ``value``, ``share``)."""
    text = connection.scalar(sa.text("SELECT model::text FROM identity.model WHERE version = :n"), {"n": number})
    rows = connection.execute(sa.text("SELECT field, value, share FROM identity.frequency WHERE version = :n"), {"n": number})
    schema = {"field": pl.String, "value": pl.String, "share": pl.Float64}
    return str(text), pl.DataFrame([tuple(r) for r in rows], schema=schema, orient="row")


def _run(connection: sa.Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(sa.text(statement))


def alter(connection: sa.Connection) -> None:
    """Make `altered`: the records that come, go, are judged otherwise, or tell otherwise who somebody is than they did."""
    own, other = (", ".join(f"{alias}.{c}" for c in _EVIDENCE) for alias in ("c", "o"))
    _run(
        connection,
        "CREATE TEMP TABLE altered ON COMMIT DROP AS"
        " SELECT record_id FROM staging.work_candidate c LEFT JOIN identity.record o USING (record_id)"
        f" WHERE o.record_id IS NULL OR ({own}) IS DISTINCT FROM ({other})"
        " UNION SELECT record_id FROM staging.work_gone g WHERE NOT EXISTS"
        " (SELECT FROM staging.work_candidate c WHERE c.record_id = g.record_id)"
        " UNION SELECT record_id FROM rejudged",
        "ANALYZE altered",
    )


def shake(connection: sa.Connection, *, everything: bool, largest_home: int) -> None:
    """Make `focus`: the nodes whose pairs may weigh otherwise than before, those that are no longer there among them.

    Args:
        connection: the transaction of resolve, after sure links were made.
        everything: whether all nodes are weighed anew.
        largest_home: a local household of more nodes says nothing of who lives with whom.
    """
    _run(connection, "CREATE TEMP TABLE focus (node_id uuid) ON COMMIT DROP")
    blocks.make_crowds(connection)
    if everything:
        blocks.gather_open(connection)
        return
    _run(
        connection,
        "CREATE TEMP TABLE shaken ON COMMIT DROP AS SELECT record_id FROM altered"
        " UNION SELECT record_id FROM staging.work_node w LEFT JOIN identity.link l USING (record_id)"
        " WHERE (l.node_id, l.is_open) IS DISTINCT FROM (w.node_id, w.is_open)",
        "ANALYZE shaken",
        "INSERT INTO focus SELECT DISTINCT node_id FROM shaken JOIN staging.work_node USING (record_id)"
        " UNION SELECT DISTINCT node_id FROM shaken JOIN identity.link USING (record_id)",
    )
    blocks.gather_versions(connection)
    blocks.gather_open(connection)
    blocks.cross(connection)
    for kind in _HOMES:
        _shake_homes(connection, kind, largest_home)
    _run(
        connection,
        "CREATE TEMP TABLE focused ON COMMIT DROP AS SELECT DISTINCT node_id FROM focus",
        "DROP TABLE focus",
        "ALTER TABLE focused RENAME TO focus",
        "ANALYZE focus",
    )


def _shake_homes(connection: sa.Connection, kind: str, largest_home: int) -> None:
    """A node whose home has changed is weighed anew: its homes tell whom it is listed with."""
    at_home = f"r.stem = h.stem AND r.{kind}_no = h.no"
    members = blocks.future("h.n, r.record_id", "shaken_home h", at_home)
    _run(
        connection,
        f"CREATE TEMP TABLE shaken_home ON COMMIT DROP AS SELECT row_number() OVER () AS n, * FROM ("
        f"SELECT stem, {kind}_no AS no FROM shaken JOIN identity.record USING (record_id) WHERE {kind}_no IS NOT NULL"
        f" UNION SELECT stem, {kind}_no FROM shaken JOIN staging.work_candidate USING (record_id) WHERE {kind}_no IS NOT NULL) AS h",
        "ANALYZE shaken_home",
        "CREATE TEMP TABLE at_home ON COMMIT DROP AS SELECT DISTINCT n, coalesce(w.node_id, l.node_id) AS node_id"
        f" FROM ({members}) AS m LEFT JOIN staging.work_node w USING (record_id) LEFT JOIN identity.link l USING (record_id)",
        "CREATE TEMP TABLE small_home ON COMMIT DROP AS"
        f" SELECT n FROM at_home GROUP BY n HAVING count(*) <= {largest_home}"
        f" UNION SELECT h.n FROM shaken_home h JOIN identity.record r ON {at_home} JOIN identity.link l USING (record_id)"
        f" GROUP BY h.n HAVING count(DISTINCT l.node_id) <= {largest_home}",
        "INSERT INTO focus SELECT DISTINCT node_id FROM at_home JOIN small_home USING (n)",
        "DROP TABLE shaken_home, at_home, small_home",
    )


def pairs(connection: sa.Connection, *, everything: bool) -> pl.DataFrame:
    """Pairs of nodes to weigh, at least one of them in focus: ``a`` < ``b``."""
    if not everything:
        nodes = "(SELECT record_id, w.node_id, is_open FROM focus JOIN staging.work_node w USING (node_id)) AS f"
        kept = (
            "SELECT l.record_id, l.node_id, l.is_open FROM focus x JOIN identity.link own ON own.record_id = x.node_id"
            " JOIN identity.link l ON l.person_id = own.person_id AND l.node_id = x.node_id"
            " WHERE NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = l.record_id)"
        )
        columns = f"f.record_id, f.node_id, f.is_open, {blocks.KEYS}"
        _run(
            connection,
            f"CREATE TEMP TABLE focus_record ON COMMIT DROP AS {blocks.future(columns, nodes, 'f.record_id = r.record_id')}"
            f" UNION ALL SELECT {columns} FROM ({kept}) AS f JOIN identity.record r USING (record_id)",
            "ANALYZE focus_record",
        )
    blocks.find_pairs(connection, everything)
    return binary_copy.read(connection, "SELECT a, b FROM pair", {"a": "uuid", "b": "uuid"})


def bonds(connection: sa.Connection, *, everything: bool) -> pl.DataFrame:
    """The bonds of the pool, those near the threshold too: ``a``, ``b``, ``bits``, ``is_stale`` (a node of it is in focus)."""
    in_focus = "EXISTS (SELECT FROM focus f WHERE f.node_id = a) OR EXISTS (SELECT FROM focus f WHERE f.node_id = b)"
    stale = "true" if everything else in_focus
    kinds: dict[str, binary_copy.Kind] = {"a": "uuid", "b": "uuid", "thousandths": "bigint", "is_stale": "boolean"}
    found = binary_copy.read(connection, f"SELECT a, b, round(bits::numeric * 1000)::bigint, {stale} FROM identity.bond", kinds)
    return found.select("a", "b", "is_stale", bits=(pl.col("thousandths") / 1000).cast(pl.Float32))


def scene(connection: sa.Connection, nodes: pl.Series, *, largest_home: int) -> tuple[pl.Series, pl.DataFrame, pl.DataFrame]:
    """What is known of some nodes.

    Returns:
        Ids of those that are there, ascending; their records (columns of :data:`identity.bonds.RECORD`); and ``node``, ``other_id``: who is
        listed in one home with them.
    """
    _run(connection, "CREATE TEMP TABLE asked (node_id uuid) ON COMMIT DROP")
    binary_copy.write(connection, "asked", pl.DataFrame({"node_id": nodes}), {"node_id": "uuid"})
    _run(
        connection,
        "ANALYZE asked",
        "CREATE TEMP TABLE scene_record ON COMMIT DROP AS SELECT node_id, w.record_id FROM asked JOIN staging.work_node w USING (node_id)"
        " UNION ALL SELECT l.node_id, l.record_id FROM asked x JOIN identity.link own ON own.record_id = x.node_id"
        " JOIN identity.link l ON l.person_id = own.person_id AND l.node_id = x.node_id"
        " WHERE NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = l.record_id)",
        "CREATE TEMP TABLE scene_node ON COMMIT DROP AS"
        " SELECT node_id, row_number() OVER (ORDER BY node_id) - 1 AS node FROM (SELECT DISTINCT node_id FROM scene_record) AS n",
        "ANALYZE scene_record; ANALYZE scene_node",
    )
    ids = binary_copy.read(connection, "SELECT node_id FROM scene_node ORDER BY node", {"node_id": "uuid"})["node_id"]
    columns = (
        "s.node, r.record_id, r.stem AS source, r.resident_id, r.name, r.sex, r.birth_date, r.phone, r.address, r.area_code,"
        " coalesce(r.living_no, r.registered_no) AS household_id_local"
    )
    driver = "(SELECT node, record_id FROM scene_record JOIN scene_node USING (node_id)) AS s"
    told = database.copy_out(connection, f"{blocks.future(columns, driver, 's.record_id = r.record_id')} ORDER BY 1, 2")
    records = pl.read_csv(told, infer_schema=False).drop("record_id").with_columns(pl.col("node").cast(pl.Int64))
    listed = pl.concat([_listed(connection, kind, driver, largest_home) for kind in _HOMES]).unique()
    _run(connection, "DROP TABLE asked, scene_record, scene_node")
    return ids, records, listed


def _listed(connection: sa.Connection, kind: str, driver: str, largest_home: int) -> pl.DataFrame:
    homes = blocks.future(f"s.node, r.stem, r.{kind}_no AS no", driver, f"s.record_id = r.record_id AND r.{kind}_no IS NOT NULL")
    members = blocks.future("h.n, r.record_id", "scene_home h", f"r.stem = h.stem AND r.{kind}_no = h.no")
    _run(
        connection,
        f"CREATE TEMP TABLE scene_lists ON COMMIT DROP AS SELECT DISTINCT node, stem, no FROM ({homes}) AS h",
        "CREATE TEMP TABLE scene_home ON COMMIT DROP AS SELECT row_number() OVER () AS n, * FROM (SELECT DISTINCT stem, no FROM scene_lists) AS h",
        "ANALYZE scene_home; ANALYZE scene_lists",
        "CREATE TEMP TABLE at_home ON COMMIT DROP AS SELECT DISTINCT n, coalesce(w.node_id, l.node_id) AS node_id FROM"
        f" ({members}) AS m LEFT JOIN staging.work_node w USING (record_id) LEFT JOIN identity.link l USING (record_id)",
    )
    small = f"(SELECT n FROM at_home GROUP BY n HAVING count(*) BETWEEN 2 AND {largest_home}) AS small"
    found = binary_copy.read(
        connection,
        f"SELECT DISTINCT node, node_id FROM {small} JOIN scene_home USING (n) JOIN scene_lists USING (stem, no) JOIN at_home USING (n)",
        {"node": "bigint", "other_id": "uuid"},
    )
    _run(connection, "DROP TABLE scene_lists, scene_home, at_home")
    return found


def judged_apart(connection: sa.Connection) -> pl.DataFrame:
    """Nodes that judgements in force keep apart: ``a``, ``b``."""
    nodes = " ".join(
        f"JOIN LATERAL (SELECT node_id FROM staging.work_node w WHERE w.record_id = j.record_{s} UNION ALL"
        f" SELECT node_id FROM identity.link l WHERE l.record_id = j.record_{s}"
        " AND NOT EXISTS (SELECT FROM staging.work_touched t WHERE t.record_id = l.record_id)) AS {s} ON true".replace("{s}", s)
        for s in ("a", "b")
    )
    return binary_copy.read(
        connection,
        f"SELECT a.node_id, b.node_id FROM staging.work_judged j {nodes} WHERE j.judgement = 'cannot'",
        {"a": "uuid", "b": "uuid"},
    )


def keep(connection: sa.Connection, found: pl.DataFrame, persons: pl.DataFrame, *, everything: bool) -> None:
    """Leave bonds and persons for the merge.

    Args:
        connection: the transaction of resolve.
        found: the new bonds: ``a``, ``b``, ``bits``.
        persons: ``node_id``, ``person_id``, ``is_alone`` of the nodes that were united anew.
        everything: whether they take the place of all bonds, or of those with a node in focus.
    """
    where = ""
    if not everything:
        where = " JOIN focus f ON f.node_id = b.a UNION SELECT a, b FROM identity.bond b JOIN focus f ON f.node_id = b.b"
    _run(
        connection,
        f"CREATE UNLOGGED TABLE staging.work_unbound AS SELECT a, b FROM identity.bond b{where}",
        "CREATE UNLOGGED TABLE staging.work_bond (a uuid, b uuid, thousandths bigint)",
        "CREATE UNLOGGED TABLE staging.work_person (node_id uuid, person_id uuid, is_alone boolean)",
    )
    thousandths = found.select("a", "b", thousandths=(pl.col("bits").cast(pl.Float64) * 1000).round().cast(pl.Int64))
    binary_copy.write(connection, "staging.work_bond", thousandths, {"a": "uuid", "b": "uuid", "thousandths": "bigint"})
    binary_copy.write(connection, "staging.work_person", persons, {"node_id": "uuid", "person_id": "uuid", "is_alone": "boolean"})
    _run(connection, "ANALYZE staging.work_person")


def write(connection: sa.Connection) -> None:
    """Publish bonds, crowds, the judgements they heed and the model they are made by; part of the publishing transaction."""
    counted_anew = not connection.scalar(sa.text("SELECT to_regclass('staging.work_crowd_gone')"))
    number, same = ledger.publication(connection) + 1, "(j.record_a, j.record_b, j.judgement) = (w.record_a, w.record_b, w.judgement)"
    gone = " c USING staging.work_crowd_gone g WHERE c.rule_id = g.rule_id AND c.block = g.block"
    _run(
        connection,
        "DELETE FROM identity.bond b USING staging.work_unbound u WHERE b.a = u.a AND b.b = u.b",
        "INSERT INTO identity.bond SELECT a, b, (thousandths / 1000.0)::real FROM staging.work_bond",
        f"DELETE FROM identity.crowd{'' if counted_anew else gone}",
        "INSERT INTO identity.crowd SELECT DISTINCT rule_id, block, records, open_records FROM staging.work_crowd",
        "DELETE FROM identity.judgement_applied",
        "INSERT INTO identity.judgement_applied SELECT record_a, record_b, judgement FROM staging.work_judged",
        f"UPDATE history.judgement j SET known_during = int8range(lower(known_during), {number}) WHERE upper_inf(known_during)"
        f" AND NOT EXISTS (SELECT FROM staging.work_judged w WHERE {same})",
        f"INSERT INTO history.judgement SELECT record_a, record_b, judgement, int8range({number}, NULL) FROM staging.work_judged w"
        f" WHERE NOT EXISTS (SELECT FROM history.judgement j WHERE {same} AND upper_inf(known_during))",
        "UPDATE ops.weighing SET made_by = adopted",
    )
