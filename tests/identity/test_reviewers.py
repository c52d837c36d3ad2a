"""How well reviewers agree, and how much they get done."""

from datetime import datetime

import polars as pl
import pytest

from identity import reviewers


def standing(*rows):
    """Judgements (pair, reviewer, judgement), one a minute."""
    made = [(f"a{p}", f"b{p}", who, said, datetime(2026, 3, 1, 9, n), f"{n:04d}") for n, (p, who, said) in enumerate(rows)]
    columns = ["record_a", "record_b", "reviewer", "judgement", "judged_at", "judgement_id"]
    return pl.DataFrame(made, schema=columns, orient="row")


def test_kappa_is_that_of_the_textbook():
    """Cohen's own kind of table: 20 both yes, 15 both no, 5 and 10 apart: observed 0.7, by chance 0.5."""
    one = pl.Series(["must"] * 25 + ["cannot"] * 25)
    other = pl.Series(["must"] * 20 + ["cannot"] * 5 + ["must"] * 10 + ["cannot"] * 15)
    assert reviewers.kappa(one, other) == pytest.approx(0.4)


def test_kappa_is_one_where_two_always_agree_and_says_nothing_where_only_one_thing_was_said():
    mixed = pl.Series(["must", "cannot", "unsure"])
    assert reviewers.kappa(mixed, mixed) == pytest.approx(1.0)
    assert reviewers.kappa(pl.Series(["must"] * 3), pl.Series(["must"] * 3)) is None
    assert reviewers.kappa(pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String)) is None


def test_each_two_reviewers_are_compared_on_the_pairs_both_have_judged():
    whole, couples = reviewers.agreements(
        standing((1, "Li", "must"), (1, "Wang", "must"), (2, "Wang", "cannot"), (2, "Li", "must"), (3, "Li", "must"), (2, "Zhao", "must"))
    )
    assert (whole.pairs, whole.agreed) == (2, 1)
    assert [(c.one, c.other, c.pairs, c.agreed) for c in couples] == [("Li", "Wang", 2, 1), ("Li", "Zhao", 1, 1), ("Wang", "Zhao", 1, 0)]


def test_throughput_counts_what_was_taken_back_as_well():
    made = pl.DataFrame(
        {
            "reviewer": ["Li", "Li", "Li", "Wang"], "judgement": ["must", "unsure", "cannot", "must"],
            "judged_at": [datetime(2026, 3, 1), datetime(2026, 3, 1), datetime(2026, 3, 3), datetime(2026, 3, 1)],
            "is_retracted": [False, False, True, False],
        }
    )  # fmt: skip
    li, wang = reviewers.throughput(made)
    assert (li.reviewer, li.judgements, li.unsure, li.retracted, li.days, li.per_day) == ("Li", 3, 1, 1, 2, 1.5)
    assert (wang.reviewer, wang.per_day) == ("Wang", 1.0)
