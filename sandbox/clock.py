"""What night it is in the county: one file that every simulated agency reads."""

import json
from datetime import date, timedelta

from hub.errors import ConfigError
from hub.settings import Settings


def current_night(settings: Settings) -> int:
    """The county's night, from 1; 0 before the first."""
    path = settings.home / "sandbox" / "clock.json"
    return int(json.loads(path.read_text(encoding="ascii"))["night"]) if path.exists() else 0


def set_night(settings: Settings, night: int) -> None:
    """Move the county to a night.

    Raises:
        ConfigError: the night is before the first or more than ten years on.
    """
    if not 0 <= night <= 3660:
        raise ConfigError("a night is a number from 1 to 3660", where="--night")
    path = settings.home / "sandbox" / "clock.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"night": night}), encoding="ascii")
    draft.replace(path)


def date_of(settings: Settings, night: int) -> date:
    """The business date of a night."""
    return settings.sandbox_epoch + timedelta(days=night - 1)


def night_of(settings: Settings, day: date) -> int:
    """The night of a business date; 0 or less before the county's first."""
    return (day - settings.sandbox_epoch).days + 1
