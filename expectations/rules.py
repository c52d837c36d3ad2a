"""The rules of a source: derived from its contract, and the cross-field rules of its own module."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

import great_expectations.expectations as gxe
import sqlalchemy as sa
from great_expectations.expectations.expectation import Expectation

from expectations.turnover import Group
from schemas.codes import load_code_set
from schemas.contract import Contract, Field, Level, Quality, Severity

_OLDEST_BIRTH = date(1900, 1, 1)
# Above this share of unknown values a code set has changed, and it is no longer about single rows.
CODE_DRIFT_SHARE = 0.05
# Share of valid identity numbers that hold the row's birth date in any delivery whose columns are in their places.
_AGREEING_SHARE = 0.8
# Of agencies whose columns are in their places up to a tenth of the numbers hold another day: the parents' number, the lunar birthday.
_ORDINARY_SHARE = 0.1
# Five agencies deliver some 1 800 times a year: one of their good deliveries is held in three years.
_CHANCE = 1 / 5000
# So many birth dates are always among as many rows. Among fewer rows they may be of few persons: twins, several rows of one.
_FEWEST_BIRTH_DATES, _MANY_ROWS, _SOME_ROWS = 20, 50, 10
Condition = Callable[[Any], sa.ColumnElement[bool]]
# 完整性, 规范性, 一致性
Dimension = Literal["completeness", "validity", "consistency"]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        level: ``row`` quarantines the rows that break it, ``delivery`` is about all rows together.
        severity: critical holds the delivery, error quarantines rows, warning only counts.
        expectation: what Great Expectations evaluates.
        fails: condition of the rows that break it, for the pointers; None where no row is wrong by itself.
        drift_share: above this share of failing rows the delivery is held although the rule is on rows; None = never.
        holds_field: a failing row is let in without the field: nothing but the field itself hangs on it.
        dimension: what of the data's quality it measures, named as in GB/T 36344-2018; None = nothing a scorecard counts.
        ordinary_share: of the rows that is wrong in a good delivery. The rule passes as long as chance explains the failing rows; None = not asked.
    """

    rule_id: str
    level: Level
    severity: Severity
    field: str | None
    title_zh: str
    title_en: str
    expectation: Expectation
    fails: Condition | None = None
    drift_share: float | None = None
    holds_field: bool = False
    dimension: Dimension | None = "consistency"
    ordinary_share: float | None = None

    def is_explained_by_chance(self, rows: int, failing: int) -> bool:
        """Whether so many of so many rows, or more, fail in more than one in 5000 good deliveries (one-sided binomial test)."""
        if self.ordinary_share is None:
            return failing == 0
        # Here, because hardly any delivery has so many failing rows that it must be asked.
        from scipy.special import bdtrc

        return failing == 0 or float(bdtrc(failing - 1, rows, self.ordinary_share)) > _CHANCE


@dataclass(frozen=True)
class Circumstances:
    """What a delivery is judged against, beside its rows.

    Attributes:
        business_date: the night.
        as_of_date: the date the agency says its data is of.
        scope: full or delta.
        recent_volumes: rows of recent good deliveries of the same scope, newest first.
        missing_areas: townships that the pool knows from this source and a full delivery lacks.
        notices: what differs from the contract without breaking it, each in Chinese and English.
        withdrawals: what a full delivery would withdraw, by group of keys.
    """

    business_date: date
    as_of_date: date
    scope: Literal["full", "delta"]
    recent_volumes: tuple[int, ...] = ()
    missing_areas: int = 0
    notices: tuple[tuple[str, str], ...] = field(default=())
    withdrawals: tuple[Group, ...] = ()


def _column(name: str) -> Callable[[Any], Any]:
    return lambda table: table.c[name]


def _stands_alone(spec: Field) -> bool:
    """Whether a row means the same without the field: it may be missing, and neither identity nor household hangs on it."""
    return not spec.required and not spec.is_key and (spec.concept is None or not spec.concept.startswith(("household.", "record.")))


def _row_rules(spec: Field, business_date: date) -> list[Rule]:
    col, name, found = _column(spec.name), spec.name, []
    if spec.required:
        found.append(
            Rule(f"{name}_required", "row", "error", name, f"{spec.title_zh}不能为空", f"{spec.title_en} is present",
                 gxe.ExpectColumnValuesToNotBeNull(column=name), lambda t: col(t).is_(None), drift_share=0.2, dimension="completeness")
        )  # fmt: skip
    if spec.code_set:
        codes = sorted(load_code_set(spec.code_set))
        found.append(
            Rule(f"{name}_code", "row", "error", name, f"{spec.title_zh}属于约定代码", f"{spec.title_en} is an agreed code",
                 gxe.ExpectColumnValuesToBeInSet(column=name, value_set=codes), lambda t: col(t).not_in(codes),
                 drift_share=CODE_DRIFT_SHARE, holds_field=_stands_alone(spec), dimension="validity")
        )  # fmt: skip
    if spec.max_length:
        limit = spec.max_length
        found.append(
            Rule(f"{name}_length", "row", "error", name, f"{spec.title_zh}不超过{limit}字", f"{spec.title_en} has at most {limit} characters",
                 gxe.ExpectColumnValueLengthsToBeBetween(column=name, max_value=limit), lambda t: sa.func.length(col(t)) > limit, dimension="validity")
        )  # fmt: skip
    if spec.pattern:
        pattern = spec.pattern
        found.append(
            Rule(
                f"{name}_pattern",
                "row",
                "error",
                name,
                f"{spec.title_zh}符合约定格式",
                f"{spec.title_en} has the agreed form",
                gxe.ExpectColumnValuesToMatchRegex(column=name, regex=pattern),
                lambda t: sa.not_(col(t).regexp_match(pattern)),
                drift_share=0.2,
                dimension="validity",
            )
        )
    if spec.minimum is not None or spec.maximum is not None:
        low, high = spec.minimum, spec.maximum
        found.append(
            Rule(f"{name}_range", "row", "error", name, f"{spec.title_zh}在合理范围", f"{spec.title_en} is within {low}…{high}",
                 gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high),
                 lambda t: sa.or_(*([col(t) < low] if low is not None else []), *([col(t) > high] if high is not None else [])),
                 dimension="validity")
        )  # fmt: skip
    if spec.concept in ("person.birth_date", "person.death_date"):
        # a day of grace: the agency's clock may be ahead
        latest = business_date + timedelta(days=1)
        found.append(
            Rule(f"{name}_plausible", "row", "error", name, f"{spec.title_zh}合理", f"{spec.title_en} is possible",
                 gxe.ExpectColumnValuesToBeBetween(column=name, min_value=_OLDEST_BIRTH, max_value=latest),
                 lambda t: sa.or_(col(t) < _OLDEST_BIRTH, col(t) > latest), dimension="validity")
        )  # fmt: skip
    return found


def _quality(rule: Quality, contract: Contract) -> Rule | None:
    share = 1 - float(rule.threshold or 0) / 100
    if rule.metric in ("nullValues", "missingValues") and rule.field:
        return Rule(
            rule.rule_id,
            "delivery",
            rule.severity,
            rule.field,
            rule.title_zh,
            rule.title_en,
            gxe.ExpectColumnValuesToNotBeNull(column=rule.field, mostly=share),
            _missing(rule.field),
            dimension="completeness",
        )
    if rule.metric == "duplicateValues":
        return Rule(
            rule.rule_id,
            "delivery",
            rule.severity,
            rule.field,
            rule.title_zh,
            rule.title_en,
            gxe.ExpectColumnValuesToBeUnique(column=rule.field or contract.key.name, mostly=share),
            _repeated(rule.field or contract.key.name),
        )
    return None  # rowCount is judged with the recent nights in `_volume`


def _missing(name: str) -> Condition:
    return lambda t: t.c[name].is_(None)


def _repeated(name: str) -> Condition:
    return lambda t: t.c[name].in_(sa.select(t.c[name]).group_by(t.c[name]).having(sa.func.count() > 1).correlate(None))


def _volume(contract: Contract, now: Circumstances) -> Rule:
    """Row count against recent nights; a delta may be quiet, so only its upper bound counts."""
    low: int = 1 if now.scope == "full" else 0
    high: int | None = None
    limits = contract.delivery.volume
    recent = sorted(now.recent_volumes[: limits.recent_nights])
    if recent:
        median = recent[len(recent) // 2]
        if now.scope == "full":
            low, high = max(1, int(median * limits.minimum_ratio)), int(median * limits.maximum_ratio) + 10
        elif len(recent) >= 5:
            high = int(median * 20) + 1000
    return Rule(
        "volume", "delivery", "critical", None, f"记录数与近期相符（{low}–{high or '∞'}）", f"row count is like recent nights ({low}–{high or '∞'})",
        gxe.ExpectTableRowCountToBeBetween(min_value=low, max_value=high), dimension=None,
    )  # fmt: skip


def _fewest_birth_dates(rows: int) -> int:
    """How many different birth dates so many rows have at least."""
    if rows >= _MANY_ROWS:
        return max(_FEWEST_BIRTH_DATES, rows // 1000)
    return 2 if rows >= _SOME_ROWS else 0


def _distribution(contract: Contract, rows: int) -> list[Rule]:
    """Guards against a whole column gone wrong; of very few rows nobody can tell."""
    share = f"{_AGREEING_SHARE:.0%}"
    found = [
        Rule("identity_columns_agree", "delivery", "critical", None, f"证件号与出生日期一致率不低于{share}，或不符之数可属偶然",
             f"at least {share.replace('%', ' %')} of valid identity numbers hold the row's birth date, or no more differ than chance explains",
             gxe.ExpectColumnPairValuesToBeEqual(column_A="_id_birth_date", column_B="_birth_date", mostly=_AGREEING_SHARE,
                                                 ignore_row_if="either_value_is_missing"),
             lambda t: t.c["_id_birth_date"] != t.c["_birth_date"], ordinary_share=_ORDINARY_SHARE)
    ]  # fmt: skip
    birth, fewest = contract.by_concept("person.birth_date"), _fewest_birth_dates(rows)
    if birth is not None and fewest:
        found.append(
            Rule("birth_dates_differ", "delivery", "critical", birth.name, "出生日期分布正常", "birth dates differ from each other",
                 gxe.ExpectColumnUniqueValueCountToBeBetween(column=birth.name, min_value=fewest), dimension=None)
        )  # fmt: skip
    return found


def rules(contract: Contract, now: Circumstances, rows: int) -> list[Rule]:
    """All rules of a source for one delivery of so many typed rows."""
    found = [_volume(contract, now)]
    found += [r for spec in contract.fields for r in _row_rules(spec, now.business_date)]
    qualities = [*contract.quality, *(q for spec in contract.fields for q in spec.quality)]
    found += [r for q in qualities if rows and (r := _quality(q, contract))]
    found += _distribution(contract, rows)
    found += importlib.import_module(f"expectations.{contract.stem}").RULES
    return found
