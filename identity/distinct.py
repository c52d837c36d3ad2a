"""Judge texts once per distinct pair of values, never per pair of records."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

from identity.characters import LOST
from identity.features import Coded

Rows = npt.NDArray[np.integer[Any]]
Levels = npt.NDArray[np.int8]
Texts = list[str]
# Beyond this share of agreement two Latin names are one with a slip; the common Winkler cuts (Winkler 1990; as in Splink's recipes).
ONE_SLIP, SIMILAR = 0.92, 0.80


def by_distinct(a: npt.NDArray[Any], b: npt.NDArray[Any], judge: Callable[[Rows, Rows], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Apply `judge` to the distinct pairs of two code columns without nulls."""
    keys = (a.astype(np.int64) << 32) | b.astype(np.int64)
    known, back = np.unique(keys, return_inverse=True)
    return np.asarray(judge(known >> 32, known & 0xFFFFFFFF)[back])


def similarity(a: Texts, b: Texts, scorer: Any) -> npt.NDArray[np.float32]:
    """A score of rapidfuzz for each pair of texts."""
    return np.asarray(process.cpdist(a, b, scorer=scorer, dtype=np.float32, workers=1))


def texts(coded: Coded, codes: Rows) -> Texts:
    """What codes stand for."""
    return [coded.values[c] for c in codes.tolist()]


def is_han(values: Texts) -> npt.NDArray[np.bool_]:
    """Which texts begin with a Chinese character, or with a lost one."""
    return np.fromiter((t[:1] >= "\u3400" or t[:1] == LOST for t in values), np.bool_, len(values))


def alike(a: Texts, b: Texts) -> npt.NDArray[np.bool_]:
    """Whether Latin texts are similar: by Winkler, or the same letters in another order, but for one."""
    winkler = similarity(a, b, JaroWinkler.similarity)
    letters = similarity(["".join(sorted(t)) for t in a], ["".join(sorted(t)) for t in b], OSA.distance)
    shorter = np.minimum(np.fromiter(map(len, a), np.int32, len(a)), np.fromiter(map(len, b), np.int32, len(b)))
    return np.asarray(((winkler >= SIMILAR) & (shorter > 1)) | ((letters <= 1) & (shorter >= 4)) | ((letters == 0) & (shorter >= 3)))
