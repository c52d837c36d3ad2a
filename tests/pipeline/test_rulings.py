"""Whole deliveries, withdrawn and released: stories of a morning."""

from datetime import date

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from pipeline import rulings
from sandbox import clock
from tests.conftest import Hub
from warehouse import database, landing, past

pytestmark = pytest.mark.slow


def newest(hub: Hub, stem: str) -> str:
    with database.engine(hub.settings).connect() as connection:
        return landing.deliveries(connection, stem=stem)[0].delivery_id


def test_a_withdrawn_delivery_leaves_the_pool_of_a_night_without_it(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    for stem in ("education", "housing", "medical_insurance"):
        hub.night(2, only=stem)
    without = hub.fingerprint()
    hub.night(2, only="health")
    assert hub.fingerprint() != without
    delivery = newest(hub, "health")
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    assert tried.keys > 0 and not tried.is_done and hub.fingerprint() != without
    done = rulings.withdraw(hub.settings, delivery[:8], reason="a file of another county", by="engineer", confirm=tried.confirm)
    assert done.is_done and (done.before, done.after) == (tried.before, tried.after)
    assert hub.fingerprint() == done.fingerprint == without

    again = hub.night(2, only="health")  # the night run again does not fetch it again
    assert again.sources["health"]["state"] == "withdrawn" and hub.fingerprint() == without
    with database.engine(hub.settings).connect() as connection:
        causes = list(connection.scalars(sa.text("SELECT cause FROM ops.published ORDER BY number")))
        assert "withdrawal" in causes

    with pytest.raises(ConfigError, match="not in the pool"):
        rulings.withdraw(hub.settings, delivery, reason="twice")
    rulings.release(hub.settings, delivery, reason="it was the right one after all", by="engineer")
    assert hub.fingerprint() != without
    assert hub.night(2, only="health").sources["health"]["state"] == "ok"


def test_what_a_withdrawn_delivery_said_is_still_what_was_known_then(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_5")
    delivery = newest(hub, "medical_insurance")
    with database.engine(hub.settings).connect() as connection:
        moved = connection.execute(
            sa.text("SELECT record_id::text, as_of_date FROM identity.record WHERE delivery_id = :id LIMIT 1"), {"id": delivery}
        ).one()
        before = connection.scalar(sa.text("SELECT clock_timestamp()"))
        then = past.person(connection, moved.record_id, past.moment(connection, as_of=None, known_at=before))
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    rulings.withdraw(hub.settings, delivery, reason="wrong file", confirm=tried.confirm)
    with database.engine(hub.settings).connect() as connection:
        again = past.person(connection, moved.record_id, past.moment(connection, as_of=None, known_at=before))
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
    assert hub.fingerprint() == before
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
    hub.break_by("education", "rows_minus_40_percent")
    held = hub.night(8, only="education").sources["education"]
    hub.mend("education")
    assert held["state"] == "held", held
    before = hub.fingerprint()
    with pytest.raises(ConfigError, match="why must be said"):
        rulings.release(hub.settings, newest(hub, "education"), reason=" ")
    assert hub.fingerprint() == before
    found = rulings.release(
        hub.settings, newest(hub, "education"), reason="two townships were handed over to the next county", by="engineer"
    )
    assert found.sources["education"]["state"] == "ok" and found.sources["education"]["withdrawn"] > 0
    with database.engine(hub.settings).connect() as connection:
        gone = "SELECT record_id::text FROM core.education WHERE withdrawn_date IS NOT NULL LIMIT 1"
        told = past.person(connection, connection.scalar(sa.text(gone)), past.moment(connection, as_of=date(2026, 3, 2), known_at=None))
        assert "education" in {r["stem"] for r in told["records"]}, "on that day the agency held it"
    assert any("released" in en for _, en in found.sources["education"]["notices"])
    with pytest.raises(ConfigError, match="neither held nor withdrawn"):
        rulings.release(hub.settings, newest(hub, "education"), reason="again")
    clock.set_night(hub.settings, 8)
    assert hub.screen(date(2026, 3, 8))
