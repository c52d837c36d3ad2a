"""Where the threshold belongs, by what reviewers said: weights are set against judgements by logistic regression (Platt 1999).

    log2 odds that a pair is one person = shift + slope × its weight

A model whose weights mean what they say has shift 0 and slope 1; that is what is believed before the first judgement (a normal prior,
which also keeps few or clear-cut judgements from proposing nonsense). The threshold is the weight at which a link is as sure as it has
to be. Which pairs are judged may depend on their weight: the estimate is conditional on it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

Bits = npt.NDArray[np.float64]
# A link is made where one person is this much more probable than two (log2 odds): a wrong merge counts as nearly six wrong splits.
REQUIRED_BITS = 2.5
# Fewer judgements than this, or fewer of either kind, propose nothing.
FEWEST, FEWEST_OF_A_KIND = 30, 5
# Standard deviations of the prior: a shift of a few bits is usual, a model twice too sure is not.
_SHIFT_SD, _SLOPE_SD = 6.0, 0.5
_FLATTEST = 0.05
_MOST = 40.0
_Z95 = 1.959964


@dataclass(frozen=True)
class Proposal:
    """A threshold that judgements ask for.

    Attributes:
        threshold_bits: the weight from which a pair should be a link.
        low, high: 95 % interval of it.
        shift, slope: of the calibration; 0 and 1 = weights mean what they say.
        must, cannot: judgements it rests on.
        cost_now, cost_then: wrong merges × 2^2.5 + wrong splits among the judged pairs, at the present and at the proposed threshold.
    """

    threshold_bits: float
    low: float
    high: float
    shift: float
    slope: float
    must: int
    cannot: int
    cost_now: float
    cost_then: float


def cost(bits: Bits, is_one: npt.NDArray[np.bool_], threshold: float) -> float:
    """What is decided wrongly at a threshold: wrong merges, each counted 2^:data:`REQUIRED_BITS` times, and wrong splits."""
    linked = bits >= threshold
    return float((linked & ~is_one).sum() * 2.0**REQUIRED_BITS + (~linked & is_one).sum())


def propose(bits: Bits, is_one: npt.NDArray[np.bool_], present: float) -> Proposal | None:
    """The threshold that judged pairs ask for; None where they are too few.

    Args:
        bits: weight of each judged pair, judgements left aside.
        is_one: whether it was judged one person; pairs nobody could tell are left out.
        present: the threshold in use.
    """
    must, cannot = int(is_one.sum()), int((~is_one).sum())
    if must + cannot < FEWEST or min(must, cannot) < FEWEST_OF_A_KIND:
        return None
    x = np.clip(bits.astype(np.float64), -_MOST, _MOST)
    y = is_one.astype(np.float64)
    ln2 = np.log(2.0)

    def loss(p: Bits) -> tuple[float, Bits]:
        z = ln2 * (p[0] + p[1] * x)
        off = expit(z) - y
        prior = np.array([p[0] / _SHIFT_SD**2, (p[1] - 1.0) / _SLOPE_SD**2])
        value = float(np.logaddexp(0.0, z).sum() - (y * z).sum() + 0.5 * ((p[0] / _SHIFT_SD) ** 2 + ((p[1] - 1.0) / _SLOPE_SD) ** 2))
        return value, ln2 * np.array([off.sum(), (off * x).sum()]) + prior

    fitted = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(None, None), (_FLATTEST, None)])
    shift, slope = (float(v) for v in fitted.x)
    chance = expit(ln2 * (shift + slope * x))
    weight = ln2**2 * chance * (1.0 - chance)
    information = np.array([[weight.sum(), (weight * x).sum()], [(weight * x).sum(), (weight * x * x).sum()]])
    information += np.diag([1.0 / _SHIFT_SD**2, 1.0 / _SLOPE_SD**2])
    threshold = (REQUIRED_BITS - shift) / slope
    # The threshold is a function of shift and slope: its variance by the delta method.
    gradient = np.array([-1.0 / slope, -threshold / slope])
    margin = _Z95 * float(np.sqrt(gradient @ np.linalg.solve(information, gradient)))
    return Proposal(
        round(threshold, 2), round(threshold - margin, 2), round(threshold + margin, 2), round(shift, 3), round(slope, 3), must, cannot,
        round(cost(bits, is_one, present), 2), round(cost(bits, is_one, threshold), 2),
    )  # fmt: skip
