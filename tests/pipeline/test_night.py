"""Nights from an agency's bytes to the pool, on real servers and a real database."""

import json

import pytest

from benchmarks.truth import evaluate, golden
from pipeline import nights, run
from sandbox import clock
from schemas.contract import stems
from tests import oracle
from warehouse import database, survivorship

pytestmark = pytest.mark.slow


def fingerprint(hub):
    return hub.command("fingerprint").stdout.strip()


def test_five_agencies_reach_the_pool_on_the_first_night(five_nights):
    first = five_nights.reports[1]
    assert {s: v["state"] for s, v in first.sources.items()} == dict.fromkeys(stems(), "ok")
    assert first.persons > 1000 and first.households > 500


@pytest.mark.parametrize("number", range(1, 6))
def test_books_balance_every_night(five_nights, number):
    for stem, books in five_nights.reports[number].sources.items():
        parts = sum(books[k] for k in ("rejected", "quarantined", "unchanged", "inserted", "updated", "past"))
        assert books["delivered"] == parts, stem


def test_running_a_night_again_changes_nothing(five_nights):
    before = fingerprint(five_nights)
    again = five_nights.command("night", "--date", "2026-03-05", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["fingerprint"] == before == fingerprint(five_nights)


def test_persons_and_households_agree_with_the_truth(five_nights):
    scores = evaluate(five_nights.settings)
    assert scores["persons"]["precision"] >= 0.999
    assert scores["persons"]["recall"] >= 0.95
    assert scores["registered"]["f1"] >= 0.9
    assert scores["living"]["f1"] >= 0.9


def test_by_the_hubs_policy_more_golden_values_are_right_than_by_the_one_before(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        shipped, former = (a.policy for a in survivorship.adoptions(connection))
    right, before = golden(five_nights.settings, shipped), golden(five_nights.settings, former)
    assert all(right[name] >= before[name] for name in survivorship.COLUMNS), (before, right)
    assert all(right[name] > before[name] for name in ("resident_id", "birth_date", "address")), (before, right)


def test_a_monthly_source_is_not_due_on_other_days(five_nights):
    assert five_nights.reports[2].sources["disability"]["state"] == "not_due"


@pytest.mark.parametrize("number", range(1, 6))
def test_a_past_night_run_again_changes_nothing(five_nights, number):
    before = fingerprint(five_nights)
    day = clock.date_of(five_nights.settings, number)
    again = run.run(five_nights.settings, nights.open_night(five_nights.settings, day=day))
    oracle.same_fingerprint(again.fingerprint, five_nights.fingerprint(), before)
    assert again.sources == five_nights.reports[number].sources
