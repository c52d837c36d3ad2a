"""Run Great Expectations through SQL on a staged delivery, and turn what it finds into a verdict."""

import logging
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, Literal

import great_expectations as gx
from great_expectations.core import ExpectationSuite
from great_expectations.data_context import EphemeralDataContext
from great_expectations.datasource.fluent.interfaces import TestConnectionError

from expectations.rules import Circumstances, Condition, Dimension, Rule, rules
from expectations.turnover import Group, Kind
from hub.errors import ServiceError
from schemas.contract import Contract

# One data context serves a process, and it is not made for threads.
_one_at_a_time = threading.Lock()
# Counts without a single value: the shorter formats still carry examples.
_RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 0, "return_unexpected_index_query": False}
# An agency may deliver yesterday's state; older than this many days before the night is stale.
_STALE_DAYS = 7
_DRIFT = "_drift"


@dataclass(frozen=True)
class RuleResult:
    """What came of one rule; counts in rows, None = the rule does not count rows.

    Attributes:
        dimension: what of the data's quality the counts measure; None where they are another rule's once more.
    """

    rule_id: str
    level: str
    severity: str
    field: str | None
    title_zh: str
    title_en: str
    evaluated: int | None
    unexpected: int | None
    passed: bool
    dimension: Dimension | None = None

    @property
    def told(self) -> str:
        """The rule in both languages, with field and count where it has them."""
        counted = f"{self.unexpected} of {self.evaluated} rows" if self.unexpected is not None and self.evaluated is not None else ""
        pointer = ": ".join(part for part in (self.field, counted) if part)
        return f"{self.title_zh} / {self.title_en}" + (f" ({pointer})" if pointer else "")


@dataclass(frozen=True)
class Verdict:
    """The gate's decision on a delivery.

    Attributes:
        state: ``held`` if anything critical failed, else ``accepted``.
        results: one a rule.
        failing: row rules of severity error with failing rows: their rows, or the field alone, go to quarantine.
        conditions: rule → condition of the rows that break it, where rows are wrong by themselves.
    """

    state: Literal["accepted", "held"]
    results: tuple[RuleResult, ...]
    failing: tuple[Rule, ...]
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def reasons(self) -> tuple[RuleResult, ...]:
        """Why the delivery is held."""
        return tuple(r for r in self.results if not r.passed and r.severity == "critical")


_SQL = "great_expectations.execution_engine.sqlalchemy_execution_engine"
_TELLS_TRACEBACKS = (_SQL, "great_expectations.expectations.metrics.map_metric_provider.map_condition_auxilliary_methods")
# Errors that say something of the server and nothing of the rows.
_OF_THE_SERVER = ("OperationalError", "InterfaceError")


@cache
def _context(url: str) -> tuple[EphemeralDataContext, Any]:
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    for name in _TELLS_TRACEBACKS:  # they come back with the results
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="great_expectations")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    # Looked at before each use: the server may have gone away and come back since the last delivery.
    careful = {"pool_pre_ping": True, "hide_parameters": True}
    return context, context.data_sources.add_postgres(name="warehouse", connection_string=url, kwargs=careful)  # type: ignore[call-arg]


def _evaluate(found: Sequence[Rule], url: str, schema: str, table: str) -> list[Any]:
    _, source = _context(url)
    name = f"{schema}.{table}"
    try:
        asset = source.add_table_asset(name=name, table_name=table, schema_name=schema)
    except TestConnectionError:
        raise _gone("the gate does not reach PostgreSQL") from None
    try:
        batch = asset.add_batch_definition_whole_table("all").get_batch()
        suite = ExpectationSuite(name=name, expectations=[r.expectation.copy(update={"meta": {"rule": r.rule_id}}) for r in found])
        # Not by a validation definition: it keeps suite, definition and results in stores of its own, and nobody reads them there.
        outcome = batch.validate(suite, result_format=_RESULT_FORMAT)
        if any(name in told for r in outcome.results for told in _raised(r) for name in _OF_THE_SERVER):
            raise _gone("PostgreSQL went away while the gate judged")
        by_rule = {r.expectation_config.meta["rule"]: r for r in outcome.results if r.expectation_config}
        return [by_rule[r.rule_id] for r in found]
    finally:
        source.delete_asset(name)


def _gone(what: str) -> ServiceError:
    return ServiceError(what, where="warehouse", next_step="see `hub services`; running the same again is harmless")


def _raised(outcome: Any) -> list[str]:
    """Tracebacks of what went wrong where a rule could not be judged; none where it was."""
    told = outcome.exception_info or {}
    each = [told, *(e for e in told.values() if isinstance(e, dict))]  # of the rule, or of each metric it needs
    return [f"{e.get('exception_traceback')} {e.get('exception_message')}" for e in each if e.get("raised_exception")]


def _result(rule: Rule, outcome: Any) -> list[RuleResult]:
    found = outcome.result
    unexpected, evaluated = found.get("unexpected_count"), found.get("element_count")
    if unexpected is None and rule.fails is not None:
        unexpected = 0  # no row meets the rule's condition
    raised = bool(_raised(outcome))
    severity = "critical" if raised else rule.severity  # a rule that could not be judged has not been passed
    is_met = bool(outcome.success)
    if not is_met and not raised and rule.ordinary_share is not None:
        is_met = rule.is_explained_by_chance(evaluated - found.get("missing_count", 0), unexpected)
    main = RuleResult(
        rule.rule_id, rule.level, severity, rule.field, rule.title_zh, rule.title_en, evaluated, unexpected, is_met and not raised, rule.dimension,
    )  # fmt: skip
    if rule.drift_share is None or not unexpected or not evaluated:
        return [main]
    drift = RuleResult(
        f"{rule.rule_id}{_DRIFT}", "delivery", "critical", rule.field, f"{rule.title_zh}：不符比例低于{rule.drift_share:.0%}",
        f"{rule.title_en}: fewer than {rule.drift_share:.0%} fail", evaluated, unexpected, unexpected < rule.drift_share * evaluated,
    )  # fmt: skip
    return [main, drift]


_WITHDRAWALS = {
    Kind.ALL: ("撤回的主键不多于往常", "no more keys are withdrawn than usual"),
    Kind.TOWNSHIP: ("各乡镇撤回的主键不多于往常", "no township has more keys withdrawn than usual"),
    Kind.RANGE: ("各主键区段撤回的主键不多于往常", "no range of keys has more withdrawn than usual"),
}


def _withdrawals(groups: Sequence[Group]) -> list[RuleResult]:
    found = []
    for kind, (zh, en) in _WITHDRAWALS.items():
        beyond = [group for group in groups if group.kind is kind and group.is_beyond]
        if beyond:
            told = f"{sum(g.absent for g in beyond)} / {sum(g.held for g in beyond)}"
            zh, en = f"{zh}（{told}）", f"{en} ({told})"
        result = RuleResult(f"withdrawals_{kind}", "delivery", "critical", None, zh, en, None, len(beyond), not beyond)
        found.append(result)
    return found


def _circumstantial(now: Circumstances) -> list[RuleResult]:
    age = now.business_date - now.as_of_date
    fresh = timedelta(days=-1) <= age <= timedelta(days=_STALE_DAYS)
    found = [
        RuleResult(
            "fresh",
            "delivery",
            "critical",
            None,
            f"数据截至日期不早于{_STALE_DAYS}天",
            f"as of at most {_STALE_DAYS} days ago",
            None,
            None,
            fresh,
        )
    ]
    if now.scope == "full":
        found.append(
            RuleResult("townships_complete", "delivery", "critical", None, "各乡镇均有数据", "no township is missing", None,
                       now.missing_areas, now.missing_areas == 0)
        )  # fmt: skip
        found += _withdrawals(now.withdrawals)
    found += [
        RuleResult(f"notice_{i}", "delivery", "warning", None, zh, en, None, None, False) for i, (zh, en) in enumerate(now.notices, 1)
    ]
    return found


def judge(contract: Contract, now: Circumstances, *, url: str, schema: str, table: str, rows: int) -> Verdict:
    """Judge a staged delivery.

    Args:
        contract: the rules' source.
        now: what the delivery is judged against.
        url: address of the warehouse.
        schema: of the staging table.
        table: the staging table.
        rows: typed rows in it.
    """
    found = rules(contract, now, rows)
    with _one_at_a_time:
        outcomes = _evaluate(found, url, schema, table)
    results = [r for rule, outcome in zip(found, outcomes, strict=True) for r in _result(rule, outcome)]
    results += _circumstantial(now)
    failing = tuple(
        rule for rule, outcome in zip(found, outcomes, strict=True)
        if rule.level == "row" and rule.severity == "error" and outcome.result.get("unexpected_count")
    )  # fmt: skip
    is_held = any(not r.passed and r.severity == "critical" for r in results)
    conditions = {name: r.fails for r in found if r.fails for name in (r.rule_id, f"{r.rule_id}{_DRIFT}")}
    return Verdict("held" if is_held else "accepted", tuple(results), failing, conditions)
