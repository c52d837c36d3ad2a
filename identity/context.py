"""What persons around two records say of them: the sources that hold them, and those they live with.

Weighing two records alone leaves some pairs open. Two things decide most of these, once the sure persons are known: if they were two
persons, each would probably be held by the other's sources as well; and persons listed with the same others live in one home.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from identity.distinct import Rows
from identity.features import MISSING, Features
from identity.score import Bits
from identity.sure import Labels

# More persons under one number or at one address are an institution, or an address without a door: being together there says nothing.
LARGEST_HOME = 15
# Evidence by sources is capped: coverage is estimated, and sources are not independent.
_MOST_BY_SOURCES, _MOST_BY_ONE_SOURCE, _AGAINST_SHARED_SOURCE = 4.0, 2.5, -5.0
_MOST_BY_ONE_OF_TWO = 6.0
_FEWEST_PERSONS = 30


@dataclass(frozen=True)
class Context:
    """What is known of persons found so far.

    Attributes:
        person: the person of each node.
        holds: persons × sources, whether the source has a record of the person.
        by_source: per source, bits in favour of one person if only one of two, or neither, is held.
        neighbours: ``p``, ``r``: r is listed in one household with p.
    """

    person: Labels
    holds: npt.NDArray[np.bool_]
    by_source: npt.NDArray[np.float64]
    neighbours: pl.DataFrame


def gather(features: Features, nodes: Labels, person: Labels) -> Context:
    """The context that persons found so far give.

    Args:
        features: all records.
        nodes: the node of each record.
        person: the person of each node.
    """
    of_record = person[nodes]
    source = features.code("source")
    n_persons, n_sources = int(of_record.max(initial=-1)) + 1, int(source.max(initial=-1)) + 1
    holds = np.zeros((n_persons, n_sources), np.bool_)
    holds[of_record, source] = True
    # How much of the people a source holds is seen on persons that were found in two places at least.
    several = holds.sum(axis=1) >= 2
    coverage = holds[several].mean(axis=0) if several.sum() >= _FEWEST_PERSONS else np.zeros(n_sources)
    by_source = bits_by_source(coverage)
    if n_sources == 2:  # persons in both are all that is seen: how many are in one alone is the measure
        coverage = np.full(2, several.mean())
        by_source = np.minimum(-np.log2(np.maximum(1.0 - coverage, 1e-6)), _MOST_BY_ONE_OF_TWO)
    homes = pl.DataFrame({"h": features.code("home"), "p": of_record}).filter(pl.col("h") != MISSING).unique()
    homes = homes.filter(pl.len().over("h").is_between(2, LARGEST_HOME))
    pairs = homes.join(homes.rename({"p": "r"}), on="h").filter(pl.col("p") != pl.col("r"))
    return Context(person, holds, by_source, pairs.select("p", "r").unique())


def bits_by_source(coverage: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bits in favour of one person where a source holds only one of two, from the share of all persons that it holds."""
    return np.asarray(np.minimum(-np.log2(np.maximum(1.0 - coverage, 1e-6)), _MOST_BY_ONE_SOURCE))


def shares_home(context: Context, a: Rows, b: Rows) -> npt.NDArray[np.bool_]:
    """Whether pairs of nodes are listed with a common third person."""
    pairs = pl.DataFrame({"p": context.person[a], "q": context.person[b]}).with_row_index("i")
    with_third = pairs.join(context.neighbours, on="p").filter(pl.col("r") != pl.col("q"))
    common = with_third.join(context.neighbours, left_on=["q", "r"], right_on=["p", "r"], how="semi")["i"].unique()
    found = np.zeros(a.size, np.bool_)
    found[common.to_numpy()] = True
    return found


def by_sources(context: Context, a: Rows, b: Rows) -> Bits:
    """Bits in favour of one person from which sources hold the two; never against."""
    if context.holds.shape[1] < 2:
        return np.zeros(a.size, np.float32)
    one, other = context.holds[context.person[a]], context.holds[context.person[b]]
    both = one & other
    bits = np.where(both, _AGAINST_SHARED_SOURCE, context.by_source[None, :]).sum(axis=1)
    is_open = context.person[a] != context.person[b]
    most = max(_MOST_BY_SOURCES, float(context.by_source.sum()) if context.holds.shape[1] == 2 else 0.0)
    return np.where(is_open, np.clip(bits, 0.0, most), 0.0).astype(np.float32)


def by_own_sources(context: Context, a: Rows, b: Rows) -> Bits:
    """The same from the sources of the two alone: what else there is in the table does not matter."""
    one, other = context.holds[context.person[a]], context.holds[context.person[b]]
    bits = np.where(one & other, _AGAINST_SHARED_SOURCE, np.where(one | other, context.by_source[None, :], 0.0)).sum(axis=1)
    return np.asarray(np.clip(bits, 0.0, _MOST_BY_SOURCES), dtype=np.float32)
