"""Compare names: family names, given names, and what only the whole name shows.

Chinese names are compared by character, by sound and by shape; Latin names by letters.
"""

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA, JaroWinkler

from identity.characters import LOST, look_alike
from identity.distinct import ONE_SLIP, Levels, Rows, Texts, alike, by_distinct, is_han, similarity, texts
from identity.features import MISSING, Coded, Features

_NICKNAME_SIGNS = "小阿老大"
_TRANSCRIBED_FROM = 5


def _may_be_one(a: str, b: str) -> bool:
    """Whether two whole names that differ may be one: lost characters, cut short, a nickname of the given name."""
    if LOST in a or LOST in b:
        pairs = zip(a, b, strict=False)
        known = [(p, q) for p, q in pairs if LOST not in (p, q)]
        return (
            len(a) == len(b)
            and all(p == q for p, q in known)
            and len(known) * 2 >= len(a) > len(known)
            or (len(known) == 1 and a[:1] == b[:1])
        )
    short, long = (a, b) if len(a) < len(b) else (b, a)
    return len(short) >= 3 and len(long) >= _TRANSCRIBED_FROM and long.startswith(short)


def _han_given(a: Texts, b: Texts) -> Levels:
    """Given names of Chinese characters that neither are equal nor sound so."""
    found = np.full(len(a), 5, np.int8)
    one, other = np.array(a, dtype="U3"), np.array(b, dtype="U3")
    p, q = one.view(np.uint32).reshape(-1, 3), other.view(np.uint32).reshape(-1, 3)
    length, length_other = np.char.str_len(one), np.char.str_len(other)
    two = (length == 2) & (length_other == 2)
    same = p[:, :2] == q[:, :2]
    crossed = (p[:, 0] == q[:, 1]).astype(int) + (p[:, 1] == q[:, 0])
    found[two & (same.any(axis=1) | (crossed == 1))] = 4
    found[two & (crossed == 2)] = 3
    # One character differs and looks like the other.
    single = (length == 1) & (length_other == 1)
    at = np.where(same[:, 0] & two, 1, 0)
    near = np.flatnonzero((two & (same.sum(axis=1) == 1)) | single)
    if near.size:
        x, y = p[near, at[near]], q[near, at[near]]
        alike = by_distinct(x, y, lambda u, v: np.array([look_alike(chr(s), chr(t)) for s, t in zip(u.tolist(), v.tolist(), strict=True)]))
        found[near[alike]] = 3
    # A character more or less: 伟 and 小伟 are one habitually, 伟 and 建伟 now and then.
    unequal = np.flatnonzero(length != length_other)
    for i in unequal.tolist():
        short, long = (a[i], b[i]) if len(a[i]) < len(b[i]) else (b[i], a[i])
        if short in long:
            rest = long.replace(short, "", 1)
            found[i] = 3 if rest in _NICKNAME_SIGNS or rest == short or len(short) >= 2 else 4
    return found


def _latin_given(a: Texts, b: Texts) -> Levels:
    found = np.full(len(a), 5, np.int8)
    winkler = similarity(a, b, JaroWinkler.similarity)
    slips = similarity(a, b, OSA.distance)
    shorter = np.minimum(np.fromiter(map(len, a), np.int32, len(a)), np.fromiter(map(len, b), np.int32, len(b)))
    found[alike(a, b)] = 4
    starts = np.fromiter((p.startswith(q) or q.startswith(p) for p, q in zip(a, b, strict=True)), np.bool_, len(a))
    found[starts & (shorter != 2)] = 3
    found[((winkler >= ONE_SLIP) | (slips <= 1)) & (shorter >= 3)] = 2
    return found


def names(features: Features, a: Rows, b: Rows) -> tuple[Levels, Levels]:
    """Levels of family and given name."""
    full = features.coded["full"]
    x, y = full.codes[a], full.codes[b]
    known = (x != MISSING) & (y != MISSING)
    surname, given = np.zeros(a.size, np.int8), np.zeros(a.size, np.int8)
    if not known.any():
        return surname, given
    # A whole name is divided in one way only if it is told in one way; parts are therefore taken from the records themselves.
    sur_a, sur_b = features.code("surname")[a], features.code("surname")[b]
    giv_a, giv_b = features.code("given")[a], features.code("given")[b]
    has = (sur_a != MISSING) & (sur_b != MISSING)
    surname[has] = 5
    surname[has & (features.code("surname_sound")[a] == features.code("surname_sound")[b])] = 2
    surname[has & (sur_a == sur_b)] = 1
    has = (giv_a != MISSING) & (giv_b != MISSING)
    given[has] = 5
    given[has & (features.code("given_sound")[a] == features.code("given_sound")[b])] = 2
    given[has & (giv_a == giv_b)] = 1

    other = np.flatnonzero(surname == 5)
    if other.size:
        coded = features.coded["surname"]
        surname[other] = by_distinct(sur_a[other], sur_b[other], lambda u, v: _surname_slips(coded, u, v))
    other = np.flatnonzero(given == 5)
    if other.size:
        coded = features.coded["given"]
        given[other] = by_distinct(giv_a[other], giv_b[other], lambda u, v: _given_levels(texts(coded, u), texts(coded, v)))
    other = np.flatnonzero((surname >= 4) & (given >= 4))
    if other.size:
        swapped = by_distinct(x[other], y[other], lambda u, v: _swapped(features, a[other], b[other], x[other], y[other], u, v))
        surname[other[swapped]], given[other[swapped]] = 3, 1
    # One part stands in the other's field while the rest is lost or wrong: Latin names in forms with fields for each.
    parts_a, parts_b = _across(features, a, "given", b, "surname"), _across(features, b, "given", a, "surname")
    moved = (parts_a | parts_b) & (surname != 1) & (surname != 3) & ((given == 0) | (given >= 4))
    surname[moved & ((surname == 0) | (given == 0))] = 3
    given[moved] = np.where(surname[moved] == 3, 0, 1)
    surname[(x == y) & known & (surname != 0)] = 1
    given[(x == y) & known] = 1
    # What only the whole name shows: swapped parts, lost and cut characters, a husband's name put in front.
    other = np.flatnonzero(known & (x != y) & ((surname >= 4) | (surname == 0) | (given >= 3)))
    if other.size:
        whole = by_distinct(x[other], y[other], lambda u, v: _whole_levels(texts(full, u), texts(full, v)))
        surname[other[whole == 1]], given[other[whole == 1]] = 0, 3
        given[other[whole == 3]] = 1
        surname[other[whole == 4]] = np.where(surname[other[whole == 4]] >= 4, 0, surname[other[whole == 4]])
        given[other[whole == 4]] = 3
    return surname, given


def _across(features: Features, a: Rows, one: str, b: Rows, other: str) -> npt.NDArray[np.bool_]:
    """Whether a part of one name equals another part of the other name; Latin names only."""
    values = {v: i for i, v in enumerate(features.coded[other].values) if v < "\u3400"}
    to_other = np.array([values.get(v, MISSING) for v in features.coded[one].values] + [MISSING], np.int32)
    codes = to_other[features.code(one)[a]]
    return np.asarray((codes != MISSING) & (codes == features.code(other)[b]))


def _swapped(features: Features, a: Rows, b: Rows, x: Rows, y: Rows, u: Rows, v: Rows) -> npt.NDArray[np.bool_]:
    """Whether the family name of one is the given name of the other and the other way round, a slip allowed; by pairs of whole names."""
    key = (x.astype(np.int64) << 32) | y
    first = np.unique(key, return_index=True)[1]  # in the order of the distinct pairs
    a, b = a[first], b[first]
    found = np.ones(u.size, np.bool_)
    for one, other in (("surname", "given"), ("given", "surname")):
        p, q = texts(features.coded[one], features.code(one)[a]), texts(features.coded[other], features.code(other)[b])
        same = np.fromiter((s == t for s, t in zip(p, q, strict=True)), np.bool_, u.size)
        slip = (similarity(p, q, JaroWinkler.similarity) >= ONE_SLIP) | (similarity(p, q, OSA.distance) <= 1)
        found &= same | (slip & ~is_han(p))
    return found


def _surname_slips(coded: Coded, u: Rows, v: Rows) -> Levels:
    one, other = texts(coded, u), texts(coded, v)
    found = np.full(u.size, 5, np.int8)
    han = is_han(one) | is_han(other)
    latin = np.flatnonzero(~han)
    if latin.size:
        p, q = [one[i] for i in latin], [other[i] for i in latin]
        close = (similarity(p, q, JaroWinkler.similarity) >= ONE_SLIP) | (similarity(p, q, OSA.distance) <= 1)
        found[latin[alike(p, q)]] = 4
        found[latin[close]] = 2
    for i in np.flatnonzero(han).tolist():
        if len(one[i]) == 1 == len(other[i]) and look_alike(one[i], other[i]):
            found[i] = 2
    return found


def _given_levels(one: Texts, other: Texts) -> Levels:
    found = np.full(len(one), 5, np.int8)
    han = is_han(one) & is_han(other)
    latin = ~is_han(one) & ~is_han(other)
    long = np.fromiter((max(len(p), len(q)) > 3 for p, q in zip(one, other, strict=True)), np.bool_, len(one))
    for mask, judge in ((latin, _latin_given), (han & ~long, _han_given)):
        at = np.flatnonzero(mask)
        if at.size:
            found[at] = judge([one[i] for i in at], [other[i] for i in at])
    at = np.flatnonzero(han & long)
    if at.size:
        p, q = [one[i] for i in at], [other[i] for i in at]
        close = similarity(p, q, OSA.normalized_similarity)
        found[at[close >= 0.6]] = 4
        found[at[similarity(p, q, OSA.distance) <= 1]] = 3
    return found


def _whole_levels(one: Texts, other: Texts) -> Levels:
    """0 nothing, 1 cut short, 3 a husband's family name in front, 4 lost characters."""
    found = np.zeros(len(one), np.int8)
    for i, (p, q) in enumerate(zip(one, other, strict=True)):
        if LOST in p or LOST in q:
            if _may_be_one(p, q):
                found[i] = 4
            continue
        short, long = (p, q) if len(p) < len(q) else (q, p)
        if len(long) == len(short):
            continue
        if len(long) == len(short) + 1 and len(long) == 4 and long.endswith(short) and long >= "\u3400":
            found[i] = 3
        elif len(short) >= 3 and len(long) >= _TRANSCRIBED_FROM and long.startswith(short) and long >= "\u3400":
            found[i] = 1
    return found
