"""Access that somebody should look at: each rule, and what is ordinary."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest

from sharing import unusual
from sharing.unusual import Bounds

DAY = date(2026, 3, 10)


@dataclass(frozen=True)
class Row:
    client_id: str = "desk"
    department: str = "civil_affairs"
    day: date = DAY
    entries: int = 100
    misses: int = 3
    refusals: int = 0
    off_hours: int = 0
    most_on_one: int = 2
    first_leaf: int = 0
    last_leaf: int = 99


HABIT = [Row(day=DAY - timedelta(days=n), entries=90 + n) for n in range(1, 8)]


def rules(today: Row, before: list[Row] = HABIT, *, is_working: bool = True) -> set[str]:
    return {u.rule for u in unusual.judged([*before, today], DAY, is_working=is_working, bounds=Bounds())}


def test_an_ordinary_day_is_not_raised():
    assert rules(Row()) == set()


@pytest.mark.parametrize(
    ("rule", "today"),
    [
        ("volume", Row(entries=800)), ("misses", Row(misses=60)), ("refusals", Row(refusals=12)), ("off_hours", Row(off_hours=25)),
        ("one_person", Row(most_on_one=16)),
    ],
)  # fmt: skip
def test_each_rule_is_met_by_its_own_day_alone(rule, today):
    assert rules(today) == {rule}


def test_all_of_a_day_off_is_off_hours():
    assert rules(Row(), is_working=False) == {"off_hours"}


def test_a_client_without_a_habit_has_none_to_leave():
    assert rules(Row(entries=800), HABIT[:3]) == set()


def test_a_client_is_held_against_its_own_days_not_anothers():
    busy = [replace(r, client_id="busy", entries=5000) for r in HABIT]
    assert rules(Row(entries=800), [*HABIT, *busy]) == {"volume"}


def test_a_quiet_clients_third_question_is_no_misuse():
    assert rules(Row(entries=3, misses=3), []) == set()


@pytest.mark.slow
def test_days_are_counted_from_the_log(pool, civil):
    from datetime import UTC, datetime, time

    from hub.dates import CHINA
    from tests.sharing.test_answers import NOBODY, WATCH, a_person
    from warehouse import client_days

    probing = pool.asker("probing-desk", "civil_affairs")
    row = a_person(pool)
    for _ in range(3):
        probing.person(row.id, WATCH, "insured")
    probing.person(NOBODY, WATCH, "insured")
    probing.person(row.id, "student_aid", "insured")
    today = datetime.now(UTC).astimezone(CHINA).date()
    with pool.engine.connect() as connection:
        found = client_days.from_log(connection, datetime.combine(today + timedelta(days=1), time(), CHINA), 2)
    (mine,) = [r for r in found if r.client_id == "probing-desk"]
    assert (mine.entries, mine.misses, mine.refusals, mine.most_on_one) == (5, 1, 1, 3)
