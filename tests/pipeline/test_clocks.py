"""Clocks that are wrong, set back, or past midnight: a night's dates are those of its business date, whatever a clock says meanwhile."""

import os
import subprocess
import sys
import time
from datetime import date, datetime
from unittest import mock

import pytest
import sqlalchemy as sa

from hub.dates import CHINA
from hub.settings import CHECKOUT
from pipeline import nights, run, tickets
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from warehouse import database

pytestmark = pytest.mark.slow


class At(datetime):
    """A clock that stands still."""

    instant = datetime(2026, 3, 2, 23, 59, 50, tzinfo=CHINA)

    @classmethod
    def now(cls, tz=None):
        return cls.instant.astimezone(tz)


def by_the_wall(hub: Hub, instant: datetime) -> date:
    """The business date that opens at an instant, by the clock on the wall."""
    At.instant = instant
    with mock.patch.object(nights, "datetime", At):
        return nights.open_night(hub.settings.model_copy(update={"business_clock": "wall"}))


def test_a_night_is_the_same_in_whatever_zone_the_machine_is_set_to(borrowed: Hub) -> None:
    """A zone with summer time, where it is still the day before."""
    borrowed.restore("night_1")
    clock.set_night(borrowed.settings, 2)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "night", "--date", "2026-03-02", "--json"],
        cwd=CHECKOUT, env={**borrowed.environment, "TZ": "America/New_York"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    oracle.same_fingerprint(borrowed.fingerprint(), borrowed.reports[2].fingerprint)


def test_a_night_that_runs_over_midnight_stays_the_night_it_began_as(borrowed: Hub) -> None:
    borrowed.restore("night_1")
    clock.set_night(borrowed.settings, 2)
    day = by_the_wall(borrowed, datetime(2026, 3, 2, 23, 59, 50, tzinfo=CHINA))
    At.instant = datetime(2026, 3, 3, 0, 20, tzinfo=CHINA)
    with mock.patch.object(tickets, "datetime", At), mock.patch.object(nights, "datetime", At):
        done = run.run(borrowed.settings, day)
    assert day == date(2026, 3, 2)
    oracle.same_fingerprint(done.fingerprint, borrowed.reports[2].fingerprint)


def test_a_clock_that_was_set_back_opens_a_past_night_which_changes_nothing_and_then_goes_on(borrowed: Hub) -> None:
    borrowed.restore("night_1")
    clock.set_night(borrowed.settings, 2)
    run.run(borrowed.settings, by_the_wall(borrowed, datetime(2026, 3, 2, 1, tzinfo=CHINA)))
    past = by_the_wall(borrowed, datetime(2026, 3, 1, 1, tzinfo=CHINA))
    again = run.run(borrowed.settings, past)
    assert past == date(2026, 3, 1)
    oracle.same_fingerprint(again.fingerprint, borrowed.reports[2].fingerprint)
    clock.set_night(borrowed.settings, 3)
    done = run.run(borrowed.settings, by_the_wall(borrowed, datetime(2026, 3, 3, 1, tzinfo=CHINA)))
    oracle.same_fingerprint(done.fingerprint, borrowed.reports[3].fingerprint)


def test_the_wall_clock_is_chinas_also_while_another_zone_has_no_such_hour(borrowed: Hub) -> None:
    """02:30 does not exist in New York on 8 March 2026, where it is a day earlier than in China half of the time."""
    borrowed.restore("night_5")
    try:
        with mock.patch.dict(os.environ, {"TZ": "America/New_York"}):
            time.tzset()
            assert time.tzname[0] == "EST"
            opened = by_the_wall(borrowed, datetime.fromisoformat("2026-03-07T16:30:00+00:00"))
    finally:
        time.tzset()
    assert opened == date(2026, 3, 8)


def test_the_29th_of_february_is_a_night_like_any_other(make_hub) -> None:  # type: ignore[no-untyped-def]
    with mock.patch.dict(os.environ, {"HUB_SANDBOX_EPOCH": "2028-02-29"}):
        hub = make_hub("leap")
        first, second = hub.night(1), hub.night(2)
    assert (first.night, second.night) == ("2028-02-29", "2028-03-01")
    assert {s["state"] for s in (*first.sources.values(), *second.sources.values())} <= {"merged", "ok", "not_due"}
    assert sum(s["updated"] for s in second.sources.values()) > 0  # deltas since a day that other years have not
    with database.engine(hub.settings).connect() as connection:
        shown = connection.scalars(sa.text("SELECT DISTINCT as_of_date FROM history.observation ORDER BY 1")).all()
        ended = connection.scalar(sa.text("SELECT count(*) FROM history.record WHERE lower(valid_during) = '2028-02-29'"))
    assert shown == [date(2028, 2, 29), date(2028, 3, 1)]
    assert ended
    oracle.same_fingerprint(hub.night(1).fingerprint, second.fingerprint)
