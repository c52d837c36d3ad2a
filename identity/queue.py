"""Which pair of records a reviewer should look at next: the one whose answer mends the most wrong answers.

    effect = chance that the present decision is wrong × records of the persons × households they touch

The chance follows from the pair's own weight: its odds say how probable one person is; where the pair is kept apart that is the chance
of a wrong split, where it is together the rest is the chance of a wrong merge. It is largest where weight and decision disagree and next
to the threshold. A person whose records contradict each other counts with a chance of its own kind at least (:data:`DOUBT`).
"""

import numpy as np
import polars as pl

from identity import sampling
from identity.judgements import pair_key
from identity.sure import components

# Why a pair is in the queue → chance that the decision is wrong, at least. Two valid numbers in one person are as likely two persons;
# sexes and birth years are slips more often.
DOUBT = {"numbers": 0.5, "sexes": 0.25, "birth_years": 0.1, "weight": 0.0}
_PAIR = ("record_a", "record_b")
QUEUED = ("record_a", "record_b", "person_a", "person_b", "bits", "why", "chance", "records", "households", "effect", "waits")


def _decided(pairs: pl.DataFrame, in_force: pl.DataFrame) -> pl.DataFrame:
    """Adds ``decided``: a judgement in force says it, or it follows from several."""
    ids = pl.concat([pairs["record_a"], pairs["record_b"], in_force["record_a"], in_force["record_b"]]).unique().sort()
    numbered = pl.DataFrame({"id": ids, "n": np.arange(ids.len())})

    def ends(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        joined = [
            frame.select(c).join(numbered, left_on=c, right_on="id", how="left", maintain_order="left")["n"].to_numpy() for c in _PAIR
        ]
        return joined[0], joined[1]

    group = components(ids.len(), ends(in_force.filter(pl.col("judgement") == "must"))) if ids.len() else np.zeros(0, np.int64)
    a, b = (group[side] for side in ends(in_force.filter(pl.col("judgement") == "cannot")))
    apart = np.unique(pair_key(a, b))
    x, y = (group[side] for side in ends(pairs))
    return pairs.with_columns(decided=pl.Series((x == y) | np.isin(pair_key(x, y), apart)))


def _households(pairs: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Adds ``households``: how many different ones the two persons belong to, at least 1."""
    keyed = pairs.with_row_index("_n")
    sides = [keyed.select("_n", person_id=side).join(members, on="person_id") for side in ("person_a", "person_b")]
    counted = pl.concat(sides).group_by("_n").agg(households=pl.col("household_id").n_unique())
    return keyed.join(counted, on="_n", how="left").with_columns(pl.col("households").fill_null(1).cast(pl.Int64)).drop("_n")


def order(
    pairs: pl.DataFrame, persons: pl.DataFrame, members: pl.DataFrame, in_force: pl.DataFrame, standing: pl.DataFrame,
    *, reviewer: str | None = None,
) -> pl.DataFrame:  # fmt: skip
    """The queue: undecided pairs, the most useful first, one for any two persons.

    Neither the order of rows nor who of a pair comes first matters; equal effects are ordered by a hash of the pair.

    Args:
        pairs: ``record_a``, ``record_b``, ``person_a``, ``person_b``, ``bits`` (log2 odds; null = not weighed), ``why`` (a key of
            :data:`DOUBT`); a pair may come more than once.
        persons: ``person_id``, ``records``.
        members: ``person_id``, ``household_id``, of any kind of household.
        in_force: ``record_a``, ``record_b``, ``judgement``: what is decided.
        standing: ``record_a``, ``record_b``, ``reviewer``, ``needs_second``: judgements that were not retracted.
        reviewer: leave out pairs this reviewer has judged.

    Returns:
        Columns :data:`QUEUED`; ``waits``: how many reviewers have judged it and another one is wanted.
    """
    turned = pl.col("record_a") > pl.col("record_b")
    pairs = pairs.with_columns(
        *(pl.when(turned).then(f"{side}_b").otherwise(f"{side}_a").alias(f"{side}_a") for side in ("record", "person")),
        *(pl.when(turned).then(f"{side}_a").otherwise(f"{side}_b").alias(f"{side}_b") for side in ("record", "person")),
    )
    pairs = _decided(pairs, in_force).filter(~pl.col("decided")).drop("decided")
    said = standing.group_by(_PAIR).agg(
        waits=pl.col("reviewer").n_unique().cast(pl.Int64), wanted=pl.col("needs_second").any(), by=pl.col("reviewer").unique()
    )
    pairs = pairs.join(said, on=_PAIR, how="left").filter(pl.col("wanted").is_null() | pl.col("wanted"))
    if reviewer is not None:
        pairs = pairs.filter(pl.col("by").is_null() | ~pl.col("by").list.contains(reviewer))
    records = persons.select("person_id", "records")
    for side in ("a", "b"):
        pairs = pairs.join(records.rename({"person_id": f"person_{side}", "records": f"records_{side}"}), on=f"person_{side}")
    is_one = pl.col("person_a") == pl.col("person_b")
    odds = 1.0 / (1.0 + 2.0 ** (-pl.col("bits").cast(pl.Float64).clip(-60.0, 60.0)))
    doubt = pl.col("why").replace_strict(DOUBT, return_dtype=pl.Float64)
    pairs = _households(pairs, members).with_columns(
        waits=pl.col("waits").fill_null(0),
        chance=pl.max_horizontal(pl.when(is_one).then(1.0 - odds).otherwise(odds), doubt).round(6),
        records=pl.when(is_one).then("records_a").otherwise(pl.col("records_a") + pl.col("records_b")).cast(pl.Int64),
    )
    pairs = pairs.with_columns(
        effect=(pl.col("chance") * pl.col("records") * pl.col("households")).round(6),
        _place=pl.Series(sampling.place(pairs["record_a"], pairs["record_b"]), dtype=pl.Float64),
        _one=pl.min_horizontal("person_a", "person_b"), _other=pl.max_horizontal("person_a", "person_b"),
    ).sort("effect", "_place", "why", descending=[True, False, False])  # fmt: skip
    # One pair for two persons, and one for the contradictions inside a person: its answer changes what the others are worth.
    return pairs.unique(["_one", "_other"], keep="first", maintain_order=True).select(QUEUED)
