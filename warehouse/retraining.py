"""A new model beside the pool: what it is fitted to, what it would change, and its adoption."""

import polars as pl
import sqlalchemy as sa

from warehouse import binary_copy

_SAMPLE_NODES = 150_000
_SHOWN = 20


def census(connection: sa.Connection) -> tuple[int, pl.DataFrame]:
    """How many persons there are; and per source, of the persons that several sources hold, how many it holds (``source``, ``persons``, ``several``)."""
    persons = int(connection.scalar(sa.text("SELECT count(*) FROM core.person")) or 0)
    rows = connection.execute(
        sa.text(
            "SELECT stem, count(*), (SELECT count(*) FROM core.person WHERE cardinality(sources) > 1) FROM core.person,"
            " unnest(sources) AS stem WHERE cardinality(sources) > 1 GROUP BY stem"
        )
    )
    schema = {"source": pl.String, "persons": pl.Int64, "several": pl.Int64}
    return persons, pl.DataFrame([tuple(r) for r in rows], schema=schema, orient="row")


def sample(connection: sa.Connection) -> pl.Series:
    """Ids of nodes drawn by a hash, all of them in a small pool: the same pool gives the same nodes."""
    nodes = int(connection.scalar(sa.text("SELECT count(DISTINCT node_id) FROM staging.work_node")) or 0)
    every = max(nodes // _SAMPLE_NODES, 1)
    query = f"SELECT DISTINCT node_id FROM staging.work_node WHERE hashtextextended(node_id::text, 7) % {every} = 0"
    return binary_copy.read(connection, query, {"node_id": "uuid"})["node_id"]


def next_version(connection: sa.Connection) -> int:
    """Number of the next model; version 1 comes with the hub."""
    return int(connection.scalar(sa.text("SELECT coalesce(max(version), 1) + 1 FROM identity.model")) or 2)


def is_known(connection: sa.Connection, version: int) -> bool:
    """Whether there is a model of that version."""
    return version == 1 or bool(connection.scalar(sa.text("SELECT EXISTS (SELECT FROM identity.model WHERE version = :n)"), {"n": version}))


def put(connection: sa.Connection, version: int, model: str, listed: pl.DataFrame) -> None:
    """Keep a fitted model."""
    connection.execute(
        sa.text("INSERT INTO identity.model (version, model) VALUES (:n, CAST(:model AS jsonb))"), {"n": version, "model": model}
    )
    columns = {name: listed[name].to_list() for name in ("field", "value", "share")}
    connection.execute(
        sa.text(
            "INSERT INTO identity.frequency SELECT :n, * FROM"
            " unnest(CAST(:field AS text[]), CAST(:value AS text[]), CAST(:share AS double precision[]))"
        ),
        {"n": version, **columns},
    )


def adopt(connection: sa.Connection, version: int) -> None:
    """Nights weigh by this model from now on; whatever was resolved under another one can no longer be published."""
    connection.execute(sa.text("UPDATE ops.weighing SET adopted = :n"), {"n": version})
    connection.execute(sa.text("UPDATE identity.model SET adopted_at = now() WHERE version = :n"), {"n": version})


_MOVED = (
    "CREATE TEMP TABLE would_move ON COMMIT DROP AS SELECT l.record_id, l.person_id AS before, w.person_id AS after"
    " FROM identity.link l JOIN staging.work_link w USING (record_id)"
)
_COUNTS = """
SELECT (SELECT count(*) FROM would_move WHERE before <> after) AS links,
    (SELECT count(DISTINCT before) FROM would_move) AS persons_before,
    (SELECT count(DISTINCT after) FROM would_move) AS persons_after,
    (SELECT count(*) FROM (SELECT FROM would_move GROUP BY before HAVING count(DISTINCT after) > 1) AS s) AS parted,
    (SELECT count(*) FROM (SELECT FROM would_move GROUP BY after HAVING count(DISTINCT before) > 1) AS s) AS joined,
    (SELECT count(*) FROM identity.bond WHERE bits >= CAST(:before AS real)) AS bonds_before,
    (SELECT count(*) FROM staging.work_bond WHERE thousandths >= 1000 * CAST(:after AS numeric)) AS bonds_after
"""
_WHERE = """
SELECT r.stem AS source, "left"(r.area_code, 9) AS township, count(*) AS links
FROM would_move JOIN identity.record r USING (record_id) WHERE before <> after GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


def effect(
    connection: sa.Connection, before: float, after: float
) -> tuple[dict[str, int], list[dict[str, object]], dict[str, list[list[str]]]]:
    """What publishing the working tables would change.

    Args:
        connection: the transaction that made them.
        before, after: thresholds, bits: from where a pair was a link, and will be.

    Returns:
        Counts; changed links by source and township (null = not told); and some pairs of record ids that would be ``joined`` or ``parted``.
    """
    connection.execute(sa.text(_MOVED))
    counts = dict(connection.execute(sa.text(_COUNTS), {"before": before, "after": after}).one()._mapping)
    where = [dict(r._mapping) for r in connection.execute(sa.text(_WHERE))]
    shown = {}
    for kind, one, other in (("joined", "after", "before"), ("parted", "before", "after")):
        rows = connection.execute(
            sa.text(
                f"SELECT min(record_id::text), max(record_id::text) FROM (SELECT DISTINCT ON ({one}, {other}) * FROM would_move"
                f" ORDER BY {one}, {other}, record_id) AS m GROUP BY {one} HAVING count(*) > 1 ORDER BY 1 LIMIT {_SHOWN}"
            )
        )
        shown[kind] = [list(r) for r in rows]
    return counts, where, shown
