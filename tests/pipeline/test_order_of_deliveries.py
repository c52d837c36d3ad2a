"""The same delivery twice, a late delivery after a newer one: no change at all, no travel back in time."""

from datetime import date

import pytest

from pipeline import run
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from warehouse import database, landing

pytestmark = pytest.mark.slow


def landed(hub: Hub, stem: str) -> list[landing.Delivery]:
    """A source's deliveries, newest first."""
    with database.engine(hub.settings).connect() as connection:
        return landing.deliveries(connection, stem=stem)


@pytest.mark.parametrize("stem", ["education", "medical_insurance"])
def test_the_same_delivery_replayed_changes_nothing(borrowed: Hub, stem: str) -> None:
    hub = borrowed
    hub.restore("night_1")
    hub.night(2, only=stem)
    before, deliveries = hub.fingerprint(), landed(hub, stem)
    again = run.replay(hub.settings, deliveries[0].delivery_id).sources[stem]
    assert again["inserted"] == again["updated"] == again["withdrawn"] == 0
    assert again["unchanged"] + again["quarantined"] + again["rejected"] == again["delivered"] > 0
    oracle.same_fingerprint(hub.fingerprint(), before)
    assert landed(hub, stem) == deliveries


def test_the_same_stock_sent_for_the_next_night_changes_nothing(borrowed: Hub) -> None:
    """The agency shows the stock of the day before: what it sends is known already."""
    hub = borrowed
    hub.restore("night_1")
    hub.night(2, only="health")
    content = hub.content()
    hub.break_by("health", "yesterdays_stock")
    books = hub.night(3, only="health").sources["health"]
    hub.mend("health")
    assert books["state"] == "ok" and books["inserted"] == books["updated"] == 0
    assert hub.content() == content


def test_a_late_full_delivery_after_a_newer_one_is_no_travel_in_time(borrowed: Hub) -> None:
    """The snapshot of 8 March is fetched after that of 15 March: records that are gone since do not come back."""
    hub = borrowed
    hub.restore("night_1")
    hub.night(15, only="education")
    before, n_landed = hub.content(), len(landed(hub, "education"))
    books = hub.night(8, only="education").sources["education"]
    assert books["state"] == "ok" and books["inserted"] == books["updated"] == books["withdrawn"] == 0
    assert hub.content() == before
    late = landed(hub, "education")
    assert len(late) == n_landed + 1, "it is kept, for those who ask what was known when"
    assert date(2026, 3, 8) in {d.as_of_date for d in late}
    clock.set_night(hub.settings, 22)
    assert hub.night(22, only="education").sources["education"]["state"] == "ok"


def test_a_late_night_asked_for_when_the_agency_has_moved_on_says_so(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    hub.break_by("health", "down")
    hub.night(2, only="health")
    hub.mend("health")
    hub.night(3, only="health")
    done = hub.command("night", "--date", "2026-03-02", "--source", "health")
    assert done.returncode == 3, done.stderr
    assert "after this night" in done.stdout
    assert hub.screen(date(2026, 3, 3)).count("陈旧 stale") == 0
