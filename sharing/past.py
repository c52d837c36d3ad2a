"""Questions to the past: what was true on a date, by what the hub knew at an instant, in the very forms the grant tells it in.

The past has no roles of its own in PostgreSQL, so two locks stand before it: the persons whose records are told must be the grant's now, which
row-level security says, and the person must have been the grant's then, which the decision says.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from hub.dates import CHINA
from hub.errors import ConfigError
from schemas.contract import Contract, load_contracts
from sharing import asking, decide
from sharing.asking import Question
from sharing.decide import Subject
from sharing.problems import Problem
from sharing.recall import expression, homes_rule
from sharing.service import stale
from warehouse import agency_tables, answers, database, disputes, ledger, past, recalls
from warehouse.answers import Asked

_PERSON = "core.person"
_YEARS = (1900, 2200)  # instants beyond have no place in the zone


@dataclass(frozen=True)
class Told:
    """What is told of one person of the past.

    Attributes:
        row: as :func:`sharing.asking.told` reads it.
        holders: to whom its records belong now.
    """

    row: dict[str, Any]
    holders: tuple[str, ...]


async def placed(question: Question, as_of: date | None, known_at: datetime | None) -> tuple[Question, past.Moment | None]:
    """The question with its pair of times placed on the hub's clocks; None = it is of the present.

    Raises:
        Problem: the grant does not reach so far back, or the hub has nothing of that time.
    """
    if as_of is None and known_at is None:
        return question, None
    if known_at is not None:
        if not _YEARS[0] < known_at.year < _YEARS[1]:
            raise Problem("time-not-covered")
        known_at = known_at if known_at.tzinfo is not None else known_at.replace(tzinfo=CHINA)
    days = [d for d in (as_of, known_at.astimezone(CHINA).date() if known_at is not None else None) if d is not None]
    night = question.moment.night
    if night is None or not question.grant.past_days or min(days) < night - timedelta(days=question.grant.past_days):
        raise await asking.refuse("past-not-granted", question, "past_not_granted")

    def of_then() -> tuple[past.Moment, date | None, dict[str, str]]:
        with database.engine(question.service.settings).connect() as connection:
            at = past.moment(connection, as_of=as_of, known_at=known_at)
            return (at, *past.intakes(connection, at))

    try:
        at, then, states = await asyncio.to_thread(of_then)
    except ConfigError:
        raise Problem("time-not-covered") from None
    moment = replace(question.moment, night=then or night, stale=stale(states))
    return replace(question, moment=moment, as_of=as_of, known_at=known_at), at


async def person(question: Question, at: past.Moment, person_id: str) -> Told | None:
    """A person of the past; None = not there, not the grant's, or nothing was known of it."""
    if not await _are_covered(question, (person_id,)):
        return None
    found = await asyncio.to_thread(_told, question, at, person_id)
    return found if found is not None and await _are_covered(question, found.holders) else None


async def household(question: Question, at: past.Moment, household_id: str) -> list[Told]:
    """The members of a household of the past that the grant covers, each with the household in its row."""

    def of_then() -> dict[str, Any] | None:
        with database.engine(question.service.settings).connect() as connection:
            try:
                return past.household(connection, household_id, at, homes_rule(question.service.settings))
            except ConfigError:
                return None

    home = await asyncio.to_thread(of_then)
    members = []
    for member in home["members"] if home is not None else ():
        told = await person(question, at, member["person_id"])
        if told is not None and home is not None:
            own = {
                "household_id": home["household_id"], "kind": home["kind"],
                "size": home["size"] if "household.size" in question.told else None,
                "relation": member["relation"] if "household.relation" in question.told else None,
            }  # fmt: skip
            members.append(replace(told, row={**told.row, **own}))
    return members


async def _are_covered(question: Question, person_ids: tuple[str, ...]) -> bool:
    """Whether persons are all the grant's now; PostgreSQL says it."""
    rows = await answers.persons(question.service.asking, Asked(question.grant.name, (), (), ()), list(person_ids))
    return len(answers.place_of(rows)) == len(person_ids)


def _told(question: Question, at: past.Moment, person_id: str) -> Told | None:
    contracts, asked = load_contracts(), question.asked
    with database.engine(question.service.settings).connect() as connection:
        known = recalls.known(connection, contracts, person_id, at, homes_rule(question.service.settings))
        if known.person is None or known.person_id is None:
            return None
        born = known.person["birth_date"]
        subject = Subject(
            known.person["area_code"], date.fromisoformat(born) if born else None, frozenset(stem for stem, _ in known.records.values()),
            _programs(connection, question.grant.rows.programs, known), is_consenting=True,  # a consent is of the present, and PostgreSQL asked for it
        )  # fmt: skip
        day = at.valid or question.moment.night
        if day is None or not decide.covers(question.grant.rows, subject, day):
            return None
        newest = ledger.publication(connection)
        holders = {past.answers_to(connection, key, newest) for key in (person_id, *known.records)}
        golden = {name: expression(contracts, None, column, form) for name, column, form in asked.person}
        row = {
            "person_id": known.person_id, "as_of_date": max(r["as_of_date"] for _, r in known.records.values()),
            "person": orjson.dumps(recalls.evaluated(connection, _PERSON, known.person, golden) if golden else {}),
            "records": orjson.dumps(_records(connection, contracts, asked, known)),
            "households": orjson.dumps([{"household_id": h, "kind": kind} for kind, h in known.homes]),
            "disputed": orjson.dumps(
                [(d["record_id"], d["attribute"], d["opened_date"], d["due_date"]) for d in disputes.marks(connection, list(known.records), question.known_at)]
            ),
        }  # fmt: skip
    return Told(row, tuple(sorted(h for h in holders if h is not None)))


def _programs(connection: sa.Connection, programs: tuple[str, ...], known: recalls.Known) -> frozenset[str]:
    """The programs the person was in then."""
    questions = recalls.questions(connection) if programs else {}
    return frozenset(
        code
        for code in programs
        for stem, row in known.records.values()
        if code in questions
        and stem == questions[code][0]
        and recalls.evaluated(connection, agency_tables.core_table(stem), row, {code: questions[code][1]})[code]
    )


def _records(connection: sa.Connection, contracts: dict[str, Contract], asked: Asked, known: recalls.Known) -> dict[str, Any]:
    """What is told of the records of each source, in the order of their ids."""
    questions = recalls.questions(connection)
    told: dict[str, Any] = {}
    sources, codes = dict(asked.sources), dict(asked.questions)
    for stem in sorted({*sources, *codes}):
        wanted = {name: expression(contracts, stem, column, form) for name, column, form in sources.get(stem, ())}
        wanted |= {f"?{code}": questions[code][1] for code in codes.get(stem, ()) if code in questions}
        table = agency_tables.core_table(stem)
        told[stem] = [
            {"record_id": key, "as_of_date": row["as_of_date"], "told": recalls.evaluated(connection, table, row, wanted)}
            for key, (of, row) in sorted(known.records.items())
            if of == stem
        ]
    return told
