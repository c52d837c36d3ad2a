"""Another survivorship policy is tried on the whole pool first, and adopted in one transaction or not at all."""

import json
from datetime import date

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from pipeline import identify
from pipeline import survivorship as policies
from schemas.contract import stems
from schemas.survivorship import SHIPPED
from tests.conftest import Hub
from warehouse import database, feed, past, survivorship

pytestmark = pytest.mark.slow
RULE = identify.homes_rule("sandbox-county")
FIRST = date(2026, 3, 1)


def written(tmp_path, version=3, criteria="[recency, agreement]", more="", day="2026-03-01"):
    """A policy file by which other values win than by the hub's own."""
    path = tmp_path / f"v{version}.yml"
    path.write_text(f"version: {version}\ndecided_date: {day}\ncriteria: {criteria}\n{more}", encoding="utf-8")
    return path


def persons(hub: Hub):
    columns = ", ".join(survivorship.COLUMNS)
    with database.engine(hub.settings).connect() as connection:
        return {r.person_id: r for r in connection.execute(sa.text(f"SELECT person_id::text, {columns}, area_code FROM core.person"))}


def count(hub: Hub, query: str) -> int:
    with database.engine(hub.settings).connect() as connection:
        return int(connection.scalar(sa.text(query)) or 0)


def test_what_a_dry_run_tells_is_what_adopting_changes_and_the_former_policy_brings_the_pool_back(borrowed: Hub, tmp_path) -> None:
    hub = borrowed
    hub.restore("night_5")
    before, stood = hub.fingerprint(), persons(hub)
    file = written(tmp_path, more=f"attributes: {{phone: {{criteria: [authority, recency], authority: {{{stems()[0]}: 99}}}}}}\n")
    tried = policies.dry_run(hub.settings, file)
    assert hub.fingerprint() == before and not tried.is_adopted
    done = policies.adopt(hub.settings, file, by="engineer", reason="phones are newest where people come in person")
    assert done.effect == tried.effect and done.fingerprint == hub.fingerprint() != before

    now = persons(hub)
    assert now.keys() == stood.keys()
    changed = {a: {p for p in now if getattr(now[p], a) != getattr(stood[p], a)} for a in survivorship.COLUMNS}
    assert tried.effect.values == {a: len(found) for a, found in changed.items()}
    assert tried.effect.values["phone"] > 0 and tried.effect.values["address"] > 0
    everyone = set().union(*changed.values())
    assert tried.effect.persons == len(everyone)
    for place in tried.effect.where:
        there = [p for p in changed[place.attribute] if (stood[p].area_code or "")[:9] == (place.township or "")]
        assert place.values == len(there)
    assert all({e.person_id for e in found} <= changed[a] for a, found in tried.effect.examples.items())
    with database.engine(hub.settings).connect() as connection:
        members = connection.execute(sa.text("SELECT kind, household_id, person_id::text FROM core.household_member")).all()
        entries = feed.since(connection, [], "5", limit=100_000)
    homes = {kind: len({h for k, h, p in members if k == kind and p in everyone}) for kind in ("living", "registered")}
    assert tried.effect.households == homes
    assert {e["subject_id"] for e in entries} == everyone
    assert {(e["kind"], e["change"], e["cause"], *e["reasons"]) for e in entries} == {("person", "changed", "policy", "policy")}

    back = policies.adopt(hub.settings, SHIPPED, by="engineer", reason="tried")
    assert back.effect.values == tried.effect.values and hub.fingerprint() == back.fingerprint == before


def test_questions_to_the_past_are_answered_by_the_policy_that_was_in_force(borrowed: Hub, tmp_path) -> None:
    hub = borrowed
    hub.restore("night_5")
    stood = persons(hub)
    done = policies.adopt(hub.settings, written(tmp_path), by="engineer", reason="tried")
    with database.engine(hub.settings).connect() as connection:
        instants = dict(connection.execute(sa.text("SELECT number, published_at FROM ops.published")).tuples().all())
        for person_id in [e.person_id for e in done.effect.examples["address"]]:
            then = past.person(connection, person_id, past.moment(connection, as_of=None, known_at=instants[5]), RULE)
            now = past.person(connection, person_id, past.moment(connection, as_of=None, known_at=instants[6]), RULE)
            assert then["address"] == stood[person_id].address != now["address"]
            known = connection.execute(sa.text("SELECT address FROM history.persons_known(5) WHERE person_id = :id"), {"id": person_id})
            assert known.scalar_one() == then["address"]


def test_nights_under_an_adopted_policy_are_those_of_a_pool_made_by_it_as_a_whole(borrowed: Hub, tmp_path) -> None:
    hub = borrowed
    hub.restore("night_1")
    policies.adopt(hub.settings, written(tmp_path), by="engineer", reason="tried")
    hub.night(2)
    with database.engine(hub.settings).connect() as connection:
        assert survivorship.effect(connection, survivorship.in_force(connection)).persons == 0
        connection.rollback()
    policies.adopt(hub.settings, SHIPPED, by="engineer", reason="tried")
    nightly = hub.fingerprint()
    hub.restore("night_1")
    hub.night(2)
    assert hub.fingerprint() == nightly


def test_a_disputed_value_comes_from_the_record_the_policy_chose(borrowed: Hub, tmp_path) -> None:
    from warehouse import disputes

    hub = borrowed
    hub.restore("night_5")
    done = policies.adopt(hub.settings, written(tmp_path), by="engineer", reason="tried")
    with database.engine(hub.settings).connect() as connection:
        for example in done.effect.examples["address"]:
            person_id = example.person_id
            source = disputes.source(connection, person_id, "address")
            assert source is not None
            assert (source.stem, source.record_id) == (example.stem, example.record_id) != (example.former_stem, example.former_record_id)
            query = "SELECT r.address = p.address FROM identity.record r, core.person p WHERE record_id = :r AND person_id = :p"
            assert connection.scalar(sa.text(query), {"r": source.record_id, "p": person_id})


def test_a_policy_that_cannot_be_adopted_is_refused_and_changes_nothing(borrowed: Hub, tmp_path) -> None:
    hub = borrowed
    hub.restore("night_5")
    before = hub.fingerprint()
    later = written(tmp_path, version=4, day="2026-03-04")
    policies.adopt(hub.settings, later, by="engineer", reason="tried")
    adopted = hub.fingerprint()
    wrong = {
        "version 3 was in force with other rules, or lies behind": written(tmp_path),
        "decided_date: the date lies outside 2026-03-04": written(tmp_path, version=5, day="2026-03-03"),
        "2026-03-05 (today)": written(tmp_path, version=6, day="2026-03-06"),
        "criteria.0: there is no such criterion; known: valid_number": written(tmp_path, version=10, criteria="[beauty]"),
        "decided_date: this is not a date of the calendar": written(tmp_path, version=8, day="2026-02-30"),
        "there is no source 'police'": written(
            tmp_path, version=7, more="attributes: {phone: {criteria: [authority], authority: {police: 1}}}\n"
        ),
    }
    for told, file in wrong.items():
        for command in (["policy", "dry-run"], ["survivorship", "adopt", "--reason", "tried"]):
            done = hub.invoked(*command, str(file))
            assert done.returncode == 2 and told in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    for unsaid, told in ((("--reason", " "), "why must be said"), (("--reason", "tried", "--by", ""), "who adopts it must be said")):
        done = hub.invoked("survivorship", "adopt", str(written(tmp_path, version=9, day="2026-03-05")), *unsaid)
        assert done.returncode == 2 and told in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    with pytest.raises(ConfigError, match="in force already"):
        policies.adopt(hub.settings, later, reason="tried")
    assert hub.fingerprint() == adopted and count(hub, "SELECT count(*) FROM ops.survivorship") == 3
    policies.adopt(hub.settings, SHIPPED, reason="tried")
    assert hub.fingerprint() == before


def test_the_command_line_tells_counts_and_pointers_and_no_value(borrowed: Hub, tmp_path) -> None:
    hub = borrowed
    hub.restore("night_5")
    file = str(written(tmp_path))
    told = json.loads(hub.invoked("policy", "dry-run", file, "--json").stdout)
    assert told == json.loads(hub.invoked("survivorship", "dry-run", file, "--json").stdout)
    assert told["effect"]["persons"] > 0 and told["effect"]["where"] and not told["is_adopted"]
    table = hub.invoked("policy", "dry-run", file)
    assert (
        table.returncode == 0
        and "nothing was changed" in table.stdout
        and told["effect"]["examples"]["address"][0]["record_id"] in table.stdout
    )
    person = told["effect"]["examples"]["address"][0]["person_id"]
    found = json.loads(hub.invoked("disagreements", "--person", person, "--json").stdout)
    assert {d["attribute"] for d in found} >= {"address"} and all(
        d["reason"] in ("valid_number", "authority", "recency", "agreement", "oldest_record") for d in found
    )
    rates = json.loads(hub.invoked("disagreements", "--as-of", "2026-03-01", "--as-of", "2026-03-05", "--json").stdout)
    assert {r["as_of"] for r in rates} == {"2026-03-01", "2026-03-05"} and {r["stem"] for r in rates} <= set(stems())
    said = (
        table.stdout + json.dumps([told, found, rates]) + hub.invoked("disagreements").stdout + hub.invoked("survivorship", "show").stdout
    )
    stood = persons(hub)[person]
    assert not any(str(v) in said for v in (stood.address, stood.name, stood.resident_id, stood.phone) if v)
    assert hub.invoked("disagreements", "--person", "00000000-0000-7000-8000-000000000000").returncode == 2
    assert json.loads(hub.invoked("survivorship", "show", "--json").stdout)[0]["adopted_by"] == "hub"
