"""Identity numbers as they are issued: valid ones, one a person, in the sequence of area, day and sex."""

import numpy as np
import polars as pl

_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_CHECK = np.array(list("10X98765432"))
# Where numbers were first issued: mostly the county, else elsewhere, one of them a retired code.
AREAS = np.array(["421022", "421023", "421081", "422422", "500236", "440305"])
AREA_SHARES = np.array([0.88, 0.04, 0.03, 0.02, 0.02, 0.01])


def digits_of_date(days: np.ndarray) -> np.ndarray:
    """Days as YYYYMMDD text."""
    if not days.size:
        return np.array([], dtype="U8")
    return np.strings.replace(np.datetime_as_string(days.astype("datetime64[D]"), unit="D"), "-", "")


def numbers(area: np.ndarray, birth: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Valid numbers (GB 11643-1999) from area, birth date as YYYYMMDD text and 3-digit sequence (odd = male)."""
    if not area.size:
        return np.array([], dtype="U18")
    first = np.strings.add(np.strings.add(area, birth), np.strings.zfill(sequence.astype("U3"), 3))
    digits = np.ascontiguousarray(first.astype("S17")).view(np.uint8).reshape(-1, 17) - 48
    return np.strings.add(first, _CHECK[(digits.astype(np.int64) @ _WEIGHTS) % 11])


def sequences(area: np.ndarray, birth: np.ndarray, is_male: np.ndarray, taken: np.ndarray | None = None) -> np.ndarray:
    """Sequence numbers, unique within area, day and sex; persons in a row who share them (twins) get neighbours.

    Args:
        area: first six digits.
        birth: YYYYMMDD text.
        is_male: decides whether the number is odd.
        taken: sequence numbers start above so many earlier persons of the same area, day and sex; None = none.
    """
    frame = pl.DataFrame({"a": area, "b": birth, "m": is_male.astype(bool)})
    place = frame.select((pl.int_range(pl.len()).over("a", "b", "m")).alias("n"))["n"].to_numpy()
    if taken is not None:
        place = place + taken
    # Each police station begins a day somewhere else in the sequence.
    start = frame.select(pl.col("b").cast(pl.Int64))["b"].to_numpy() * 7 % 200
    return np.asarray(((start + place) * 2 + is_male) % 1000)


def permits(nation: np.ndarray, birth: np.ndarray, serial: np.ndarray) -> np.ndarray:
    """Numbers of permits of foreigners: nation in three letters, issuing place, birth date as YYMMDD, two digits; 15 characters.

    The form is the project's approximation of the older permanent-residence card.
    """
    text = np.strings.add(np.strings.add(nation, "4210"), np.strings.slice(birth, 2, 8))
    return np.strings.add(text, np.strings.zfill((serial % 100).astype("U2"), 2))
