"""What one agency holds on one night, in its own columns, ready for the wire. Everything about fields comes from the contract."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hub.errors import ContractError
from hub.settings import Settings
from sandbox import clock, corrections, noise
from sandbox.county import life, population, subjects
from sandbox.county.chance import uniform, whole
from schemas.contract import Contract, Field

CHANGED = "_changed_night"
TRUTH = ("true_person_id", "registered_household_id", "living_household_id")
# Columns that say when a record changed: they follow from the rest of the record.
_DATED = ("changed_at", "change_flag")
# How many nights after its end an agency still holds a record, unless its contract says otherwise.
_KEPT_NIGHTS = (5, 40)
_LATE_NIGHTS = 25
_BLOCK = 100_000  # persons looked at together: memory does not grow with what is between county and agency
_KEYS = 9_999_999_967  # a prime: the agency's numbers do not repeat


@cache
def _edition() -> str:
    """Names the county's rules: a county kept on disk by other rules is another county."""
    here = Path(__file__).resolve().parent
    files = sorted([*here.glob("*.py"), *here.glob("*.yml"), *(here / "county").glob("*.*")])
    digest = hashlib.sha256(pl.__version__.encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache(settings: Settings, name: str, *what: Any) -> Path:
    settled = [_edition(), settings.sandbox_seed, settings.sandbox_persons, str(settings.sandbox_epoch), *what]
    digest = hashlib.sha256(json.dumps(settled, default=str).encode()).hexdigest()[:16]
    folder = settings.home / "sandbox" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{digest}.parquet"


@contextmanager
def _alone(settings: Settings, name: str) -> Iterator[None]:
    """One process at a time makes what all agencies share."""
    path = settings.home / "sandbox" / "cache" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _store(frame: pl.DataFrame, path: Path) -> None:
    draft = path.with_suffix(f".{os.getpid()}.draft")  # several agencies may make the same at once
    frame.write_parquet(draft, compression="lz4")
    draft.replace(path)


def people(settings: Settings, night: int) -> pl.DataFrame:
    """The county's people on a night; kept on disk once computed."""
    with _alone(settings, "people"):
        for known in range(night, 0, -1):
            if _cache(settings, "people", known).exists():
                break
        else:
            _store(
                population.settle(settings.sandbox_seed, settings.sandbox_persons, settings.sandbox_epoch), _cache(settings, "people", 1)
            )
            known = 1
        frame = pl.read_parquet(_cache(settings, "people", known))
        for later in range(known + 1, night + 1):
            frame = life.advance(frame, settings.sandbox_seed, later, clock.date_of(settings, later))
            _store(frame, _cache(settings, "people", later))
    return frame


def _held(contract: Contract, frame: pl.DataFrame, night: int, settings: Settings) -> pl.DataFrame:
    """The rows of the subject that this agency has, doubles included; adds ``draw``, a stable number per row.

    An agency enters some records late, and drops each some nights after it ended.
    """
    chosen, seed, stem = contract.synthetic, settings.sandbox_seed, contract.stem
    person, home = frame["person"].to_numpy(), frame["origin_home"].to_numpy()
    covered = uniform(seed, f"{stem}|home", home) < chosen.get("coverage", 1.0)
    covered &= uniform(seed, f"{stem}|member", person) < chosen.get("member_coverage", 1.0)
    row = pl.col("row") if "row" in frame.columns else pl.lit(0)  # which of a person's several rows
    frame = frame.with_columns(draw=pl.col("person") * 4 + row * 2).filter(pl.Series(covered))
    draw = frame["draw"].to_numpy()
    double = uniform(seed, f"{stem}|double", draw) < noise.share(settings.sandbox_noise, "double")
    frame = pl.concat([frame, frame.filter(pl.Series(double)).with_columns(draw=pl.col("draw") + 1)])
    draw = frame["draw"].to_numpy()
    first, last = chosen.get("kept_nights", _KEPT_NIGHTS)
    kept = first + whole(seed, f"{stem}|kept", draw, last - first)
    is_late = uniform(seed, f"{stem}|late", draw) < noise.share(settings.sandbox_noise, "late")
    late = np.where(is_late, whole(seed, f"{stem}|late by", draw, _LATE_NIGHTS), 0)
    is_there = (frame["since_night"].to_numpy() + late <= night) & (frame["ended_night"].to_numpy() + kept > night)
    return frame.filter(pl.Series(is_there))


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
    """The agency's stock of a night. What changed is what differs from the night before, so all nights before are made first."""
    text = contract.path.read_text(encoding="utf-8")
    stock, ledger = f"agency-{contract.stem}", f"ledger-{contract.stem}"

    def kept(name: str, n: int) -> Path:
        corrected = corrections.digest(corrections.in_force(settings, contract.stem, n))
        return _cache(settings, name, n, settings.sandbox_noise, text, *([corrected] if corrected else []))

    path = kept(stock, night)
    if path.exists():
        return pl.read_parquet(path)
    with _alone(settings, stock):
        known = next((n for n in range(night - 1, 0, -1) if kept(ledger, n).exists()), 0)
        entered = pl.read_parquet(kept(ledger, known)) if known else None
        for each in range(known + 1, night):
            entered = _entered(_noticed(contract, each, entered, settings), entered, each)
            _store(entered, kept(ledger, each))
        rows = _observe(contract, night, settings)
        entered = _entered(rows.select("serial", "inputs", content=_content(rows)), entered, night)
        _store(entered, kept(ledger, night))
        rows = _dated(contract, rows, entered, settings)
        _store(rows, path)
    return rows


def _county(night: int, settings: Settings) -> tuple[subjects.County, list[np.ndarray]]:
    """The county on a night, and its persons in blocks."""
    county = subjects.County(people(settings, night), settings.sandbox_seed, night, settings.sandbox_epoch)
    persons = np.arange(county.people.height)
    return county, [persons[i : i + _BLOCK] for i in range(0, persons.size, _BLOCK)]


def _observe(contract: Contract, night: int, settings: Settings) -> pl.DataFrame:
    """The rows an agency holds on a night, in its columns; what says when a row changed is left out.

    Returns:
        Beside the agency's columns: ``serial`` of the record, ``inputs``, what all of it is a function of, ``is_over``, and the truth.
    """
    county, blocks = _county(night, settings)
    held = (_about(contract, county, who, settings) for who in blocks)
    return pl.concat([_written(contract, rows, night, settings).with_columns(inputs=_inputs(rows)) for rows in held])


def _noticed(contract: Contract, night: int, before: pl.DataFrame | None, settings: Settings) -> pl.DataFrame:
    """What the ledger of a night is made of, without the rows: only those are written out whose inputs differ from the night before."""
    county, blocks = _county(night, settings)
    corrected, yesterday = (corrections.in_force(settings, contract.stem, n) for n in (night, night - 1))
    known = None if before is None or corrected != yesterday else before.select("serial", "inputs", "content")
    noticed = []
    for who in blocks:
        held = _about(contract, county, who, settings)
        now = held.select("serial", inputs=_inputs(held))
        if known is not None:
            now = now.join(known, on=["serial", "inputs"], how="left", maintain_order="left")
            held = held.filter(now["content"].is_null())
            noticed.append(now.filter(pl.col("content").is_not_null()))
        rows = _written(contract, held, night, settings)
        noticed.append(held.select("serial", inputs=_inputs(held), content=_content(rows)))
    return pl.concat(noticed)


def _inputs(rows: pl.DataFrame) -> pl.Series:
    """A number for all that a record is a function of, apart from the agency's corrections: equal ones are written alike."""
    return rows.hash_rows(seed=1)


def _content(rows: pl.DataFrame) -> pl.Series:
    """A number for a row as it is written: unequal ones differ."""
    return rows.select(pl.exclude("inputs", *TRUTH)).hash_rows(seed=1)


def _about(contract: Contract, county: subjects.County, who: np.ndarray, settings: Settings) -> pl.DataFrame:
    """What an agency holds about some persons, in the county's words."""
    rows = _held(contract, subjects.rows(contract.synthetic["subject"], county, who), county.night, settings)
    return rows.with_columns(
        pl.col("person").alias(TRUTH[0]), pl.col("registered_home").alias(TRUTH[1]), pl.col("living_home").alias(TRUTH[2]),
        serial=(pl.col("draw") * 7919 + _offset(contract)) % _KEYS,
        is_over=pl.col("ended_night") <= county.night,
    )  # fmt: skip


def _offset(contract: Contract) -> int:
    """Where an agency's own numbers begin: of its records by an odd multiplier, of its households by this alone."""
    return int.from_bytes(hashlib.sha256(contract.stem.encode()).digest()[:3], "big")


def _written(contract: Contract, rows: pl.DataFrame, night: int, settings: Settings) -> pl.DataFrame:
    """What an agency holds, in its own columns and with its errors: each row by itself, whichever others are there."""
    seed, stem, offset = settings.sandbox_seed, contract.stem, _offset(contract)
    rows = noise.observe(rows, level=settings.sandbox_noise, seed=seed, stem=stem)
    listed = {
        "registered_household_no": pl.when("is_registered").then(pl.format("H{}", pl.col("registered_home") * 3 + offset)),
        "living_household_no": pl.format("F{}", pl.col("file_home") * 7 + offset),
        "dwelling_household_no": pl.format("F{}", pl.col("dwelling_home") * 7 + offset),
        **{c: pl.col(c) for c in ("registered_relation", "living_relation", "dwelling_relation")},
    }
    rows = rows.with_columns(**{c: pl.when("is_in_household").then(value) for c, value in listed.items()})
    columns = [
        _text(spec, _value(contract, spec, [*rows.columns, *_DATED])).alias(spec.physical_name)
        for spec in contract.fields
        if spec.synthetic.get("of") not in _DATED
    ]
    key = contract.key.physical_name
    written = rows.select(*columns)
    corrected = corrections.is_in(corrections.in_force(settings, stem, night), written[key])
    spoilt = noise.break_rules(written, contract, draw=rows["draw"], corrected=corrected, level=settings.sandbox_noise, seed=seed)
    return rows.select("serial", "is_over", *TRUTH).hstack(spoilt).select("serial", "is_over", *written.columns, *TRUTH)


def _entered(noticed: pl.DataFrame, before: pl.DataFrame | None, night: int) -> pl.DataFrame:
    """The agency's ledger of a night: what each record was like, when it came and when it last changed.

    Args:
        noticed: ``serial``, ``inputs`` and ``content`` of each record tonight.
        before: the ledger of the night before; None on the first night.
        night: number of the night.
    """
    if before is None:
        return noticed.with_columns(changed_night=pl.lit(1, dtype=pl.Int32), first_night=pl.lit(1, dtype=pl.Int32))
    old = noticed.join(before.drop("inputs"), on="serial", how="left", maintain_order="left", suffix="_before")
    is_same = (pl.col("content") == pl.col("content_before")).fill_null(False)
    return old.select(
        "serial", "inputs", "content",
        changed_night=pl.when(is_same).then("changed_night").otherwise(pl.lit(night, dtype=pl.Int32)),
        first_night=pl.col("first_night").fill_null(night),
    )  # fmt: skip


def _dated(contract: Contract, rows: pl.DataFrame, ledger: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Rows with the night each last changed, in the agency's words as well, sorted by key."""
    start = np.datetime64(f"{settings.sandbox_epoch}T12:00:00")
    changed = start + (ledger["changed_night"].to_numpy() - 1).astype("timedelta64[D]")
    flag = (
        pl.when("is_over").then(pl.lit("D")).when(ledger["changed_night"] > ledger["first_night"]).then(pl.lit("U")).otherwise(pl.lit("I"))
    )
    dates = rows.select(changed_at=pl.Series(changed.astype("datetime64[us]")), change_flag=flag)
    dated = {s.physical_name: s for s in contract.fields if s.synthetic.get("of") in _DATED}
    rows = rows.with_columns(dates.select(_text(s, _value(contract, s, dates.columns)).alias(c) for c, s in dated.items()))
    names = [spec.physical_name for spec in contract.fields]
    return rows.select(*names, ledger["changed_night"].alias(CHANGED), *TRUTH).sort(contract.key.physical_name)
