"""The gate: each rule is broken by the row made to break it and by no good one; bad deliveries are held."""

import importlib
from collections import Counter
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from expectations.gate import Verdict
from expectations.rules import Circumstances, rules
from hub.errors import ServiceError
from schemas.contract import Field
from tests.expectations.conftest import NIGHT, STEMS, Desk, recorded

pytestmark = pytest.mark.slow
each_agency = pytest.mark.parametrize("stem", STEMS)


def row_rules(stem: str, rows: int) -> list[Any]:
    contract = recorded(stem).contract
    return [r for r in rules(contract, Circumstances(NIGHT, NIGHT, "full"), rows) if r.level == "row"]


def held_for(verdict: Verdict) -> set[str]:
    return {r.rule_id for r in verdict.reasons}


@each_agency
def test_recorded_delivery_is_accepted_and_its_bad_rows_are_named(desk: Desk, stem: str) -> None:
    delivery = recorded(stem)
    batch = desk.stage(delivery.contract, delivery.raw)
    verdict = desk.judge(delivery.contract, delivery.raw)
    assert batch.rows == delivery.expected["rows"]
    assert Counter(batch.rejects["rule_id"].to_list()) == delivery.expected["rejected"]
    assert verdict.state == "accepted", held_for(verdict)
    assert {r.rule_id: len(desk.failing(delivery.contract, r)) for r in verdict.failing} == delivery.expected["quarantined"]


@each_agency
def test_each_cross_field_rule_is_broken_by_its_bad_row_alone(desk: Desk, stem: str) -> None:
    delivery = recorded(stem)
    row = delivery.good().to_dicts()[0]
    raw = [delivery.changed(row, case[kind]) for case in delivery.cases for kind in ("breaks", "keeps")]
    verdict = desk.judge(delivery.contract, pl.DataFrame(raw, schema=delivery.raw.schema))
    by_rule = {r.rule_id: r for r in row_rules(stem, len(raw))}
    counted = {r.rule_id: r.unexpected for r in verdict.results if r.level == "row"}
    for n, case in enumerate(delivery.cases):
        failing = desk.failing(delivery.contract, by_rule[case["rule"]])
        assert 2 * n + 1 in failing, f"{case['rule']} does not see the row that breaks it"
        assert 2 * n + 2 not in failing, f"{case['rule']} blames the row that keeps it"
        assert counted[case["rule"]] == len(failing), "Great Expectations and the pointers disagree"


@each_agency
def test_every_cross_field_rule_has_a_case(stem: str) -> None:
    written = {r.rule_id for r in importlib.import_module(f"expectations.{stem}").RULES}
    assert written == {case["rule"] for case in recorded(stem).cases}


def spoiled(spec: Field) -> dict[str, Any]:
    """Values that break the rules derived from one field, by the rule's ending."""
    found: dict[str, Any] = {}
    if spec.required and not spec.is_key:
        found["required"] = None
    if spec.code_set:
        found["code"] = "~"
    if spec.max_length:
        found["length"] = "9" * (spec.max_length + 1)
    if spec.pattern:
        found["pattern"] = "~"
    if spec.maximum is not None:
        found["range"] = str(int(spec.maximum) + 1)
    if spec.concept in ("person.birth_date", "person.death_date"):
        found["plausible"] = "1850-01-01"
    return found


@each_agency
def test_each_rule_derived_from_the_contract_sees_the_row_made_to_break_it(desk: Desk, stem: str) -> None:
    delivery = recorded(stem)
    row = delivery.good().to_dicts()[0]
    made = [(f"{spec.name}_{kind}", spec.name, value) for spec in delivery.contract.fields for kind, value in spoiled(spec).items()]
    raw = [row, *(delivery.changed(row, {name: value}) for _, name, value in made)]
    verdict = desk.judge(delivery.contract, pl.DataFrame(raw, schema=delivery.raw.schema))
    counted = {r.rule_id: r.unexpected for r in verdict.results if r.level == "row"}
    by_rule = {r.rule_id: r for r in row_rules(stem, len(raw))}
    for number, (rule_id, _, _) in enumerate(made, start=2):
        failing = desk.failing(delivery.contract, by_rule[rule_id])
        assert number in failing, f"{rule_id} does not see the row that breaks it"
        assert 1 not in failing, f"{rule_id} blames a good row"
    for rule_id, rule in by_rule.items():
        assert counted[rule_id] == len(desk.failing(delivery.contract, rule)), f"{rule_id}: counts and pointers disagree"


@each_agency
def test_good_rows_pass_every_rule(desk: Desk, stem: str) -> None:
    delivery = recorded(stem)
    good = delivery.good(copies=12)
    verdict = desk.judge(delivery.contract, good, recent_volumes=(good.height, good.height - 10, good.height + 5))
    assert verdict.state == "accepted"
    assert [r.rule_id for r in verdict.results if not r.passed and r.severity != "warning"] == []


@pytest.mark.parametrize(
    ("defect", "reason"),
    [
        ("rows_minus_40_percent", "volume"),
        ("empty_column", "name_required_drift"),
        ("keys_repeated", "keys_unique"),
        ("birth_dates_equal", "birth_dates_differ"),
        ("identity_numbers_shifted", "identity_columns_agree"),
        ("new_code", "sex_code_drift"),
        ("identity_numbers_gone", "resident_id_known"),
        ("stale", "fresh"),
        ("of_the_future", "fresh"),
        ("township_missing", "townships_complete"),
    ],
)
def test_a_bad_delivery_is_held(desk: Desk, defect: str, reason: str) -> None:
    delivery = recorded(STEMS[len(defect) % len(STEMS)])  # the guards are the same for all: one agency a defect
    contract, good = delivery.contract, delivery.good(copies=12)
    header = {c: contract.by_concept(f"person.{c}").physical_name for c in ("name", "sex", "birth_date", "resident_id")}  # type: ignore[union-attr]
    place = pl.int_range(pl.len())
    now: dict[str, Any] = {"recent_volumes": (good.height,) * 5}
    match defect:
        case "rows_minus_40_percent":
            good = good.head(good.height * 6 // 10)
        case "empty_column":
            good = good.with_columns(pl.when(place % 2 == 0).then(pl.col(header["name"])))
        case "keys_repeated":
            good = pl.concat([good, good.head(good.height // 20)])
        case "birth_dates_equal":
            good = good.with_columns(pl.lit("19900505").alias(header["birth_date"]))
        case "identity_numbers_shifted":
            good = good.with_columns(pl.col(header["resident_id"]).shift(-1))
        case "new_code":
            good = good.with_columns(pl.when(place % 10 == 0).then(pl.lit("X7")).otherwise(header["sex"]).alias(header["sex"]))
        case "identity_numbers_gone":
            good = good.with_columns(pl.when(place % 2 == 0).then(pl.col(header["resident_id"])))
        case "stale":
            now["as_of_date"] = NIGHT - timedelta(days=30)
        case "of_the_future":
            now["as_of_date"] = date(2027, 1, 1)
        case "township_missing":
            now["missing_areas"] = 1
    verdict = desk.judge(contract, good, **now)
    assert verdict.state == "held"
    assert any(reason in rule_id for rule_id in held_for(verdict)), held_for(verdict)


@each_agency
def test_an_empty_delta_is_a_quiet_night(desk: Desk, stem: str) -> None:
    delivery = recorded(stem)
    verdict = desk.judge(delivery.contract, delivery.raw.head(0), scope="delta", recent_volumes=(20,) * 6)
    assert verdict.state == "accepted", held_for(verdict)


def test_a_server_that_goes_away_while_the_gate_judges_is_no_verdict(desk: Desk) -> None:
    """Held for every rule, it would be asked of the agency on as many tickets."""
    delivery = recorded("education")

    def end_session(conn: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        if conn.engine is not desk.engine and "count(" in statement.lower():
            with desk.engine.begin() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))

    sa.event.listen(sa.Engine, "before_cursor_execute", end_session)
    try:
        with pytest.raises(ServiceError, match="went away while the gate judged"):
            desk.judge(delivery.contract, delivery.raw)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", end_session)
    assert desk.judge(delivery.contract, delivery.raw).state in ("accepted", "held")
