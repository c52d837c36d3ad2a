"""Working days of China: holidays, days worked in exchange, and years nobody has announced yet."""

from datetime import date
from pathlib import Path

import pytest

from hub.errors import ConfigError
from hub.settings import Settings
from hub.working_days import WorkingDays, working_days

CALENDAR = WorkingDays()


@pytest.mark.parametrize(
    ("day", "is_working"),
    [
        (date(2026, 2, 17), False),  # Spring Festival, a Tuesday
        (date(2026, 2, 28), True),  # a Saturday worked in exchange
        (date(2026, 3, 1), False),  # a Sunday
        (date(2026, 3, 2), True),
        (date(2026, 10, 1), False),
        (date(2026, 10, 10), True),  # a Saturday worked in exchange
    ],
    ids=str,
)
def test_a_day_is_worked_as_the_state_council_announced_it(day: date, is_working: bool) -> None:
    assert CALENDAR.is_working(day) is is_working


def test_ten_working_days_pass_over_a_holiday_and_count_the_saturday_worked_for_it() -> None:
    due = CALENDAR.after(date(2026, 9, 24), 10)
    assert due.day == date(2026, 10, 15) and not due.is_provisional
    assert CALENDAR.between(date(2026, 9, 24), due.day) == 10


def test_nothing_is_between_a_day_and_itself_or_an_earlier_one() -> None:
    assert CALENDAR.between(date(2026, 3, 5), date(2026, 3, 5)) == CALENDAR.between(date(2026, 3, 5), date(2026, 3, 1)) == 0


def test_over_a_year_nobody_has_announced_monday_to_friday_count_and_the_date_is_provisional() -> None:
    far = date(2100, 1, 1)
    assert not CALENDAR.is_known(far)
    assert CALENDAR.is_working(far) is True, "a Friday, though surely New Year"
    due = CALENDAR.after(date(2026, 3, 2), 5)
    assert not due.is_provisional
    assert CALENDAR.after(date(2099, 12, 31), 1).is_provisional


def settings_with(folder: Path, text: str) -> Settings:
    (folder / "days.csv").write_text(text, encoding="utf-8")
    return Settings(home=folder, working_days_file=folder / "days.csv")  # type: ignore[call-arg]


def test_a_file_announces_a_year_and_wins_over_the_package(tmp_path: Path) -> None:
    calendar = working_days(settings_with(tmp_path, "date,kind\n2100-01-01,holiday\n2100-01-02,workday\n2026-03-02,holiday\n"))
    assert calendar.is_known(date(2100, 6, 1))
    assert [calendar.is_working(date(2100, 1, n)) for n in (1, 2)] == [False, True]
    assert calendar.is_working(date(2026, 3, 2)) is False


@pytest.mark.parametrize("line", ["2100-02-30,holiday", "2100-01-01,maybe", "2100-01-01", "holiday"])
def test_a_line_that_is_no_day_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="line 3"):
        working_days(settings_with(tmp_path, f"date,kind\n2100-01-04,workday\n{line}\n"))
