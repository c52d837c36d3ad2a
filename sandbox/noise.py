"""How agencies see the county: realistic errors in what identifies a person, stable per agency and record."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from lunardate import LunarDate

from sandbox import spelling
from sandbox.county import names
from sandbox.county.chance import uniform, whole
from schemas.contract import Contract, Field

_PREFIXES = ("湖北省", "湖北省荆州市", "湖北省荆州市公安县")
_DOTS = np.array(["•", "・", ".", "．", " ", ""])
_WIDE = {str(i): chr(0xFF10 + i) for i in range(10)}
_CUTS = np.array([4, 6, 8])


@cache
def _errors() -> dict[str, dict[str, Any]]:
    errors: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("noise.yml").read_text(encoding="utf-8"))["errors"]
    return errors


def share(level: str, error: str) -> float:
    """Share of records with an error at a level."""
    return float(_errors()[error][level]) if level != "none" else 0.0


@dataclass(frozen=True)
class _Dice:
    """Which records of one agency suffer which error: decided by the record's own number."""

    level: str
    seed: int
    stem: str
    draw: np.ndarray

    def hit(self, error: str) -> pl.Series:
        return pl.Series(uniform(self.seed, f"{self.stem}|{error}", self.draw) < share(self.level, error))

    def any_of(self, label: str, below: int) -> np.ndarray:
        return whole(self.seed, f"{self.stem}|{label}", self.draw, below)

    def pick(self, label: str, values: np.ndarray) -> pl.Series:
        return pl.Series(values[self.any_of(label, values.size)])


def observe(rows: pl.DataFrame, *, level: str, seed: int, stem: str) -> pl.DataFrame:
    """Rows as one agency recorded them; `rows` hold the county's columns and ``draw``, a stable number of each record."""
    dice = _Dice(level, seed, stem, rows["draw"].to_numpy())
    return rows.with_columns(
        _number(rows, dice), _name(rows, dice), _birth(rows, dice), *_reached(rows, dice),
        sex=pl.when(dice.hit("sex_wrong")).then(pl.col("sex").replace({"1": "2", "2": "1"})).otherwise("sex"),
        is_in_household=~dice.hit("household_missing"),
    )  # fmt: skip


def _number(rows: pl.DataFrame, dice: _Dice) -> pl.Series:
    """Identity numbers as entered."""
    number = pl.col("resident_id")
    at, step = pl.Series(dice.any_of("id_digit", 17)), pl.Series(1 + dice.any_of("id_step", 9))
    is_number = number.str.len_chars() == 18
    wrong = ((number.str.slice(at, 1).cast(pl.Int64, strict=False) + step) % 10).cast(pl.String)
    mistyped = number.str.slice(0, at) + wrong + number.str.slice(at + 1)
    pair = pl.Series(6 + dice.any_of("id_pair", 10))
    swapped = number.str.slice(0, pair) + number.str.slice(pair + 1, 1) + number.str.slice(pair, 1) + number.str.slice(pair + 2)
    is_old = is_number & (pl.col("birth_date").dt.year() < 1985)
    return rows.select(
        pl.when(dice.hit("id_missing")).then(None)
        .when(dice.hit("id_borrowed") & pl.col("is_child")).then("parent_number")
        .when(dice.hit("id_relative")).then("relative_number")
        .when(dice.hit("id_shared")).then("strangers_number")
        .when(dice.hit("id_mistyped") & is_number).then(mistyped)
        .when(dice.hit("id_transposed") & is_number).then(swapped)
        .when(dice.hit("id_rounded") & is_number).then(number.str.slice(0, 15) + "000")
        .when(dice.hit("id_old") & is_old).then(number.str.slice(0, 6) + number.str.slice(8, 9))
        .when(dice.hit("id_lower") & number.str.ends_with("X")).then(number.str.to_lowercase())
        .when(dice.hit("id_wide")).then(number.str.replace_many(_WIDE))
        .when(dice.hit("id_spaced")).then(number.str.slice(0, 6) + " " + number.str.slice(6))
        .otherwise(number)
        .alias("resident_id")
    )["resident_id"]  # fmt: skip


def _somewhere(name: pl.Series, hit: pl.Series, change: Any, draw: np.ndarray) -> pl.Series:
    """Names changed where hit; the change sees only those."""
    where = hit.arg_true()
    if not where.len():
        return name
    return name.scatter(where, change(name.gather(where), draw[where.to_numpy()]))


def _name(rows: pl.DataFrame, dice: _Dice) -> pl.Series:
    """Names as entered."""
    surname, name = pl.col("surname"), pl.col("name")
    is_plain = (surname != "") & name.str.starts_with(surname)
    old_wife = (pl.col("sex") == "2") & (pl.col("spouse_surname").fill_null("") != "") & (pl.col("birth_date").dt.year() < 1960)
    known = rows.select(
        pl.when(dice.hit("name_former")).then("former_name")
        .when(dice.hit("name_married") & old_wife).then(pl.col("spouse_surname") + name)
        .when(dice.hit("name_swapped") & is_plain).then(name.str.slice(surname.str.len_chars()) + surname)
        .otherwise("name")
        .alias("name")
    )["name"]  # fmt: skip
    draw = dice.any_of("name_draw", 1_000_000)
    known = _somewhere(known, dice.hit("name_misheard"), spelling.misheard, draw)
    known = _somewhere(known, dice.hit("name_misread"), spelling.misread, draw)
    known = _somewhere(known, dice.hit("name_lost") & known.str.contains(_rare()), spelling.lost, draw)
    cut = pl.Series(_CUTS[draw % _CUTS.size])
    return pl.DataFrame({"name": known}).select(
        pl.when(dice.hit("name_cut") & (name.str.len_chars() > 8)).then(name.str.slice(0, cut))
        .when(dice.hit("name_dotted") & name.str.contains(names.DOT, literal=True))
        .then(name.str.replace_all(names.DOT, pl.lit(dice.pick("dot", _DOTS)), literal=True))
        .when(dice.hit("name_spaced")).then(name.str.slice(0, 1) + dice.pick("space", np.array([" ", "　", "  "])) + name.str.slice(1))
        .otherwise("name")
        .alias("name")
    )["name"]  # fmt: skip


@cache
def _rare() -> str:
    return "[" + "".join(names.RARE.tolist()) + "]"


@cache
def _lunar(day: date) -> date:
    """The day and month of the lunar calendar, written as if of the solar one; the day itself where there is no such date."""
    lunar = LunarDate.fromSolarDate(day.year, day.month, day.day)
    try:
        return date(lunar.year, lunar.month, lunar.day)
    except ValueError:
        return day


def _birth(rows: pl.DataFrame, dice: _Dice) -> pl.Series:
    """Birth dates as entered; errors of a digit stay within the past."""
    born = rows["birth_date"].cast(pl.Date)
    lunar_hit = (dice.hit("birth_lunar") & (born.dt.year() < 1980)).arg_true()
    if lunar_hit.len():
        days = born.gather(lunar_hit)
        known = days.unique()
        table = pl.Series([_lunar(d) for d in known.to_list()], dtype=pl.Date)
        born = born.scatter(lunar_hit, days.replace_strict(known, table))
    slip = pl.Series(np.array(["-1y", "1y", "-1d", "1d", "-10d", "10d"])[dice.any_of("birth_slip", 6)])
    day = pl.col("born")
    frame = pl.DataFrame({"born": born})
    swapped = pl.date(day.dt.year(), day.dt.day(), day.dt.month())
    slipped = day.dt.offset_by(pl.lit(slip))
    return frame.select(
        pl.when(dice.hit("birth_first_january")).then(pl.date(day.dt.year(), 1, 1))
        .when(dice.hit("birth_swapped") & (day.dt.day() <= 12)).then(swapped)
        .when(dice.hit("birth_mistyped") & (day.dt.year() < 2024)).then(slipped)
        .otherwise("born")
        .alias("birth_date")
    )["birth_date"]  # fmt: skip


def _reached(rows: pl.DataFrame, dice: _Dice) -> list[pl.Expr]:
    """Telephones and addresses as entered."""
    phone = (
        pl.when(dice.hit("phone_missing")).then(None).when(dice.hit("phone_old")).then("former_phone")
        .when(dice.hit("phone_shared")).then("head_phone").otherwise("phone")
    )  # fmt: skip
    is_long = pl.Series(dice.any_of("phone_form", 2) == 0)
    written = (
        pl.when(is_long)
        .then(pl.lit("+86") + phone)
        .otherwise(phone.str.slice(0, 3) + "-" + phone.str.slice(3, 4) + "-" + phone.str.slice(7))
    )
    address = (
        pl.when(dice.hit("address_old"))
        .then("former_address")
        .when(dice.hit("address_registered"))
        .then("registered_address")
        .otherwise("address")
    )
    address = pl.when(dice.hit("address_short")).then(address.str.strip_prefix(dice.pick("prefix", np.array(_PREFIXES)))).otherwise(address)
    spelt = address.str.replace(r"(\d)组", "${1}社").str.replace(r"(\d)栋", "${1}幢").str.strip_suffix("号")
    return [
        pl.when(dice.hit("phone_written")).then(written).otherwise(phone).alias("phone"),
        pl.when(dice.hit("address_written")).then(spelt).otherwise(address).alias("address"),
    ]


# What a clerk writes who finds no code that fits.
_IN_WORDS = "其他"


def break_rules(rows: pl.DataFrame, contract: Contract, *, draw: pl.Series, corrected: pl.Series, level: str, seed: int) -> pl.DataFrame:
    """Rows in the agency's own columns, some of which break a rule of the contract until the agency corrects them.

    Args:
        rows: text columns under the agency's names.
        contract: says which field is a date, a code, an amount, and which are required.
        draw: the stable number of each record.
        corrected: which records the agency has put right.
        level: of noise.
        seed: the county's.
    """
    dice = _Dice(level, seed, contract.stem, draw.to_numpy())

    def hit(error: str) -> pl.Series:
        return dice.hit(error) & ~corrected

    own = [f for f in contract.fields if f.physical_name in rows.columns]
    required = [f for f in own if f.required and f.code_set]
    birth, amount = contract.by_concept("person.birth_date"), next((f for f in own if f.minimum == 0), None)
    changes: dict[str, pl.Expr] = {}

    def change(spec: Field | None, error: str, value: pl.Expr) -> None:
        if spec is not None:
            column = spec.physical_name
            changes[column] = pl.when(hit(error)).then(value).otherwise(changes.get(column, pl.col(column))).alias(column)

    if birth is not None:
        written = birth.date_formats[0] if birth.date_formats else "%Y-%m-%d"
        year = pl.col(birth.physical_name).str.to_date(written, strict=False).dt.strftime(written.replace("%m", "02").replace("%d", "30"))
        change(birth, "row_date_impossible", year)
    change(required[0] if required else None, "row_code_in_words", pl.lit(_IN_WORDS))
    change(required[-1] if required else None, "row_value_missing", pl.lit(None, dtype=pl.String))
    if amount is not None:
        change(amount, "row_amount_negative", pl.lit("-") + pl.col(amount.physical_name))
    return rows.with_columns(*changes.values())
