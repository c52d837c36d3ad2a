"""Whole deliveries, withdrawn and released: stories of a morning."""

import json
from datetime import date

import pytest
import sqlalchemy as sa

from expectations import turnover
from hub.errors import ConfigError
from pipeline import disputes, identify, rulings
from sandbox import clock
from schemas.contract import load_contract
from tests import oracle
from tests.conftest import Hub
from warehouse import absences, database, landing, ledger, past
from warehouse import rulings as ledger_rulings

pytestmark = pytest.mark.slow
RULE = identify.homes_rule("sandbox-county")


def newest(hub: Hub, stem: str) -> str:
    with database.engine(hub.settings).connect() as connection:
        return landing.deliveries(connection, stem=stem)[0].delivery_id


def test_a_withdrawn_delivery_leaves_the_pool_of_a_night_without_it(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    for stem in ("education", "housing", "medical_insurance"):
        hub.night(2, only=stem)
    without, to_be_mended = hub.fingerprint(), {t.ticket_id: t.open for t in hub.tickets().values() if t.open}
    hub.night(2, only="health")
    assert hub.fingerprint() != without
    delivery = newest(hub, "health")
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    assert tried.keys > 0 and not tried.is_done and hub.fingerprint() != without
    done = rulings.withdraw(hub.settings, delivery[:8], reason="a file of another county", by="engineer", confirm=tried.confirm)
    assert done.is_done and (done.before, done.after) == (tried.before, tried.after)
    oracle.same_fingerprint(hub.fingerprint(), done.fingerprint, without)
    assert {t.ticket_id: t.open for t in hub.tickets().values() if t.open} == to_be_mended

    told = next(d for d in json.loads(hub.invoked("deliveries", "--json").stdout) if d["delivery_id"] == delivery)
    assert (told["state"], [r["ruling"] for r in told["rulings"]]) == ("withdrawn", ["withdrawn"])
    assert {k: told["rulings"][0][k] for k in ("ruled_by", "reason")} == {"ruled_by": "engineer", "reason": "a file of another county"}
    for screen in (hub.invoked("deliveries").stdout, hub.screen(date(2026, 3, 2))):
        assert "engineer" in screen and "a file of another county" in screen, screen

    again = hub.night(2, only="health")  # the night run again does not fetch it again
    assert again.sources["health"]["state"] == "withdrawn"
    oracle.same_fingerprint(hub.fingerprint(), without)
    with database.engine(hub.settings).connect() as connection:
        causes = list(connection.scalars(sa.text("SELECT cause FROM ops.published ORDER BY number")))
        assert "withdrawal" in causes

    with pytest.raises(ConfigError, match="not in the pool"):
        rulings.withdraw(hub.settings, delivery, reason="twice")
    rulings.release(hub.settings, delivery, reason="it was the right one after all", by="engineer")
    assert hub.fingerprint() != without
    assert hub.night(2, only="health").sources["health"]["state"] == "ok"


def test_a_delivery_let_in_after_the_next_one_leaves_the_pool_of_nights_in_order(borrowed: Hub) -> None:
    """What it shows first is born on its night; the id of the time between leads to it, and a dispute opened then stays open."""
    hub = borrowed
    hub.restore("night_1")
    first = newest(hub, "education")
    hub.night(8, only="education")
    in_order, born = hub.fingerprint(), seen_first(hub, date(2026, 3, 1))
    tried = rulings.withdraw(hub.settings, first, dry_run=True)
    rulings.withdraw(hub.settings, first, reason="held until the agency had been asked", confirm=tried.confirm)
    later = seen_first(hub, date(2026, 3, 8))
    key = min(born.keys() & later.keys())
    assert born[key] < later[key], "an id begins with the night the record was born on"
    name = load_contract("education").by_concept("person.name")
    assert name is not None
    with database.engine(hub.settings).connect() as connection:
        person_id = past.answers_to(connection, later[key], ledger.publication(connection))
    assert person_id is not None
    asked = {"kind": "objection", "reason": "wrong", "asker": "citizen", "record_key": key}
    [dispute] = disputes.open_dispute(hub.settings, person_id, f"education.{name.name}", **asked)
    released = rulings.release(hub.settings, first, reason="it is right", by="engineer")
    if released.confirm is not None:
        rulings.release(hub.settings, first, by="another", confirm=released.confirm)
    oracle.same_fingerprint(hub.fingerprint(), in_order)
    assert seen_first(hub, date(2026, 3, 1)) == born
    with database.engine(hub.settings).connect() as connection:
        last = ledger.publication(connection)
        now = past.answers_to(connection, born[key], last)
        assert now is not None and past.answers_to(connection, later[key], last) == now
        assert past.answers_to(connection, later[key], last - 1) == person_id
        [still] = disputes.listed(connection, hub.settings, person_id=now)
    assert (still.dispute_id, still.record_id, still.outcome) == (dispute.dispute_id, born[key], None)


def seen_first(hub: Hub, day: date) -> dict[str, str]:
    """Records of the school register that were first seen on a night: key → id."""
    with database.engine(hub.settings).connect() as connection:
        query = "SELECT record_key, record_id::text FROM core.education WHERE first_seen_date = :day AND withdrawn_date IS NULL"
        return dict(connection.execute(sa.text(query), {"day": day}).tuples().all())


def test_what_a_withdrawn_delivery_said_is_still_what_was_known_then(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_5")
    delivery = newest(hub, "medical_insurance")
    with database.engine(hub.settings).connect() as connection:
        moved = connection.execute(
            sa.text("SELECT record_id::text, as_of_date FROM identity.record WHERE delivery_id = :id LIMIT 1"), {"id": delivery}
        ).one()
        before = connection.scalar(sa.text("SELECT clock_timestamp()"))
        then = past.person(connection, moved.record_id, past.moment(connection, as_of=None, known_at=before), RULE)
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    rulings.withdraw(hub.settings, delivery, reason="wrong file", confirm=tried.confirm)
    with database.engine(hub.settings).connect() as connection:
        again = past.person(connection, moved.record_id, past.moment(connection, as_of=None, known_at=before), RULE)
    assert {**again, "records": None} == {**then, "records": None}
    assert again["records"] == then["records"]


def test_a_large_share_is_withdrawn_only_with_the_code_of_the_dry_run(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    before, delivery = hub.fingerprint(), newest(hub, "housing")
    with pytest.raises(ConfigError, match="would change"):
        rulings.withdraw(hub.settings, delivery, reason="wrong file")
    with pytest.raises(ConfigError, match="would change"):
        rulings.withdraw(hub.settings, delivery, reason="wrong file", confirm="00000000")
    oracle.same_fingerprint(hub.fingerprint(), before)
    done = hub.command("withdraw", delivery[:8], "--dry-run")
    assert done.returncode == 0 and "--confirm" in done.stdout, done.stderr
    refused = hub.command("withdraw", "ffffffff", "--reason", "x")
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    done_ = rulings.withdraw(hub.settings, delivery, reason="wrong file", confirm=tried.confirm)
    assert done_.after["records_of_source"] == 0


def test_a_held_delivery_is_released_with_a_reason(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    hub.break_by("education", "shifted_column")
    held = hub.night(8, only="education").sources["education"]
    hub.mend("education")
    assert held["state"] == "held", held
    before = hub.fingerprint()
    with pytest.raises(ConfigError, match="why must be said"):
        rulings.release(hub.settings, newest(hub, "education"), reason=" ")
    oracle.same_fingerprint(hub.fingerprint(), before)
    found = rulings.release(hub.settings, newest(hub, "education"), reason="numbers were given out anew", by="engineer")
    assert (found.confirm, found.withdrawals) == (None, ()), "it withdraws no more than usual: one person is enough"
    assert found.night.sources["education"]["state"] == "ok" and hub.fingerprint() != before
    assert any("released" in en for _, en in found.night.sources["education"]["notices"])
    with pytest.raises(ConfigError, match="neither held nor withdrawn"):
        rulings.release(hub.settings, newest(hub, "education"), reason="again")
    clock.set_night(hub.settings, 8)
    assert hub.screen(date(2026, 3, 8))


def test_a_snapshot_that_would_withdraw_more_than_usual_goes_in_only_when_another_person_confirms_where(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    hub.break_by("education", "rows_minus_40_percent")
    assert hub.night(8, only="education").sources["education"]["state"] == "held"
    hub.mend("education")
    before, delivery = hub.fingerprint(), newest(hub, "education")
    with pytest.raises(ConfigError, match="no release waits"):
        rulings.release(hub.settings, delivery, reason="two townships were handed over", by="one", confirm="00000000")
    asked = rulings.release(hub.settings, delivery, reason="two townships were handed over to the next county", by="one")
    assert asked.night.sources["education"]["state"] == "held"
    oracle.same_fingerprint(hub.fingerprint(), before)
    beyond = {(g.kind, g.name): (g.absent, g.held) for g in asked.withdrawals}
    with database.engine(hub.settings).connect() as connection:
        held = connection.scalar(sa.text("SELECT count(*) FROM core.education WHERE withdrawn_date IS NULL"))
    assert beyond["all", None][1] == held and beyond["all", None][0] > held / 3
    assert "--confirm" in hub.screen(date(2026, 3, 8)), "the morning says who must act"

    shown = hub.invoked("release", delivery[:8], "--by", "one")
    assert shown.returncode == 2 and "why must be said" in shown.stderr
    shown = hub.invoked("release", delivery[:8], "--by", "one", "--reason", "asked once more")
    assert shown.returncode == 4 and f"--confirm {asked.confirm}" in shown.stdout, "nothing is decided by asking twice"
    for by, code, told in (("one", asked.confirm, "cannot confirm it as well"), ("other", "00000000", "no release waits")):
        with pytest.raises(ConfigError, match=told):
            rulings.release(hub.settings, delivery, by=by, confirm=code)
    oracle.same_fingerprint(hub.fingerprint(), before)

    done = rulings.release(hub.settings, delivery, by="other", confirm=asked.confirm)
    assert done.confirm is None and done.night.sources["education"]["state"] == "ok"
    assert done.night.sources["education"]["withdrawn"] == beyond["all", None][0]
    with database.engine(hub.settings).connect() as connection:
        said = connection.execute(sa.text("SELECT ruled_by, reason FROM ops.ruling ORDER BY ruled_at")).tuples().all()
        gone = "SELECT record_id::text FROM core.education WHERE withdrawn_date IS NOT NULL LIMIT 1"
        told = past.person(
            connection, connection.scalar(sa.text(gone)), past.moment(connection, as_of=date(2026, 3, 2), known_at=None), RULE
        )
    assert said == [(by, "two townships were handed over to the next county") for by in ("one", "other")]
    assert "education" in {r["stem"] for r in told["records"]}, "on that day the agency held it"


def test_what_changed_since_it_was_shown_must_be_confirmed_anew(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    hub.break_by("education", "rows_minus_40_percent")
    hub.night(8, only="education")
    hub.mend("education")
    delivery = newest(hub, "education")
    asked = rulings.release(hub.settings, delivery, reason="handed over", by="one")
    with database.engine(hub.settings).begin() as connection:  # as when a late delivery came between
        name = load_contract("education").key.name
        key = f'SELECT record_key FROM core.education c WHERE NOT EXISTS (SELECT FROM staging.education_20260308 s WHERE s."{name}" = c.record_key) LIMIT 1'
        connection.execute(sa.text(f"UPDATE core.education SET withdrawn_date = '2026-03-01' WHERE record_key = ({key})"))
    again = rulings.release(hub.settings, delivery, by="other", confirm=asked.confirm)
    assert again.night.sources["education"]["state"] == "held" and again.confirm not in (None, asked.confirm)
    done = rulings.release(hub.settings, delivery, by="third", confirm=again.confirm)
    assert done.night.sources["education"]["state"] == "ok"


def test_a_withdrawn_snapshot_that_is_asked_for_again_stays_out_until_it_is_confirmed(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    hub.break_by("education", "key_range_missing")
    hub.night(8, only="education")
    hub.mend("education")
    delivery = newest(hub, "education")
    asked = rulings.release(hub.settings, delivery, reason="a school closed", by="one")
    assert {g.kind for g in asked.withdrawals} == {"range"}
    rulings.release(hub.settings, delivery, by="other", confirm=asked.confirm)
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    without = rulings.withdraw(hub.settings, delivery, reason="it did not", by="one", confirm=tried.confirm).fingerprint
    again = rulings.release(hub.settings, delivery, reason="it did", by="one")
    assert again.confirm is not None and again.night.sources["education"]["state"] == "withdrawn"
    oracle.same_fingerprint(hub.fingerprint(), without)
    rulings.release(hub.settings, delivery, by="other", confirm=again.confirm)
    assert hub.fingerprint() != without


def test_what_recent_snapshots_withdrew_is_usual_unless_somebody_had_to_release_them(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    assert hub.night(8, only="education").sources["education"]["state"] == "ok"
    groups = [{"kind": "all", "name": None, "held": 100, "absent": 20}]
    groups += [{"kind": "range", "name": str(n), "held": 100, "absent": 20} for n in range(1, turnover.RANGES + 1)]
    with database.engine(hub.settings).begin() as connection:  # as if a fifth of all keys went each week
        report = landing.load_report(connection, newest(hub, "education")) or {}
        landing.store_report(connection, newest(hub, "education"), {**report, "withdrawals": groups})
        assert absences.recent(connection, "education", date(2026, 3, 15), 14) == [groups]
        assert absences.recent(connection, "education", date(2026, 3, 8), 14) == [], "a first load withdraws nothing and says nothing"
    hub.break_by("education", "rows_minus_40_percent")
    assert hub.night(15, only="education").sources["education"]["state"] == "held"
    hub.mend("education")
    with database.engine(hub.settings).begin() as connection:
        report = landing.load_report(connection, newest(hub, "education")) or {}
        failed = {r["rule_id"] for r in report["results"] if not r["passed"] and r["severity"] == "critical"}
        assert "volume" in failed and not failed & {"withdrawals_all", "withdrawals_range"}
        former = landing.deliveries(connection, stem="education")[1].delivery_id
        ledger_rulings.append(connection, former, "released", by="one", reason="it was a large one")
        assert absences.recent(connection, "education", date(2026, 3, 15), 14) == []
