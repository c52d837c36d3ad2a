"""How good the pool's persons are: sizes, contradictions, what was not compared, and precision and recall by judged samples."""

import uuid
from dataclasses import dataclass

import polars as pl
import sqlalchemy as sa

from hub.settings import Settings
from identity import quality
from identity.judgements import Judgement
from pipeline import identify, review
from warehouse import database, identity_figures, weighing
from warehouse import review as kept

# Pointers told of each kind of contradiction.
_SHOWN = 3
_SIZES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, None))


@dataclass(frozen=True)
class Suspicious:
    """Persons whose records contradict each other in one way.

    Attributes:
        why: ``numbers`` (several valid ones), ``sexes``, ``birth_years``.
        persons: how many.
        examples: ids of some of them.
    """

    why: str
    persons: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Everything `hub identity report` tells.

    Attributes:
        model: version of the model the pool is made by; None = not weighed yet.
        threshold: its threshold, bits.
        counts: the pool as a whole.
        sizes: persons by records: from, to (None = and more), persons.
        suspicious: contradictions by kind.
        crowds: blocks not compared, by rule.
        agencies: every source.
        quality: precision and recall by judged samples.
        queued, waiting: pairs in the review queue, and those of them that wait for another reviewer.
        in_force: pairs decided by judgements.
    """

    model: int | None
    threshold: float
    counts: identity_figures.Counts
    sizes: tuple[tuple[int, int | None, int], ...]
    suspicious: tuple[Suspicious, ...]
    crowds: tuple[identity_figures.Crowd, ...]
    agencies: tuple[identity_figures.Agency, ...]
    quality: quality.Quality
    queued: int
    waiting: int
    in_force: int


def report(settings: Settings) -> Report:
    """The report on the pool as last published."""
    with database.engine(settings).connect() as connection:
        made_by, threshold = weighing.version(connection).made_by, _threshold(connection)
        sizes = identity_figures.sizes(connection)
        strange = kept.suspicious(connection)
        found = estimate(connection, threshold)
        counts, crowds = identity_figures.counts(connection, threshold), identity_figures.crowds(connection)
        agencies, in_force = identity_figures.agencies(connection), kept.in_force(connection).height
        queued = review.queued(connection, strange)
    grouped = tuple(
        (first, last, sum(n for size, n in sizes.items() if first <= size and (last is None or size <= last))) for first, last in _SIZES
    )
    suspicious = tuple(
        Suspicious(why, persons.height, tuple(persons["person_id"].head(_SHOWN)))
        for why in ("numbers", "sexes", "birth_years")
        for persons in [strange.filter(pl.col("why") == why)]
    )
    return Report(
        made_by, threshold, counts, grouped, suspicious, tuple(crowds), tuple(agencies), found, len(queued),
        sum(q.waits > 0 for q in queued), in_force,
    )  # fmt: skip


def strata(settings: Settings) -> tuple[quality.Stratum, ...]:
    """The samples that precision and recall are estimated from, and which of their pairs to judge next."""
    with database.engine(settings).connect() as connection:
        return estimate(connection, _threshold(connection)).strata


def _threshold(connection: sa.Connection) -> float:
    version = weighing.version(connection)
    return identify.adopted(connection, version.made_by or version.adopted).weights.threshold_bits


_PAIR = ["record_a", "record_b"]


def _texts(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.with_columns(pl.Series(c, [str(uuid.UUID(int=i)) for i in pairs[c].to_list()], dtype=pl.String) for c in _PAIR)


def _numbers(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.with_columns(pl.Series(c, [uuid.UUID(i).int for i in pairs[c].to_list()], dtype=pl.Int128) for c in _PAIR)


def estimate(connection: sa.Connection, threshold: float) -> quality.Quality:
    """Precision and recall of the engine's own links, by the judgements that stand.

    A judgement changes how its pair stands, so each judged pair is counted where it stood when it was first judged.
    """
    standing = kept.standing(connection)
    first = standing.drop_nulls("stood").unique(_PAIR, keep="first", maintain_order=True)
    sure = pl.col("stood") == "sure"
    stood = first.select(*_PAIR, "stood", bits=pl.when(~sure).then("bits"), is_one=pl.col("stood") != "two")
    weighed = kept.weighed(connection, clear_bits=None).select(*_PAIR, "bits", is_one=pl.col("person_a") == pl.col("person_b"))
    by_weight = stood.filter(pl.col("bits").is_not_null()).select(weighed.columns)  # one that was not weighed belongs to no stratum
    weighed = pl.concat([weighed.join(by_weight, on=_PAIR, how="anti"), by_weight])
    by_rule = _numbers(stood.filter(sure).select(_PAIR))
    ties = kept.sure_ties(connection).select(_PAIR)
    ties = pl.concat([ties.join(by_rule, on=_PAIR, how="anti"), by_rule])
    ties = ties.with_columns(bits=pl.lit(None, dtype=pl.Float64), is_one=pl.lit(True))
    drawn = [quality.draw(quality.banded(pairs, threshold)) for pairs in (ties, weighed)]
    return quality.estimate(pl.concat([_texts(drawn[0]), drawn[1]]), _verdicts(kept.in_force(connection), standing))


def _verdicts(in_force: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    """Pairs decided, and those that everybody who judged them was unsure of and nobody else need judge."""
    unsure = (
        standing.group_by("record_a", "record_b")
        .agg(all=(pl.col("judgement") == Judgement.UNSURE.value).all(), open=pl.col("needs_second").any(), n=pl.col("reviewer").n_unique())
        .filter(pl.col("all") & (~pl.col("open") | (pl.col("n") > 1)))
        .select("record_a", "record_b", judgement=pl.lit(Judgement.UNSURE.value))
    )
    return pl.concat([in_force.select("record_a", "record_b", "judgement"), unsure])
