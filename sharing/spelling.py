"""What somebody is looked for by: the one spelling of a number or a name, however it was written. Empty = it is none and finds nobody."""

import polars as pl

from identity import normalise, resident_id


def numbers(texts: pl.Series) -> pl.Series:
    """Resident identity numbers."""
    return resident_id.normalise(texts).fill_null("")


def names(texts: pl.Series) -> pl.Series:
    """Names."""
    return texts.rename("name").to_frame().select(normalise.names(pl.col("name"))).to_series().fill_null("")


def number(text: str) -> str:
    """One number."""
    return str(numbers(pl.Series([text], dtype=pl.String))[0])


def name(text: str | None) -> str:
    """One name."""
    return str(names(pl.Series([text], dtype=pl.String))[0])
