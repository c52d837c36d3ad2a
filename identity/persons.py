"""Which records are surely one person, and none across two valid identity numbers: the night's *nodes*.

What is left open here is weighed afterwards (:mod:`identity.bonds`). Rules, in order:

- ``judged``: people said so;
- ``id_name``, ``id_birth``: the same valid number, and the same name or the birth date the number itself holds;
- ``name_birth_phone``, ``name_birth_address``: the same name, birth date and telephone or address, where at most one valid
  number is involved;
- ``single``: nothing else agrees.

A number is believed of a record only if the record's birth date, or that of another record with the same number and name, is the
one inside the number: a child entered under its parent's number is not the parent. Where records without a number would tie two
numbers together, they are kept apart from both.
"""

import numpy as np
import polars as pl

from identity import judgements
from identity.sure import components

RULES = ("judged", "id_name", "id_birth", "name_birth_phone", "name_birth_address", "single")


def _believed(records: pl.DataFrame) -> pl.DataFrame:
    """Adds ``believed``: the record's number where it may be believed, else null."""
    agrees = (
        (pl.col("birth_date") == pl.col("id_birth_date"))
        | pl.col("birth_date").is_null()
        # 1 January is what clerks enter when only the year is known
        | ((pl.col("birth_date").dt.year() == pl.col("id_birth_date").dt.year()) & (pl.col("birth_date").dt.ordinal_day() == 1))
    ) & pl.col("id_key").is_not_null()
    named = pl.col("name_key").is_not_null() & pl.col("id_key").is_not_null()
    support = pl.when(named).then(agrees.any().over("id_key", "name_key")).otherwise(agrees)
    return records.with_columns(believed=pl.when(support | agrees).then("id_key"))


def _star(records: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Edges from the first record to every other that agrees with it in all keys; columns a, b."""
    return (
        records.select("n", *keys)
        .drop_nulls(keys)
        .with_columns(a=pl.col("n").min().over(keys))
        .filter(pl.col("a") != pl.col("n"))
        .select("a", b="n")
    )


def _components(edges: pl.DataFrame, n: int) -> pl.Series:
    ends = edges["a"].to_numpy().astype(np.int64), edges["b"].to_numpy().astype(np.int64)
    return pl.Series("cluster", components(n, ends).astype(np.uint32))


def _weak_edges(records: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Edges by agreement without a number; a group with two believed numbers ties only its records that have none."""
    groups = records.select("n", "believed", *keys).drop_nulls(keys)
    groups = groups.filter(pl.len().over(keys) > 1)
    numbers = pl.col("believed").drop_nulls().n_unique().over(keys)
    groups = groups.filter((numbers <= 1) | pl.col("believed").is_null())
    return groups.with_columns(a=pl.col("n").min().over(keys)).filter(pl.col("a") != pl.col("n")).select("a", b="n")


def resolve(records: pl.DataFrame, judged: pl.DataFrame | None = None) -> pl.DataFrame:
    """Group records into nodes.

    The order of rows does not matter. Values are only compared for equality, so they may be given as hashes.

    Args:
        records: one row a record: ``record_id`` (unique; sorts by age), ``id_key``, ``id_birth_date`` (the date inside the
            number), ``name_key``, ``birth_date``, ``phone_key``, ``address_key``; null = missing.
        judged: judgements in force: ``record_a``, ``record_b``, ``judgement`` (must, cannot); those on records that are not there
            wait, and musts that would tie what others say cannot be are left out.

    Returns:
        One row a record: ``record_id``, ``node_id`` (the smallest record id of its node), ``rule_id``, ``is_open`` (no record of the
        node has a number that may be believed).
    """
    frame = _believed(records.drop("n", strict=False).with_row_index("n"))
    if frame.is_empty():
        return frame.select("record_id", node_id="record_id", rule_id=pl.lit("single"), is_open=pl.lit(True))
    by_name = _star(frame, ["believed", "name_key"])
    agreeing = frame.filter(pl.col("birth_date") == pl.col("id_birth_date"))
    by_birth = _star(agreeing, ["believed", "birth_date"])
    by_phone = _weak_edges(frame, ["name_key", "birth_date", "phone_key"])
    by_address = _weak_edges(frame, ["name_key", "birth_date", "address_key"])

    frame = frame.with_columns(_components(pl.concat([by_name, by_birth, by_phone, by_address]), frame.height))
    conflict = pl.col("believed").drop_nulls().n_unique().over("cluster") > 1
    torn = frame.filter(conflict)
    if torn.height:
        frame = _tear(frame, torn, pl.concat([by_name, by_birth]), [["name_key", "birth_date", k] for k in ("phone_key", "address_key")])
    must, cannot = _edges(frame, judged, "must"), _edges(frame, judged, "cannot")
    if must.height or cannot.height:
        frame, must = _judge(frame, must, cannot)

    labelled = frame.select("n", "record_id", "cluster", "believed")
    for rule, edges in reversed(list(zip(RULES, (must, by_name, by_birth, by_phone, by_address), strict=False))):
        touched = pl.concat([edges["a"], edges["b"]]).unique()
        hit = pl.col("n").is_in(touched.implode())
        earlier = pl.col("rule_id") if "rule_id" in labelled.columns else pl.lit("single")
        labelled = labelled.with_columns(rule_id=pl.when(hit).then(pl.lit(rule)).otherwise(earlier))
    alone = pl.len().over("cluster") == 1
    return labelled.select(
        "record_id",
        node_id=pl.col("record_id").min().over("cluster"),
        rule_id=pl.when(alone).then(pl.lit("single")).otherwise("rule_id"),
        is_open=pl.col("believed").is_null().all().over("cluster"),
    )


def _edges(frame: pl.DataFrame, judged: pl.DataFrame | None, judgement: str) -> pl.DataFrame:
    """Judgements of a kind as edges between rows; columns a, b."""
    if judged is None or judged.is_empty():
        return pl.DataFrame(schema={"a": pl.UInt32, "b": pl.UInt32})
    rows = frame.select("n", "record_id")
    return (
        judged.filter(pl.col("judgement") == judgement)
        .join(rows.rename({"record_id": "record_a", "n": "a"}), on="record_a")
        .join(rows.rename({"record_id": "record_b", "n": "b"}), on="record_b")
        .select("a", "b")
        .sort("a", "b")
    )


def _judge(frame: pl.DataFrame, must: pl.DataFrame, cannot: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Clusters under judgements, and the musts that hold. Sure links that would tie what cannot be one are left to be weighed."""
    n = frame.height
    kept = judgements.consistent(n, must.to_numpy().T.astype("int64"), cannot.to_numpy().T.astype("int64"))
    must = must.filter(pl.Series(kept))
    sure = _star(frame, ["cluster"])
    label = _components(pl.concat([sure, must]), n)
    torn = label.gather(cannot["a"]).filter(label.gather(cannot["a"]) == label.gather(cannot["b"])).unique()
    if torn.len():
        spoiled = label.is_in(torn.implode())
        sure = sure.filter(~spoiled.gather(sure["a"]))
        label = _components(pl.concat([sure, must]), n)
    return frame.with_columns(label.alias("cluster")), must


def _tear(frame: pl.DataFrame, torn: pl.DataFrame, strong: pl.DataFrame, weak_keys: list[list[str]]) -> pl.DataFrame:
    """Recluster components that hold two numbers: numbers by strong edges, records without one among themselves."""
    nameless = torn.filter(pl.col("believed").is_null())
    edges = [strong.filter(pl.col("a").is_in(torn["n"].implode()))]
    edges += [_star(nameless, keys) for keys in weak_keys]
    again = _components(pl.concat(edges), frame.height)
    offset = frame["cluster"].max() + 1  # type: ignore[operator]
    return frame.with_columns(cluster=pl.when(pl.col("n").is_in(torn["n"].implode())).then(again + offset).otherwise("cluster"))
