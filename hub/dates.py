"""Dates and instants as people write them, in the zone the hub works in."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from hub.errors import ConfigError

CHINA = ZoneInfo("Asia/Shanghai")


def parse_date(text: str | None, flag: str = "--date") -> date | None:
    """A date from a flag; None stays None.

    Raises:
        ConfigError: not a date of the calendar.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a date of the calendar", where=flag, next_step="write it as 2026-03-01") from None


def parse_instant(text: str | None, flag: str) -> datetime | None:
    """An instant from a flag, a date alone being its beginning; without a zone it is one of China. None stays None.

    Raises:
        ConfigError: no instant.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not an instant", where=flag, next_step="write it as 2026-03-01T08:00") from None
    return found.replace(tzinfo=CHINA) if found.tzinfo is None else found


def shown(instant: datetime) -> str:
    """An instant as people read it where the hub works, to the minute."""
    return f"{instant.astimezone(CHINA):%Y-%m-%d %H:%M}"


def shown_exactly(instant: datetime) -> str:
    """An instant as people read it where the hub works and may type it again: the first full second by which it had come."""
    begun = instant.astimezone(CHINA).replace(microsecond=0)
    return f"{begun + timedelta(seconds=begun < instant):%Y-%m-%d %H:%M:%S}"
