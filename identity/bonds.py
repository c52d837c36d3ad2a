"""The night's second pass: nodes that sure links left open are weighed against others by a frozen model, and united into persons.

A pair's weight depends on the records of its two nodes, on the nodes listed in one home with either of them, and on the frozen version
alone. So a night that changes a node need look no further than to the pairs of that node and of those it is listed with.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from identity import bars, clusters, context, evidence, features, frozen, judgements
from identity.context import Context
from identity.distinct import Rows
from identity.evidence import Members
from identity.features import Features
from identity.frozen import Frozen
from identity.score import Bits, Frequencies
from identity.sure import Labels, components

# Pairs so many bits below the threshold are kept as well: they tie nothing, and are what reviewers should look at.
NEAR_BITS = 6.0
RECORD = (
    "node", "source", "resident_id", "name", "sex", "birth_date", "phone", "address", "area_code", "household_id_local"
)  # fmt: skip
BOND = {"a": pl.Int128, "b": pl.Int128, "bits": pl.Float32}


@dataclass(frozen=True)
class Scene:
    """Nodes with all that their pairs are weighed by.

    Attributes:
        by: the frozen version.
        node_ids: ids of the nodes, ascending; everything else numbers them from 0 in this order.
        number: a believed number of each node as a code; -1 = none.
    """

    by: Frozen
    node_ids: pl.Series
    found: Features
    members: Members
    known: Frequencies
    around: Context
    number: npt.NDArray[np.int32]

    def at(self, ids: pl.Series) -> Rows:
        """Numbers of nodes that are in the scene."""
        numbered = pl.DataFrame({"id": self.node_ids}).with_row_index("n")
        return pl.DataFrame({"id": ids}).join(numbered, on="id", how="left", maintain_order="left")["n"].to_numpy().astype(np.int64)


def prepare(by: Frozen, node_ids: pl.Series, records: pl.DataFrame, listed: pl.DataFrame) -> Scene:
    """Make nodes ready to be weighed.

    Args:
        by: the frozen version.
        node_ids: ids of the nodes, ascending.
        records: all their records, columns :data:`RECORD`, where ``node`` counts in `node_ids` from 0; the others are text.
        listed: ``node``, ``other_id``: another node, in the scene or not, is listed with a node in one home.
    """
    nodes = records["node"].cast(pl.Int64).to_numpy()
    found = features.extract(records.drop("node"))
    number = bars.believed_numbers(found, nodes, node_ids.len())
    sources = found.coded["source"].values
    holds = np.zeros((node_ids.len(), len(sources)), np.bool_)
    holds[nodes, found.code("source")] = True
    # Nodes outside the scene get numbers of their own: they are only ever the third in a home.
    every = pl.concat([node_ids.alias("other_id"), listed["other_id"].unique().sort()]).unique(maintain_order=True)
    numbered = pl.DataFrame({"other_id": every}).with_row_index("r").with_columns(pl.col("r").cast(pl.Int64))
    neighbours = listed.join(numbered, on="other_id").select(p=pl.col("node").cast(pl.Int64), r="r").filter(pl.col("p") != pl.col("r"))
    coverage = np.array([by.coverage.get(s, by.usual_coverage) for s in sources])
    around = Context(np.arange(node_ids.len()), holds, context.bits_by_source(coverage), neighbours.unique())
    return Scene(by, node_ids, found, evidence.variants(found, nodes), frozen.frequencies(by, found), around, number)


def weigh(scene: Scene, a: Rows, b: Rows) -> Bits:
    """log2 odds that pairs of nodes are one person."""
    if not a.size:
        return np.zeros(0, np.float32)
    home = context.shares_home(scene.around, a, b)
    alone = evidence.judge(scene.by.weights, scene.found, scene.known, scene.members, a, b, home)
    return np.asarray(np.round(alone + context.by_own_sources(scene.around, a, b), 3), dtype=np.float32)


def close(scene: Scene, pairs: pl.DataFrame) -> pl.DataFrame:
    """Those pairs (``a``, ``b``: node ids) whose weight is a link of its own, or nearly; columns of :data:`BOND`."""
    bits = weigh(scene, scene.at(pairs["a"]), scene.at(pairs["b"]))
    found = pairs.select("a", "b").with_columns(bits=pl.Series(bits, dtype=pl.Float32))
    return found.filter(pl.col("bits") >= scene.by.weights.threshold_bits - NEAR_BITS)


def links(by: Frozen, bonds: pl.DataFrame) -> pl.DataFrame:
    """The bonds that are links of their own."""
    return bonds.filter(pl.col("bits") >= by.weights.threshold_bits)


def unite(scene: Scene, bonds: pl.DataFrame, apart: pl.DataFrame) -> pl.DataFrame:
    """Persons of the nodes of a scene.

    Args:
        scene: every node of the components that the bonds make.
        bonds: all links between them, columns of :data:`BOND`.
        apart: ``a``, ``b``: ids of nodes that people judged to be two persons; others than those of the scene are ignored.

    Returns:
        One row a node: ``node_id``, ``person_id`` (its smallest node id), ``is_alone`` (the person has no other node).
    """
    threshold = scene.by.weights.threshold_bits
    graph = clusters.Graph(scene.node_ids.len(), scene.at(bonds["a"]), scene.at(bonds["b"]), bonds["bits"].to_numpy())
    component = clusters.connect(graph, threshold)
    a, b = clusters.within(component)
    ids = pl.DataFrame({"id": scene.node_ids})
    apart = apart.join(ids, left_on="a", right_on="id", how="semi").join(ids, left_on="b", right_on="id", how="semi")
    barred = np.unique(judgements.pair_key(scene.at(apart["a"]), scene.at(apart["b"])))
    person: Labels = clusters.cluster(component, a, b, weigh(scene, a, b), threshold, bars.bars(scene.number, barred))
    found = pl.DataFrame({"node_id": scene.node_ids, "label": person})
    return found.select("node_id", person_id=pl.col("node_id").min().over("label"), is_alone=pl.len().over("label") == 1)


def reached(start: pl.Series, *edges: pl.DataFrame) -> pl.Series:
    """Ids of all nodes that hang together with some, over edges ``a``, ``b``; ascending, the start included."""
    both = pl.concat([pl.DataFrame(schema={"a": pl.Int128, "b": pl.Int128}), *(e.select("a", "b") for e in edges)])
    ids = pl.concat([start.unique(), both["a"], both["b"]]).unique().sort()
    numbered = pl.DataFrame({"id": ids}).with_row_index("n")
    ends = [both.join(numbered, left_on=c, right_on="id", how="left", maintain_order="left")["n"].to_numpy() for c in ("a", "b")]
    label = components(ids.len(), (ends[0].astype(np.int64), ends[1].astype(np.int64)))
    is_start = ids.is_in(start.unique().implode()).to_numpy()
    return ids.filter(pl.Series(np.isin(label, label[is_start])))
