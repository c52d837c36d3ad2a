"""Weights of pairs of the pool's records, taken apart, outside a night: by the very model and rules the night uses."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import sqlalchemy as sa

from identity import bars, bonds, context, evidence, explain, frozen, persons
from identity.explain import Circumstances, Decision, Explanation
from pipeline import identify
from warehouse import scenes, weighing


@dataclass(frozen=True)
class Setting:
    """Records of some nodes, ready to be weighed.

    Attributes:
        by: the frozen model.
        records: one row a record (see :func:`warehouse.scenes.around`), the oldest of a node first.
        scene: their nodes.
    """

    by: frozen.Frozen
    records: pl.DataFrame
    scene: bonds.Scene

    def node(self, record: str) -> int:
        """Number of the node that a record is in."""
        return int(self.scene.at(self.records.filter(pl.col("record_id") == record)["node_id"])[0])

    def row(self, record: str) -> int:
        """Number of a record."""
        return int(self.records["record_id"].index_of(record) or 0)


def set_up(connection: sa.Connection, records: pl.DataFrame, *, without_judgements: bool = False) -> Setting:
    """Make records ready to be weighed by the model nights use.

    Args:
        connection: an open connection.
        records: as :mod:`warehouse.scenes` gives them, whole nodes.
        without_judgements: group them into nodes as if nobody had judged any of them.
    """
    by = identify.adopted(connection, weighing.version(connection).adopted)
    if without_judgements:
        records = _regrouped(records)
    node_ids = records["node_id"].unique().sort()
    numbered = pl.DataFrame({"node_id": node_ids}).with_row_index("node").with_columns(pl.col("node").cast(pl.Int64))
    told = records.join(numbered, on="node_id", how="left", maintain_order="left")
    homes = scenes.listed(connection, node_ids.to_list(), largest_home=context.LARGEST_HOME)
    listed = homes.join(numbered, on="node_id").select("node", "other_id")
    evidence_of = told.select("node", *scenes.EVIDENCE)
    scene = bonds.prepare(by, node_ids, evidence_of, listed)
    return Setting(by, records, scene)


def _regrouped(records: pl.DataFrame) -> pl.DataFrame:
    keyed = records.with_columns(
        pl.col("birth_date").str.to_date(strict=False), id_birth_date=pl.col("id_key").str.slice(6, 8).str.to_date("%Y%m%d", strict=False)
    )
    again = persons.resolve(keyed.select("record_id", "id_key", "id_birth_date", "name_key", "birth_date", "phone_key", "address_key"))
    return (
        records.drop("node_id", "node_rule_id")
        .join(again.select("record_id", "node_id", node_rule_id="rule_id"), on="record_id", how="left", maintain_order="left")
        .sort("node_id", "record_id")
    )  # fmt: skip


def bits(setting: Setting, one: str, other: str) -> float | None:
    """The weight of the nodes of two records; None if sure links make them one."""
    p, q = setting.node(one), setting.node(other)
    return None if p == q else float(bonds.weigh(setting.scene, np.array([min(p, q)]), np.array([max(p, q)]))[0])


def explained(setting: Setting, one: str, other: str, judged: frozenset[tuple[str, str]] = frozenset()) -> Explanation:
    """Why two records are one person, or are not: the nodes they are in, or they themselves where sure links tie them.

    Args:
        setting: holds both.
        one, other: record ids.
        judged: pairs of records that a judgement in force decides.
    """
    rows = {r["record_id"]: r for r in setting.records.iter_rows(named=True)}
    a, b = rows[one], rows[other]
    scene, by = setting.scene, setting.by
    is_one = a["person_id"] == b["person_id"]
    if a["node_id"] == b["node_id"]:
        rule = str(max(a, b, key=lambda r: str(r["record_id"]))["node_rule_id"])
        each = evidence.Members(np.arange(setting.records.height), np.arange(setting.records.height + 1))
        parts = evidence.take_apart(by.weights, scene.found, scene.known, each, setting.row(one), setting.row(other))
        decision = Decision.JUDGEMENT if rule == "judged" or (min(one, other), max(one, other)) in judged else Decision.SURE_LINK
        around = Circumstances(True, decision, by.persons, rule=rule)
    else:
        p, q = sorted((setting.node(one), setting.node(other)))
        pair = np.array([p]), np.array([q])
        home = bool(context.shares_home(scene.around, *pair)[0])
        parts = evidence.take_apart(by.weights, scene.found, scene.known, scene.members, p, q, home)
        by_sources = float(context.by_own_sources(scene.around, *pair)[0])
        around = Circumstances(is_one, _decision(setting, p, q, parts.bits + by_sources, judged, is_one=is_one), by.persons, by_sources)
    told = explain.weighed(by.weights, parts, around)
    return replace(told, version=f"{told.version} ({by.version})")


def _decision(setting: Setting, p: int, q: int, whole: float, judged: frozenset[tuple[str, str]], *, is_one: bool) -> Decision:
    records = setting.records
    members = [records.filter(pl.col("node_id") == setting.scene.node_ids[n])["record_id"].to_list() for n in (p, q)]
    if any((min(a, b), max(a, b)) in judged for a in members[0] for b in members[1]):
        return Decision.JUDGEMENT
    is_link = whole >= setting.by.weights.threshold_bits
    ends = np.array([p]), np.array([q])
    if not is_one and is_link and bars.two_numbers(setting.scene.number, *ends, np.array([whole], np.float32))[0]:
        return Decision.TWO_NUMBERS
    return Decision.WEIGHED if is_one == is_link else Decision.OTHERS
