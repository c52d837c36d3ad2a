"""Which nodes are compared: those that share a key under at least one rule.

No rule needs a field that another one does not do without, so a record wrong or empty in any one field is still found. Blocks are
capped: a block of a thousand 王伟 says nothing. What the caps cost is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from identity.features import MISSING, NO_DAY, Features
from identity.sure import Labels, group_keys

Codes = npt.NDArray[np.int32]
# Pairs a rule may give per record before its cap is lowered, and the largest block compared in full.
PAIRS_PER_RECORD, LARGEST_BLOCK = 4, 120


@dataclass(frozen=True)
class Rule:
    """Records with equal keys are compared.

    Attributes:
        keys: names of the key columns (see :func:`_columns`).
        settled: whether two nodes that each have a believed number are compared as well.
    """

    keys: tuple[str, ...]
    settled: bool = False

    @property
    def name(self) -> str:
        """As printed in reports."""
        return "+".join(self.keys)


RULES = tuple(
    Rule(tuple(keys.split()), settled)
    for keys, settled in (
        ("number", True), ("full_sound birth phone", True), ("full_sound birth address", True), ("full_sound birth guardian", True),
        ("full_sound birth", True),
        ("number_head surname_sound", False), ("number_tail surname_sound", False), ("number_head given_sound", False),
        ("number_tail given_sound", False), ("number_tail", False),
        ("swapped birth", False), ("swapped year", False), ("swapped", False), ("full_sound year", False), ("full_sound month_day", False), ("full_sound phone", False),
        ("full_sound address", False), ("full_sound place", False), ("full_sound guardian", False), ("full_sound postcode", False),
        ("full_sound birth_place", False), ("full_sound area_code", False), ("full_sound", False),
        ("birth phone", False), ("birth address", False), ("birth area_code", False), ("birth guardian", False),
        ("birth given_sound", False), ("birth surname_sound place", False), ("birth surname_sound", False), ("birth postcode", False),
        ("birth place door", False), ("birth birth_place", False), ("birth", False),
        ("phone given_sound", False), ("phone year", False), ("phone", False), ("address given_sound", False), ("address year", False),
        ("door given_sound surname_sound", False), ("address", False),
        ("starts year", False), ("starts month_day", False), ("starts", False), ("surname_start postcode", False),
        ("number_start surname_start", False), ("number_end given_start", False), ("number_start given_start", False), ("given_sound postcode", False),
        ("surname_sound postcode", False), ("surname_sound year postcode", False), ("given_start year postcode", False),
        ("given_sound year", False), ("given_sound month_day", False), ("surname_sound month_day", False), ("given_sound", False),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """What a rule gave.

    Attributes:
        rule: its name.
        pairs: pairs of nodes that no earlier rule gave.
        capped: blocks left out for their size.
        lost: pairs those would have given.
    """

    rule: str
    pairs: int
    capped: int
    lost: int


def _part(features: Features, name: str, cut: Callable[[pl.Expr], pl.Expr]) -> Codes:
    """Codes of a part of each text."""
    coded = features.coded[name]
    parts = pl.DataFrame({"v": coded.values}, schema={"v": pl.String}).select(cut(pl.col("v")).alias("p"))
    known = parts.drop_nulls().unique(maintain_order=True).with_row_index("c")
    codes = parts.join(known, on="p", how="left", maintain_order="left")["c"].cast(pl.Int32).fill_null(MISSING).to_numpy()
    return np.append(codes, MISSING).astype(np.int32)[coded.codes]


def _columns(features: Features) -> dict[str, Codes]:
    """All key columns."""
    long = pl.col("v").str.len_chars() >= 15
    ymd = features.ymd.astype(np.int32)
    known = features.birth != NO_DAY
    columns = {k: features.code(k) for k in (
        "number", "full_sound", "surname_sound", "given_sound", "phone", "address", "place", "door", "guardian", "postcode", "area_code", "birth_place",
    )}  # fmt: skip
    sound = features.coded["full_sound"]
    turned = pl.Series(["|".join(sorted(v.split("|"))) for v in sound.values], dtype=pl.String)
    known_turns = {v: i for i, v in enumerate(dict.fromkeys(turned.to_list()))}
    starts = pl.Series(["|".join(sorted(w[:3] for w in v.split("|") if w)) for v in sound.values], dtype=pl.String)
    known_starts = {v: i for i, v in enumerate(dict.fromkeys(starts.to_list()))}
    begins = np.array([known_starts[v] if "|" in v else MISSING for v in starts.to_list()] + [MISSING], np.int32)
    turns = np.array([known_turns[v] for v in turned.to_list()] + [MISSING], np.int32)
    return columns | {
        "birth": features.birth, "year": np.where(known, ymd[:, 0], MISSING).astype(np.int32),
        "month_day": np.where(known & ~features.is_default_day, ymd[:, 1] * 100 + ymd[:, 2], MISSING).astype(np.int32),
        "number_head": _part(features, "number", lambda v: pl.when(long).then(v.str.slice(0, 14))),
        "number_tail": _part(features, "number", lambda v: pl.when(long).then(v.str.tail(8))),
        "surname_start": _part(features, "surname_sound", lambda v: v.str.slice(0, 3)),
        "given_start": _part(features, "given_sound", lambda v: v.str.slice(0, 3)), "swapped": turns[sound.codes],
        "starts": begins[sound.codes], "number_start": _part(features, "number", lambda v: pl.when(~long).then(v.str.slice(0, 4))),
        "number_end": _part(features, "number", lambda v: pl.when(~long).then(v.str.tail(4))),
    }  # fmt: skip


def pairs(
    features: Features, nodes: Labels, is_settled: npt.NDArray[np.bool_], rules: tuple[Rule, ...] = RULES
) -> tuple[pl.DataFrame, list[Block]]:
    """Pairs of nodes to compare.

    Args:
        features: all records.
        nodes: the node of each record.
        is_settled: per node, whether it has a believed number.
        rules: tried in order.

    Returns:
        Columns ``a`` < ``b`` (nodes), each pair once; and what each rule gave.
    """
    columns = _columns(features)
    budget = max(PAIRS_PER_RECORD * features.n, 20_000)
    open_nodes = ~is_settled
    is_open = open_nodes[nodes]
    # A block without an open node is nobody's concern, so values no open node has need not be grouped.
    known = {name: (codes != MISSING) & (codes != NO_DAY) for name, codes in columns.items()}
    met = {name: known[name] & np.isin(codes, np.unique(codes[is_open])) for name, codes in columns.items()}
    found = pl.DataFrame(schema={"a": pl.Int64, "b": pl.Int64})
    told = []
    for rule in rules:
        rows = np.flatnonzero(np.logical_and.reduce([known[k] if rule.settled else met[k] for k in rule.keys]))
        if not rows.size:
            continue
        keys = group_keys(*(columns[k][rows] for k in rule.keys))
        held = pl.DataFrame({"k": keys, "n": nodes[rows]}).unique()
        held = held.with_columns(open=pl.lit(True) if rule.settled else pl.Series(open_nodes[held["n"].to_numpy()]))
        sizes = held.group_by("k").agg(all=pl.len(), open=pl.col("open").sum()).filter((pl.col("all") > 1) & (pl.col("open") > 0))
        sizes = sizes.with_columns(pairs=pl.col("open").cast(pl.Int64) * (pl.col("all").cast(pl.Int64) - 1)).sort("all", "k")
        small = sizes.filter((pl.col("all") <= LARGEST_BLOCK) & (pl.col("pairs").cum_sum() <= budget))
        # Whole size classes only: which of two equal blocks is compared must not hang on their order.
        if small.height < sizes.height:
            cut = sizes["all"][small.height]
            small = small.filter(pl.col("all") < cut)
        held = held.join(small.select("k"), on="k", how="semi")
        new = held.filter("open").join(held, on="k", suffix="_other").filter(pl.col("n") != pl.col("n_other"))
        new = new.select(a=pl.min_horizontal("n", "n_other"), b=pl.max_horizontal("n", "n_other")).unique()
        before = found.height
        found = pl.concat([found, new]).unique()
        lost = sizes.height - small.height
        told.append(Block(rule.name, found.height - before, lost, int(sizes["pairs"].sum()) - int(small["pairs"].sum())))
    return found.sort("a", "b"), told
