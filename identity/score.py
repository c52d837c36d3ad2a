"""Weigh compared pairs by the model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from identity.distinct import Levels, Rows
from identity.features import MISSING, NO_DAY, Features
from identity.levels import FIELDS
from identity.model import Model

Bits = npt.NDArray[np.float32]
# Fields whose agreement on a rare value says more: level → the coded column that holds the value.
_FREQUENT: dict[str, dict[int, str]] = {
    "number": {2: "number"}, "surname": {1: "surname", 2: "surname_sound"}, "given": {1: "given", 2: "given_sound"},
    "phone": {1: "phone"}, "address": {1: "address", 4: "place"}, "guardian": {1: "guardian", 2: "guardian_sound"},
    "area_code": {1: "area_code"}, "postcode": {1: "postcode"}, "occupation": {1: "occupation"}, "birth_place": {1: "birth_place"},
}  # fmt: skip
# A number holds birth date and sex, an address its area: what follows from another agreement is not counted again. What is left of
# the birth date beside the same number, in bits: strangers given one number by mistake often share the day as well; a child entered
# under a parent's number does not.
_BIRTH_BESIDE_NUMBER = (0.5, 2.5)
# Taken off where a rule, not a frequency, says that a pair is open to doubt.
_BEYOND_DOUBT = 12.0
# However few records are handed over, they come from a population of this many, and what is usual elsewhere counts as so many records.
_FEWEST_PERSONS, _ELSEWHERE = 1000.0, 500.0


@dataclass(frozen=True)
class Weighed:
    """Weights of pairs in bits, field by field, against both kinds of two persons.

    Attributes:
        against_stranger: in favour of one person, against two who have nothing to do with each other.
        against_family: in favour of one person, against two of one family.
        by_name_alone: what is taken off where nothing but the name speaks for one person.
    """

    against_stranger: dict[str, Bits]
    against_family: dict[str, Bits]
    by_name_alone: Bits


@dataclass(frozen=True)
class Frequencies:
    """How often values occur, leaving out the two records that are compared."""

    by_field: dict[str, npt.NDArray[np.float64]]
    birth: dict[str, Any]
    persons: float


def frequent() -> list[tuple[str, int, str]]:
    """Field, level and coded column where the frequency of the value counts."""
    return [(name, level, column) for name, columns in _FREQUENT.items() for level, column in columns.items()]


def smoothed(count: float, held: int, elsewhere: float) -> float:
    """Share of a value that so many of `held` records have; what is usual elsewhere counts as some records more."""
    return (count + _ELSEWHERE * elsewhere) / (held + _ELSEWHERE)


def frequencies(features: Features, persons: float, model: Model) -> Frequencies:
    """Frequencies of the values of some records.

    Args:
        features: the records.
        persons: about how many persons they are.
        model: says how frequent values are elsewhere; that counts as so many records more.
    """
    persons = max(persons, _FEWEST_PERSONS)
    found = {}
    per_person = max(features.n / max(persons, 1.0), 1.0)
    for field, columns in _FREQUENT.items():
        for level, name in columns.items():
            coded = features.coded[name]
            held = int((coded.codes != MISSING).sum())
            # A person's own records are not evidence that the value is common.
            counts = np.append(np.round(coded.share * held), 0.0)  # the last one: no such value
            usual = _ELSEWHERE * float(model.stranger[field][level])
            found[name] = (np.maximum(counts - per_person, 0.5) + usual) / (held + _ELSEWHERE)
    # Several persons of one name differ in birth dates; one person's many records hardly do, one slip apart.
    full = features.coded["full"]
    rows = np.flatnonzero((full.codes != MISSING) & (features.birth != NO_DAY))
    pairs = np.unique((full.codes[rows].astype(np.int64) << 32) + (features.birth[rows].astype(np.int64) + 2**31))
    bearers = np.bincount(pairs >> 32, minlength=len(full.values) + 1).astype(np.float64)
    found["full"] = np.maximum(bearers - 2.0, 1e-3) / persons
    days, born = np.unique(features.birth[features.birth != NO_DAY], return_counts=True)
    usual = _ELSEWHERE * float(model.stranger["birth"][1])
    share = (np.maximum(born - per_person, 0.5) + usual) / (int(born.sum()) + _ELSEWHERE)
    return Frequencies(found, {"days": days, "share": share}, persons)


def weigh(model: Model, features: Features, known: Frequencies, levels: dict[str, Levels], a: Rows, b: Rows) -> Weighed:
    """Weights of pairs of records `a` and `b`, the same whichever of two comes first."""
    stranger, family = {}, {}
    chance: dict[str, npt.NDArray[np.float64]] = {}
    for field in FIELDS:
        level = levels[field]
        same = model.same[field]
        u = model.stranger[field][level].copy()
        f = model.family[field][level].copy()
        for at, column in _FREQUENT.get(field, {}).items():
            rows = np.flatnonzero(level == at)
            if rows.size:
                share = known.by_field[column][features.code(column)[a[rows]]]
                u[rows] = np.maximum(share, 1e-7 if column != "surname" else 1e-4)
                if field in ("given", "occupation"):
                    f[rows] = np.maximum(f[rows], share)
                elif field != "number":
                    f[rows] = np.maximum(f[rows], u[rows])
        if field == "birth":
            rows = np.flatnonzero(level == 1)
            if rows.size:
                share = known.birth["share"][np.searchsorted(known.birth["days"], features.birth[a[rows]])]
                u[rows] = np.maximum(share, u[rows])
                f[rows] = np.maximum(f[rows], share)
        chance[field] = u
        m = same[level]
        stranger[field] = np.where(level == 0, 0.0, np.log2(m / u)).astype(np.float32)
        family[field] = np.where(level == 0, 0.0, np.log2(m / f)).astype(np.float32)
    # Whole names are not family name times given name: 王伟 is more frequent than that.
    both = np.flatnonzero((levels["surname"] == 1) & (levels["given"] == 1) & (features.code("full")[a] != MISSING))
    if both.size:
        share = known.by_field["full"][features.code("full")[a[both]]]
        excess = np.maximum(np.log2(share) - np.log2(chance["surname"][both] * chance["given"][both]), 0.0)
        stranger["given"][both] -= excess.astype(np.float32)
    by_number = levels["number"] == 1
    near = np.isin(levels["phone"], (1, 2)) | np.isin(levels["address"], (1, 2, 3)) | (levels["guardian"] == 1)
    # A person who has two numbers keeps the name and the home; twins keep everything but the name, namesakes nothing but the name.
    two_persons = (levels["number"] >= 6) & ((levels["given"] != 1) | ~near)
    # How many bear a name is a matter of the county, not of the file: a name alone, or with the year alone, is nobody's.
    by_year = features.is_default_day[a] | features.is_default_day[b] | ~np.isin(levels["birth"], (1, 2, 3, 4))
    elsewhere = np.isin(levels["birth_place"], (1, 2)) | np.isin(levels["postcode"], (1, 2)) | np.isin(levels["occupation"], (1, 2))
    by_name_alone = by_year & ~near & ~np.isin(levels["number"], (1, 2, 3, 4)) & (levels["address"] != 4) & ~elsewhere
    for weights, most in ((stranger, _BIRTH_BESIDE_NUMBER[0]), (family, _BIRTH_BESIDE_NUMBER[1])):
        weights["birth"] = np.where(by_number, np.minimum(weights["birth"], most), weights["birth"])
        weights["sex"] = np.where(by_number, np.minimum(weights["sex"], 0.0), weights["sex"])
        weights["number"] = np.where(two_persons, np.minimum(weights["number"], 0.0) - _BEYOND_DOUBT, weights["number"])
        by_address = np.isin(levels["address"], (1, 2, 3, 4))
        for field in ("area_code", "postcode"):
            weights[field] = np.where(by_address, np.minimum(weights[field], 0.0), weights[field])
    return Weighed(stranger, family, np.where(by_name_alone, -_BEYOND_DOUBT, 0.0).astype(np.float32))


def odds(model: Model, known: Frequencies, stranger: Bits, family: Bits) -> Bits:
    """log2 of the odds that pairs are one person, from their summed weights against either kind of two persons."""
    against_stranger = stranger - np.log2(max(known.persons, 2.0))
    against_family = family - np.log2(model.family_odds)
    low = np.minimum(against_stranger, against_family)
    high = np.maximum(against_stranger, against_family)
    return np.asarray(low - np.log2(1.0 + 2.0 ** np.clip(low - high, -60.0, 0.0)), dtype=np.float32)
