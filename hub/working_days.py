"""Working days of China: weekends, statutory holidays and the days that are worked in exchange for them.

The State Council announces each year's days in the autumn before (国务院办公厅关于…年部分节假日安排的通知). They come from the
`chinesecalendar` package, and from a file for days it does not know yet (`HUB_WORKING_DAYS_FILE`). A year that neither knows counts
Monday to Friday, and says so: a date reckoned over such a day is provisional until the announcement is here.
"""

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import chinese_calendar

from hub.errors import ConfigError
from hub.settings import Settings

_KINDS = {"workday": True, "holiday": False}
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Due:
    """A date so many working days after another.

    Attributes:
        is_provisional: whether a day on the way is of a year whose holidays are not announced here.
    """

    day: date
    is_provisional: bool


class WorkingDays:
    """The calendar. Immutable; build one with :func:`working_days`."""

    def __init__(self, announced: dict[date, bool] | None = None) -> None:
        """Know these days beside the package's own.

        Args:
            announced: day → whether it is worked; wins over the package.
        """
        self._announced = announced or {}
        self._years = {day.year for day in self._announced}

    def is_known(self, day: date) -> bool:
        """Whether the holidays of that day's year are announced here."""
        return day.year in self._years or _packaged(day) is not None

    def is_working(self, day: date) -> bool:
        """Whether people are at work: as announced, or Monday to Friday in a year nobody has announced."""
        if day in self._announced:
            return self._announced[day]
        known = _packaged(day)
        return day.weekday() < 5 if known is None else known

    def between(self, first: date, last: date) -> int:
        """Working days after the first date, up to and with the last; 0 when the last is not later."""
        return sum(self.is_working(first + n * _DAY) for n in range(1, (last - first).days + 1))

    def after(self, first: date, count: int) -> Due:
        """The working day that is the count-th after a date; the date itself does not count."""
        day, left, provisional = first, count, False
        while left > 0:
            day += _DAY
            provisional = provisional or not self.is_known(day)
            left -= self.is_working(day)
        return Due(day, provisional)


def _packaged(day: date) -> bool | None:
    """What the package knows of a day; None for a year it does not know."""
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return None


def working_days(settings: Settings) -> WorkingDays:
    """The calendar of a hub.

    Raises:
        ConfigError: the file of announced days cannot be read; file and line are named.
    """
    path = settings.working_days_file
    return _calendar(path, path.stat().st_mtime_ns if path and path.exists() else 0)


@cache
def _calendar(path: Path | None, _stamp: int) -> WorkingDays:
    if path is None:
        return WorkingDays()
    where = f"HUB_WORKING_DAYS_FILE {path}"
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError):
        raise ConfigError("the file of working days cannot be read", where=where) from None
    announced = {}
    for number, line in enumerate(lines, 2):
        try:
            announced[date.fromisoformat(line["date"])] = _KINDS[line["kind"]]
        except (KeyError, ValueError, TypeError):
            raise ConfigError("not a day", where=f"{where} line {number}", next_step="date,kind — 2027-01-01,holiday or workday") from None
    return WorkingDays(announced)
