"""How agencies see the county: realistic errors in what identifies a person, stable per agency and record."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from sandbox.county import names
from sandbox.county.subjects import uniform


@cache
def _levels() -> dict[str, dict[str, float]]:
    levels: dict[str, dict[str, float]] = yaml.safe_load(Path(__file__).with_name("noise.yml").read_text(encoding="utf-8"))
    return levels


def share(level: str, error: str) -> float:
    """Share of records with an error at a level."""
    return _levels()[level].get(error, 0.0)


def observe(rows: pl.DataFrame, *, level: str, seed: int, stem: str) -> pl.DataFrame:
    """Rows as one agency recorded them; `rows` hold the county's columns and ``draw``, a stable row number."""
    n = int(rows["draw"].max() or 0) + 1 if rows.height else 0  # type: ignore[arg-type]
    draw = rows["draw"].to_numpy()

    def hit(error: str) -> pl.Series:
        return pl.Series(uniform(seed, f"{stem}|{error}", n)[draw] < share(level, error))

    spare = pl.Series((uniform(seed, f"{stem}|spare", n)[draw] * 1e9).astype(np.int64))
    name = pl.col("name")
    lost = "[" + "".join(names.RARE.tolist()) + "]"
    homophone: dict[str, Any] = {chr(k): str(v) for k, v in names.HOMOPHONES.items()}
    rows = rows.with_columns(
        name=pl.when(hit("name_homophone")).then(name.str.replace_many(homophone)).otherwise(name),
    ).with_columns(
        name=pl.when(hit("name_lost")).then(name.str.replace_all(lost, "?"))
        .when(hit("name_spaced")).then(name.str.slice(0, 1) + "　" + name.str.slice(1)).otherwise(name),
        birth_date=pl.when(hit("birth_first_january")).then(pl.date(pl.col("birth_date").dt.year(), 1, 1))
        .when(hit("birth_mistyped")).then(pl.col("birth_date").dt.offset_by("10d")).otherwise("birth_date"),
        phone=pl.when(hit("phone_missing")).then(None).when(hit("phone_old")).then(pl.lit("139") + spare.cast(pl.String).str.zfill(8).str.slice(0, 8)).otherwise("phone"),
        address=pl.when(hit("address_old")).then(pl.col("registered_address")).when(hit("address_short"))
        .then(pl.col("address").str.replace("湖北省荆州市公安县", "")).otherwise("address"),
    )  # fmt: skip
    number = pl.col("resident_id")
    digit = (number.str.slice(12, 1).cast(pl.Int8) + 1) % 10
    mistyped = number.str.slice(0, 12) + digit.cast(pl.String) + number.str.slice(13)
    is_child = (pl.lit(np.datetime64("2026-01-01")).cast(pl.Date) - pl.col("birth_date").cast(pl.Date)).dt.total_days() < 14 * 365
    is_old = pl.col("birth_date").dt.year() < 1960
    head = number.first().over("living_home")
    return rows.with_columns(
        resident_id=pl.when(hit("id_missing")).then(None)
        .when(hit("id_borrowed") & is_child).then(head)
        .when(hit("id_valid_but_wrong")).then(number.shift(7, fill_value=None))
        .when(hit("id_mistyped")).then(mistyped)
        .when(hit("id_old") & is_old).then(number.str.slice(0, 6) + number.str.slice(8, 9))
        .when(hit("id_lower")).then(number.str.to_lowercase())
        .when(hit("id_spaced")).then(number.str.slice(0, 6) + " " + number.str.slice(6))
        .otherwise(number)
    )  # fmt: skip
