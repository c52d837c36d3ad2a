"""Whom a question means that names a person by number, or by name and date of birth."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sharing import asking, spelling
from sharing.asking import Question
from sharing.ledger import Receipt
from sharing.problems import Problem
from warehouse import answers
from warehouse.answers import Asked

CANDIDATES = 5  # as many persons of one name and birth date are offered; of more nobody is told


async def by_id(question: Question, person_id: str) -> Any | None:
    """What is told of a person, as a row; None = not there, or not the grant's."""
    rows = await asking.read(question.service.gathering.one(answers.persons, question.asked, person_id))
    return rows[0] if rows else None


async def by_number(question: Question, number: str, asked: Asked | None = None) -> tuple[Any | None, str]:
    """The same of the person of a number, and the number as it is written down.

    Args:
        question: that is admitted.
        number: as it was given.
        asked: what is read of the person; None = what the question asks.

    Raises:
        Problem: the number is several persons'. That is written down.
    """
    spelled = spelling.number(number)
    rows = await asking.read(question.service.gathering.one(answers.by_number, asked or question.asked, spelled))
    if len(rows) > 1:
        raise await ambiguous(question, [r["person_id"] for r in rows])
    return (rows[0] if rows else None), spelled or number


async def by_name(question: Question, name: str | None, birth_date: date | None) -> tuple[list[Any], str]:
    """Persons whom a name and birth date may mean, likeliest first (see :func:`warehouse.answers.named`), and what was asked by, as it is written down.

    Raises:
        Problem: they are more than are offered. That is written down.
    """
    key = spelling.name(name)
    found = await asking.read(answers.named(question.service.asking, question.grant.name, key, birth_date, CANDIDATES + 1))
    if len(found) > CANDIDATES:
        raise await ambiguous(question, [None])
    return found, f"{key} {birth_date}"


async def ambiguous(question: Question, person_ids: Sequence[str | None]) -> Problem:
    """Write down that a question may mean several persons, of whom nothing is told; the problem to raise."""
    await asking.commit(question.service, [question.entry("ambiguous", p) for p in person_ids], question.caller)
    return Problem("subject-ambiguous")


async def offered(question: Question, found: Sequence[Any]) -> list[Receipt]:
    """Write down that persons of one name and birth date are offered to choose from; a receipt each."""
    entries = [question.entry("candidate", r["person_id"], {"person_id": "clear"}) for r in found]
    return await asking.commit(question.service, entries, question.caller)
