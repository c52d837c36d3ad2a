"""Access that somebody should look at: a client's day held against its own days before, and against whom it asked about.

A rule says that a day is out of the ordinary, never that anybody did wrong. What is counted are entries of the log. Rules about neighbours, households and
family names need to know who the subjects are: that is worked out while the rules are applied (`sharing.vicinity`), written down nowhere, and what is told of it is a number.
"""

import statistics
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from hub.dates import CHINA
from hub.settings import Settings
from hub.working_days import working_days
from sharing import vicinity
from sharing.vicinity import Asked
from warehouse import audit_log
from warehouse.vicinity import Resident

_BACK_DAYS = 60
_LEAST_DAYS = 5  # of its own a client must have had before a day can be more than usual
RULES = {
    "volume": ("查询量远超该客户端往日", "far more entries than on this client's days before"),
    "misses": ("多数查询查无此人或无权得知", "many subjects that are not there or not its own"),
    "refusals": ("多次请求未获授权的用途或方式", "purposes or ways that are not granted, over and over"),
    "off_hours": ("非工作时间查询", "entries outside working days and office hours"),
    "one_person": ("反复查询同一人", "one person, over and over"),
    "neighbours": ("逐个查询集中于同一村（社区）", "one at a time, mostly persons of one village or community"),
    "household": ("反复查询同一家庭或同一住址的人", "persons of one household or one address, over and over"),
    "surname": ("逐个查询多与经办人同姓", "one at a time, many of the operator's own family name"),
    "unnamed": ("逐个查询未报经办人，同姓一项看不到", "one at a time without naming an operator: family names are not watched"),
}


@dataclass(frozen=True)
class Bounds:
    """From when on a day is out of the ordinary; each rule needs a number as well as a share, so that a quiet client's third question is none.

    Attributes:
        volume: times the median of the client's own days.
        least: entries a day must have for `volume` and `misses`.
        misses: share of entries.
        refusals, off_hours, one_person: entries.
        neighbours: persons of one community in a day, asked about one at a time.
        neighbours_share: of those persons, how many must be of that community.
        neighbours_times: times what the client's own days before (or, without such days, the community's share of the pool) would let expect.
        household: entries on one household or address, of two persons at least, in a day.
        household_entries, household_days: entries on it, on so many days, within `vicinity.BACK_DAYS`.
        surname: persons of the operator's family name within `vicinity.BACK_DAYS`.
        surname_times: times what is to be expected of the communities asked about.
        unnamed: entries in a day.
    """

    volume: float = 4.0
    least: int = 50
    misses: float = 0.3
    refusals: int = 10
    off_hours: int = 20
    one_person: int = 15
    neighbours: int = 12
    neighbours_share: float = 0.6
    neighbours_times: float = 2.0
    household: int = 15
    household_entries: int = 24
    household_days: int = 5
    surname: int = 8
    surname_times: float = 3.0
    unnamed: int = 1


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
    held = bounds or Bounds()
    counted = judged(rows, day, is_working=working_days(settings).is_working(day), bounds=held)
    seen = vicinity.seen(connection, settings, day)
    return sorted(
        counted + acquainted(seen.asked, seen.residents, seen.shares, day, bounds=held), key=lambda u: (u.client_id, [*RULES].index(u.rule))
    )


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


def acquainted(
    asked: list[Asked], residents: dict[str, Resident], shares: dict[tuple[str | None, str], float], day: date, *, bounds: Bounds
) -> list[Unusual]:  # fmt: skip
    """The rules about whom a client asked for one at a time.

    Args:
        asked: as `vicinity.seen` gives it, of the day and those before.
        residents: persons by their ids.
        shares: how common family names are, by community and in the pool (None), and how large communities are (by the name "").
        day: the day.
        bounds: from when on.
    """
    by_client: dict[str, list[Asked]] = {}
    for one in asked:
        by_client.setdefault(one.client_id, []).append(one)
    result = []
    for client_id, own in sorted(by_client.items()):
        today = [a for a in own if a.day == day]
        if not today:
            continue
        met = (
            ("neighbours", *_neighbours(own, residents, shares, day, bounds)),
            ("household", *_household(own, residents, day, bounds)),
            ("surname", *_surname(own, residents, shares, day, bounds)),
            ("unnamed", *_unnamed(today, bounds)),
        )
        result += [Unusual(day, client_id, today[0].department, rule, n, held) for rule, n, held, is_met in met if is_met]
    return result


def _communities(asked: list[Asked], residents: dict[str, Resident]) -> Counter[str]:
    """Persons asked about by community, each once."""
    persons = {a.person_id for a in asked}
    return Counter(c for p in persons if p in residents and (c := residents[p].community) is not None)


def _neighbours(
    own: list[Asked], residents: dict[str, Resident], shares: dict[tuple[str | None, str], float], day: date, bounds: Bounds
) -> tuple[int, float | None, bool]:  # fmt: skip
    today = _communities([a for a in own if a.day == day], residents)
    if not today:
        return 0, None, False
    (community, n), persons = max(today.items(), key=lambda item: (item[1], item[0])), today.total()
    before = [a for a in own if a.day < day]
    if len({a.day for a in before}) >= _LEAST_DAYS:
        earlier = _communities(before, residents)
        share = earlier[community] / max(1, earlier.total())
    else:
        share = shares.get((community, ""), 0.0)
    usual = persons * share
    return n, usual, n >= bounds.neighbours and n >= bounds.neighbours_share * persons and n > bounds.neighbours_times * usual


def _household(own: list[Asked], residents: dict[str, Resident], day: date, bounds: Bounds) -> tuple[int, float | None, bool]:
    circles: dict[str, list[Asked]] = {}
    for one in own:
        for circle in residents[one.person_id].circles if one.person_id in residents else ():
            circles.setdefault(circle, []).append(one)
    most = 0
    for of in circles.values():
        today = [a for a in of if a.day == day]
        entries, in_all = sum(a.entries for a in today), sum(a.entries for a in of)
        if entries >= bounds.household and len({a.person_id for a in today}) > 1:
            most = max(most, entries)
        if today and in_all >= bounds.household_entries and len({a.day for a in of}) >= bounds.household_days:
            most = max(most, in_all)
    return most, None, most > 0


def _surname(
    own: list[Asked], residents: dict[str, Resident], shares: dict[tuple[str | None, str], float], day: date, bounds: Bounds
) -> tuple[int, float | None, bool]:  # fmt: skip
    """Of the operators of the day, the one whose family name the persons asked about bear most often."""
    result: tuple[int, float | None, bool] = 0, None, False
    for operator in {a.operator for a in own if a.day == day and a.operator is not None}:
        persons = {a.person_id for a in own if a.operator == operator and a.person_id in residents}
        alike = sum((residents[p].name or "").startswith(operator.surname) for p in persons)
        usual = sum(shares.get((residents[p].community, operator.surname), shares.get((None, operator.surname), 0.0)) for p in persons)
        if alike >= bounds.surname and alike > bounds.surname_times * usual and alike > result[0]:
            result = alike, usual, True
    return result


def _unnamed(today: list[Asked], bounds: Bounds) -> tuple[int, float | None, bool]:
    entries = sum(a.entries for a in today if not a.is_named)
    return entries, None, entries >= bounds.unnamed
