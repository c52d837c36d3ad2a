"""Citizen identity numbers (GB 11643-1999): one spelling, checked."""

import numpy as np
import polars as pl

_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_CHECK = np.frombuffer(b"10X98765432", dtype=np.uint8)


def _check_characters(first17: pl.Series) -> pl.Series:
    """The check character of each 17-digit beginning; no nulls in."""
    if first17.is_empty():
        return pl.Series(first17.name, [], dtype=pl.String)
    digits = np.frombuffer("".join(first17.to_list()).encode("ascii"), dtype=np.uint8).reshape(-1, 17) - ord("0")
    checks = _CHECK[(digits.astype(np.int32) @ _WEIGHTS) % 11].tobytes().decode("ascii")
    return pl.Series(first17.name, list(checks), dtype=pl.String)


def normalise(numbers: pl.Series) -> pl.Series:
    """Valid numbers in their one spelling of 18 characters; everything else null.

    Full width, spaces and a lower-case x are mended; an old 15-digit number gets its century and check character. A number is
    valid if its check character and its birth date are. The area part is not checked: it may be a retired code.

    Args:
        numbers: identity numbers as delivered; null = missing.
    """
    name = numbers.name
    frame = (
        pl.DataFrame({"raw": numbers.cast(pl.String)})
        .with_row_index("n")
        .with_columns(text=pl.col("raw").str.normalize("NFKC").str.replace_all(r"[\s\-]", "").str.to_uppercase())
        .with_columns(
            first17=pl.when(pl.col("text").str.contains(r"^\d{17}[\dX]$"))
            .then(pl.col("text").str.slice(0, 17))
            .when(pl.col("text").str.contains(r"^\d{15}$"))
            .then(pl.concat_str(pl.col("text").str.slice(0, 6), pl.lit("19"), pl.col("text").str.slice(6, 9)))
        )
    )
    candidates = frame.filter(
        pl.col("first17").is_not_null()
        & pl.col("first17").str.slice(6, 8).str.to_date("%Y%m%d", strict=False).dt.year().is_between(1880, 2100)
    )
    candidates = candidates.with_columns(check=_check_characters(candidates["first17"]))
    valid = candidates.filter((pl.col("text").str.len_chars() == 15) | (pl.col("text").str.slice(17, 1) == pl.col("check"))).select(
        "n", normal=pl.concat_str("first17", "check")
    )
    return frame.select("n").join(valid, on="n", how="left", maintain_order="left")["normal"].rename(name)


def birth_dates(valid: pl.Expr) -> pl.Expr:
    """The birth date inside a valid number; null for null."""
    return valid.str.slice(6, 8).str.to_date("%Y%m%d", strict=False)


def spelled(numbers: pl.Expr) -> pl.Expr:
    """Any document number in one spelling, valid or not: width, case, spaces and marks folded; null if nothing is left.

    Besides citizens' numbers these are residence permits of Hong Kong, Macao and Taiwan (18 digits with the same check), foreigners'
    permits and foreign numbers, which carry no check that could be made here.
    """
    text = numbers.str.normalize("NFKC").str.to_uppercase().str.replace_all(r"[\s\-'_/.]", "")
    text = text.str.replace(r"^(\d{17})[×*Ⅹ]$", "${1}X")
    is_filler = text.str.contains(r"^(0+|1+|9+|X+|无|不详|N/?A|NULL|NONE|NAN)?$")
    return pl.when(~is_filler).then(text)
