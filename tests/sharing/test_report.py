"""`hub audit report`: who asked what for, and when."""

import json
from datetime import date, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from hub import settings as hub_settings
from pipeline.cli.main import app
from tests.sharing.conftest import Log

pytestmark = pytest.mark.slow
DAY = date(2026, 1, 5)
SPAN = ("--since", "2026-01-05", "--until", "2026-01-08")


@pytest.fixture
def report(dated: Log, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command over three days of two departments."""
    if not dated.pool.rows("SELECT 1 FROM audit.entry WHERE at < '2026-02-01' LIMIT 1"):
        desk, town = dated.client(), dated.client()
        dated.add(desk, DAY, "a", "a", "b")
        dated.add(desk, DAY, "c", hour=15, decision="not_available")
        dated.add(town, DAY + timedelta(days=1), "a", hour=0, department="town_office", purpose="certificate_check")
        dated.add(desk, DAY + timedelta(days=2), "a", hour=23, purpose="low_income_review")
    monkeypatch.setenv("HUB_HOME", str(dated.pool.settings.home))
    monkeypatch.setenv("HUB_DATABASE_URL", dated.pool.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    hub_settings.get_settings.cache_clear()
    yield lambda *words: CliRunner().invoke(app, ["audit", "report", *words])
    hub_settings.get_settings.cache_clear()


def rows(report: Any, *words: str) -> list[tuple[Any, ...]]:
    """What it says as JSON, without instants."""
    told = report(*words, "--json")
    assert told.exit_code == 0, told.output
    return [tuple(v for name, v in r.items() if name[-3:] != "_at") for r in json.loads(told.stdout)]


def test_entries_and_persons_are_counted_by_department_purpose_and_day(report: Any) -> None:
    assert rows(report, *SPAN, "--by", "department,purpose,day") == [
        ("civil_affairs", "low_income_review", "2026-01-07", 1, 1),
        ("civil_affairs", "roster_monitoring", "2026-01-05", 4, 3),
        ("town_office", "certificate_check", "2026-01-06", 1, 1),
    ]


def test_the_first_named_comes_first_and_days_and_hours_are_chinas(report: Any) -> None:
    assert [r[:2] for r in rows(report, *SPAN, "--by", "hour,decision")] == [
        ("2026-01-05 10:00", "told"), ("2026-01-05 15:00", "not_available"), ("2026-01-06 00:00", "told"), ("2026-01-07 23:00", "told"),
    ]  # fmt: skip


def test_a_span_begins_with_its_first_instant_and_ends_before_its_last(report: Any) -> None:
    assert rows(report, "--since", "2026-01-05T15:00", "--until", "2026-01-07T23:00", "--by", "day") == [
        ("2026-01-05", 1, 1),
        ("2026-01-06", 1, 1),
    ]
    assert rows(report, "--since", "2026-01-05T07:00+00:00", "--until", "2026-01-06", "--by", "day") == [("2026-01-05", 1, 1)]
    assert rows(report, "--until", "2026-01-05") == []


def test_one_department_or_purpose_alone_and_all_together(report: Any) -> None:
    assert rows(report, *SPAN, "--department", "town_office", "--by", "day") == [("2026-01-06", 1, 1)]
    assert rows(report, *SPAN, "--purpose", "roster_monitoring", "--by", "decision") == [("not_available", 1, 1), ("told", 3, 2)]
    assert rows(report, *SPAN, "--by", "") == [(6, 3)]


def test_the_screen_has_both_languages_and_an_unknown_way_to_count_is_refused(report: Any) -> None:
    shown = report(*SPAN, "--by", "department,purpose,day").stdout
    words = ("部门", "department", "用途", "purpose", "日", "day", "次数", "entries", "人数", "persons", "2026-01-06")
    assert not [word for word in words if word not in shown]
    assert "没有留痕 / no entry" in report("--until", "2020-01-01").stdout
    refused = report("--by", "day,person")
    assert refused.exit_code == 1 and "'person'" in str(refused.exception)
