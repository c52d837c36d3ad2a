"""How right the links are, estimated from judged samples: strata by weight, and in each the pairs that lie first in the sample's order.

A stratum's sample is the longest run of pairs, in the order of :mod:`identity.sampling`, that were all judged. So it is a random sample
however the queue was worked off, and judging more pairs elsewhere does not bend it.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl

from identity import sampling

_Z95 = 1.959964
# A stratum of which fewer are judged says nothing yet, unless that is all of it.
FEWEST = 10
# Bits above the threshold where strata part.
_EDGES = (-3.0, 0.0, 3.0, 10.0)


class Band(StrEnum):
    """How far a pair's weight lies above the threshold."""

    SURE = "sure link"
    """Not weighed: records that sure links tie."""
    FAR = "10 bits and more above"
    ABOVE = "3 to 10 bits above"
    JUST_ABOVE = "up to 3 bits above"
    JUST_BELOW = "up to 3 bits below"
    BELOW = "more than 3 bits below"


_BANDS = (Band.BELOW, Band.JUST_BELOW, Band.JUST_ABOVE, Band.ABOVE, Band.FAR)


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Stratum:
    """One stratum.

    Attributes:
        is_one: whether its pairs are one person now.
        band: of weights.
        pairs: how many pairs.
        judged: pairs of its sample that were judged one person or two.
        one_person: of them, one person.
        next: pairs of records to judge next for the sample to grow.
    """

    is_one: bool
    band: Band
    pairs: int
    judged: int
    one_person: int
    next: tuple[tuple[str, str], ...]

    @property
    def is_known(self) -> bool:
        """Whether enough of it was judged."""
        return self.judged >= min(FEWEST, self.pairs)


@dataclass(frozen=True)
class Quality:
    """Precision and recall of links.

    Attributes:
        precision: share of links (a record and the group sure links tie it to, or two groups weighed as one person) that are right.
            None = not enough judgements.
        recall: share of right links, among pairs that were compared, that are made; a pair no blocking rule brings together is not
            seen by it. None = not enough judgements.
        strata: what it rests on.
    """

    precision: Interval | None
    recall: Interval | None
    strata: tuple[Stratum, ...]


def wilson(right: int, judged: int, pairs: int | None = None) -> Interval:
    """A share with Wilson's interval (1927); exact where all pairs were judged, and from 0 to 1 where none was."""
    if not judged:
        return Interval(0.5, 0.0, 1.0)
    share = right / judged
    if pairs is not None and judged >= pairs:
        return Interval(share, share, share)
    middle = (share + _Z95**2 / (2 * judged)) / (1 + _Z95**2 / judged)
    half = _Z95 / (1 + _Z95**2 / judged) * float(np.sqrt(share * (1 - share) / judged + _Z95**2 / (4 * judged**2)))
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))


def banded(pairs: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Adds ``band``.

    Args:
        pairs: with ``bits``; null = a sure link.
        threshold: from where a pair is a link.
    """
    above = pl.col("bits") - threshold
    band = pl.lit(Band.FAR.value)
    for edge, name in reversed(list(zip(_EDGES, _BANDS, strict=False))):
        band = pl.when(above < edge).then(pl.lit(name.value)).otherwise(band)
    return pairs.with_columns(band=pl.when(above.is_null()).then(pl.lit(Band.SURE.value)).otherwise(band))


def draw(pairs: pl.DataFrame, most: int = 2000) -> pl.DataFrame:
    """Each stratum's first pairs in the sample's order.

    Args:
        pairs: ``record_a``, ``record_b`` (ids, as text or as integers), ``is_one``, ``band``.
        most: so many of a stratum at most.

    Returns:
        The columns of `pairs`, and ``pairs``: how many the stratum has.
    """
    placed = pairs.with_columns(
        _place=pl.Series(sampling.place(pairs["record_a"], pairs["record_b"]), dtype=pl.Float64), pairs=pl.len().over("is_one", "band")
    )
    ranked = placed.sort("_place", "record_a", "record_b").with_columns(_rank=pl.int_range(pl.len()).over("is_one", "band"))
    return ranked.filter(pl.col("_rank") < most).drop("_place", "_rank")


def estimate(drawn: pl.DataFrame, judged: pl.DataFrame, *, ahead: int = 5) -> Quality:
    """Precision and recall.

    Args:
        drawn: of :func:`draw`, in its order, ids as text.
        judged: ``record_a``, ``record_b``, ``judgement``: pairs decided, and ``unsure`` where all who judged could not tell.
        ahead: how many pairs to name that should be judged next, a stratum.
    """
    ordered = drawn.with_columns(
        pl.min_horizontal("record_a", "record_b").alias("record_a"), pl.max_horizontal("record_a", "record_b").alias("record_b")
    )
    told = ordered.join(judged, on=["record_a", "record_b"], how="left", maintain_order="left")
    strata = []
    for is_one in (True, False):
        for band in Band:
            rows = told.filter((pl.col("is_one") == is_one) & (pl.col("band") == band.value))
            if rows.is_empty():
                continue
            is_open = rows["judgement"].is_null()
            run = rows.head(int(is_open.arg_max() or 0) if is_open.any() else rows.height)["judgement"]
            must, cannot = int((run == "must").sum()), int((run == "cannot").sum())
            waiting = rows.filter(is_open).head(ahead).select("record_a", "record_b").rows()
            strata.append(Stratum(is_one, band, int(rows["pairs"][0]), must + cannot, must, tuple((a, b) for a, b in waiting)))
    made, left = [s for s in strata if s.is_one], [s for s in strata if not s.is_one]
    precision = _sum(made) if made and all(s.is_known for s in made) else None
    recall = None
    if precision is not None and all(s.is_known for s in left):
        links = sum(s.pairs for s in made)
        right, lost = precision, _sum(left)
        missed = sum(s.pairs for s in left)

        def share(p: float, q: float) -> float:
            return p * links / max(p * links + q * missed, 1e-12)

        # Both ends at their worst together: wider than need be.
        recall = Interval(share(right.value, lost.value), share(right.low, lost.high), share(right.high, lost.low))
    return Quality(precision, recall, tuple(strata))


def _sum(strata: list[Stratum]) -> Interval:
    """Share of one person over strata; intervals combined by the method of variance estimates recovery (Zou and Donner 2008)."""
    if not strata:
        return Interval(0.0, 0.0, 0.0)
    whole = sum(s.pairs for s in strata)
    parts = [(s.pairs / whole, wilson(s.one_person, s.judged, s.pairs)) for s in strata]
    value = sum(w * i.value for w, i in parts)
    down = float(np.sqrt(sum((w * (i.value - i.low)) ** 2 for w, i in parts)))
    up = float(np.sqrt(sum((w * (i.high - i.value)) ** 2 for w, i in parts)))
    return Interval(value, max(value - down, 0.0), min(value + up, 1.0))
