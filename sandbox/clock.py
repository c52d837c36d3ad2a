"""What night it is in the county: one file that every simulated agency reads."""

import json
from datetime import date, timedelta

from hub.errors import ConfigError
from hub.settings import Settings


def current_night(settings: Settings) -> int:
    """The county's night, from 1; 0 before the first."""
    return reading(settings).get("night", 0)


def lived_until(settings: Settings, night: int) -> int:
    """The night up to which anything happened to the county's people, as seen on a night: earlier where it stands still."""
    return min(night, reading(settings).get("still_since", night))


def reading(settings: Settings) -> dict[str, int]:
    """All the clock shows, to tell whether it was moved; empty before it was first set.

    Raises:
        ValueError: somebody is in the midst of writing it by hand.
    """
    path = settings.home / "sandbox" / "clock.json"
    return dict(json.loads(path.read_text(encoding="ascii"))) if path.exists() else {}


def set_night(settings: Settings, night: int, *, still_since: int | None = None) -> None:
    """Move the county to a night.

    Args:
        settings: of the sandbox.
        night: its number, from 1.
        still_since: since that night nothing has happened to anybody: agencies deliver, dated as ever, what they held then.

    Raises:
        ConfigError: the night is before the first or more than ten years on.
    """
    if not 0 <= night <= 3660:
        raise ConfigError("a night is a number from 1 to 3660", where="--night")
    path = settings.home / "sandbox" / "clock.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(
        json.dumps({"night": night} if still_since is None else {"night": night, "still_since": still_since}), encoding="ascii"
    )
    draft.replace(path)


def date_of(settings: Settings, night: int) -> date:
    """The business date of a night."""
    return settings.sandbox_epoch + timedelta(days=night - 1)


def night_of(settings: Settings, day: date) -> int:
    """The night of a business date; 0 or less before the county's first."""
    return (day - settings.sandbox_epoch).days + 1
