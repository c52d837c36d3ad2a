"""Compare pairs of records field by field, giving levels (see :mod:`identity.levels`).

Texts are compared once per distinct pair of values, never per pair of records.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA, JaroWinkler

from identity.distinct import ONE_SLIP, SIMILAR, Levels, Rows, alike, by_distinct, similarity, texts
from identity.features import MISSING, NO_DAY, Coded, Features
from identity.name_levels import names as _names

# Parts of a long text that agree, in any order.
_NEARLY, _PARTLY = 86.0, 65.0
# Numbers rounded by a spreadsheet, as digits or as a power of ten, and numbers with a part made unreadable on purpose.
_LOST_DIGITS = r"^\d{15}000$|^\dE?\d*E\+?\d+$|\*{2}|#{2}|X{2}|\?{2}"


def _plain(coded: Coded, a: Rows, b: Rows, differ: Callable[[Rows, Rows], npt.NDArray[Any]]) -> Levels:
    """Levels of a text field: 0 missing, 1 same, else what `differ` says of the distinct differing pairs."""
    x, y = coded.codes[a], coded.codes[b]
    levels = np.zeros(x.size, np.int8)
    known = (x != MISSING) & (y != MISSING)
    levels[known & (x == y)] = 1
    other = np.flatnonzero(known & (x != y))
    if other.size:
        levels[other] = by_distinct(x[other], y[other], differ)
    return levels


def _slips(coded: Coded, x: Rows, y: Rows) -> npt.NDArray[np.float32]:
    return similarity(texts(coded, x), texts(coded, y), OSA.distance)


# --- numbers -----------------------------------------------------------------------------------------------------------------


def _is_one_slip(a: str, b: str) -> bool:
    """A spreadsheet keeps 15 digits; the old form lacks the century and the check character."""
    if len(a) == 18 and len(b) == 18:
        return a[:15] == b[:15] and (a.endswith("000") or b.endswith("000"))
    short, long = (a, b) if len(a) < len(b) else (b, a)
    if len(long) == 18 and len(short) == 15:
        return OSA.distance(short, long[:6] + long[8:17]) <= 1
    return len(long) == 18 and len(short) >= 15 and long.startswith(short)


def _numbers(features: Features, a: Rows, b: Rows) -> Levels:
    coded = features.coded["number"]
    both_valid = features.is_valid[a] & features.is_valid[b]
    both_believed = features.is_believed[a] & features.is_believed[b]

    def differ(x: Rows, y: Rows) -> npt.NDArray[np.int8]:
        one, other = texts(coded, x), texts(coded, y)
        slips = similarity(one, other, OSA.distance)
        lengths = np.fromiter(map(len, one), np.int32, len(one))
        found = np.full(slips.size, 5, np.int8)
        found[(slips == 2) & (lengths >= 15)] = 4
        found[slips <= 1] = 3
        for i in np.flatnonzero((slips > 1) & (slips <= 8)).tolist():
            p, q = one[i], other[i]
            if _is_one_slip(p, q):
                found[i] = 3
            elif slips[i] <= 3 and len(p) == 18 == len(q) and p[:6] == q[:6] and p[14:17] == q[14:17]:
                found[i] = 4  # a corrected birth date changes the check character as well
            elif len(p) == 18 == len(q) and p[:14] == q[:14]:
                found[i] = -6
        return found

    levels = _plain(coded, a, b, differ)
    levels[(levels == 1) & ~both_valid] = 2
    # What is left of two numbers that lost digits is area and birth date, which are weighed for themselves, or four digits that many share;
    # and where they differ, in however few places, nobody knows how they differed before.
    lost = np.append(pl.Series(coded.values, dtype=pl.String).str.contains(_LOST_DIGITS).to_numpy(), False)[coded.codes]
    both_lost = lost[a] & lost[b]
    levels[both_lost & (levels == 2)] = 0
    levels[both_lost & (levels >= 3)] = 5
    # A number that neither record's birth date bears out is a third person's: two children under their mother's number.
    levels[(levels == 1) & ~features.is_believed[a] & ~features.is_believed[b]] = 5
    # Two valid numbers cannot be one slip apart: the check character finds every single slip.
    same_day = levels == -6
    levels[same_day] = 5
    differing = (levels >= 3) & both_valid & both_believed
    levels[differing] = 7
    levels[same_day & both_valid & both_believed] = 6
    return levels


# --- dates and places --------------------------------------------------------------------------------------------------------


def _births(features: Features, a: Rows, b: Rows) -> Levels:
    x, y = features.birth[a], features.birth[b]
    known = (x != NO_DAY) & (y != NO_DAY)
    p, q = features.ymd[a].astype(np.int32), features.ymd[b].astype(np.int32)
    same = p == q
    digits = [(p[:, c] // 10**k % 10) != (q[:, c] // 10**k % 10) for c, size in ((0, 4), (1, 2), (2, 2)) for k in range(size)]
    wrong = np.sum(digits, axis=0)
    near = np.abs(x.astype(np.int64) - y) <= 31
    levels = np.where(np.abs(x.astype(np.int64) - y) < 366, 5, 6).astype(np.int8)
    levels[(same.sum(axis=1) >= 2) | near] = 4
    levels[wrong <= 1] = 3
    year = p[:, 0] == q[:, 0]
    default = features.is_default_day[a] | features.is_default_day[b]
    swapped = (p[:, 1] == q[:, 2]) & (p[:, 2] == q[:, 1])
    lunar = ((features.lunar[a] == y) | (features.lunar[b] == x)) & known
    levels[(year & (default | swapped)) | lunar] = 2
    levels[x == y] = 1
    levels[~known] = 0
    return levels


def _addresses(features: Features, a: Rows, b: Rows) -> Levels:
    coded = features.coded["address"]
    is_han = pl.Series(coded.values, dtype=pl.String).str.contains(r"[\x{3400}-\x{10ffff}]").to_numpy()

    def latin(x: Rows, y: Rows) -> npt.NDArray[np.int8]:
        found = np.full(x.size, 5, np.int8)
        at = np.flatnonzero(~(is_han[x] | is_han[y]))
        if at.size:
            close = similarity(texts(coded, x[at]), texts(coded, y[at]), fuzz.token_sort_ratio)
            found[at[close >= _PARTLY]] = 4
            found[at[close >= _NEARLY]] = 2
        return found

    levels = _plain(coded, a, b, latin)
    place_a, place_b = features.code("place")[a], features.code("place")[b]
    door_a, door_b = features.code("door")[a], features.code("door")[b]
    differing = (levels == 5) & (place_a != MISSING) & (place_b != MISSING)
    same_place = differing & (place_a == place_b)
    same_door = differing & (door_a == door_b) & (door_a != MISSING)
    levels[same_place] = 4
    levels[same_door & ~same_place] = 3
    levels[same_door & same_place] = 2
    inside = np.flatnonzero(same_door & ~same_place)
    if inside.size:  # 长江村 in 斗湖堤镇长江村: a level of the place was left out
        places = features.coded["place"]
        contained = by_distinct(place_a[inside], place_b[inside], lambda u, v: np.array(
            [(p.strip("/").endswith(q.strip("/")) or q.strip("/").endswith(p.strip("/"))) for p, q in zip(texts(places, u), texts(places, v), strict=True)]
        ))  # fmt: skip
        levels[inside[contained]] = 2
    return levels


# --- the rest ----------------------------------------------------------------------------------------------------------------


def _phones(coded: Coded) -> Callable[[Rows, Rows], npt.NDArray[np.int8]]:
    def differ(x: Rows, y: Rows) -> npt.NDArray[np.int8]:
        one, other = texts(coded, x), texts(coded, y)
        close = similarity(one, other, OSA.distance) <= 1
        mails = [(p.partition("@")[0] == q.partition("@")[0] or JaroWinkler.similarity(p, q) >= SIMILAR) if "@" in p and "@" in q else False
                 for p, q in zip(one, other, strict=True)]  # fmt: skip
        return np.where(close | np.array(mails), 2, 3).astype(np.int8)

    return differ


def _words(coded: Coded) -> Callable[[Rows, Rows], npt.NDArray[np.int8]]:
    def differ(x: Rows, y: Rows) -> npt.NDArray[np.int8]:
        one, other = texts(coded, x), texts(coded, y)
        close = (similarity(one, other, OSA.distance) <= 1) | (similarity(one, other, JaroWinkler.similarity) >= ONE_SLIP)
        wordy = np.fromiter((t[:1].isalpha() for t in one), np.bool_, len(one))
        close[wordy] |= alike([t for t, w in zip(one, wordy, strict=True) if w], [t for t, w in zip(other, wordy, strict=True) if w])
        return np.where(close, 2, 3).astype(np.int8)

    return differ


def _areas(coded: Coded) -> Callable[[Rows, Rows], npt.NDArray[np.int8]]:
    def differ(x: Rows, y: Rows) -> npt.NDArray[np.int8]:
        pairs = zip(texts(coded, x), texts(coded, y), strict=True)
        return np.array([2 if p[:9] == q[:9] and len(p) >= 9 or (p.startswith(q) or q.startswith(p)) else 3 for p, q in pairs], np.int8)

    return differ


def compare(features: Features, a: Rows, b: Rows) -> dict[str, Levels]:
    """Levels of each field for pairs of records.

    Args:
        features: all records.
        a, b: row numbers, pair by pair.

    Returns:
        One column a field of :data:`identity.levels.LEVELS`, in the order of the pairs.
    """
    coded = features.coded
    surname, given = _names(features, a, b)
    same_source = features.code("source")[a] == features.code("source")[b]
    home_a, home_b = features.code("home")[a], features.code("home")[b]
    home = np.where(same_source & (home_a != MISSING) & (home_b != MISSING), np.where(home_a == home_b, 2, 3), 0).astype(np.int8)
    guardian_sound = features.code("guardian_sound")
    guardian = _plain(coded["guardian"], a, b, lambda x, y: np.full(x.size, 3, np.int8))
    guardian[(guardian == 3) & (guardian_sound[a] == guardian_sound[b])] = 2
    return {
        "number": _numbers(features, a, b), "surname": surname, "given": given, "birth": _births(features, a, b),
        "sex": _plain(coded["sex"], a, b, lambda x, y: np.full(x.size, 2, np.int8)),
        "phone": _plain(coded["phone"], a, b, _phones(coded["phone"])), "address": _addresses(features, a, b), "guardian": guardian,
        "area_code": _plain(coded["area_code"], a, b, _areas(coded["area_code"])),
        **{c: _plain(coded[c], a, b, _words(coded[c])) for c in ("postcode", "occupation", "birth_place")}, "home": home,
    }  # fmt: skip
