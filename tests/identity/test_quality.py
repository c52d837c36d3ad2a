"""Precision and recall of links from judged samples: right on average, as sure as they say, and silent where too little was judged."""

import uuid

import numpy as np
import polars as pl
import pytest

from identity import quality
from identity.quality import Band

THRESHOLD = 2.5
SCHEMA = {"record_a": pl.String, "record_b": pl.String, "bits": pl.Float64, "is_one": pl.Boolean, "truth": pl.Boolean}


def population(*strata):
    """Pairs by (bits, is one person now, how many, how many truly are one)."""
    rows = []
    for bits, is_one, n, true in strata:
        for i in range(n):
            name = f"{bits} {is_one} {i}"
            ids = sorted(str(uuid.uuid5(uuid.NAMESPACE_X500, name + end)) for end in "ab")
            rows.append((*ids, bits, is_one, i < true))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def drawn(pairs):
    return quality.draw(quality.banded(pairs, THRESHOLD))


def judged(rows):
    """What reviewers who know the truth say."""
    return rows.select("record_a", "record_b", judgement=pl.when("truth").then(pl.lit("must")).otherwise(pl.lit("cannot")))


def first_of_each(rows, n):
    return rows.filter(pl.int_range(pl.len()).over("is_one", "band") < n)


COUNTY = ((None, True, 3000, 2990), (14.0, True, 500, 495), (4.0, True, 300, 270), (1.0, False, 200, 60), (-2.0, False, 400, 20))


def test_strata_are_by_weight_and_by_what_is_one_person_now():
    found = quality.estimate(drawn(population(*COUNTY)), judged(population(*COUNTY).head(0)))
    assert [(s.is_one, s.band, s.pairs) for s in found.strata] == [
        (True, Band.SURE, 3000), (True, Band.FAR, 500), (True, Band.JUST_ABOVE, 300), (False, Band.JUST_BELOW, 200), (False, Band.BELOW, 400),
    ]  # fmt: skip


def test_without_judgements_there_is_no_figure_but_the_pairs_to_judge_next():
    rows = drawn(population(*COUNTY))
    found = quality.estimate(rows, judged(rows.head(0)))
    assert (found.precision, found.recall) == (None, None)
    assert all(len(s.next) == 5 and not s.is_known for s in found.strata)


def test_with_every_pair_judged_the_figures_are_exact():
    rows = drawn(population((None, True, 900, 890), (4.0, True, 100, 90), (1.0, False, 50, 20)))
    found = quality.estimate(rows, judged(rows))
    assert found.precision == quality.Interval(pytest.approx(0.98), pytest.approx(0.98), pytest.approx(0.98))
    assert found.recall is not None
    assert found.recall.value == pytest.approx(980 / 1000)
    assert found.recall.low == pytest.approx(found.recall.high)


def test_a_sample_gives_figures_whose_intervals_hold_the_truth():
    rows = drawn(population(*COUNTY))
    found = quality.estimate(rows, judged(first_of_each(rows, 250)))
    assert found.precision is not None and found.recall is not None
    true_links, links, missed = 2990 + 495 + 270, 3800, 80
    assert found.precision.low <= true_links / links <= found.precision.high
    assert found.recall.low <= true_links / (true_links + missed) <= found.recall.high
    assert found.precision.high - found.precision.low < 0.05


def test_judging_only_doubtful_pairs_does_not_bend_the_figures():
    """Reviewers worked off the wrong ones of a stratum first: what lies first in the sample's order counts, not what was judged."""
    rows = drawn(population((4.0, True, 600, 540)))
    sample = first_of_each(rows, 60)
    wrong = rows.filter(~pl.col("truth"))
    bent = pl.concat([judged(sample), judged(wrong)]).unique(["record_a", "record_b"])
    with_queue, without = quality.estimate(rows, bent), quality.estimate(rows, judged(sample))
    (one,), (other,) = with_queue.strata, without.strata
    assert one.judged - other.judged <= 2, "a pair that follows in the order may have been judged as well"
    assert with_queue.precision.value == pytest.approx(without.precision.value, abs=0.03)


def test_a_pair_nobody_could_tell_counts_neither_way_and_does_not_end_the_sample():
    rows = drawn(population((4.0, True, 100, 100)))
    said = judged(first_of_each(rows, 30)).with_columns(
        judgement=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("unsure")).otherwise("judgement")
    )
    (stratum,) = quality.estimate(rows, said).strata
    assert (stratum.judged, stratum.one_person) == (29, 29)


def test_one_unknown_stratum_is_enough_for_no_figure():
    rows = drawn(population(*COUNTY))
    known = first_of_each(rows, 40).filter(pl.col("band") != Band.JUST_ABOVE)
    found = quality.estimate(rows, judged(known))
    assert found.precision is None and found.recall is None
    assert [s.is_known for s in found.strata] == [True, True, False, True, True]


def test_wilsons_interval_is_that_of_the_textbook():
    """81 of 263 (Newcombe 1998, table I): 0.2553 to 0.3662."""
    found = quality.wilson(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    hits, chance = 0, np.random.default_rng(11)
    base = population((None, True, 2000, 1960), (4.0, True, 300, 240))
    for _ in range(60):
        rows = drawn(base.with_columns(truth=pl.col("truth").shuffle(seed=int(chance.integers(1 << 30))).over("bits")))
        found = quality.estimate(rows, judged(first_of_each(rows, 60)))
        assert found.precision is not None
        hits += found.precision.low <= 2200 / 2300 <= found.precision.high
    # 60 intervals of 95 %: fewer than 51 hits would be a chance of less than 1 in 1 000.
    assert hits >= 51
