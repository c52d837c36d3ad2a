"""Nights from an agency's bytes to the pool, on real servers and a real database."""

import json
import re

import pytest
import sqlalchemy as sa

from benchmarks.truth import evaluate
from sandbox import agency, faults
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


# fault → (source, state it ends in); the pool must end as if nothing had happened once the source is mended.
STORIES = [
    ("down", "health", "failed"),
    ("unauthorized_once", "health", "ok"),
    ("token_expires", "health", "ok"),
    ("rate_limited", "health", "ok"),
    ("server_error_burst", "health", "ok"),
    ("error_in_200", "health", "failed"),
    ("html_login", "medical_insurance", "failed"),
    ("error_in_200", "medical_insurance", "failed"),
    ("total_disagrees", "medical_insurance", "failed"),
    ("truncated", "health", "failed"),
    ("wrong_checksum", "education", "failed"),
    ("encoding_utf8", "education", "failed"),
    ("renamed_column", "housing", "failed"),
    ("extra_column", "housing", "ok"),
]


@pytest.fixture(scope="module")
def patient(make_hub):
    hub = make_hub("patient")
    hub.night(1)
    hub.next_night = 2
    return hub


@pytest.mark.parametrize(("fault", "stem", "state"), STORIES)
def test_a_fault_ends_as_it_should_and_the_next_run_mends_it(patient, fault, stem, state):
    hub, number = patient, patient.next_night
    patient.next_night += 1
    faults.break_source(hub.settings, stem, fault)
    broken = hub.night(number, only=stem)
    faults.mend(hub.settings, stem)
    assert broken.sources[stem]["state"] == state, broken.sources[stem]
    assert hub.night(number, only=stem).sources[stem]["state"] == "ok"


def test_a_broken_source_does_not_stop_the_others(patient):
    hub, number = patient, len(STORIES) + 2
    patient.next_night = number + 1
    faults.break_source(hub.settings, "health", "down")
    broken = hub.night(number)
    faults.mend(hub.settings, "health")
    states = {stem: source["state"] for stem, source in broken.sources.items()}
    assert states.pop("health") == "failed"
    assert set(states.values()) <= {"ok", "not_due"}
    assert hub.night(number, only="health").sources["health"]["state"] == "ok"


def test_after_all_those_faults_the_pool_is_that_of_quiet_nights(patient, make_hub):
    quiet = make_hub("quiet")
    quiet.night(1)
    for number, (_, stem, _) in enumerate(STORIES, start=2):
        quiet.night(number, only=stem)
    quiet.night(len(STORIES) + 2)
    assert fingerprint(quiet) == fingerprint(patient)


HELD = ["rows_minus_40_percent", "equal_birth_dates", "shifted_column", "new_code", "township_missing"]


@pytest.mark.parametrize("fault", HELD)
def test_a_bad_full_delivery_is_held_and_the_last_good_one_stays(patient, fault):
    hub = patient
    before = fingerprint(hub)
    # night 32 is 1 April: health owes a full snapshot
    faults.break_source(hub.settings, "health", fault)
    held = hub.night(32, only="health")
    faults.mend(hub.settings, "health")
    assert held.sources["health"]["state"] == "held"
    assert fingerprint(hub) == before


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
