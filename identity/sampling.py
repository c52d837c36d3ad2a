"""Which pairs of records are in a sample: by a hash of their ids, so that everybody draws the same sample and nobody can choose it.

The pairs with the smallest hashes are a random sample of any set of pairs, and stay one while pairs come and go.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXERS = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
Halves = npt.NDArray[np.uint64]


def _mix(value: Halves) -> Halves:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    for shift, factor in _MIXERS:
        value = (value ^ (value >> shift)) * factor
    return np.asarray(value ^ (value >> np.uint64(31)))


def _halves(ids: pl.Series) -> tuple[Halves, Halves]:
    if ids.dtype == pl.Int128:
        halves = pl.DataFrame({"id": ids}).select(high=pl.col("id") // (1 << 64), low=pl.col("id") % (1 << 64))
        return halves["high"].cast(pl.UInt64).to_numpy(), halves["low"].cast(pl.UInt64).to_numpy()
    digits = pl.col("id").str.replace_all("-", "")
    frame = pl.DataFrame({"id": ids}).select(
        high=digits.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64),
        low=digits.str.slice(16, 16).str.to_integer(base=16, dtype=pl.UInt64),
    )
    return frame["high"].to_numpy(), frame["low"].to_numpy()


def place(a: pl.Series, b: pl.Series) -> npt.NDArray[np.float64]:
    """Where each pair of records lies in [0, 1), evenly and by chance; which of the two comes first does not matter.

    Args:
        a, b: record ids: UUIDs as text, or as 128-bit integers.
    """
    frame = pl.DataFrame({"a": a, "b": b})
    low, high = frame.select(pl.min_horizontal("a", "b")).to_series(), frame.select(pl.max_horizontal("a", "b")).to_series()
    mixed = np.zeros(frame.height, np.uint64)
    with np.errstate(over="ignore"):
        for half in (*_halves(low), *_halves(high)):
            mixed = _mix((mixed ^ half) + _GOLDEN)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2.0**53)
