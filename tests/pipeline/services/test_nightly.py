"""A night through the scheduler, with a scheduler of paper."""

from datetime import date
from typing import Any

import pytest

from hub.errors import ServiceError
from hub.settings import get_settings
from pipeline.services import nightly

DAY = date(2026, 3, 1)


class Paper:
    """Airflow as the night sees it: runs and their states."""

    def __init__(self, states: dict[str, str], *, unify_starts_by_itself: bool = True, paused: str | None = None) -> None:
        self.states, self.by_itself, self.paused = states, unify_starts_by_itself, paused
        self.triggered: list[tuple[str, str]] = []
        self.forgotten = 0

    def forget_queued(self, dag: str) -> None:
        self.forgotten += 1

    def is_paused(self, dag: str) -> bool:
        return dag == self.paused

    def trigger(self, dag: str, business_date: str) -> str:
        self.triggered.append((dag, business_date))
        return f"run-of-{dag}"

    def state(self, dag: str, run: str) -> str:
        return self.states.get(dag, "success")

    def tasks(self, dag: str, run: str) -> dict[str, str]:
        return {"gate": "failed" if self.states.get(dag) == "failed" else "success"}

    def newest_runs(self, dag: str, since: Any) -> list[tuple[str, str]]:
        return [("by-asset", "running")] if self.by_itself else []


def night(monkeypatch: pytest.MonkeyPatch, paper: Paper, **options: Any) -> nightly.Outcome:
    monkeypatch.setattr(nightly, "Api", lambda _: paper)
    monkeypatch.setattr(nightly, "dag_ids", lambda: ["intake_one", "intake_two"])
    monkeypatch.setattr(nightly, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(nightly, "_POLL_S", 0.0)
    return nightly.through_scheduler(get_settings(), DAY, **options)


def test_every_intake_is_started_for_the_night_and_unify_follows_by_the_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = Paper({})
    outcome = night(monkeypatch, paper)
    assert paper.triggered == [("intake_one", "2026-03-01"), ("intake_two", "2026-03-01")]
    assert paper.forgotten == 1, "events of an interrupted night are forgotten first"
    assert outcome.runs == {"intake_one": "success", "intake_two": "success", "unify": "success"}
    assert outcome.failed == {}


def test_unify_is_started_when_the_assets_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = Paper({}, unify_starts_by_itself=False, paused="intake_two")
    outcome = night(monkeypatch, paper)
    assert paper.triggered == [("intake_one", "2026-03-01"), ("unify", "2026-03-01")]
    assert "intake_two" not in outcome.runs


def test_a_broken_source_is_named_and_the_night_is_published_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = night(monkeypatch, Paper({"intake_two": "failed"}))
    assert outcome.failed == {"intake_two": ["gate"]}
    assert outcome.runs["unify"] == "success"


def test_a_night_that_never_ends_is_given_up_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match="not over in time"):
        night(monkeypatch, Paper({"intake_one": "running"}), timeout_s=0.05)
