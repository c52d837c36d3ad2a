"""Golden values are a pure function of records and policy; the ledger of disagreement says what lost and why."""

import random
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from schemas.contract import stems
from schemas.survivorship import SHIPPED, Criterion, Rule, Survivorship, load
from tests.examples import examples
from tests.warehouse.test_random_nights import SHIPPED as SHIPPED_MODEL
from tests.warehouse.test_random_nights import UPHEAVAL, draw, opened, publish, settle
from warehouse import database, ledger, survivorship

pytestmark = pytest.mark.slow
__all__ = ["opened"]  # a fixture: a pool of five nights in a transaction that is taken back, blocks bounded so low that many are crossed
DAY = date(2026, 3, 1)
VALUES = ("a", "b", "c")

records = st.lists(
    st.fixed_dictionaries(
        {
            "person": st.integers(0, 2), "stem": st.sampled_from(stems()), "authority": st.sampled_from([10, 50, 60]),
            "days": st.integers(0, 2), "id_key": st.sampled_from([None, "n1", "n2"]), "name": st.sampled_from([None, *VALUES]),
            "phone": st.sampled_from([None, *VALUES]), "phone_key": st.sampled_from([None, "k1", "k2"]),
        }
    ),
    min_size=1, max_size=9,
)  # fmt: skip
criteria = st.lists(st.sampled_from(list(Criterion)), min_size=1, unique=True)
rules = st.builds(
    Rule,
    criteria=st.none() | criteria.map(tuple),
    authority=st.dictionaries(st.sampled_from(stems()), st.sampled_from([1, 55, 90]), max_size=3),
)
policies = st.builds(
    Survivorship, version=st.just(2), decided_date=st.just(DAY), criteria=criteria.map(tuple),
    attributes=st.dictionaries(st.sampled_from(["resident_id", "name", "phone"]), rules, max_size=3),
)  # fmt: skip


@pytest.fixture
def pool(five_nights):
    """The pool of five nights in a transaction that is taken back."""
    with database.engine(five_nights.settings).connect() as connection:
        connection.execute(sa.text("CREATE TEMP TABLE held AS SELECT record_id AS person_id, r.* FROM identity.record r WHERE false"))
        yield connection
        connection.rollback()


def filled(connection, rows):
    """Records 0, 1, 2 … in the order in which they are given."""
    connection.execute(sa.text("TRUNCATE held"))
    for n, row in rows:
        connection.execute(
            sa.text(
                "INSERT INTO held (person_id, record_id, stem, authority, as_of_date, id_key, name, phone, phone_key) VALUES"
                " (lpad(:person, 32, '0')::uuid, lpad(:n, 32, '0')::uuid, :stem, :authority, :day, :id_key, :name, :phone, :phone_key)"
            ),
            {**row, "n": str(n), "person": str(row["person"]), "day": DAY + timedelta(days=row["days"])},
        )


def made(connection, policy):
    query = f"SELECT r.person_id, {survivorship.golden(policy)} FROM {survivorship.placed(policy, 'held')} AS r GROUP BY r.person_id"
    return {int(str(r.person_id)[-1]): (r.resident_id, r.name, r.phone) for r in connection.execute(sa.text(query))}


def told(row, column):
    """What a record says, in whatever writing."""
    key = row.get(f"{column}_key")
    return row[column] if key is None else key


def expected(rows, policy):
    """The rule in words, without SQL: the best record that has a value, criterion by criterion, the oldest at last."""

    def golden(held, column, attribute):
        rule = policy.attributes.get(attribute)
        asked = rule.criteria if rule and rule.criteria else policy.criteria
        left = [(n, r) for n, r in held if r[column] is not None]
        for criterion in asked:
            scores = {
                n: {
                    "valid_number": r["id_key"] is not None, "authority": (rule.authority if rule else {}).get(r["stem"], r["authority"]),
                    "recency": r["days"], "agreement": sum(told(o, column) == told(r, column) for _, o in held),
                }[criterion]
                for n, r in left
            }  # fmt: skip
            left = [(n, r) for n, r in left if scores[n] == max(scores.values())]
        return min(left)[1][column] if left else None

    names = (("id_key", "resident_id"), ("name", "name"), ("phone", "phone"))
    people = {r["person"] for _, r in rows}
    return {p: tuple(golden([(n, r) for n, r in rows if r["person"] == p], *pair) for pair in names) for p in people}


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=records, policy=policies, chance=st.randoms(use_true_random=False))
def test_golden_values_follow_from_records_and_policy_in_whatever_order_they_came(pool, rows, policy, chance):
    numbered = list(enumerate(rows))
    shuffled = chance.sample(numbered, len(numbered))
    filled(pool, shuffled)
    assert made(pool, policy) == expected(numbered, policy)


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=records, policy=policies)
def test_a_value_that_lost_is_in_the_ledger_with_the_first_criterion_that_tells_it_from_the_golden_one(pool, rows, policy):
    numbered = list(enumerate(rows))
    filled(pool, numbered)
    golden = expected(numbered, policy)
    entries = pool.execute(sa.text(f"SELECT * FROM ({survivorship._ranked(policy, 'held')}) AS r WHERE NOT is_golden")).all()
    lost = {
        (n, a) for n, r in numbered for i, (c, a) in enumerate((("id_key", "resident_id"), ("name", "name"), ("phone", "phone")))
        if r[c] is not None and r[c] != golden[r["person"]][i]
    }  # fmt: skip
    assert {(int(str(r.record_id)[-1]), r.attribute) for r in entries} == lost
    for row in entries:
        asked = policy.of(row.attribute).criteria
        one, other = rows[int(str(row.record_id)[-1])], rows[int(str(row.golden_record_id)[-1])]
        column = {"resident_id": "id_key"}.get(row.attribute, row.attribute)
        mates = [told(r, column) for r in rows if r["person"] == one["person"]]
        own = policy.of(row.attribute).authority
        differs = {
            "valid_number": (one["id_key"] is None) != (other["id_key"] is None), "recency": one["days"] != other["days"],
            "authority": own.get(one["stem"], one["authority"]) != own.get(other["stem"], other["authority"]),
            "agreement": mates.count(told(one, column)) != mates.count(told(other, column)),
        }  # fmt: skip
        assert row.reason == next((c for c in asked if differs[c]), survivorship.OLDEST)


def test_the_warehouse_begins_with_the_policy_that_comes_with_the_hub(pool):
    shipped, former = survivorship.adoptions(pool)
    assert shipped.policy == load(SHIPPED, stems()) and (shipped.publication, shipped.adopted_by) == (0, "hub")
    assert survivorship.in_force(pool, 0) == survivorship.in_force(pool, 3) == survivorship.in_force(pool) == shipped.policy
    assert (former.policy.version, former.publication) == (1, 0), "it made no value, and is the way back to a version that knows no other"


def test_the_pool_of_five_nights_is_what_its_policy_makes_of_it(pool):
    found = survivorship.effect(pool, survivorship.in_force(pool))
    assert (found.persons, found.where) == (0, ()) and set(found.values.values()) == {0}


def test_the_ledger_holds_each_record_that_says_otherwise_than_its_person(pool):
    for attribute, column in survivorship.COLUMNS.items():
        by_hand = (
            f"SELECT record_id FROM identity.record r JOIN identity.link USING (record_id) JOIN core.person p USING (person_id)"
            f" WHERE r.{column} <> p.{attribute} ORDER BY 1"
        )
        listed = "SELECT record_id FROM core.disagreement WHERE attribute = :a ORDER BY 1"
        assert list(pool.scalars(sa.text(listed), {"a": attribute})) == list(pool.scalars(sa.text(by_hand)))
    assert pool.scalar(sa.text("SELECT count(DISTINCT reason) FROM core.disagreement")) >= 2
    assert pool.scalar(sa.text("SELECT count(*) FROM core.disagreement WHERE record_id = golden_record_id")) == 0


def test_rates_add_up_to_the_ledger_and_those_of_another_day_to_what_stood_then(pool):
    now = survivorship.rates(pool)
    assert sum(r.lost for r in now) == pool.scalar(sa.text("SELECT count(*) FROM core.disagreement")) > 0
    assert all(r.told >= r.lost >= r.variants >= 0 for r in now)
    assert survivorship.rates(pool, 5) == now != survivorship.rates(pool, 1)
    told = sum(r.told for r in survivorship.rates(pool, 1) if r.attribute == "name")
    assert told == pool.scalar(sa.text("SELECT count(name) FROM history.records_valid('infinity', 1)"))


def test_nights_of_chance_under_an_adopted_policy_leave_what_it_makes_of_the_whole_pool(opened, five_nights):
    chance, by_agreement = random.Random(11), Survivorship(version=3, decided_date=DAY, criteria=(Criterion.AGREEMENT, Criterion.RECENCY))
    assert survivorship.effect(opened, by_agreement).persons > 10
    survivorship.adopt(opened, by_agreement, by="engineer", reason=None)
    ledger.publish(opened, DAY + timedelta(days=4), persons=0, households=0, cause="policy")
    village = settle(opened, chance)
    for sizes in (UPHEAVAL, (6, 2, 3)):
        draw(opened, chance, village, *sizes)
        publish(opened, five_nights.settings.pool_id, SHIPPED_MODEL)
    opened.execute(sa.text("DROP TABLE IF EXISTS otherwise"))
    assert survivorship.effect(opened, survivorship.in_force(opened)).persons == 0
    assert opened.scalar(sa.text("SELECT count(*) FROM history.change WHERE publication > 6")) > 20, "the nights changed something"
