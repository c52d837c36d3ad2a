"""Birth dates as agencies write them."""

from datetime import date

import polars as pl

# One form a step; the first that fits counts. Day before month is tried last: it is never guessed over a form that fits.
_FORMS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m/%d/%Y")
_EARLIEST, _LATEST = date(1880, 1, 1), date(2100, 1, 1)
# Day 0 of spreadsheets (their 1900 is a leap year, which it was not).
_SPREADSHEET_EPOCH = date(1899, 12, 30)


def parse(values: pl.Series) -> pl.Series:
    """Dates; null where a value is missing, impossible, or one of the dates systems put for missing (1900-01-01, 9999-12-31).

    Args:
        values: dates, timestamps or text.
    """
    if values.dtype == pl.Date:
        found = pl.DataFrame({"raw": values}).with_columns(day=pl.col("raw"))
        known = None
    elif isinstance(values.dtype, pl.Datetime):
        found = pl.DataFrame({"raw": values}).with_columns(day=pl.col("raw").dt.date())
        known = None
    else:
        known = pl.DataFrame({"raw": values.cast(pl.String)})
        text = pl.col("raw").str.normalize("NFKC").str.strip_chars().str.replace(r"[T ]\d{1,2}:.*$", "").str.replace(r"\.0$", "")
        found = known.unique().with_columns(text=text)
        serial = pl.when(pl.col("text").str.contains(r"^[1-6]\d{4}$")).then(pl.col("text").cast(pl.Int32, strict=False))
        found = found.with_columns(
            day=pl.coalesce(
                *(pl.col("text").str.to_date(form, strict=False, exact=True) for form in _FORMS),
                pl.lit(_SPREADSHEET_EPOCH) + pl.duration(days=serial),
            )
        )
    usable = pl.col("day").is_between(_EARLIEST, _LATEST) & (pl.col("day") != date(1900, 1, 1))
    found = found.select("raw", day=pl.when(usable).then("day"))
    return found["day"] if known is None else known.join(found, on="raw", how="left", nulls_equal=True, maintain_order="left")["day"]


def lunar_to_solar(day: date) -> date | None:
    """The solar date of a lunar date that was written into a solar field; None if there is none.

    Village clerks and elders know birthdays by the lunar calendar; the two readings of one birthday are 20 to 50 days apart.
    """
    from lunardate import LunarDate

    try:
        found: date = LunarDate(day.year, day.month, day.day).toSolarDate()
    except (ValueError, KeyError, IndexError):
        return None
    return found
