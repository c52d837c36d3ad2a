"""Evidence between nodes: the best agreement of each field among their records, weighed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity.compare import compare
from identity.distinct import Rows
from identity.features import Features
from identity.levels import FIELDS
from identity.model import Model
from identity.score import Bits, Frequencies, odds, weigh
from identity.sure import Labels

# Records of a node that say the same need no second look; so many different ones are enough.
_VARIANTS = 8
_CHUNK = 400_000
_ABSENT = np.float32(-1e6)


@dataclass(frozen=True)
class Members:
    """The records of each node that differ from one another.

    Attributes:
        rows: record numbers, node by node.
        starts: where each node begins in `rows`; one entry more than nodes.
    """

    rows: Rows
    starts: Labels


def variants(features: Features, nodes: Labels) -> Members:
    """Distinct records of each node, at most a few."""
    order = np.lexsort((features.content, nodes))
    sorted_nodes, content = nodes[order], features.content[order]
    first = np.r_[True, (sorted_nodes[1:] != sorted_nodes[:-1]) | (content[1:] != content[:-1])] if order.size else np.zeros(0, np.bool_)
    rows, held = order[first], sorted_nodes[first]
    n = int(nodes.max(initial=-1)) + 1
    starts = np.searchsorted(held, np.arange(n + 1))
    place = np.arange(rows.size) - starts[held]
    kept = place < _VARIANTS
    rows, held = rows[kept], held[kept]
    return Members(rows.astype(np.int64), np.searchsorted(held, np.arange(n + 1)))


def expand(members: Members, a: Rows, b: Rows) -> tuple[Rows, Rows, Labels]:
    """All pairs of records of pairs of nodes, and where each pair of nodes begins among them."""
    size_a, size_b = members.starts[a + 1] - members.starts[a], members.starts[b + 1] - members.starts[b]
    counts = size_a * size_b
    starts = np.r_[0, np.cumsum(counts)[:-1]]
    pair = np.repeat(np.arange(a.size), counts)
    inner = np.arange(counts.sum()) - np.repeat(starts, counts)
    row_a = members.rows[members.starts[a][pair] + inner // size_b[pair]]
    row_b = members.rows[members.starts[b][pair] + inner % size_b[pair]]
    return row_a, row_b, starts


@dataclass(frozen=True)
class Parts:
    """What the weight of one pair of nodes is made of.

    Attributes:
        levels: the level each field was taken at: that of the records which agree most; 0 = missing.
        against_stranger, against_family: bits of each field in favour of one person, against either kind of two.
        doubt: taken off where nothing but the name speaks for one person.
        shared_home, shared_home_family: bits for being listed with the same third person, against either kind.
        bits: the whole, as :func:`judge` gives it.
    """

    levels: dict[str, int]
    against_stranger: dict[str, float]
    against_family: dict[str, float]
    doubt: float
    shared_home: float
    shared_home_family: float
    bits: float


def take_apart(
    model: Model, features: Features, known: Frequencies, members: Members, a: int, b: int, shared_home: bool | None = None
) -> Parts:
    """Take the weight of one pair of nodes apart; arguments as for :func:`judge`."""
    pair = np.array([a]), np.array([b])
    row_a, row_b, _ = expand(members, *pair)
    levels = compare(features, row_a, row_b)
    weighed = weigh(model, features, known, levels, row_a, row_b)
    taken: dict[str, int] = {}
    sides: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for field in FIELDS:
        there = np.flatnonzero(levels[field])
        taken[field] = 0
        for side, weights in zip(sides, (weighed.against_stranger[field], weighed.against_family[field]), strict=True):
            side[field] = 0.0
            if there.size:
                best = there[np.argmin(weights[there]) if field == "home" else np.argmax(weights[there])]
                side[field] = float(weights[best])
                taken[field] = taken[field] or int(levels[field][best])
    doubt, home, home_family = float(weighed.by_name_alone.max()), 0.0, 0.0
    if shared_home:
        same, other, kin = (float(t["home"][1]) for t in (model.same, model.stranger, model.family))
        home = max(float(np.log2(same / other)) - max(sides[0]["address"], 0.0), 0.0)
        home_family, doubt = float(np.log2(same / kin)), 0.0
    bits = judge(model, features, known, members, *pair, None if shared_home is None else np.array([shared_home]))
    return Parts(taken, *sides, doubt, home, home_family, float(bits[0]))


def judge(
    model: Model, features: Features, known: Frequencies, members: Members, a: Rows, b: Rows,
    shared_home: npt.NDArray[np.bool_] | None = None,
) -> Bits:  # fmt: skip
    """log2 odds that pairs of nodes are one person.

    Args:
        model: what agreement weighs.
        features: all records.
        known: how frequent their values are.
        members: the records of each node.
        a, b: nodes, pair by pair.
        shared_home: whether the local households of the two share other persons; None = not known yet.
    """
    found = np.zeros(a.size, np.float32)
    for start in range(0, a.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        row_a, row_b, starts = expand(members, a[part], b[part])
        levels = compare(features, row_a, row_b)
        weighed = weigh(model, features, known, levels, row_a, row_b)
        stranger, family = np.zeros(starts.size, np.float32), np.zeros(starts.size, np.float32)
        extra = np.zeros(starts.size, np.float32)
        if shared_home is not None:
            home = shared_home[part]
            same, other, kin = (float(t["home"][1]) for t in (model.same, model.stranger, model.family))
            extra = np.where(home, np.log2(same / other), 0.0).astype(np.float32)
            family += np.where(home, np.log2(same / kin), 0.0).astype(np.float32)
        by_address = np.zeros(starts.size, np.float32)
        doubt = np.maximum.reduceat(weighed.by_name_alone, starts)
        for field in FIELDS:
            is_missing = levels[field] == 0
            sums = []
            for weights in (weighed.against_stranger[field], weighed.against_family[field]):
                best = np.maximum.reduceat(np.where(is_missing, _ABSENT, weights), starts)
                if field == "home":  # two records of one source are rarely one person: the worst counts
                    best = np.minimum.reduceat(np.where(is_missing, -_ABSENT, weights), starts)
                sums.append(np.where(np.abs(best) >= -_ABSENT, 0.0, best))
            if field == "address":
                by_address = sums[0]
            stranger += sums[0]
            family += sums[1]
        if shared_home is not None:
            # A shared home and a shared address are one fact.
            stranger += np.maximum(extra - np.maximum(by_address, 0.0), 0.0)
            doubt = np.where(shared_home[part], 0.0, doubt)
        found[part] = odds(model, known, stranger, family) + doubt
    return np.round(found, 3)
