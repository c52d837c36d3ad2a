"""The whole pool as of another time, in sets: what single questions answer of everybody, at once."""

import json
import random
from collections import Counter
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from pipeline import identify, survivorship
from schemas.contract import load_contracts
from tests import population
from tests.pipeline.test_survivorship import written
from tests.warehouse.test_random_nights import SHIPPED, UPHEAVAL, draw, opened, publish, settle
from warehouse import census, database, feed, historian, ledger, past
from warehouse.past import Moment

pytestmark = pytest.mark.slow
__all__ = ["opened"]  # a fixture
FIRST = date(2026, 3, 1)
RULE = identify.homes_rule("sandbox-county")
GOLDEN = ("resident_id", "name", "sex", "birth_date", "phone", "address", "area_code")
PLACE = ("kind", "household_id", "relation", "stem", "evidence")


@pytest.fixture
def pool(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        yield connection
        connection.rollback()


def instant(pool, number):
    return pool.scalar(sa.text("SELECT published_at FROM ops.published WHERE number = :n"), {"n": number})


def moment(pool, day, number):
    """A day of the month and a publication; None = newest, now."""
    as_of = None if day is None else FIRST + timedelta(days=day - 1)
    return past.moment(pool, as_of=as_of, known_at=None if number is None else instant(pool, number))


def everybody(pool):
    """Every id that any record ever had."""
    return list(
        pool.scalars(sa.text("SELECT record_id::text FROM identity.link UNION SELECT record_id::text FROM history.link ORDER BY 1"))
    )


def asked(ask, pool, key, at):
    """What a single question answers; None = there was none of that id then."""
    try:
        return ask(pool, key, at, RULE)
    except ConfigError:
        return None


@pytest.mark.parametrize(("day", "number"), [(1, None), (2, 3), (3, None), (4, 4), (None, 2)])
def test_golden_values_in_sets_are_those_of_single_questions_for_everybody(pool, day, number):
    at = moment(pool, day, number)
    census.write(pool, "census", at, RULE)
    rows = pool.execute(sa.text(f"SELECT person_id::text, {', '.join(GOLDEN)} FROM census_person")).all()
    in_sets = {r.person_id: tuple(r)[1:] for r in rows}
    alone = {}
    as_golden = Moment(at.number, at.published_at, at.valid, at.night)  # households of each are not asked here
    for key in everybody(pool):
        found = asked(past.person, pool, key, as_golden)
        if found is not None:
            alone[found["person_id"]] = tuple(found[a] for a in GOLDEN)
    assert in_sets == alone and len(alone) > 900


@pytest.mark.parametrize(("day", "number"), [(1, None), (2, 3), (4, 4), (None, 2)])
def test_households_in_sets_are_those_of_single_questions(pool, day, number):
    """Asked of all that ever changed, and of some of those that never did."""
    at = moment(pool, day, number)
    census.write(pool, "census", at, RULE)
    homes, persons = {}, {}
    for row in pool.execute(sa.text("SELECT person_id::text, kind, household_id::text, relation, stem, evidence FROM census_member")):
        persons.setdefault(row.person_id, set()).add(tuple(row)[1:])
        homes.setdefault(row.household_id, set()).add((row.person_id, row.relation, row.stem, row.evidence))
    changed = set(
        pool.scalars(
            sa.text("SELECT household_id::text FROM history.household UNION SELECT row ->> 'household_id' FROM history.household_member")
        )
    ) - {None}
    for key in [*sorted(changed), *sorted(homes)[::40]]:
        found = asked(past.household, pool, key, at)
        alone = None if found is None else {(m["person_id"], m["relation"], m["stem"], m["evidence"]) for m in found["members"]}
        assert homes.get(key) == alone
    moved = set(pool.scalars(sa.text("SELECT person_id::text FROM history.household_member")))
    for key in [*sorted(moved & persons.keys()), *sorted(persons)[::80]]:
        found = asked(past.person, pool, key, at)
        assert {tuple(home[c] for c in PLACE) for home in found["households"]} == persons[key]
    assert changed and moved & persons.keys()


def test_counts_are_those_of_the_pool_and_a_difference_tells_who_came_went_and_changed(pool):
    now, first = moment(pool, None, None), moment(pool, None, 1)
    (all_,) = census.count(pool, RULE, now, against=first)
    persons = {n: {r.person_id: tuple(r)[1:] for r in pool.execute(sa.text(
        f"SELECT person_id, {', '.join(GOLDEN)} FROM history.persons_known({n})"))} for n in (1, 5)}  # fmt: skip
    both = persons[1].keys() & persons[5].keys()
    assert all_.persons == census.Figure(
        len(persons[5]), len(persons[5].keys() - both), len(persons[1].keys() - both), sum(persons[1][p] != persons[5][p] for p in both)
    )
    assert all_.persons.changed
    for kind in ("registered", "living"):
        known = {n: Counter(pool.scalars(sa.text(
            f"SELECT household_id FROM history.household_members_known({n}) WHERE kind = '{kind}'"))) for n in (1, 5)}  # fmt: skip
        homes, members = all_.households[kind], all_.members[kind]
        assert (homes.now, homes.came, homes.gone) == (
            len(known[5]),
            len(known[5].keys() - known[1].keys()),
            len(known[1].keys() - known[5].keys()),
        )
        assert homes.changed >= sum(known[1][h] != known[5][h] for h in known[1].keys() & known[5].keys())
        assert members.now - members.came + members.gone == known[1].total()
    (alone,) = census.count(pool, RULE, now)
    assert (alone.persons.now, alone.persons.came) == (all_.persons.now, None)


def test_what_came_went_and_changed_between_two_publications_is_what_the_feed_tells(opened, five_nights):
    chance = random.Random(11)
    village = settle(opened, chance)
    total = Counter()
    for _ in range(3):
        number = ledger.publication(opened)
        draw(opened, chance, village, *UPHEAVAL)
        publish(opened, five_nights.settings.pool_id, SHIPPED)
        (all_,) = census.count(opened, RULE, Moment(number + 1, None, None, number + 1), against=Moment(number, None, None, number))
        told = Counter()
        for e in feed.since(opened, load_contracts().values(), str(number), limit=100_000):
            if e["change"] != "changed" or set(e["attributes"]) & {*GOLDEN, "members"}:
                told[e["kind"], e["change"]] += 1
        figures = {"person": [all_.persons], "household": list(all_.households.values())}
        for kind, parts in figures.items():
            for change in ("came", "gone", "changed"):
                assert sum(getattr(f, change) for f in parts) == told[kind, change], (kind, change)
        total += told
    assert all(total[kind, change] for kind in ("person", "household") for change in ("came", "gone", "changed"))


@pytest.mark.parametrize("by", census.By)
def test_groups_hold_everybody(pool, by):
    at = moment(pool, 3, None)
    (all_,) = census.count(pool, RULE, at)
    groups = census.count(pool, RULE, at, by=by)
    names = [g.name for g in groups]
    assert len(names) == len(set(names)) > 1
    told = sum(g.persons.now for g in groups)
    assert told > all_.persons.now if by is census.By.SOURCE else told == all_.persons.now
    assert all(figure.now >= 0 for g in groups for figure in (g.persons, *g.households.values(), *g.members.values()))


def test_an_instant_is_a_publication_in_sql_as_well(pool):
    at = instant(pool, 3)
    ask = sa.text("SELECT history.publication_at(:at)")
    assert [pool.scalar(ask, {"at": a}) for a in (at, at - timedelta(microseconds=1), date(2000, 1, 1))] == [3, 2, None]


def test_no_two_versions_of_a_record_are_true_of_one_day_in_one_publication(pool):
    overlaps = "a.valid_during && b.valid_during AND a.known_during && b.known_during AND (a.valid_during, a.known_during, a.ctid_) < (b.valid_during, b.known_during, b.ctid_)"
    numbered = "(SELECT *, row_number() OVER () AS ctid_ FROM history.record_versions)"
    pool.execute(sa.text(f"CREATE TEMP TABLE numbered ON COMMIT DROP AS SELECT * FROM {numbered} AS v"))
    assert pool.scalar(sa.text(f"SELECT count(*) FROM numbered a JOIN numbered b USING (record_id) WHERE {overlaps}")) == 0
    assert pool.scalar(sa.text("SELECT count(*) FROM numbered WHERE NOT upper_inf(known_during)")) > 10


@pytest.mark.parametrize(("day", "number"), [(1, 1), (1, 5), (2, 3), (4, 5), (5, 5)])
def test_the_versions_that_hold_a_day_and_a_publication_are_the_records_valid_then(pool, day, number):
    values = {"day": FIRST + timedelta(days=day - 1), "n": number}
    held = "SELECT record_id, lower(valid_during) FROM history.record_versions WHERE NOT is_withdrawn AND valid_during @> CAST(:day AS date) AND known_during @> CAST(:n AS bigint)"
    valid = "SELECT record_id, as_of_date FROM history.records_valid(:day, :n)"
    assert set(pool.execute(sa.text(held), values).tuples()) == set(pool.execute(sa.text(valid), values).tuples())


@pytest.mark.parametrize("name", ["link", "person", "household_member", "household"])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_the_versions_that_hold_a_publication_are_what_was_known_in_it(pool, name, number):
    known = f"history.{name}s_known({number})"
    versions = f"SELECT row::text FROM history.{name}_versions WHERE known_during @> {number}::bigint"
    assert sorted(pool.scalars(sa.text(versions))) == sorted(pool.scalars(sa.text(f"SELECT to_jsonb(k)::text FROM {known} k")))


def test_golden_values_follow_the_policy_that_was_in_force(borrowed, tmp_path):
    borrowed.restore("night_5")
    with database.engine(borrowed.settings).connect() as connection:
        ask = "SELECT person_id::text, to_jsonb(p)::text FROM history.persons_valid('2026-03-05', {}) p"
        before = dict(connection.execute(sa.text(ask.format(5))).tuples().all())
    survivorship.adopt(borrowed.settings, written(tmp_path), by="engineer", reason="telephones go out of date")
    with database.engine(borrowed.settings).connect() as connection:
        assert dict(connection.execute(sa.text(ask.format(5))).tuples().all()) == before
        after = (
            connection.execute(sa.text("SELECT person_id::text, to_jsonb(p)::text FROM history.persons_valid('2026-03-05', 6) p"))
            .tuples()
            .all()
        )
        assert dict(after) == dict(
            connection.execute(sa.text("SELECT person_id::text, to_jsonb(p)::text FROM core.person p")).tuples().all()
        )


@pytest.mark.parametrize(("day", "number"), [(2, 3), (None, 2)])
def test_masks_that_the_sharing_service_adds_do_not_stand_in_the_way(pool, day, number):
    at = moment(pool, day, number)
    before = census.count(pool, RULE, at)
    pool.execute(sa.text("ALTER TABLE core.person ADD COLUMN name__tried text GENERATED ALWAYS AS (upper(name)) VIRTUAL"))
    assert census.count(pool, RULE, at) == before


def test_the_reading_role_reads_the_pool_and_its_history_and_changes_nothing(pool):
    role = historian.ensure(pool)
    assert historian.ensure(pool) == role
    last = ledger.publication(pool)
    pool.execute(sa.text(f'SET LOCAL ROLE "{role}"'))
    for source in ("persons_valid('2026-03-02', 5)", "persons_known(2)", "household_members_known(2)", "records_valid('2026-03-02', 5)", "record_versions",
                   "judgement_versions", "person_versions"):  # fmt: skip
        assert pool.scalar(sa.text(f"SELECT count(*) >= 0 FROM history.{source}")), source
    assert pool.scalar(sa.text("SELECT history.publication_at(now())")) == last
    for refused in ("DELETE FROM history.change", "UPDATE core.person SET name = 'x'", "SELECT * FROM ops.value_view", "SELECT * FROM share.applied",
                    "SELECT * FROM landing.delivery", "CREATE TABLE history.mine ()"):  # fmt: skip
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), pool.begin_nested():
            pool.execute(sa.text(refused))


def test_the_command_line_counts_and_tells_no_value(five_nights, pool):
    asked_ = ("history", "count", "--as-of", "2026-03-02", "--by", "township", "--against-known-at", instant(pool, 2).isoformat())
    told = json.loads(five_nights.invoked(*asked_, "--json").stdout)
    assert told["at"]["valid"] == "2026-03-02" == told["against"]["valid"] and told["against"]["number"] == 2
    assert sum(g["persons"]["now"] for g in told["groups"]) > 900
    texts = {"json": json.dumps(told, ensure_ascii=False), "text": five_nights.invoked(*asked_).stdout}
    assert not population.told(population.search(population.of(five_nights.settings, range(1, 6)), texts))
    refused = five_nights.invoked("history", "count", "--by", "name")
    assert refused.returncode == 2 and "township, sex, source" in refused.stderr
    early = five_nights.invoked("history", "count", "--known-at", "2020-01-01")
    assert early.returncode == 2 and "knew nothing then" in early.stderr
