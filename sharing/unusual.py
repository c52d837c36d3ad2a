"""Access that somebody should look at: a client's day held against its own days before.

A rule says that a day is out of the ordinary, never that anybody did wrong. What is counted are entries of the log; nothing is read of anybody.
"""

import statistics
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from hub.dates import CHINA
from hub.settings import Settings
from hub.working_days import working_days
from warehouse import audit_log

_BACK_DAYS = 60
_LEAST_DAYS = 5  # of its own a client must have had before a day can be more than usual
RULES = {
    "volume": ("查询量远超该客户端往日", "far more entries than on this client's days before"),
    "misses": ("多数查询查无此人或无权得知", "many subjects that are not there or not its own"),
    "refusals": ("多次请求未获授权的用途或方式", "purposes or ways that are not granted, over and over"),
    "off_hours": ("非工作时间查询", "entries outside working days and office hours"),
    "one_person": ("反复查询同一人", "one person, over and over"),
}


@dataclass(frozen=True)
class Bounds:
    """From when on a day is out of the ordinary; each rule needs a number as well as a share, so that a quiet client's third question is none.

    Attributes:
        volume: times the median of the client's own days.
        least: entries a day must have for `volume` and `misses`.
        misses: share of entries.
        refusals, off_hours, one_person: entries.
    """

    volume: float = 4.0
    least: int = 50
    misses: float = 0.3
    refusals: int = 10
    off_hours: int = 20
    one_person: int = 15


@dataclass(frozen=True)
class Unusual:
    """One rule that a client's day meets. ``usual`` = what it is held against; None where there is no habit to hold it against."""

    day: date
    client_id: str
    department: str
    rule: str
    found: int
    usual: float | None

    @property
    def told(self) -> tuple[str, str]:
        """The rule in Chinese and English."""
        return RULES[self.rule]


def found(connection: sa.Connection, settings: Settings, day: date, bounds: Bounds | None = None) -> list[Unusual]:
    """What is out of the ordinary on a day of Asia/Shanghai, by client and rule.

    Args:
        connection: an open connection.
        settings: whose calendar.
        day: the day.
        bounds: from when on; the defaults are the project's assumption, a dated local rule.
    """
    until = datetime.combine(day + timedelta(days=1), time(), CHINA)
    rows = audit_log.days(connection, until, _BACK_DAYS)
    return judged(rows, day, is_working=working_days(settings).is_working(day), bounds=bounds or Bounds())


def judged(rows: list[Any], day: date, *, is_working: bool, bounds: Bounds) -> list[Unusual]:
    """The rules, over days of clients as `warehouse.audit_log.days` gives them."""
    before: dict[str, list[int]] = {}
    for row in rows:
        if row.day < day:
            before.setdefault(row.client_id, []).append(row.entries)
    result = []
    for row in rows:
        if row.day != day:
            continue
        own = before.get(row.client_id, [])
        usual = float(statistics.median(own)) if len(own) >= _LEAST_DAYS else None
        outside = row.off_hours if is_working else row.entries
        met = (
            ("volume", row.entries, usual, usual is not None and row.entries >= bounds.least and row.entries > bounds.volume * usual),
            ("misses", row.misses, None, row.entries >= bounds.least and row.misses > bounds.misses * row.entries),
            ("refusals", row.refusals, None, row.refusals >= bounds.refusals),
            ("off_hours", outside, None, outside >= bounds.off_hours),
            ("one_person", row.most_on_one, None, row.most_on_one >= bounds.one_person),
        )
        result += [Unusual(day, row.client_id, row.department, rule, n, held) for rule, n, held, is_met in met if is_met]
    return result
