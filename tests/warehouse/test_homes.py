"""Households of another day are those a night would make of the records valid on it."""

import random
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from identity import following, households
from tests.warehouse.test_random_nights import SHIPPED, opened, publish
from warehouse import database, homes, identity_pool, ledger

pytestmark = pytest.mark.slow
__all__ = ["opened"]  # a fixture
FIRST = date(2026, 3, 1)
COLUMNS = "kind, person_id::text, household_id::text, relation, stem, evidence"


@pytest.fixture
def pool(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def rule(five_nights):
    return homes.Rule(households.resolve, following.follow, following.STEPS, five_nights.settings.pool_id)


def stood(pool, number):
    """The memberships that a night stored, whoever has been moved since."""
    rows = pool.execute(sa.text(f"SELECT {COLUMNS} FROM history.household_members_known({number})"))
    return {(r.kind, r.person_id): tuple(r) for r in rows}


def made(rows):
    return {(r["kind"], r["person_id"]): tuple(r.values()) for r in rows}


@pytest.mark.parametrize("night", [1, 2, 3, 4, 5])
def test_made_anew_for_everybody_they_are_what_each_night_stored(pool, rule, night):
    stored = stood(pool, night)
    everybody = sorted({person for _, person in stored})
    assert made(homes.of_persons(pool, rule, FIRST + timedelta(days=night - 1), night, everybody)) == stored and len(stored) > 1000


@pytest.mark.parametrize("night", [1, 3])
def test_made_for_a_person_alone_they_are_the_same(pool, rule, night):
    stored = stood(pool, night)
    everybody = sorted({person for _, person in stored})
    changed = list(pool.scalars(sa.text("SELECT DISTINCT person_id::text FROM history.household_member ORDER BY 1 LIMIT 15")))
    for person in [*changed, *random.Random(night).sample(everybody, 15)]:
        found = made(homes.of_persons(pool, rule, FIRST + timedelta(days=night - 1), night, [person]))
        assert found == {k: v for k, v in stored.items() if k[1] == person}


def test_made_for_a_household_its_members_are_all_and_no_others(pool, rule):
    stored = stood(pool, 2)
    ids = sorted({home for _, _, home, *_ in stored.values()})
    moved = list(
        pool.scalars(sa.text("SELECT DISTINCT row ->> 'household_id' FROM history.household_member WHERE row IS NOT NULL LIMIT 10"))
    )
    for home in [*moved, *random.Random(1).sample(ids, 10)]:
        found = made(homes.members(pool, rule, FIRST + timedelta(days=1), 2, home))
        assert found == {k: v for k, v in stored.items() if v[2] == home}


def test_a_judgement_is_known_in_the_publications_that_heeded_it(opened, five_nights):
    pool_id = five_nights.settings.pool_id
    a, b = opened.execute(sa.text("SELECT min(record_id::text), max(record_id::text) FROM identity.record")).one()
    say = "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason) VALUES (:a, :b, 'cannot', 'x', 'y') RETURNING judgement_id"
    made = opened.execute(sa.text(say), {"a": a, "b": b}).scalar()
    numbers = []
    for retracted in (None, made, None):
        if retracted is not None:
            opened.execute(sa.text("INSERT INTO identity.retraction VALUES (:id, 'x', 'y')"), {"id": retracted})
        opened.execute(sa.text("DISCARD TEMP"))
        identity_pool.collect(opened, [])
        publish(opened, pool_id, SHIPPED)
        numbers.append(ledger.publication(opened))
    heeded = [opened.scalar(sa.text(f"SELECT count(*) FROM history.judgements_known({n})")) for n in [numbers[0] - 1, *numbers]]
    assert heeded == [0, 1, 0, 0]
