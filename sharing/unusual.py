"""Access that somebody should look at: a client's day held against its own days before, and against whom it asked about.

A rule says that a day is out of the ordinary, never that anybody did wrong. What is counted are entries of the log. Rules about neighbours, households and
family names need to know who the subjects are: that is worked out while the rules are applied (`sharing.vicinity`), written down nowhere, and what is told of it is a number.
"""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from hub.dates import CHINA
from hub.settings import Settings
from hub.working_days import working_days
from sharing import vicinity
from sharing.vicinity import Asked
from warehouse import client_days
from warehouse.vicinity import Resident

BACK_DAYS = 60
_LEAST_DAYS = 5  # of its own a client must have had before a day can be more than usual
COUNTED = ("volume", "misses", "refusals", "off_hours", "one_person")  # by numbers alone, whoever it is about
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
        unnamed_days: how long it is not raised again once it was found justified.
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
    unnamed_days: int = 180


@dataclass(frozen=True)
class Unusual:
    """One rule that a client's day meets.

    Attributes:
        found: what the rule counts.
        usual: what it is held against; None where there is no habit to hold it against.
        bound: from what number on it is out of the ordinary.
        first_leaf, last_leaf: the client's entries that were looked at, and not only those the rule counts: these would tell that two persons live together.
    """

    day: date
    client_id: str
    department: str
    rule: str
    found: int
    usual: float | None
    bound: float
    first_leaf: int
    last_leaf: int

    @property
    def told(self) -> tuple[str, str]:
        """The rule in Chinese and English."""
        return RULES[self.rule]


@dataclass(frozen=True)
class _Met:
    """What a rule about acquaintance counts; None for one that is not met."""

    found: int
    usual: float | None
    bound: float


# Client and rule → the last entry that was reviewed: up to it entries count no more under that rule, though they stay a habit.
Settled = Mapping[tuple[str, str], int]
_NOTHING: Settled = {}


def found(connection: sa.Connection, settings: Settings, day: date, bounds: Bounds | None = None) -> list[Unusual]:
    """What is out of the ordinary on a day of Asia/Shanghai, by client and rule, whether somebody has reviewed it or not. Reads the whole log.

    Args:
        connection: an open connection.
        settings: whose calendar.
        day: the day.
        bounds: from when on; the defaults are the project's assumption, a dated local rule.
    """
    until = datetime.combine(day + timedelta(days=1), time(), CHINA)
    rows = client_days.from_log(connection, until, BACK_DAYS)
    held = bounds or Bounds()
    counted = judged(rows, day, is_working=working_days(settings).is_working(day), bounds=held)
    seen = vicinity.seen(connection, settings, day)
    return in_order(counted + acquainted(seen.asked, seen.residents, seen.shares, day, bounds=held))


def in_order(told: list[Unusual]) -> list[Unusual]:
    """By client, and in the order of the rules."""
    return sorted(told, key=lambda u: (u.client_id, [*RULES].index(u.rule)))


def judged(rows: list[Any], day: date, *, is_working: bool, bounds: Bounds) -> list[Unusual]:
    """The rules, over days of clients as `warehouse.client_days` gives them."""
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
        many = row.entries >= bounds.least
        volume = bounds.volume * (usual or 0.0)
        met = (
            ("volume", row.entries, usual, max(volume, bounds.least), usual is not None and many and row.entries > volume),
            ("misses", row.misses, None, bounds.misses * row.entries, many and row.misses > bounds.misses * row.entries),
            ("refusals", row.refusals, None, bounds.refusals, row.refusals >= bounds.refusals),
            ("off_hours", outside, None, bounds.off_hours, outside >= bounds.off_hours),
            ("one_person", row.most_on_one, None, bounds.one_person, row.most_on_one >= bounds.one_person),
        )
        result += [
            Unusual(day, row.client_id, row.department, rule, n, held, float(bound), row.first_leaf, row.last_leaf)
            for rule, n, held, bound, is_met in met
            if is_met
        ]
    return result


def acquainted(
    asked: list[Asked], residents: dict[str, Resident], shares: dict[tuple[str | None, str], float], day: date, *, bounds: Bounds,
    settled: Settled = _NOTHING,
) -> list[Unusual]:  # fmt: skip
    """The rules about whom a client asked for one at a time.

    Args:
        asked: as `vicinity.seen` gives it, of the day and those before.
        residents: persons by their ids.
        shares: how common family names are, by community and in the pool (None), and how large communities are (by the name "").
        day: the day.
        bounds: from when on.
        settled: what was reviewed.
    """
    by_client: dict[str, list[Asked]] = {}
    for one in asked:
        by_client.setdefault(one.client_id, []).append(one)
    result = []
    for client_id, own in sorted(by_client.items()):
        before = [a for a in own if a.day < day]
        for rule in ("neighbours", "household", "surname", "unnamed"):
            left = [a for a in own if a.last_leaf > settled.get((client_id, rule), -1)]
            today = [a for a in left if a.day == day]
            if not today:
                continue
            match rule:
                case "neighbours":
                    met, looked_at = _neighbours(today, before, residents, shares, bounds), today
                case "household":
                    met, looked_at = _household(left, residents, day, bounds), left
                case "surname":
                    met, looked_at = _surname(left, residents, shares, day, bounds), left
                case _:
                    met, looked_at = _unnamed(today, bounds), today
            if met is not None:
                first, last = min(a.first_leaf for a in looked_at), max(a.last_leaf for a in looked_at)
                result.append(Unusual(day, client_id, today[0].department, rule, met.found, met.usual, met.bound, first, last))
    return result


def _communities(asked: list[Asked], residents: dict[str, Resident]) -> Counter[str]:
    """Persons asked about by community, each once."""
    persons = {a.person_id for a in asked}
    return Counter(c for p in persons if p in residents and (c := residents[p].community) is not None)


def _neighbours(
    asked: list[Asked], before: list[Asked], residents: dict[str, Resident], shares: dict[tuple[str | None, str], float], bounds: Bounds
) -> _Met | None:
    today = _communities(asked, residents)
    if not today:
        return None
    (community, n), persons = max(today.items(), key=lambda item: (item[1], item[0])), today.total()
    if len({a.day for a in before}) >= _LEAST_DAYS:
        earlier = _communities(before, residents)
        share = earlier[community] / max(1, earlier.total())
    else:
        share = shares.get((community, ""), 0.0)
    usual = persons * share
    bound = max(bounds.neighbours, bounds.neighbours_share * persons, bounds.neighbours_times * usual)
    is_met = n >= bounds.neighbours and n >= bounds.neighbours_share * persons and n > bounds.neighbours_times * usual
    return _Met(n, usual, bound) if is_met else None


def _household(own: list[Asked], residents: dict[str, Resident], day: date, bounds: Bounds) -> _Met | None:
    circles: dict[str, list[Asked]] = {}
    for one in own:
        for circle in residents[one.person_id].circles if one.person_id in residents else ():
            circles.setdefault(circle, []).append(one)
    most: _Met | None = None
    for of in circles.values():
        today = [a for a in of if a.day == day]
        entries, in_all = sum(a.entries for a in today), sum(a.entries for a in of)
        if entries >= bounds.household and len({a.person_id for a in today}) > 1 and (most is None or entries > most.found):
            most = _Met(entries, None, bounds.household)
        is_again = today and in_all >= bounds.household_entries and len({a.day for a in of}) >= bounds.household_days
        if is_again and (most is None or in_all > most.found):
            most = _Met(in_all, None, bounds.household_entries)
    return most


def _surname(
    own: list[Asked], residents: dict[str, Resident], shares: dict[tuple[str | None, str], float], day: date, bounds: Bounds
) -> _Met | None:  # fmt: skip
    """Of the operators of the day, the one whose family name the persons asked about bear most often."""
    result: _Met | None = None
    for operator in sorted({a.operator for a in own if a.day == day and a.operator is not None}, key=lambda o: o.name):
        persons = {a.person_id for a in own if a.operator == operator and a.person_id in residents}
        alike = sum((residents[p].name or "").startswith(operator.surname) for p in persons)
        usual = sum(shares.get((residents[p].community, operator.surname), shares.get((None, operator.surname), 0.0)) for p in persons)
        if alike >= bounds.surname and alike > bounds.surname_times * usual and (result is None or alike > result.found):
            result = _Met(alike, usual, max(bounds.surname, bounds.surname_times * usual))
    return result


def _unnamed(today: list[Asked], bounds: Bounds) -> _Met | None:
    entries = sum(a.entries for a in today if not a.is_named)
    return _Met(entries, None, bounds.unnamed) if entries >= bounds.unnamed else None
