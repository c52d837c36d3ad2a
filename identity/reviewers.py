"""How well reviewers agree, and how much they get done."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from identity.judgements import Judgement

_KINDS = tuple(j.value for j in Judgement)
_PAIR = ("record_a", "record_b")


@dataclass(frozen=True)
class Agreement:
    """Two reviewers on the pairs both have judged.

    Attributes:
        one, other: the reviewers; for everybody together, the first and the second to judge a pair.
        pairs: how many both judged.
        agreed: on how many they said the same.
        kappa: Cohen's kappa (Cohen 1960): agreement beyond what chance would give; 1 = always, 0 = as by chance. None where it says
            nothing: no pair, or both always said the same one thing.
    """

    one: str
    other: str
    pairs: int
    agreed: int
    kappa: float | None


def kappa(one: pl.Series, other: pl.Series) -> float | None:
    """Cohen's kappa of two reviewers' judgements of the same pairs, in the same order."""
    if one.is_empty():
        return None
    first, second = (np.array([(s == kind).mean() for kind in _KINDS], dtype=np.float64) for s in (one, other))
    by_chance = float(first @ second)
    if by_chance >= 1.0:
        return None
    return (float((one == other).mean() or 0.0) - by_chance) / (1.0 - by_chance)  # type: ignore[arg-type]


def _agreement(one: str, other: str, both: pl.DataFrame) -> Agreement:
    agreed = int((both["judgement"] == both["judgement_other"]).sum())
    return Agreement(one, other, both.height, agreed, kappa(both["judgement"], both["judgement_other"]))


def agreements(standing: pl.DataFrame) -> tuple[Agreement, list[Agreement]]:
    """Agreement of the first and second reviewer of every pair, and of each two reviewers.

    Args:
        standing: ``record_a``, ``record_b``, ``reviewer``, ``judgement``, ``judged_at``, ``judgement_id``; judgements not retracted.
    """
    ordered = standing.sort("judged_at", "judgement_id").unique([*_PAIR, "reviewer"], keep="first", maintain_order=True)
    ranked = ordered.with_columns(rank=pl.int_range(pl.len()).over(_PAIR))
    first, second = (ranked.filter(pl.col("rank") == n).select(*_PAIR, "judgement") for n in (0, 1))
    whole = _agreement("", "", first.join(second, on=list(_PAIR), suffix="_other"))
    both = ordered.join(ordered, on=list(_PAIR), suffix="_other").filter(pl.col("reviewer") < pl.col("reviewer_other"))
    couples = [
        _agreement(str(names[0]), str(names[1]), rows) for names, rows in sorted(both.group_by("reviewer", "reviewer_other"), key=lambda g: g[0])
    ]  # fmt: skip
    return whole, couples


@dataclass(frozen=True)
class Throughput:
    """What one reviewer got done.

    Attributes:
        judgements: made, those retracted since included.
        unsure: of them, that decide nothing.
        retracted: of them, taken back since by whomever.
        days: on how many days.
        per_day: judgements on such a day.
    """

    reviewer: str
    judgements: int
    unsure: int
    retracted: int
    days: int
    per_day: float


def throughput(made: pl.DataFrame) -> list[Throughput]:
    """What each reviewer got done, the busiest first.

    Args:
        made: ``reviewer``, ``judgement``, ``judged_at``, ``is_retracted``; one row a judgement ever made.
    """
    counted = made.group_by("reviewer").agg(
        judgements=pl.len(), unsure=(pl.col("judgement") == Judgement.UNSURE.value).sum(), retracted=pl.col("is_retracted").sum(),
        days=pl.col("judged_at").dt.date().n_unique(),
    )  # fmt: skip
    rows = counted.sort("judgements", "reviewer", descending=[True, False]).iter_rows(named=True)
    return [Throughput(**row, per_day=round(row["judgements"] / row["days"], 1)) for row in rows]
