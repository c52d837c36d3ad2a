"""Fit a new frozen version to the pool: what agreement weighs, how frequent values are, how many persons, what sources cover."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from identity import evidence, features, frozen, score, training
from identity.distinct import Rows
from identity.features import MISSING, NO_DAY, Features
from identity.frozen import Frozen

# A value of fewer records is nobody's habit; it is not listed, and no rare value of a person is kept beside the pool.
_FEWEST_RECORDS = 20
_FEWEST_PERSONS = 30


@dataclass(frozen=True)
class Census:
    """What is counted in the whole pool rather than in a sample.

    Attributes:
        persons: how many there are.
        coverage: share of the persons held by two sources or more that each source holds.
    """

    persons: int
    coverage: dict[str, float]


def refit(start: Frozen, version: int, records: pl.DataFrame, pairs: pl.DataFrame, census: Census) -> Frozen:
    """A version fitted to the pool. The same pool gives the same version.

    Args:
        start: the version to start from; what it says counts as some pairs seen before.
        version: number of the new one.
        records: a sample of the pool's records and all records of the nodes of `pairs`: columns of :data:`identity.bonds.RECORD`.
        pairs: pairs of nodes that blocks give, as their ``node`` numbers ``a``, ``b``.
        census: what was counted.
    """
    nodes = records["node"].cast(pl.Int64).to_numpy()
    found = features.extract(records.drop("node"))
    persons = float(max(census.persons, _FEWEST_PERSONS))
    known = frozen.frequencies(replace(start, persons=persons), found)
    weights = start.weights
    if pairs.height:
        members = evidence.variants(found, nodes)
        a, b = (_rows(pairs, end) for end in ("a", "b"))
        weights = training.fit(found, known, weights, *evidence.expand(members, a, b)[:2], is_known=True)
        weights = replace(weights, version=f"{start.weights.version.partition('+')[0]}+{version}")
    shares, usual = _shares(found, start)
    coverage = {s: round(c, 6) for s, c in census.coverage.items()} if census.persons >= _FEWEST_PERSONS else {}
    return Frozen(version, weights, persons, coverage, start.usual_coverage, usual, shares)


def _rows(pairs: pl.DataFrame, end: str) -> Rows:
    return pairs.sort("a", "b")[end].to_numpy().astype(np.int64)


def _shares(found: Features, start: Frozen) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Frequent values of every field whose frequency counts, and the share of one that is not listed."""
    shares: dict[str, dict[str, float]] = {}
    usual = dict(start.usual)
    for name, level, column in score.frequent():
        coded = found.coded[column]
        held = int((coded.codes != MISSING).sum())
        if not held:
            continue
        elsewhere = float(start.weights.stranger[name][level])
        counts = np.round(coded.share * held)
        listed = np.flatnonzero(counts >= _FEWEST_RECORDS).tolist()
        shares[column] = {coded.values[i]: score.smoothed(float(counts[i]), held, elsewhere) for i in listed}
        if column in ("surname", "surname_sound", "given", "given_sound"):
            unlisted = float(counts.sum() - counts[listed].sum())
            usual[column] = score.smoothed(unlisted / max(len(counts) - len(listed), 1), held, min(elsewhere, _FEWEST_RECORDS / held))
    days, born = np.unique(found.birth[found.birth != NO_DAY], return_counts=True)
    written = frozen.written_days(days)
    total = int(born.sum())
    shares["birth"] = {
        day: score.smoothed(float(n), total, start.usual["birth"])
        for day, n in zip(written, born.tolist(), strict=True)
        if n >= _FEWEST_RECORDS
    }
    return shares, usual


def coverage(holds: pl.DataFrame) -> dict[str, float]:
    """Share of the persons held by several sources that each source holds.

    Args:
        holds: ``source``, ``persons`` (held by several sources, this one among them) and ``several`` (how many such persons there are).
    """
    return {source: persons / max(several, 1) for source, persons, several in holds.sort("source").iter_rows()}
