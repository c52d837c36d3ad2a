"""Records as the engine compares them: every field in one spelling, as integer codes into a dictionary of its distinct values."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from identity import dates, names, normalise, places, resident_id
from identity.columns import COLUMNS

Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

MISSING = -1
# What systems and clerks put where nothing is known.
_FILLERS = r"^(|-+|/+|NAN|NULL|NONE|N/?A|NIL|UNKNOWN|无|不详|未知|空|暂无|\\N)$"
_SEXES = {"1": "1", "2": "2", "M": "1", "F": "2", "男": "1", "女": "2", "MALE": "1", "FEMALE": "2", "男性": "1", "女性": "2"}


@dataclass(frozen=True)
class Coded:
    """A column as codes.

    Attributes:
        codes: one per record; :data:`MISSING` = null.
        values: what each code stands for.
        share: how frequent each value is among the records that have one.
    """

    codes: Codes
    values: list[str]
    share: npt.NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class Features:
    """All records of one judgement.

    Attributes:
        n: how many records.
        coded: text fields by name.
        birth: days since 1970, as int32; the smallest int32 = missing.
        updated: days since 1970 on which the source last changed the record; the smallest int32 = missing.
        lunar: the same day read as a lunar date, in solar days; the smallest int32 = no such reading.
        ymd: birth year, month, day.
        is_valid: the document number is one whose check could be made, and holds.
        is_believed: as `is_valid`, and the birth date told beside it does not contradict the one inside.
        content: a number that depends on what a record says alone, for breaking ties.
    """

    n: int
    coded: dict[str, Coded]
    birth: Codes
    updated: Codes
    lunar: Codes
    ymd: npt.NDArray[np.int16]
    is_valid: Flags
    is_believed: Flags
    is_default_day: Flags
    content: npt.NDArray[np.uint64] = field(repr=False)

    @property
    def has_citizens_numbers(self) -> bool:
        """Whether most numbers are valid numbers of Chinese citizens or residents."""
        known = self.code("number") != MISSING
        return bool(known.any() and self.is_valid[known].mean() > 0.5)

    @property
    def is_chinese(self) -> bool:
        """Whether most names are written in Chinese characters; where nobody is named, whether numbers are of citizens."""
        names = self.coded["full"]
        if not names.values:
            return self.has_citizens_numbers
        han = np.fromiter((v >= "\u3400" or v[:1] == "□" for v in names.values), np.bool_, len(names.values))
        return bool((names.share * han).sum() > 0.5)

    def code(self, name: str) -> Codes:
        """Codes of a text field."""
        return self.coded[name].codes


NO_DAY = np.iinfo(np.int32).min


def encode(values: pl.Series) -> Coded:
    """A text column as codes, in order of first appearance."""
    frame = pl.DataFrame({"v": values.cast(pl.String)})
    known = frame.drop_nulls().group_by("v", maintain_order=True).len().with_row_index("c")
    codes = frame.join(known.select("v", "c"), on="v", how="left", maintain_order="left")["c"].cast(pl.Int32).fill_null(MISSING)
    counts = known["len"].to_numpy().astype(np.float64)
    return Coded(codes.to_numpy().astype(np.int32), known["v"].to_list(), counts / max(counts.sum(), 1.0))


def _text(values: pl.Expr) -> pl.Expr:
    folded = values.str.normalize("NFKC").str.to_uppercase().str.replace_all(r"[\s,，。]+", " ").str.strip_chars()
    return pl.when(folded.str.len_chars() > 0).then(folded)


def _phone(values: pl.Expr) -> pl.Expr:
    """Telephone numbers by digits; an e-mail address in that place stays as it is."""
    is_mail = values.str.contains("@")
    return pl.when(is_mail).then(values.str.strip_chars().str.to_uppercase()).otherwise(normalise.phones(values))


def _days(values: pl.Series) -> Codes:
    return values.cast(pl.Int32).fill_null(NO_DAY).to_numpy().astype(np.int32)


def _lunar(birth: pl.Series) -> Codes:
    known = birth.drop_nulls().unique()
    read = pl.DataFrame({"d": known, "l": pl.Series([dates.lunar_to_solar(d) for d in known.to_list()], dtype=pl.Date)})
    return _days(pl.DataFrame({"d": birth}).join(read, on="d", how="left", maintain_order="left")["l"])


def extract(records: pl.DataFrame) -> Features:
    """Bring records to the form they are compared in.

    Args:
        records: any of :data:`identity.columns.COLUMNS`, one row a record; a missing column is all null.
    """
    n = records.height
    blank = pl.Series([None], dtype=pl.String).extend_constant(None, n - 1) if n else pl.Series([], dtype=pl.String)
    raw = {c: records[c] if c in records.columns else blank for c in COLUMNS}
    text = pl.DataFrame({c: s.cast(pl.String) for c, s in raw.items() if c not in ("birth_date", "updated_at")})
    text = text.with_columns(pl.when(~pl.all().str.strip_chars().str.to_uppercase().str.contains(_FILLERS)).then(pl.all()))

    divided = names.divide(text["name"], text["given_name"], text["surname"])
    place = places.take_apart(text["address"])
    guardian = names.divide(text["guardian_name"], blank, blank)
    spelled = text.select(resident_id.spelled(pl.col("resident_id")))["resident_id"]
    valid = resident_id.normalise(spelled)
    number = pl.DataFrame({"s": spelled, "v": valid}).select(pl.coalesce("v", "s"))["v"]
    birth = dates.parse(raw["birth_date"])
    inside = pl.DataFrame({"v": valid}).select(resident_id.birth_dates(pl.col("v")))["v"]
    home, register = (
        pl.when(pl.col(c).is_not_null()).then(pl.concat_str(pl.col("source").fill_null(""), pl.col(c), separator="\x1f"))
        for c in ("household_id_local", "registered_household_id_local")
    )
    plain = text.select(
        sex=pl.col("sex").str.to_uppercase().str.strip_chars().replace_strict(_SEXES, default=None),
        phone=_phone(pl.col("phone")), home=home, register=register, source=pl.col("source").fill_null(""), relation=_text(pl.col("relation")),
        **{c: _text(pl.col(c)) for c in ("area_code", "postcode", "occupation", "birth_place")},
    )  # fmt: skip

    columns = {
        "number": number, "full": divided["full"], "full_sound": divided["full_sound"], "surname": divided["surname"],
        "surname_sound": divided["surname_sound"], "given": divided["given"], "given_sound": divided["given_sound"],
        "address": place["whole"], "place": place["place"], "door": place["door"], "guardian": guardian["full"],
        "guardian_sound": guardian["full_sound"], **{c: plain[c] for c in plain.columns},
    }  # fmt: skip
    days, inner = _days(birth), _days(inside)
    is_default = (birth.dt.ordinal_day() == 1).fill_null(False).to_numpy()
    is_valid = valid.is_not_null().to_numpy()
    same_year = (birth.dt.year() == inside.dt.year()).fill_null(False).to_numpy()
    is_believed = is_valid & ((days == NO_DAY) | (days == inner) | (is_default & same_year))
    content = (
        pl.DataFrame({k: v for k, v in columns.items() if k not in ("home", "register", "source")})
        .with_columns(birth=birth)
        .hash_rows(seed=7)
    )
    ymd = pl.DataFrame({"b": birth}).select(
        pl.col("b").dt.year().cast(pl.Int16).alias("y"), pl.col("b").dt.month().cast(pl.Int16).alias("m"), pl.col("b").dt.day().cast(pl.Int16).alias("d")
    )  # fmt: skip
    return Features(
        n=n, coded={k: encode(v) for k, v in columns.items()}, birth=days, updated=_days(dates.parse(raw["updated_at"])), lunar=_lunar(birth),
        ymd=ymd.fill_null(0).to_numpy().astype(np.int16), is_valid=is_valid, is_believed=is_believed,
        is_default_day=is_default, content=content.to_numpy(),
    )  # fmt: skip


def take(features: Features, name: str, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values of a text field at some rows, as Python strings; None = missing."""
    coded = features.coded[name]
    values = np.array([*coded.values, None], dtype=object)
    return np.asarray(values[coded.codes[rows]])
