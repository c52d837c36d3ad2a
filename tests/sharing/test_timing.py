"""How long a refusal takes tells nothing: who is not there, who is not yours and what is not granted are asked about in turn, and compared with each other.

No time is held against a number of milliseconds. In each round the kinds are asked in an order drawn by lot, so that where they take alike each of two is the
slower one with even chances, whatever else the machine does meanwhile: the count of rounds is a fair coin's, and a test that holds it against a bound fails by
itself less than once in a hundred thousand runs.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from sharing import asking
from sharing.asking import Question
from sharing.problems import Problem
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_answers import CONSENT, REVIEW, a_person

pytestmark = pytest.mark.slow
ROUNDS = 160
_DEVIATIONS = 4.5  # of a fair coin: seven in a million runs are beyond them
BOUND = _DEVIATIONS / 2 / math.sqrt(ROUNDS)
Ask = Callable[[], Any]


def slower(one: Ask, other: Ask, *, code: str) -> tuple[float, float]:
    """In how many of the rounds one kind took longer than another, and than itself asked once more: each as far as it is from one half."""
    kinds = {"one": one, "other": other, "again": one}
    wins = {"other": 0, "again": 0}
    for ask in kinds.values():  # whatever the first of a kind sets up is no part of it
        ask()
    for _ in range(ROUNDS):
        took = {}
        for kind in secrets.SystemRandom().sample(list(kinds), 3):
            began = time.perf_counter()
            answer = kinds[kind]()
            took[kind] = time.perf_counter() - began
            assert answer.json()["code"] == code, answer.text
        for kind in wins:
            wins[kind] += took["one"] > took[kind]
    return abs(wins["other"] / ROUNDS - 0.5), abs(wins["again"] / ROUNDS - 0.5)


def unused() -> str:
    """An id nobody has."""
    return f"019ca6b2-3c00-7d7c-88d5-{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def children(pool: Pool) -> list[str]:
    """Persons of the county who are outside the grant by their age."""
    return [
        r[0]
        for r in pool.rows(
            "SELECT person_id::text FROM core.person WHERE birth_date > '2013-01-01' AND area_code LIKE '421022%' ORDER BY 1 LIMIT 20"
        )
    ]


@pytest.fixture(autouse=True)
def fresh(civil: Asker, town: Asker) -> None:
    """Tokens that last longer than the rounds do."""
    for asker in (civil, town):
        asker.renew()


def by_id(civil: Asker, children: list[str]) -> tuple[Ask, Ask]:
    return (
        lambda: civil.person(unused(), REVIEW, "person.name", **CONSENT),
        lambda: civil.person(secrets.choice(children), REVIEW, "person.name", **CONSENT),
    )


def test_who_is_not_there_and_who_is_not_yours_take_alike_by_id(civil: Asker, children: list[str]) -> None:
    of_another_kind, of_the_same = slower(*by_id(civil, children), code="subject-not-available")
    assert of_another_kind < BOUND and of_the_same < BOUND


def test_who_is_not_there_and_who_is_not_yours_take_alike_by_number(pool: Pool, town: Asker) -> None:
    elsewhere = [
        r[0]
        for r in pool.rows("SELECT resident_id FROM core.person WHERE area_code LIKE '421022101%' AND resident_id IS NOT NULL LIMIT 20")
    ]

    def ask(number: str) -> Any:
        return town.post("/v1/persons/lookup", purpose=REVIEW, **CONSENT, resident_id=number, attributes=["person.name"])

    of_another_kind, of_the_same = slower(
        lambda: ask("110101199003070003"), lambda: ask(secrets.choice(elsewhere)), code="subject-not-available"
    )
    assert of_another_kind < BOUND and of_the_same < BOUND


def test_a_household_of_nobody_and_of_somebody_not_yours_take_alike(pool: Pool, town: Asker) -> None:
    theirs = [
        r[0]
        for r in pool.rows(
            "SELECT resident_id FROM core.person p WHERE area_code NOT LIKE '421022100%' AND resident_id IS NOT NULL AND birth_date < '1990-01-01'"
            " AND EXISTS (SELECT FROM core.household_member m WHERE m.person_id = p.person_id) ORDER BY person_id LIMIT 20"
        )
    ]

    def ask(number: str) -> Any:
        return town.post(
            "/v1/households/lookup", purpose=REVIEW, **CONSENT, resident_id=number, attributes=["household.members", "person.name"]
        )

    of_another_kind, of_the_same = slower(
        lambda: ask("110101199003070003"), lambda: ask(secrets.choice(theirs)), code="subject-not-available"
    )
    assert of_another_kind < BOUND and of_the_same < BOUND


def test_a_purpose_that_is_not_granted_takes_alike_whoever_it_is_about(pool: Pool, civil: Asker) -> None:
    there = a_person(pool).id
    of_another_kind, of_the_same = slower(
        lambda: civil.person(unused(), "student_aid", "person.name"),
        lambda: civil.person(there, "student_aid", "person.name"),
        code="purpose-not-granted",
    )
    assert of_another_kind < BOUND and of_the_same < BOUND


def test_five_milliseconds_more_for_who_is_there_would_be_found(civil: Asker, children: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    missed = asking.miss

    async def leaks(question: Question, named: str) -> Problem:
        problem = await missed(question, named)
        if named in children:
            await asyncio.sleep(0.005)
        return problem

    monkeypatch.setattr(asking, "miss", leaks)
    of_another_kind, of_the_same = slower(*by_id(civil, children), code="subject-not-available")
    assert of_another_kind >= BOUND > of_the_same
