"""The verbs as a scheduler calls them: text in, JSON out. The business date follows from the occasion of the run."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from hub.dates import parse_date
from hub.errors import ConfigError
from hub.settings import Settings, get_settings
from pipeline import nights, steps
from warehouse import database, ledger

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Occasion:
    """Why and when a run was started.

    Attributes:
        asked: business date it was triggered with; None when started by the clock or an asset.
        instant: the scheduled instant, the same for every task and retry of the run.
        decided: business date an earlier task of the run found; None when none did.
        heard: business dates that the assets which started it were about.
    """

    asked: str | None
    instant: datetime
    decided: str | None = None
    heard: tuple[str, ...] = ()


def _open(settings: Settings, occasion: Occasion) -> date:
    day = parse_date(occasion.asked or occasion.decided)
    return nights.open_night(settings, day=day, instant=occasion.instant)


def _day(night: str) -> date:
    found = parse_date(night)
    if found is None:
        raise ConfigError("the run has no business date", next_step="clear the first task of the run")
    return found


def fetch(stem: str, occasion: Occasion) -> Outcome:
    """Open the night if nobody has, and fetch; in the sandbox the county moves on to that night first."""
    from pipeline.services import agencies

    settings = get_settings()
    day = _open(settings, occasion)
    agencies.reach(settings, day)
    return {**steps.fetch(stem, day), "night": str(day)}


def land(stem: str, night: str) -> Outcome:
    """Land what was fetched."""
    return {**steps.land(stem, _day(night)), "night": night}


def parse(stem: str, night: str) -> Outcome:
    """Parse the delivery."""
    return {**steps.parse(stem, _day(night)), "night": night}


def gate(stem: str, night: str) -> Outcome:
    """Let the gate judge the delivery."""
    return {**steps.gate(stem, _day(night)), "night": night}


def report(stem: str, occasion: Occasion) -> Outcome:
    """How the source stands, whatever became of its verbs."""
    day = _open(get_settings(), occasion)
    return {**steps.report(stem, day), "night": str(day)}


def resolve(occasion: Occasion) -> Outcome:
    """Resolve the night the occasion is about.

    That is the date asked for, or else the newest one the sources reported on, or else (at the deadline) tonight's.
    """
    settings = get_settings()
    if occasion.asked or occasion.heard:
        day = nights.open_night(settings, day=parse_date(occasion.asked or max(occasion.heard)))
    else:
        day = _tonight(settings, occasion.instant)
    return {**steps.resolve(day), "night": str(day)}


def _tonight(settings: Settings, instant: datetime) -> date:
    """The night a deadline is about: by the wall clock the instant's own; in the sandbox the newest one that was opened."""
    if settings.business_clock == "wall":
        return nights.open_night(settings, instant=instant)
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        last = ledger.last_night(connection)
    return last.business_date if last else nights.open_night(settings, instant=instant)


def merge(night: str) -> Outcome:
    """Publish the night."""
    return {**steps.merge(_day(night)), "night": night}


def share(night: str) -> Outcome:
    """Tell what changed."""
    return {**steps.share(_day(night)), "night": night}
