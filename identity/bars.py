"""What bars two groups of nodes from being one person, whatever else speaks for it: two valid numbers, and what people said."""

import numpy as np
import numpy.typing as npt

from identity import judgements
from identity.clusters import Forbids
from identity.distinct import Rows
from identity.features import Features
from identity.score import Bits
from identity.sure import Labels

Numbers = npt.NDArray[np.int32]
# Two valid numbers in one person need evidence beyond doubt: a changed number or a second register entry.
_TWO_NUMBERS_BITS = 5.0


def believed_numbers(found: Features, nodes: Labels, n: int) -> Numbers:
    """A believed number of each of n nodes as a code; -1 = none."""
    number = np.full(n, -1, np.int32)
    number[nodes[found.is_believed]] = found.code("number")[found.is_believed]
    return number


def two_numbers(number: Numbers, p: Rows, q: Rows, bits: Bits) -> npt.NDArray[np.bool_]:
    """Which pairs of nodes hold two valid numbers, and not enough beside them to be one person."""
    return np.asarray((number[p] >= 0) & (number[q] >= 0) & (number[p] != number[q]) & (bits < _TWO_NUMBERS_BITS))


def bars(number: Numbers, apart: npt.NDArray[np.int64]) -> Forbids:
    """The bar for :func:`identity.clusters.cluster`.

    Args:
        number: of each node, as :func:`believed_numbers` gives it.
        apart: pairs of nodes judged to be two persons, as numbers (:func:`identity.judgements.pair_key`).
    """

    def is_forbidden(p: Rows, q: Rows, bits: Bits) -> npt.NDArray[np.bool_]:
        return np.asarray(two_numbers(number, p, q, bits) | np.isin(judgements.pair_key(p, q), apart))

    return is_forbidden
