"""Whoever is not noted has on a past day the households that its night stored: nothing that was learnt since says otherwise."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from identity import following
from pipeline import identify, rulings
from schemas.contract import load_contract
from tests.warehouse.test_random_nights import SHIPPED, opened, publish
from warehouse import hindsight, homes, identity_pool, landing, ledger, past

pytestmark = pytest.mark.slow
__all__ = ["opened"]  # a fixture
FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(4)]
COLUMNS = "kind, person_id::text, household_id::text, relation, stem, evidence"


def noted(connection, night):
    """Persons noted since a night; None among them = everybody."""
    query = "SELECT person_id::text FROM history.hindsight WHERE publication > :night"
    return set(connection.scalars(sa.text(query), {"night": night}))


def held_against_all(connection, rule):
    """Every person of every past day: those not noted have what the night stored. How many were noted, not noted, and noted with other households."""
    counted = [0, 0, 0]
    for day in DAYS:
        at = past.moment(connection, as_of=day, known_at=None)
        stored, anew = {}, {}
        everybody = list(connection.scalars(sa.text("SELECT person_id::text FROM core.person")))
        for row in connection.execute(sa.text(f"SELECT {COLUMNS} FROM history.household_members_known({at.night})")):
            stored.setdefault(row.person_id, set()).add(tuple(row))
        for home in homes.of_persons(connection, rule, day, at.number, everybody):
            anew.setdefault(home["person_id"], set()).add(tuple(home.values()))
        whom = noted(connection, at.night)
        for person in everybody:
            is_noted, is_other = person in whom or None in whom, stored.get(person) != anew.get(person)
            assert is_noted or not is_other, f"{day}: a person who is not noted had other households"
            counted[0 if is_noted else 1] += 1
            counted[2] += is_noted and is_other
    return counted


@pytest.fixture
def rule(five_nights):
    return identify.homes_rule(five_nights.settings.pool_id)


def heed(connection, pool_id):
    """Publish what was said, in a night in which nothing came."""
    connection.execute(sa.text("DISCARD TEMP"))
    identity_pool.collect(connection, [])
    publish(connection, pool_id, SHIPPED)


def test_ordinary_nights_say_little_of_the_past(opened, rule):
    many, others, _ = held_against_all(opened, rule)
    assert others > 5 * many, "most are not noted"


def without(connection, hub, day):
    """Take the delivery of a day of the medical insurance out of the pool."""
    out = next(d for d in landing.deliveries(connection, stem="medical_insurance") if d.as_of_date == day)
    connection.execute(sa.text("DISCARD TEMP"))
    rulings.take_out(connection, hub.settings, out, load_contract("medical_insurance"))
    ledger.publish(connection, DAYS[-1] + timedelta(days=1), persons=0, households=0, cause="withdrawal")


def test_a_full_delivery_withdrawn_changes_with_whom_people_lived_and_they_are_noted(opened, five_nights, rule):
    without(opened, five_nights, DAYS[0])
    _, _, changed = held_against_all(opened, rule)
    assert changed > 50


def test_a_delta_withdrawn_and_persons_said_to_be_one_are_noted_and_few_others(opened, five_nights, rule):
    without(opened, five_nights, DAYS[2])
    many, others, _ = held_against_all(opened, rule)
    assert others > many > 0
    pair = "SELECT min(record_id::text), max(record_id::text) FROM identity.record WHERE stem = 'medical_insurance'"
    a, b = opened.execute(sa.text(pair)).one()
    say = "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason) VALUES (:a, :b, 'must', 'x', 'y') RETURNING judgement_id"
    said = opened.execute(sa.text(say), {"a": a, "b": b}).scalar()
    heed(opened, five_nights.settings.pool_id)
    both = set(opened.scalars(sa.text("SELECT person_id::text FROM identity.link WHERE record_id IN (:a, :b)"), {"a": a, "b": b}))
    assert both <= noted(opened, ledger.publication(opened) - 1)
    held_against_all(opened, rule)
    opened.execute(sa.text("INSERT INTO identity.retraction VALUES (:id, 'x', 'y')"), {"id": said})
    heed(opened, five_nights.settings.pool_id)
    held_against_all(opened, rule)


def test_it_looks_twice_as_far_as_a_household_reaches():
    assert hindsight.STEPS == 2 * following.STEPS


def test_where_much_is_learnt_everybody_is_noted_by_one_row(opened, monkeypatch):
    monkeypatch.setattr(hindsight, "_FEW", 0)
    monkeypatch.setattr(hindsight, "_SHARE", 0.0)
    record = opened.scalar(sa.text("SELECT record_id::text FROM identity.record ORDER BY record_id LIMIT 1"))
    number = ledger.publication(opened) + 1
    opened.execute(sa.text(
        "INSERT INTO history.record_revised SELECT record_id, stem, record_key, daterange('2026-03-01', '2026-03-02'), false, gen_random_uuid(), '{}',"
        " '{}', '2026-03-01', gen_random_uuid(), :n, int8range(1, :n) FROM identity.record WHERE record_id = CAST(:record AS uuid)"),
        {"n": number, "record": record},
    )  # fmt: skip
    assert hindsight.note(opened, number, DAYS[-1]) == 1 and noted(opened, number - 1) == {None}
    nobody = "00000000-0000-7000-8000-000000000000"
    assert hindsight.concerned(opened, [nobody], number - 1, number) == {nobody} and not hindsight.concerned(
        opened, [nobody], number, number
    )


def test_a_household_is_told_of_a_day_as_when_it_is_made_anew(opened, five_nights, rule, monkeypatch):
    without(opened, five_nights, DAYS[2])
    ids = list(opened.scalars(sa.text("SELECT household_id::text FROM core.household ORDER BY household_id")))[::20]
    ids += list(
        opened.scalars(sa.text("SELECT DISTINCT row ->> 'household_id' FROM history.household_member WHERE row IS NOT NULL LIMIT 12"))
    )
    told = {}
    for is_looked_up in (True, False):
        if not is_looked_up:
            monkeypatch.setattr(hindsight, "concerned", lambda _connection, persons, *_: set(persons))
        for day in DAYS[1:3]:
            at = past.moment(opened, as_of=day, known_at=None)
            for home in ids:
                try:
                    told.setdefault((home, day), []).append(past.household(opened, home, at, rule))
                except ConfigError as none:
                    told.setdefault((home, day), []).append(str(none))
    assert all(one == other for one, other in told.values()) and len(told) > 60
    assert sum(isinstance(one, dict) for one, _ in told.values()) > 40
