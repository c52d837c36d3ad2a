"""Nights from an agency's bytes to the pool, on real servers and a real database."""

import json
import re

import pytest
import sqlalchemy as sa

from benchmarks.truth import evaluate
from sandbox import agency
from schemas.contract import load_contracts, stems
from warehouse import database

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
        parts = sum(books[k] for k in ("rejected", "quarantined", "unchanged", "inserted", "updated"))
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


def test_a_monthly_source_is_not_due_on_other_days(five_nights):
    assert five_nights.reports[2].sources["disability"]["state"] == "not_due"


def test_killed_anywhere_and_run_again_gives_the_same_pool(five_nights, make_hub):
    hub = make_hub("killed")
    # a night takes some seconds; the kills fall into it wherever they fall
    for number, moments in enumerate([(2.5, 4.0, 5.5, 7.0), (3.0, 4.5), (3.5,)], start=1):
        day = f"2026-03-{number:02d}"
        for moment in moments:
            hub.killed_command("night", "--date", day, after_s=moment)
        done = hub.command("night", "--date", day, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["fingerprint"] == five_nights.reports[number].fingerprint


def test_no_person_in_logs_reports_or_the_ledger(five_nights):
    hub, contracts = five_nights, load_contracts()
    values: set[str] = set()
    for contract in contracts.values():
        frame = agency.snapshot(contract, 5, hub.settings)
        for concept in ("person.resident_id", "person.phone", "person.address"):
            if spec := contract.by_concept(concept):
                values |= set(frame[spec.physical_name].drop_nulls())
    text = "".join(p.read_text(errors="replace") for p in (hub.settings.home / "logs").glob("*.log"))
    with database.engine(hub.settings).connect() as connection:
        for table in ("landing.report", "landing.delivery", "ops.intake", "ops.night", 'quarantine."row"'):
            text += "".join(str(row) for row in connection.execute(sa.text(f"SELECT t::text FROM {table} t")))
    found = {v for v in values if len(v) >= 11 and v in text}
    assert not found, f"{len(found)} values of persons were found"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["night", "--date", "2026-02-30"], "not a date"),
        (["night", "--source", "police"], "no source"),
        (["person", "nobody"], "not an id"),
        (["sandbox", "break", "health", "--fault", "gremlins"], "no fault"),
        (["sandbox", "break", "health", "--fault", "control_missing"], "cannot have"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(five_nights, arguments, says):
    done = five_nights.command(*arguments)
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr
    assert len(re.findall("错误 / error", done.stderr)) == 1
