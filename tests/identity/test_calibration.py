"""The threshold moves to where reviewers say truth lies, and errors fall."""

import numpy as np
import pytest

from identity import calibration


def county(seed, n, shift=0.0, slope=1.0):
    """Weights of pairs, and whether they are one person: as probable as shift + slope × weight says."""
    chance = np.random.default_rng(seed)
    bits = chance.uniform(-10, 16, n)
    return bits, chance.random(n) < 1.0 / (1.0 + 2.0 ** -(shift + slope * bits))


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 1.0), (-4.0, 1.0), (3.0, 1.0), (0.0, 0.6), (-3.0, 0.7)])
def test_the_estimate_moves_to_where_truth_lies(shift, slope):
    bits, is_one = county(1, 800, shift, slope)
    found = calibration.propose(bits, is_one, present=2.5)
    true = (calibration.REQUIRED_BITS - shift) / slope
    assert found is not None
    assert found.low <= true <= found.high
    assert abs(found.threshold_bits - true) < 1.5


def test_the_interval_holds_the_truth_as_often_as_it_says_and_narrows_with_judgements():
    hits, widths = 0, {}
    for n in (100, 1600):
        widths[n] = []
        for seed in range(60):
            found = calibration.propose(*county(seed, n, -3.0, 0.8), present=2.5)
            assert found is not None
            hits += found.low <= 5.5 / 0.8 <= found.high
            widths[n].append(found.high - found.low)
    # 120 intervals of 95 %: fewer than 104 hits would be a chance of less than 1 in 2 000.
    assert hits >= 104
    assert np.mean(widths[1600]) < np.mean(widths[100]) / 2.5


def test_errors_on_pairs_nobody_judged_fall_at_the_proposed_threshold():
    """A model 4 bits too sure: of 300 judgements it learns enough to cut the cost of its errors on 20 000 other pairs."""
    found = calibration.propose(*county(2, 300, shift=-4.0), present=2.5)
    others = county(3, 20_000, shift=-4.0)
    assert found is not None
    assert calibration.cost(*others, found.threshold_bits) < 0.75 * calibration.cost(*others, 2.5)
    assert found.cost_then < found.cost_now


def test_a_model_whose_weights_mean_what_they_say_is_left_about_where_it_is():
    found = calibration.propose(*county(4, 2000), present=2.5)
    assert found is not None
    assert found.threshold_bits == pytest.approx(2.5, abs=0.6)


def test_few_judgements_or_judgements_of_one_kind_propose_nothing():
    bits, is_one = county(5, 29)
    assert calibration.propose(bits, is_one, 2.5) is None
    assert calibration.propose(np.linspace(0, 9, 100), np.ones(100, bool), 2.5) is None


def test_clear_cut_judgements_propose_something_moderate():
    """All above 1 bit are one person, all below two: without a prior the slope would be infinite."""
    bits = np.linspace(-8, 10, 60)
    found = calibration.propose(bits, bits > 1.0, 2.5)
    assert found is not None
    assert -2 < found.threshold_bits < 5
    assert found.slope < 3


def test_the_order_of_judgements_does_not_matter():
    bits, is_one = county(6, 200, -2.0)
    order = np.random.default_rng(0).permutation(200)
    assert calibration.propose(bits, is_one, 2.5) == calibration.propose(bits[order], is_one[order], 2.5)
