"""Fit the model to records at hand, without anyone saying who is who: expectation and maximisation over three kinds of pairs.

What comes with the hub counts as so many pairs seen before, so that few records move the model little and many move it to what they show.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from identity.compare import compare
from identity.distinct import Levels, Rows
from identity.features import Features
from identity.levels import FIELDS, LEVELS
from identity.model import Model
from identity.score import Frequencies, weigh

_ROUNDS = 12
# Pairs the shipped figures count for.
_PRIOR_SAME, _PRIOR_STRANGER = 60.0, 1000.0
# What tells the members of a family apart, and twins above all, is not fitted where names are Chinese: similar siblings would teach
# the model that one person has two names and two numbers. Elsewhere everything is fitted, since nothing is known of the fields.
_FITTED_ALWAYS = ("birth", "phone", "address", "area_code", "guardian", "postcode", "occupation", "birth_place")
# Members of a family agree in these exactly as one person's records do.
_SHARED_BY_FAMILIES = ("address", "area_code", "postcode")
_SAMPLE = 150_000
_RANDOM_PAIRS = 100_000


def _shares(
    level: Levels, weight: npt.NDArray[np.float64], field: str, prior: npt.NDArray[np.float64], strength: float
) -> npt.NDArray[np.float64]:
    counts = np.bincount(level, weight, minlength=len(LEVELS[field]))
    counts[0] = 0.0
    base = prior.copy()
    base[0] = 0.0
    base = base / base.sum()
    found = (counts + strength * base) / (counts.sum() + strength)
    found[0] = 1.0
    return np.asarray(found)


def _sample(n: int, size: int, seed: int) -> Rows:
    if n <= size:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False))


def strangers(features: Features, start: Model, *, is_known: bool, seed: int = 1) -> Model:
    """The model with what chance alone gives, from random pairs of records."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, features.n, _RANDOM_PAIRS)
    b = rng.integers(0, features.n, _RANDOM_PAIRS)
    keep = a != b
    levels = compare(features, a[keep], b[keep])
    ones = np.ones(int(keep.sum()))
    found = {f: _shares(levels[f], ones, f, start.stranger[f], _PRIOR_STRANGER) for f in FIELDS if f != "home"}
    # Random pairs hold a few pairs of one person: enough to spoil what chance alone hardly ever gives.
    if is_known or features.has_citizens_numbers:
        found["number"][1:4] = start.stranger["number"][1:4]
    return replace(start, stranger={**start.stranger, **found})


def fit(features: Features, known: Frequencies, start: Model, a: Rows, b: Rows, *, is_known: bool, seed: int = 1) -> Model:
    """The model fitted to pairs of records that share a block.

    Args:
        features: all records.
        known: how frequent their values are.
        start: where to start from.
        a, b: rows of records, pair by pair.
        is_known: whether these are the records the model was made for: Chinese residents.
        seed: for the sample, if there are many pairs.
    """
    model = strangers(features, start, is_known=is_known, seed=seed)
    at = _sample(a.size, _SAMPLE, seed)
    a, b = a[at], b[at]
    levels = compare(features, a, b)
    for _ in range(_ROUNDS):
        weighed = weigh(model, features, known, levels, a, b)
        stranger = np.sum(list(weighed.against_stranger.values()), axis=0, dtype=np.float64) - np.log2(max(known.persons, 2.0))
        family = np.sum(list(weighed.against_family.values()), axis=0, dtype=np.float64) - np.log2(model.family_odds)
        stranger, family = stranger + weighed.by_name_alone, family + weighed.by_name_alone
        of_stranger, of_family = 2.0 ** np.clip(-stranger, -60, 60), 2.0 ** np.clip(-family, -60, 60)
        total = 1.0 + of_stranger + of_family
        is_same, is_family = 1.0 / total, of_family / total
        fitted = _FITTED_ALWAYS if is_known else [f for f in FIELDS if f != "home"]
        same = {f: _shares(levels[f], is_same, f, start.same[f], _PRIOR_SAME) for f in fitted}
        kin = {f: same[f] for f in _SHARED_BY_FAMILIES}
        odds = start.family_odds
        if not is_known:
            odds = float((is_family.sum() + start.family_odds * _PRIOR_SAME) / (is_same.sum() + _PRIOR_SAME))
        model = replace(model, same={**model.same, **same}, family={**model.family, **kin}, family_odds=max(min(odds, 20.0), 0.05))
    return replace(model, version=f"{start.version}+fitted")
