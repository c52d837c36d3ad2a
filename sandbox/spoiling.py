"""Content faults: a delivery as a broken agency would send it."""

import polars as pl

from schemas.contract import Contract


def _column(contract: Contract, concept: str) -> str:
    spec = contract.by_concept(concept)
    return spec.physical_name if spec else contract.fields[1].physical_name


def spoil(frame: pl.DataFrame, contract: Contract, faults: frozenset[str]) -> pl.DataFrame:
    """The rows with the content faults that are on."""
    number, birth, area = (_column(contract, c) for c in ("person.resident_id", "person.birth_date", "person.area_code"))
    key = contract.key.physical_name
    place = pl.int_range(pl.len())
    if "rows_minus_40_percent" in faults:
        frame = frame.filter(place % 5 < 3)
    if "township_missing" in faults:
        frame = frame.filter(pl.col(area).str.slice(0, 9) != "421022103")
    if "township_halved" in faults:
        frame = frame.filter((pl.col(area).str.slice(0, 9) != "421022103") | (place % 2 == 0))
    if "key_range_missing" in faults:
        rank = pl.col(key).rank("ordinal") / pl.len()
        frame = frame.filter((rank <= 0.40) | (rank > 0.46))
    if "equal_birth_dates" in faults:
        frame = frame.with_columns(pl.lit("1990-05-05").alias(birth))
    if "shifted_column" in faults:
        frame = frame.with_columns(pl.col(number).shift(-1))
    if "new_code" in faults:
        coded = next(f.physical_name for f in contract.fields if f.code_set)
        frame = frame.with_columns(pl.when(place % 10 == 0).then(pl.lit("X7")).otherwise(coded).alias(coded))
    if "rare_code" in faults:
        # household relations decide who lives with whom: their rows are another story
        coded = next(
            f.physical_name for f in contract.fields if f.code_set and not f.required and not (f.concept or "").startswith("household.")
        )
        frame = frame.with_columns(pl.when(place % 100 == 0).then(pl.lit("X7")).otherwise(coded).alias(coded))
    if "impossible_dates" in faults:
        frame = frame.with_columns(pl.when(place % 100 == 0).then(pl.lit("20200230")).otherwise(birth).alias(birth))
    if "duplicate_keys" in faults:
        frame = pl.concat([frame, frame.filter(place % 50 == 0)]).sort(key, maintain_order=True)
    if "poison_rows" in faults and frame.height >= 4:
        text = next(f.physical_name for f in contract.fields if f.logical_type == "string" and f.max_length and not f.is_key)
        poison = (
            pl.when(place == 0).then(pl.lit("a\x00b")).when(place == 1).then(pl.lit("字" * 3_500_000)).when(place == 2)
            .then(pl.lit("=cmd|'/c calc'!A1"))
        )  # fmt: skip
        frame = frame.with_columns(poison.otherwise(text).alias(text))
        amount = next((f.physical_name for f in contract.fields if f.logical_type == "number"), None)
        if amount:
            frame = frame.with_columns(pl.when(place == 3).then(pl.lit("1e400")).otherwise(amount).alias(amount))
    if "renamed_column" in faults:
        frame = frame.rename({birth: f"{birth}_new"})
    if "missing_column" in faults:
        frame = frame.drop(birth)
    if "reordered_columns" in faults:
        frame = frame.select(*reversed(frame.columns))
    if "extra_column" in faults:
        frame = frame.with_columns(pl.lit("x").alias("not_agreed"))
    return frame
