"""What one agency holds on one night, in its own columns, ready for the wire. Everything about fields comes from the contract."""

import hashlib
import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hub.errors import ContractError
from hub.settings import Settings
from sandbox import clock, noise
from sandbox.county import life, population, subjects
from sandbox.county.subjects import uniform
from schemas.contract import Contract, Field

CHANGED = "_changed_night"
TRUTH = ("true_person_id", "registered_household_id", "living_household_id")


def _cache(settings: Settings, name: str, *what: Any) -> Path:
    settled = [settings.sandbox_seed, settings.sandbox_persons, str(settings.sandbox_epoch), *what]
    digest = hashlib.sha256(json.dumps(settled, default=str).encode()).hexdigest()[:16]
    folder = settings.home / "sandbox" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{digest}.parquet"


def _store(frame: pl.DataFrame, path: Path) -> None:
    draft = path.with_suffix(f".{os.getpid()}.draft")  # several agencies may make the same at once
    frame.write_parquet(draft, compression="lz4")
    draft.replace(path)


def people(settings: Settings, night: int) -> pl.DataFrame:
    """The county's people on a night; kept on disk once computed."""
    for known in range(night, 0, -1):
        if _cache(settings, "people", known).exists():
            break
    else:
        _store(population.settle(settings.sandbox_seed, settings.sandbox_persons, settings.sandbox_epoch), _cache(settings, "people", 1))
        known = 1
    frame = pl.read_parquet(_cache(settings, "people", known))
    for later in range(known + 1, night + 1):
        frame = life.advance(frame, settings.sandbox_seed, later, clock.date_of(settings, later))
        _store(frame, _cache(settings, "people", later))
    return frame


def _held(contract: Contract, frame: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """The rows of the subject that this agency has, doubles included; adds ``draw``, a stable number per row."""
    chosen, seed, stem = contract.synthetic, settings.sandbox_seed, contract.stem
    person = frame["person"].to_numpy()
    home = frame["living_home"].to_numpy()
    size = max(int(person.max()), int(home.max())) + 1
    covered = uniform(seed, f"{stem}|home", size)[home] < chosen.get("coverage", 1.0)
    covered &= uniform(seed, f"{stem}|member", size)[person] < chosen.get("member_coverage", 1.0)
    row = pl.col("row") if "row" in frame.columns else pl.lit(0)  # which of a person's several rows
    frame = frame.with_columns(draw=pl.col("person") * 4 + row * 2).filter(pl.Series(covered))
    double = uniform(seed, f"{stem}|double", size)[frame["person"].to_numpy()] < noise.share(settings.sandbox_noise, "double")
    return pl.concat([frame, frame.filter(pl.Series(double)).with_columns(draw=pl.col("draw") + 1)])


def _value(contract: Contract, spec: Field, columns: list[str]) -> pl.Expr:
    recipe = spec.synthetic
    if "serial" in recipe:
        head, _, tail = recipe["serial"].partition("{n:")
        width = int(tail.partition("d}")[0] or 1)
        return pl.lit(head) + pl.col("serial").cast(pl.String).str.zfill(width) + pl.lit(tail.partition("}")[2])
    if "constant" in recipe:
        return pl.lit(str(recipe["constant"]))
    if "of" in recipe:
        if recipe["of"] not in columns:
            raise ContractError(
                f"the county has no column {recipe['of']!r}", where=f"schemas/{contract.stem}.yml field {spec.name} synthetic",
                next_step=f"one of {', '.join(sorted(columns))}",
            )  # fmt: skip
        return pl.col(recipe["of"])
    raise ContractError("needs `of`, `serial` or `constant`", where=f"schemas/{contract.stem}.yml field {spec.name} synthetic")


def _text(spec: Field, value: pl.Expr) -> pl.Expr:
    if spec.logical_type == "date":
        return value.dt.strftime(spec.date_formats[0] if spec.date_formats else "%Y-%m-%d")
    if spec.logical_type == "timestamp":
        return value.dt.strftime(spec.date_formats[0] if spec.date_formats else "%Y-%m-%d %H:%M:%S")
    text = value.cast(pl.String)
    return pl.when(text != "").then(text)


def snapshot(contract: Contract, night: int, settings: Settings) -> pl.DataFrame:
    """Everything an agency holds on a night.

    Returns:
        One row a record, text columns under the agency's own names in the contract's order, null = missing, and
        :data:`CHANGED`, the night the record last changed. Sorted by key.

    Raises:
        ContractError: a field's recipe names what the county does not have.
    """
    return _whole(contract, night, settings).drop(*TRUTH)


def truth(contract: Contract, night: int, settings: Settings) -> pl.DataFrame:
    """Who is who: ``record_key`` and the three truth columns. For tests and benchmarks only."""
    return _whole(contract, night, settings).select(pl.col(contract.key.physical_name).alias("record_key"), *TRUTH)


def _whole(contract: Contract, night: int, settings: Settings) -> pl.DataFrame:
    text = contract.path.read_text(encoding="utf-8")
    path = _cache(settings, f"agency-{contract.stem}", night, settings.sandbox_noise, text)
    if not path.exists():
        _store(_observe(contract, night, settings), path)
    return pl.read_parquet(path)


def _observe(contract: Contract, night: int, settings: Settings) -> pl.DataFrame:
    seed, stem = settings.sandbox_seed, contract.stem
    rows = subjects.rows(
        contract.synthetic["subject"], people(settings, night), seed, clock.date_of(settings, night), settings.sandbox_epoch
    )
    rows = _held(contract, rows, settings)
    rows = rows.with_columns(
        pl.col("person").alias(TRUTH[0]), pl.col("registered_home").alias(TRUTH[1]), pl.col("living_home").alias(TRUTH[2])
    )
    rows = noise.observe(rows, level=settings.sandbox_noise, seed=seed, stem=stem)
    # The agency's own numbers: of its records by an odd multiplier, of its households by an offset of its own.
    offset = int.from_bytes(hashlib.sha256(stem.encode()).digest()[:3], "big")
    changed = np.datetime64(_noon(settings.sandbox_epoch)) + (rows["changed_night"].to_numpy() - 1).astype("timedelta64[D]")
    rows = rows.with_columns(
        serial=(pl.col("draw") * 7919 + offset) % 9_999_999_967,
        registered_household_no=pl.format("H{}", pl.col("registered_home") * 3 + offset),
        living_household_no=pl.format("F{}", pl.col("living_home") * 7 + offset),
        changed_at=pl.Series(changed.astype("datetime64[us]")),
    )
    columns = [_text(spec, _value(contract, spec, rows.columns)).alias(spec.physical_name) for spec in contract.fields]
    return rows.select(*columns, pl.col("changed_night").alias(CHANGED), *TRUTH).sort(contract.key.physical_name)


def _noon(day: date) -> str:
    return f"{day}T12:00:00"
