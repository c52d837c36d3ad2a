"""Parse: the agency's text becomes typed values by contract; what cannot be typed is pointed at, never guessed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from hub.errors import SourceChanged
from pipeline.suppression import ERASED, Suppression, guardian_fields, without
from schemas.contract import Contract, Field

# Longer text than this in any field is refused with the row: nothing an agency agreed on comes near.
_TEXT_LIMIT = 4000
# What a spreadsheet would run when somebody opens an export.
_FORMULA = r"^(?:[=@＝＠]|[+\-][^\d].*[(|!])"
# The same, for values written side by side; it may see one where there is none, never the other way round.
_BETWEEN = "\x1f"
_FORMULA_BEGINS = _BETWEEN + r"(?:[=@＝＠]|[+\-][^\d])"
_ISO_DATES = ("%Y-%m-%d", "%Y%m%d")
_ISO_INSTANTS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%.f%z")
_LOCAL_INSTANTS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y-%m-%d")
REJECTS = {"row_number": pl.Int64, "rule_id": pl.String, "field": pl.String}


# What an agency is told of a refused row: by rule, after the field's name in Chinese and English.
_TOLD = {
    "key_missing": ("不能为空（主键）", "the key is missing"), "text_too_long": ("过长", "is too long"),
    "text_is_formula": ("以公式符号开头", "begins like a formula"), "text_unreadable": ("含无法读取的字符", "holds unreadable characters"),
    "not_integer": ("不是整数", "is not a whole number"), "not_number": ("不是数值", "is not a number"),
    "not_date": ("不是有效日期", "is not a date of the calendar"), "not_timestamp": ("不是有效时间", "is not a time"),
    "not_boolean": ("不是约定的是否值", "is neither of the agreed yes and no"),
}  # fmt: skip

# Rules about a value's form rather than about its being there.
VALUE_RULES = tuple(rule for rule in _TOLD if rule != "key_missing")


def told(contract: Contract, rule_id: str, name: str | None) -> tuple[str, str] | None:
    """What an agency is told of rows a rule of this module refused, in Chinese and English; None for another rule.

    Args:
        name: field that was refused; None where several were.
    """
    if rule_id not in _TOLD:
        return None
    zh, en = _TOLD[rule_id]
    spec = contract.by_name(name) if name else None
    return (f"{spec.title_zh}{zh}", f"{spec.title_en}: {en}") if spec else (f"字段{zh}", f"a field: {en}")


@dataclass(frozen=True)
class Batch:
    """Some rows of a delivery.

    Attributes:
        typed: ``row_number`` (from 1, through the whole delivery) and the contract's fields by name.
        rejects: one row a rejected row and reason: ``row_number``, ``rule_id``, ``field``.
        refused: rejected rows whose key can be read, ``row_number`` and ``record_key``: the agency still holds them.
        rows: rows in; each is in `typed` or in `rejects`, or is erased.
        erased: rows about persons who are erased by law; nothing else is told of them.
        holds_erased: whether the rows, as they came, hold something of erased persons: a row of theirs, or their name as somebody's guardian.
    """

    typed: pl.DataFrame
    rejects: pl.DataFrame
    refused: pl.DataFrame
    rows: int
    erased: int
    holds_erased: bool


@dataclass
class Drift:
    """How the agency's columns differ from the contract without breaking it."""

    extra: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)

    def notices(self) -> list[list[str]]:
        """Each difference in Chinese and English."""
        found = []
        if self.extra:
            names = ", ".join(_shown(name) for name in sorted(self.extra))
            found.append(
                [f"新增{len(self.extra)}个约定外字段，未采用：{names}", f"{len(self.extra)} columns nobody agreed on, left out: {names}"]
            )
        for name, header in sorted(self.renamed.items()):
            found.append([f"字段{name}以已知别名{_shown(header)}送达", f"the column of {name} came as {_shown(header)}, a known synonym"])
        return found


def _shown(header: str) -> str:
    """A column name the agency chose, if it looks like a name: anything else may be a value that strayed into the header."""
    return header if len(header) <= 40 and re.fullmatch(r"[^\W\d]\w*", header) and not re.search(r"\d{5}", header) else "(?)"


def _clean(text: pl.Expr) -> pl.Expr:
    stripped = text.str.strip_chars(" \t\r\n\u3000\ufeff")
    return pl.when(stripped.str.len_bytes() > 0).then(stripped)


def _text(name: str) -> pl.Expr:
    return pl.col(name)


def _integer(name: str) -> pl.Expr:
    return pl.col(name).str.replace(r"\.0+$", "").str.to_integer(strict=False)


def _number(name: str) -> pl.Expr:
    # Kept as text: decimals go to the database as written, not through binary floating point.
    plain = pl.col(name).str.replace_all(",", "", literal=True)
    return pl.when(plain.str.contains(r"^[+-]?\d{1,15}(\.\d{1,6})?$")).then(plain)


def _dates(name: str, formats: Iterable[str]) -> list[pl.Expr]:
    return [pl.col(name).str.to_date(f, strict=False, exact=True) for f in dict.fromkeys([*formats, *_ISO_DATES])]


def _instants(name: str, formats: Iterable[str]) -> list[pl.Expr]:
    tries = []
    for form in dict.fromkeys([*formats, *_ISO_INSTANTS, *_LOCAL_INSTANTS]):
        if "%z" in form:
            tries.append(pl.col(name).str.to_datetime(form, strict=False, time_zone="UTC"))
        else:
            # An instant without a zone is China's: the contracts are with Chinese agencies.
            local = pl.col(name).str.to_datetime(form, strict=False).dt.replace_time_zone("Asia/Shanghai")
            tries.append(local.dt.convert_time_zone("UTC"))
    return tries


def _boolean(spec: Field) -> pl.Expr:
    truth = dict.fromkeys(spec.truth_values, True) | dict.fromkeys(spec.false_values, False)
    return pl.col(spec.name).replace_strict(list(truth), list(truth.values()), default=None, return_dtype=pl.Boolean)


def _tries(spec: Field) -> list[pl.Expr]:
    """The ways a field's text may be read; of a value, the first way that reads it counts."""
    match spec.logical_type:
        case "integer":
            return [_integer(spec.name)]
        case "number":
            return [_number(spec.name)]
        case "date":
            return _dates(spec.name, spec.date_formats)
        case "timestamp":
            return _instants(spec.name, spec.date_formats)
        case "boolean":
            return [_boolean(spec)]
        case _:
            return [_text(spec.name)]


def _typed(contract: Contract, text: pl.DataFrame) -> pl.DataFrame:
    """Text as typed values; null where it cannot be read. Another way to read a column is tried only while some of it is unread."""
    tries = {spec.name: _tries(spec) for spec in contract.fields}
    typed = text.lazy().select("row_number", *(ways[0].alias(name) for name, ways in tries.items())).collect()
    for name, ways in tries.items():
        for way in ways[1:]:
            if typed[name].null_count() == text[name].null_count():
                break
            typed = typed.with_columns(pl.coalesce(name, text.select(way).to_series()).alias(name))
    dates = [spec.name for spec in contract.fields if spec.logical_type == "date"]
    return typed.with_columns(pl.when(pl.col(name).dt.year().is_between(1800, 9999)).then(pl.col(name)).alias(name) for name in dates)


def header(contract: Contract, columns: list[str], drift: Drift) -> dict[str, str]:
    """The agency's column for each field.

    Raises:
        SourceChanged: one is missing.
    """
    present = {re.sub(r"[\s\ufeff]", "", column): column for column in columns}
    found: dict[str, str] = {}
    for spec in contract.fields:
        for header in (spec.physical_name, *spec.synonyms):
            if header in present:
                found[spec.name] = present[header]
                if header != spec.physical_name:
                    drift.renamed[spec.name] = header
                break
    missing = [spec.name for spec in contract.fields if spec.name not in found]
    extra = sorted(set(columns) - set(found.values()) - {ERASED})
    if missing:
        raise SourceChanged(
            f"{len(missing)} agreed columns are missing ({', '.join(missing)}); {len(extra)} unknown columns came",
            where=f"{contract.stem} header",
            next_step="ask the agency what was renamed; add a synonym to the contract or have it sent again",
        )
    drift.extra.update(extra)
    return found


def _refusals(contract: Contract) -> list[tuple[str, str, pl.Expr]]:
    """Why a row is refused: rule, field, and the condition on text and typed columns side by side."""
    found = [("key_missing", contract.key.name, pl.col(contract.key.name).is_null())]
    for spec in contract.fields:
        name = spec.name
        if spec.logical_type == "string":
            found.append(("text_too_long", name, pl.col(name).str.len_chars() > _TEXT_LIMIT))
            found.append(("text_is_formula", name, pl.col(name).str.contains(_FORMULA)))
            # NUL cannot be stored by PostgreSQL; U+FFFD stands for what could not be read
            found.append(("text_unreadable", name, pl.col(name).str.contains("[\x00\ufffd]")))
        else:
            found.append((f"not_{spec.logical_type}", name, pl.col(name).is_not_null() & pl.col(f"{name}\x1ftyped").is_null()))
    return found


def _suspects(contract: Contract, text: pl.DataFrame, typed: pl.DataFrame) -> pl.Series:
    """The rows that may be refused, seen from columns as wholes: every row that is refused is among them, and in most batches there is none."""
    texts = [spec.name for spec in contract.fields if spec.logical_type == "string"]
    row = text.select(pl.concat_str(pl.lit(""), *texts, separator=_BETWEEN, ignore_nulls=True).alias("row"))["row"]
    found = row.str.len_bytes() > _TEXT_LIMIT
    for sign in ("\x00", "\ufffd"):
        found |= row.str.contains(sign, literal=True)
    found |= row.str.contains(_FORMULA_BEGINS) | text[contract.key.name].is_null()
    for spec in contract.fields:
        if spec.logical_type != "string" and typed[spec.name].null_count() != text[spec.name].null_count():
            found |= typed[spec.name].is_null() & text[spec.name].is_not_null()
    return found


def _rejects(contract: Contract, text: pl.DataFrame, typed: pl.DataFrame) -> pl.DataFrame:
    """One row a refused row and rule."""
    found = [pl.DataFrame(schema=REJECTS)]
    suspects = _suspects(contract, text, typed)
    if not suspects.any():
        return found[0]
    both = pl.concat([text, typed.drop("row_number").rename(lambda n: f"{n}\x1ftyped")], how="horizontal").filter(suspects)
    refusals = _refusals(contract)
    masks = both.select("row_number", *(c.fill_null(False).alias(str(i)) for i, (_, _, c) in enumerate(refusals)))
    for i, (rule_id, name, _) in enumerate(refusals):
        if masks[str(i)].any():
            rows = masks.filter(pl.col(str(i)))
            found.append(rows.select("row_number", rule_id=pl.lit(rule_id), field=pl.lit(name, dtype=pl.String)))
    return pl.concat(found)


def texts(contract: Contract, raw: pl.DataFrame, offset: int, drift: Drift) -> pl.DataFrame:
    """Rows as text under the contract's names, with ``row_number`` from ``offset`` on; ``ERASED`` tells which are left empty by law.

    Raises:
        SourceChanged: an agreed column is missing.
    """
    found = header(contract, raw.columns, drift)
    # Lazily, so that a part of an expression that stands in it twice is computed once.
    cleaned = raw.lazy().select(_clean(pl.col(column).cast(pl.String)).alias(name) for name, column in found.items()).collect()
    flags = raw[ERASED] if ERASED in raw.columns else pl.repeat(False, raw.height, dtype=pl.Boolean, eager=True)
    return cleaned.with_row_index("row_number", offset=offset + 1).with_columns(pl.col("row_number").cast(pl.Int64), flags.alias(ERASED))


def key_texts(contract: Contract, text: pl.DataFrame) -> pl.Series:
    """The record key of each row as the pool writes it; null where it cannot be read."""
    return text.select(pl.coalesce(_tries(contract.key)).cast(pl.String).alias("record_key"))["record_key"]


def parse_batch(contract: Contract, raw: pl.DataFrame, offset: int, drift: Drift, suppression: Suppression | None = None) -> Batch:
    """Type one batch of text rows.

    Args:
        contract: the fields.
        raw: text columns under the agency's names.
        offset: rows of the delivery before this batch.
        drift: gathers additive differences of the header.
        suppression: what is kept out by law; None = nothing.

    Raises:
        SourceChanged: an agreed column is missing.
    """
    text = texts(contract, raw, offset, drift)
    left_empty = text[ERASED]
    erased, is_named = left_empty, False
    if suppression is not None:
        erased = erased | suppression.rows(contract.stem, key_texts(contract, text))
        guardians = suppression.guardians(contract, text)
        if guardians is not None and guardians.any():
            text, is_named = without(text, guardian_fields(contract), guardians), True
    holds_erased = is_named or bool((erased & ~left_empty).any())
    text = text.drop(ERASED)
    if n_erased := int(erased.sum()):
        text = text.filter(~erased)
    typed = _typed(contract, text)
    rejects = _rejects(contract, text, typed)
    refused = _keys(contract, typed.filter(pl.col("row_number").is_in(rejects["row_number"].implode())))
    refused = refused.filter(~pl.col("record_key").str.contains("[\x00\ufffd]"))
    if rejects.height:
        typed = typed.join(rejects.select("row_number").unique(), on="row_number", how="anti", maintain_order="left")
    return Batch(typed, rejects, refused, raw.height, n_erased, holds_erased)


def _keys(contract: Contract, typed: pl.DataFrame) -> pl.DataFrame:
    return typed.select("row_number", pl.col(contract.key.name).cast(pl.String).alias("record_key")).drop_nulls()


def keys(contract: Contract, batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Row numbers and record keys of a whole delivery, refused rows included, as far as a key can be read."""
    for batch in parse(contract, batches, Drift()):
        yield pl.concat([_keys(contract, batch.typed), batch.refused])


def parse(contract: Contract, batches: Iterable[pl.DataFrame], drift: Drift, suppression: Suppression | None = None) -> Iterator[Batch]:
    """Type a whole delivery batch by batch; see :func:`parse_batch`."""
    offset = 0
    for raw in batches:
        if raw.columns:  # a table without a row still shows whether its columns are the agreed ones
            yield parse_batch(contract, raw, offset, drift, suppression)
            offset += raw.height
