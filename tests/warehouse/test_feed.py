"""The change feed: read onto the pool of one night it gives that of the next."""

import json
import random

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from pipeline import review, rulings
from schemas.contract import load_contracts
from tests import population
from tests.warehouse.test_random_nights import SHIPPED, UPHEAVAL, draw, opened, publish, settle
from warehouse import database, feed, ledger

pytestmark = pytest.mark.slow
__all__ = ["opened"]  # a fixture
EVERYTHING = 100_000


def read(connection, cursor):
    return feed.since(connection, load_contracts().values(), cursor, limit=EVERYTHING, values=True)


def known(connection, number):
    """Persons and households of a publication by their ids, as the feed tells them."""
    persons = connection.execute(sa.text(f"SELECT person_id::text, to_jsonb(p) FROM history.persons_known({number}) p"))
    homes = connection.execute(
        sa.text(
            "SELECT h.household_id::text, to_jsonb(h) || jsonb_build_object('members', (SELECT jsonb_agg(to_jsonb(m) - '{household_id,kind}'::text[]"
            f" ORDER BY m.person_id) FROM history.household_members_known({number}) m WHERE m.household_id = h.household_id))"
            f" FROM history.households_known({number}) h"
        )
    )
    return {"person": dict(persons.tuples().all()), "household": dict(homes.tuples().all())}


def replayed(stood, entries):
    """A pool brought up to date by entries of the feed."""
    for entry in entries:
        if entry["kind"] == "record":
            continue
        subjects = stood[entry["kind"]]
        assert (entry["subject_id"] in subjects) == (entry["change"] != "came"), entry["cursor"]
        if entry["becomes"] is None:
            assert entry["change"] == "gone"
            del subjects[entry["subject_id"]]
        else:
            assert subjects.get(entry["subject_id"]) != entry["becomes"], "an entry tells of a change"
            subjects[entry["subject_id"]] = entry["becomes"]
    return stood


def test_the_feed_from_the_first_night_on_gives_the_fifth(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        entries = read(connection, "1")
        assert {e["publication"] for e in entries} == {2, 3, 4, 5}, "the first load has no entry"
        assert replayed(known(connection, 1), entries) == known(connection, 5)
        assert known(connection, 1) != known(connection, 5)


def test_every_change_of_the_books_is_an_entry_of_its_record(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        entries = [e for e in read(connection, "1") if e["kind"] == "record"]
    for change, column in {"came": "inserted", "changed": "updated", "gone": "withdrawn"}.items():
        told = sum(source[column] for n, report in five_nights.reports.items() if n > 1 for source in report.sources.values())
        assert len([e for e in entries if e["change"] == change]) == told, change
    assert all((e["becomes"] is None) == (e["change"] == "gone") for e in entries)
    assert any(e["becomes"]["fields"] for e in entries if e["becomes"])


def test_a_feed_read_in_pieces_is_the_feed(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        whole, pieces, cursor = read(connection, "2"), [], "2"
        while piece := feed.since(connection, load_contracts().values(), cursor, limit=7, values=True):
            pieces += piece
            cursor = piece[-1]["cursor"]
        assert pieces == whole and len(whole) > 14
        assert read(connection, "5") == []


def test_nights_of_chance_are_told_to_the_last_person(opened, five_nights):
    chance = random.Random(3)
    village = settle(opened, chance)
    before = ledger.publication(opened)
    for _ in range(3):
        draw(opened, chance, village, *UPHEAVAL)
        publish(opened, five_nights.settings.pool_id, SHIPPED)
    entries = read(opened, str(before))
    assert replayed(known(opened, before), entries) == known(opened, before + 3)
    reasons = {r for e in entries for r in e["reasons"]}
    assert reasons >= {"record_came", "record_changed", "record_gone", "joined", "left", "member_came", "member_left"}


def test_a_judgement_and_a_withdrawn_delivery_are_told_with_their_reason(borrowed):
    borrowed.restore("night_5")
    with database.engine(borrowed.settings).connect() as connection:
        pairs = connection.execute(
            sa.text(
                "SELECT a.record_id::text, b.record_id::text FROM identity.link a JOIN identity.link b USING (person_id)"
                " WHERE a.record_id < b.record_id AND a.node_rule_id = 'id_name' ORDER BY 1, 2"
            )
        ).all()
        delivery = connection.scalar(
            sa.text(
                "SELECT delivery_id::text FROM ops.intake WHERE state = 'merged' AND business_date > '2026-03-02' AND updated > 0"
                " ORDER BY business_date DESC, stem LIMIT 1"
            )  # fmt: skip
        )
        stood = known(connection, 5)
    a, b = next(p for p in pairs if not review.is_in_sample(borrowed.settings, *p))
    review.judge(borrowed.settings, a, b, "cannot", reviewer="reviewer one", reason="two files")
    borrowed.night(5)
    tried = rulings.withdraw(borrowed.settings, delivery, dry_run=True)
    rulings.withdraw(borrowed.settings, delivery, reason="wrong file", confirm=tried.confirm)
    with database.engine(borrowed.settings).connect() as connection:
        entries = read(connection, "5")
        assert {"judged", "left"} <= {r for e in entries for r in e["reasons"] if e["kind"] == "person" and e["cause"] == "night"}
        assert {"past"} <= {r for e in entries for r in e["reasons"] if e["kind"] == "record" and e["cause"] == "withdrawal"}
        assert replayed(stood, entries) == known(connection, ledger.publication(connection))


@pytest.mark.parametrize(
    ("cursor", "said"),
    [
        ("999", "lies ahead"),
        ("soon", "not a cursor"),
        ("2.nobody.x", "not a cursor"),
        ("2.person.x", "ids are UUIDs"),
        ("-1", "not a cursor"),
        ("2.person.ffffffff-ffff-ffff-ffff-ffffffffffff", "no entry has this cursor"),
    ],
)
def test_a_cursor_that_is_none_is_refused(five_nights, cursor, said):
    with database.engine(five_nights.settings).connect() as connection, pytest.raises(ConfigError, match=said):
        read(connection, cursor)


def test_the_command_line_reads_on_from_a_cursor(five_nights):
    first = json.loads(five_nights.invoked("changes", "--since", "1", "--limit", "3", "--json").stdout)
    assert len(first["entries"]) == 3
    then = json.loads(five_nights.invoked("changes", "--since", first["cursor"], "--limit", "3", "--json").stdout)
    assert then["entries"][0]["cursor"] > first["cursor"]
    shown = five_nights.invoked("changes", "--since", "4")
    assert shown.returncode == 0 and "read on" in shown.stdout
    assert shown.stderr == "" and "begin with the pool as it stands" in five_nights.invoked("changes").stderr
    refused = five_nights.invoked("changes", "--since", "999")
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1


def test_the_command_line_tells_no_value_of_anybody(five_nights):
    texts = {
        " ".join(asked): five_nights.invoked("changes", "--since", "1", "--limit", str(EVERYTHING), *asked).stdout
        for asked in ([], ["--json"])
    }
    entries = json.loads(texts["--json"])["entries"]
    assert len(entries) > 100 and {e["kind"] for e in entries} == {"person", "household", "record"}
    assert all(e.keys() == FIELDS for e in entries)
    assert not population.told(population.search(population.of(five_nights.settings, range(1, 6)), texts))


FIELDS = {
    "cursor", "publication", "published_at", "business_date", "cause", "kind", "subject_id", "stem", "change", "reasons", "leads_to", "attributes",
}  # fmt: skip


def test_of_what_changed_the_feed_names_the_attributes(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        entries = read(connection, "1")
        before = {n - 1: known(connection, n - 1) for n in {e["publication"] for e in entries}}
    changed = [e for e in entries if e["change"] == "changed"]
    for e in changed:
        if e["kind"] != "record":
            was = before[e["publication"] - 1][e["kind"]][e["subject_id"]]
            assert e["attributes"] == sorted(k for k, v in e["becomes"].items() if was.get(k) != v)
    assert all(e["attributes"] and set(e["attributes"]) <= set(e["becomes"]["fields"]) for e in changed if e["kind"] == "record")
    assert all(e["attributes"] == [] for e in entries if e["change"] != "changed")
    assert all((e["stem"] is not None) == (e["kind"] == "record") for e in entries)


def test_values_are_for_those_with_the_right_and_their_use_is_noted(borrowed):
    borrowed.restore("night_5")
    asked = ("changes", "--since", "4", "--json", "--values")
    refused = borrowed.invoked(*asked, "--viewer", "Li", "--why", "complaint 7")
    assert refused.returncode == 2 and "may not be shown values" in refused.stderr and not refused.stdout
    borrowed.environment["HUB_VALUE_VIEWERS"] = "Li"
    try:
        assert "--why" in borrowed.invoked(*asked, "--viewer", "Li").stderr
        assert "--json" in borrowed.invoked("changes", "--values", "--viewer", "Li", "--why", "complaint 7").stderr
        entries = json.loads(borrowed.invoked(*asked, "--viewer", "Li", "--why", "complaint 7").stdout)["entries"]
    finally:
        del borrowed.environment["HUB_VALUE_VIEWERS"]
    assert any(e["becomes"] and e["becomes"].get("name") for e in entries if e["kind"] == "person")
    with database.engine(borrowed.settings).connect() as connection:
        (noted,) = connection.execute(sa.text("SELECT viewer, reason, record_ids::text[] FROM ops.value_view")).all()
        owners = set(
            connection.scalars(
                sa.text("SELECT person_id::text FROM history.links_known(5) WHERE record_id = ANY(CAST(:ids AS uuid[]))"), {"ids": noted[2]}
            )
        )
    assert noted[:2] == ("Li", "complaint 7")
    assert {e["subject_id"] for e in entries if e["kind"] == "record"} <= set(noted[2])
    assert {e["subject_id"] for e in entries if e["kind"] == "person" and e["becomes"]} <= owners
    assert {m["person_id"] for e in entries if e["kind"] == "household" and e["becomes"] for m in e["becomes"]["members"]} <= owners
