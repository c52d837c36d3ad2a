"""Deliveries of a few rows: held when chance does not explain what is wrong with them, and not otherwise."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.rules import Circumstances, Rule, rules
from tests.expectations.conftest import STEMS, Desk, recorded

DAY = date(2026, 3, 2)
each_agency = pytest.mark.parametrize("stem", STEMS)


def agree(stem: str = STEMS[0], rows: int = 10) -> Rule:
    """The rule that identity numbers and birth dates agree."""
    found = rules(recorded(stem).contract, Circumstances(DAY, DAY, "delta"), rows)
    return next(r for r in found if r.rule_id == "identity_columns_agree")


AGREE = agree()


@pytest.mark.parametrize(
    ("rows", "failing", "is_explained"),
    [
        (0, 0, True), (1, 1, True), (2, 2, True), (3, 3, True), (4, 3, True), (4, 4, False), (5, 4, True), (5, 5, False), (10, 1, True), (10, 5, True),
        (10, 7, False), (27, 27, False), (27, 6, True), (49, 10, True), (49, 20, False), (1000, 100, True), (1000, 200, False),
        (1_000_000, 200_000, False), (1_000_000, 100_000, True),
    ],
)  # fmt: skip
def test_of_four_rows_all_four_are_no_chance_and_of_ten_one_always_is(rows: int, failing: int, is_explained: bool) -> None:
    assert AGREE.is_explained_by_chance(rows, failing) is is_explained


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_one_more_failing_row_never_makes_a_delivery_more_credible(case: tuple[int, int]) -> None:
    rows, failing = case
    assert AGREE.is_explained_by_chance(rows, failing) or not AGREE.is_explained_by_chance(rows, failing + 1)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_one_more_good_row_never_makes_a_delivery_less_credible(case: tuple[int, int]) -> None:
    rows, failing = case
    assert not AGREE.is_explained_by_chance(rows, failing) or AGREE.is_explained_by_chance(rows + 1, failing)


@given(st.integers(1, 5_000_000))
def test_what_is_ordinary_is_never_held_for(rows: int) -> None:
    assert AGREE.ordinary_share is not None
    assert AGREE.is_explained_by_chance(rows, int(rows * AGREE.ordinary_share))


@given(st.integers(151, 5_000_000))
def test_of_many_rows_the_share_alone_decides(rows: int) -> None:
    beyond = int(rows * 0.2) + 1
    assert not AGREE.is_explained_by_chance(rows, beyond)


@pytest.mark.slow
@each_agency
@pytest.mark.parametrize(("rows", "is_held"), [(4, False), (5, True), (30, True)])  # the last row of a shifted column has no number
def test_a_nights_few_rows_with_a_column_shifted_are_held_from_five_on(desk: Desk, stem: str, rows: int, is_held: bool) -> None:
    delivery = recorded(stem)
    number = delivery.contract.by_concept("person.resident_id").physical_name  # type: ignore[union-attr]
    good = delivery.good(copies=12).filter(pl.col(number).str.len_chars() == 18).head(rows)
    assert desk.judge(delivery.contract, good, scope="delta").state == "accepted"
    verdict = desk.judge(delivery.contract, good.with_columns(pl.col(number).shift(-1)), scope="delta")
    assert ({r.rule_id for r in verdict.reasons} >= {"identity_columns_agree"}) is is_held


@pytest.mark.slow
@each_agency
@pytest.mark.parametrize(("rows", "is_held"), [(9, False), (10, True)])
def test_ten_rows_are_not_all_of_one_day_and_a_persons_own_few_may_be(desk: Desk, stem: str, rows: int, is_held: bool) -> None:
    delivery = recorded(stem)
    (row,) = delivery.good().head(1).to_dicts()
    key = delivery.contract.key.physical_name
    same = pl.DataFrame([{**row, key: f"{row[key]}-{n}"} for n in range(rows)], schema=delivery.raw.schema)
    assert {r.rule_id for r in desk.judge(delivery.contract, same, scope="delta").reasons} == ({"birth_dates_differ"} if is_held else set())
