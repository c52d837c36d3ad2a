"""What was true when, by what was known when: the pool of five nights remembers each of them."""

import json
import random
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from hub.dates import parse_date, parse_instant, shown_exactly
from hub.errors import ConfigError
from pipeline import disputes, identify
from tests.warehouse.test_random_nights import SHIPPED, UPHEAVAL, draw, opened, publish, settle
from warehouse import database, embedded, ledger, past

pytestmark = pytest.mark.slow
__all__ = ["opened"]  # a fixture
DERIVED = {
    "core.person": "history.persons_known",
    "core.household": "history.households_known",
    "core.household_member": "history.household_members_known",
    "identity.link": "history.links_known",
}
FIRST = date(2026, 3, 1)
RULE = identify.homes_rule("sandbox-county")


@pytest.fixture
def pool(five_nights):
    """The pool after five nights; nothing is changed."""
    with database.engine(five_nights.settings).connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def first_night(five_nights):
    """The warehouse as it was after the first night, kept apart."""
    url = sa.make_url(embedded.cluster(five_nights.settings).url()).set(database="night_1")
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def rows(connection, source, left_out="delivery_id"):
    return sorted(connection.scalars(sa.text(f"SELECT (to_jsonb(t) - '{left_out}')::text FROM {source} t")))


def one(connection, query, **values):
    return connection.execute(sa.text(query), values).first()


@pytest.mark.parametrize(("table", "known"), DERIVED.items())
def test_what_was_known_after_the_first_night_is_what_stood_then(pool, first_night, table, known):
    assert rows(pool, f"{known}(1)") == rows(first_night, table)
    assert rows(pool, f"{known}(5)") == rows(pool, table)


def test_persons_changed_since_the_first_night(pool, first_night):
    """Otherwise the test above would compare one pool with itself."""
    assert rows(pool, "history.persons_known(1)") != rows(pool, "core.person")


@pytest.fixture
def moving(opened, five_nights):
    """A pool that lived through two nights in which much came, changed and went; what stood before each of them."""
    stood = {}
    for night in (1, 2):
        number = ledger.publication(opened)
        stood[number] = {table: rows(opened, table) for table in DERIVED}
        draw(opened, random.Random(night), settle(opened, random.Random(night)), *UPHEAVAL)
        publish(opened, five_nights.settings.pool_id, SHIPPED, day=FIRST + timedelta(days=4 + night))
    return opened, stood


def test_every_publication_is_remembered_as_it_stood(moving):
    connection, stood = moving
    assert len(stood) == 2
    for number, tables in stood.items():
        assert {table: rows(connection, f"{DERIVED[table]}({number})") == kept for table, kept in tables.items()} == dict.fromkeys(
            tables, True
        )
        for table, kept in tables.items():
            assert kept != rows(connection, table)


def test_an_id_that_led_elsewhere_is_followed_as_it_led_then(moving):
    connection, stood = moving
    moved = one(connection, "SELECT h.record_id::text, h.row ->> 'person_id' AS was, l.person_id::text AS is_now, upper(h.known_during) - 1 AS n"
                " FROM history.link h JOIN identity.link l USING (record_id) WHERE (h.row ->> 'person_id')::uuid <> l.person_id LIMIT 1")  # fmt: skip
    assert past.answers_to(connection, moved.record_id, moved.n) == moved.was
    assert past.answers_to(connection, moved.record_id, max(stood) + 1) == moved.is_now


def test_a_person_not_yet_known_is_said_to_be(moving):
    connection, stood = moving
    came = one(connection, "SELECT record_id::text, upper(known_during) - 1 AS n FROM history.link JOIN identity.link USING (record_id)"
               " WHERE row IS NULL LIMIT 1")  # fmt: skip
    with pytest.raises(ConfigError, match="did not know this person yet"):
        past.person(connection, came.record_id, past.Moment(came.n, None, None, came.n), RULE)
    assert past.person(connection, came.record_id, past.Moment(came.n + 1, None, None, came.n + 1), RULE)["records"]


def test_records_valid_on_the_first_day_are_those_of_the_first_night(pool, first_night):
    assert rows(pool, "history.records_valid('2026-03-01', 5)") == rows(first_night, "identity.record")
    assert rows(pool, "history.records_valid('2026-03-05', 1)") == rows(first_night, "identity.record")
    assert rows(pool, "history.records_valid('2026-03-05', 5)") == rows(pool, "identity.record")


def test_golden_values_of_another_time_are_made_by_the_same_rule(pool):
    changed = list(
        pool.scalars(sa.text("SELECT person_id::text FROM history.person WHERE row IS NOT NULL AND known_during @> 1::bigint LIMIT 25"))
    )
    assert len(changed) > 5
    at = past.moment(pool, as_of=None, known_at=one(pool, "SELECT published_at FROM ops.published WHERE number = 1").published_at)
    assert at.number == 1
    names = ("resident_id", "name", "sex", "birth_date", "phone", "address", "area_code")
    for person_id in changed:
        stood = one(pool, "SELECT row FROM history.person WHERE person_id = :id AND known_during @> 1::bigint", id=person_id).row
        found = past.person(pool, person_id, at, RULE)
        assert {n: str(found[n]) if found[n] is not None else None for n in names} == {n: stood.get(n) for n in names}


def test_a_record_that_changed_is_told_as_it_was(pool):
    was = one(pool, "SELECT h.record_id::text, h.stem, h.record_key, lower(h.valid_during) AS since, upper(h.valid_during) AS until, h.open_until"
                    " FROM history.record h JOIN identity.record USING (record_id) WHERE NOT is_withdrawn LIMIT 1")  # fmt: skip
    now = past.moment(pool, as_of=was.until - timedelta(days=1), known_at=None)
    told = {(r["stem"], r["record_key"]): r for r in past.person(pool, was.record_id, now, RULE)["records"]}[was.stem, was.record_key]
    assert (told["valid_from"], told["valid_to"]) == (str(was.since), str(was.until))
    before = one(pool, "SELECT published_at FROM ops.published WHERE number = :n", n=was.open_until - 1).published_at
    then = past.moment(pool, as_of=None, known_at=before)
    told = {(r["stem"], r["record_key"]): r for r in past.person(pool, was.record_id, then, RULE)["records"]}[was.stem, was.record_key]
    assert (told["valid_from"], told["valid_to"]) == (str(was.since), None), "that it would end was not known yet"


def test_a_household_is_told_with_the_members_it_had(pool):
    grown = one(
        pool,
        "SELECT household_id::text, row ->> 'members' AS members FROM history.household WHERE row IS NOT NULL AND known_during @> 1::bigint",
    )
    at = past.moment(pool, as_of=FIRST, known_at=None)
    found = past.household(pool, grown.household_id, at, RULE)
    assert found["size"] == int(grown.members) == len(found["members"])


NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("as_of", "known_at", "said"),
    [
        ("2026-03-09", None, "lies after 2026-03-05"),
        ("1999-01-01", None, "lies before"),
        (None, "2999-01-01T00:00", "lies ahead"),
        (None, "1999-01-01T00:00", "knew nothing then"),
        ("2026-02-30", None, "not a date"),
        (None, "soon", "not an instant"),
    ],
)
def test_a_time_outside_the_clocks_is_refused(pool, as_of, known_at, said):
    with pytest.raises(ConfigError, match=said):
        day, instant = parse_date(as_of, "--as-of"), parse_instant(known_at, "--known-at")
        past.moment(pool, as_of=day, known_at=instant)


@pytest.mark.parametrize(("ask", "said"), [(past.person, "no such person"), (past.household, "no such household")])
def test_an_unknown_id_is_refused(pool, ask, said):
    at = past.moment(pool, as_of=FIRST, known_at=None)
    with pytest.raises(ConfigError, match=said):
        ask(pool, NOBODY, at, RULE)
    with pytest.raises(ConfigError, match="ids are UUIDs"):
        ask(pool, "nobody", at, RULE)


def test_the_command_line_tells_a_person_of_another_day(five_nights, pool):
    was = one(pool, "SELECT record_id::text, lower(valid_during)::text AS since FROM history.record WHERE NOT is_withdrawn")
    done = five_nights.command("person", was.record_id, "--as-of", was.since, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["valid_on"] == was.since
    refused = five_nights.command("person", NOBODY, "--known-at", "2999-01-01")
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1


def test_an_instant_is_shown_as_it_is_typed_and_typed_again_leads_to_the_same_publication(five_nights, pool):
    person_id, at = one(
        pool, "SELECT person_id::text, (SELECT published_at FROM ops.published WHERE number = 1) FROM history.links_known(1)"
    )
    shown = shown_exactly(at)
    known = five_nights.invoked("person", person_id, "--known-at", at.isoformat()).stdout
    assert shown in known and "+00:00" not in known
    assert past.moment(pool, as_of=None, known_at=parse_instant(shown, "--known-at")).number == 1
    early = five_nights.invoked("person", person_id, "--known-at", "2020-01-01")
    assert early.returncode == 2 and shown in early.stderr


def test_a_disputed_value_is_marked_at_the_member_of_a_household_now_and_as_of_another_time(borrowed):
    """Of a value that was disputed at the instant asked about, and of nobody else's."""
    borrowed.restore("night_5")
    with database.engine(borrowed.settings).connect() as connection:
        home, person = one(
            connection,
            "SELECT m.household_id::text, m.person_id::text FROM core.household_member m JOIN core.household h USING (household_id) JOIN core.person p"
            " USING (person_id) WHERE h.members > 1 AND p.name IS NOT NULL AND h.household_id NOT IN (SELECT household_id FROM history.household)"
            " AND m.person_id NOT IN (SELECT person_id FROM history.household_member UNION SELECT person_id FROM history.person) ORDER BY 1, 2 LIMIT 1",
        )  # fmt: skip
        before = connection.scalar(sa.text("SELECT clock_timestamp()")).isoformat()
    (dispute,) = disputes.open_dispute(borrowed.settings, person, "name", kind="correction", reason="wrong", asker="民政")

    def told(*asked):
        shown = borrowed.invoked("household", home, *asked).stdout.count("⚠ 有异议 disputed")
        found = json.loads(borrowed.invoked("household", home, *asked, "--json").stdout)
        marked = {m["person_id"]: m["disputed"] for m in found["members"]}
        assert len(marked) > 1 and [d["person_id"] for d in found["disputes"]] == [person] * len(found["disputes"])
        return shown, marked.pop(person), {*map(tuple, marked.values())}

    with database.engine(borrowed.settings).connect() as connection:
        since = connection.scalar(sa.text("SELECT clock_timestamp()")).isoformat()
    for asked in ([], ["--as-of", "2026-03-02"], ["--as-of", "2026-03-05"], ["--known-at", since]):
        assert told(*asked) == (1, ["person.name"], {()}), asked
    assert told("--known-at", before) == (0, [], {()})
    disputes.end(borrowed.settings, dispute.dispute_id, "refused", actor="公安", words="与户籍一致")
    assert told() == (0, [], {()})
    assert told("--as-of", "2026-03-02", "--known-at", since)[1] == ["person.name"]


def test_a_night_without_a_change_adds_no_row_of_history(borrowed):
    """On the first of April and of May every agency sends its stock in full; in between nothing happened to anybody."""
    april, may = 32, 62

    def held():
        with database.engine(borrowed.settings).connect() as connection:
            tables = connection.scalars(sa.text("SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'history'")).all()
            return {t: connection.scalar(sa.text(f"SELECT count(*) FROM history.{t}")) for t in tables}

    borrowed.restore("night_5")
    changed = borrowed.night(april).sources
    before, stood = held(), borrowed.content()
    assert before["record"] > 10 and before["person"] > 10 and before["change"] > 10
    same = borrowed.night(may, still_since=april).sources
    with database.engine(borrowed.settings).connect() as connection:
        scopes = [i.scope for i in ledger.intakes(connection, date(2026, 5, 1))]
    assert scopes == ["full"] * len(same) != []
    for stem, books in same.items():
        assert books["state"] == "ok", stem
        assert books["delivered"] == changed[stem]["delivered"] > 0
        assert books["unchanged"] == books["delivered"] - books["rejected"] - books["quarantined"] > 0.8 * books["delivered"]
        assert books["inserted"] == books["updated"] == books["withdrawn"] == 0
    assert held() == {**before, "observation": before["observation"] + len(same)}, "a line for each delivery, and nothing else"
    assert borrowed.content() == stood
