"""What a recalled answer told, and what is true now of the same day: both read anew, as a disclosure of their own.

No value is kept for it. What was told is what the two clocks say of the instant it was told at, what is true now is what they say of its day by
today's knowledge. The policy of today decides over both, and nothing is told in another form than it had been told in, unless in a lesser one.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import orjson

from hub.errors import ConfigError
from schemas.contract import load_contracts
from sharing import asking, past
from sharing.asking import Question
from sharing.attributes import catalogue
from sharing.ledger import Entry
from sharing.problems import Problem
from sharing.recall import homes_rule
from sharing.service import Service, stale
from sharing.tokens import Caller
from warehouse import answers, database, erasures, ledger, recalls
from warehouse import past as history

KIND = "recall"  # of the question, for the log
_HOME = "household."


@dataclass(frozen=True)
class Recalled:
    """One recall and the answer it is about.

    Attributes:
        effects: attribute or question (with a ?) that changed → how it had been told.
        told_at: when it was told.
        as_of: date the answer was asked for; None = it was of the present.
        day: the day it spoke of.
    """

    person_id: str
    persons: tuple[str, ...]
    effects: dict[str, str]
    told_at: datetime
    as_of: date | None
    day: date


@dataclass(frozen=True)
class Values:
    """What may be told of a recall, with the entries to be written down before it leaves.

    Attributes:
        header: what the answer says of itself.
        told: what was told; None = not available.
        now: one a person whose records were told of then, each with its ``status``.
        told_entries: one a person whose records are told of in ``told``.
        now_entries: one a person, in the order of ``now``.
    """

    header: dict[str, Any]
    told: dict[str, Any] | None
    now: list[dict[str, Any]]
    told_entries: list[Entry]
    now_entries: list[Entry]


def of(row: Mapping[str, Any], body: str | None) -> Recalled | None:
    """A recall out of its row and the canonical JSON of the entry it is about; None = the entry was erased, and nobody knows what was told."""
    if body is None:
        return None
    entry = orjson.loads(body)
    as_of = entry.get("as_of")
    return Recalled(
        person_id=row["person_id"], persons=tuple(row["persons"]), effects={name: entry["told"].get(name, "refused") for name in row["changed"]},
        told_at=row["told_at"], as_of=None if as_of is None else date.fromisoformat(as_of), day=date.fromisoformat(as_of or entry["night"]),
    )  # fmt: skip


def lesser(one: str, other: str) -> str:
    """The form that tells no more than either of two; ``refused`` where neither is within the other."""
    if "refused" in (one, other):
        return "refused"
    if one == other or other == "clear":
        return one
    if one == "clear":
        return other
    return "yes_no" if "yes_no" in (one, other) else "refused"


async def admitted(
    service: Service, who: Caller, request_id: str, began: float, changed: list[str], purpose: str, consent: str | None
) -> Question:
    """Admit the question for what changed under the policy of today, as :func:`sharing.asking.admitted` does. A refusal is written down.

    Raises:
        Problem: it is refused.
    """
    policy = service.moment.policy
    attributes = [name for name in changed if name in catalogue()]
    questions = [name[1:] for name in changed if name[:1] == "?" and name[1:] in policy.questions]
    gone = [name.removeprefix("?") for name in changed if name not in attributes and name[1:] not in questions]
    if not attributes and not questions:
        told = dict.fromkeys(changed, "refused")
        entry = Entry(who.client_id, who.department, purpose, "nothing_granted", KIND, request_id, policy_version=policy.version, told=told)
        await asking.commit(service, [entry], who)
        raise Problem("nothing-granted")
    question = await asking.admitted(
        service, who, request_id, began, KIND, purpose=purpose, consent=consent, attributes=attributes, questions=questions, lookup=None
    )
    return replace(question, refused={**question.refused, **dict.fromkeys(gone, "not_named")})


@dataclass(frozen=True)
class _Side:
    """The question put to one pair of times."""

    question: Question
    at: history.Moment


@dataclass(frozen=True)
class _Sides:
    """Either side, who the records that were told of then are now, and whether anybody among them was erased by law."""

    then: _Side
    now: _Side
    persons: tuple[str, ...]
    is_erased: bool


async def read(question: Question, recalled: Recalled) -> Values:
    """What may be told. PostgreSQL says of which persons, and that the role may read each of the columns.

    Args:
        question: as :func:`admitted` gave it.
        recalled: what is asked about.

    Raises:
        Problem: the person was erased by law, or nothing of anybody may be told. That is written down.
    """
    try:
        sides = await asyncio.to_thread(_placed, _within(question, recalled), recalled)
    except ConfigError:
        raise Problem("time-not-covered") from None
    if sides.is_erased and not sides.persons:
        raise await erased(question, recalled.person_id)
    placed = answers.place_of(await asking.read(answers.persons(question.service.asking, question.asked, list(sides.persons))))
    leads = {key: placed[place][0]["person_id"] for place, key in enumerate(sides.persons, start=1) if place in placed}
    # Told again only where everybody whose records were told is the grant's now, and can still be told of.
    is_whole = not sides.is_erased and len(leads) == len(sides.persons) > 0
    then = await _told(sides.then, recalled.person_id) if is_whole else None
    persons = sorted({leads.get(key, key) for key in sides.persons})
    now = {key: await _told(sides.now, key) for key in set(leads.values())}
    if then is None and not any(now.values()):
        entries = [question.entry("not_available", key) for key in persons or [recalled.person_id]]
        await asking.commit(question.service, entries, question.caller)
        await asking.beat(question)
        raise Problem("subject-not-available")
    told_of, shown, entries = sides.now.question, [], []
    for key in persons:
        found = now.get(key)
        status = "not_available" if found is None else "told"
        shown.append({"status": status, **({"person_id": key, "values": [], "answers": []} if found is None else found[1])})
        entries.append(told_of.entry(status, key, {} if found is None else told_of.effects))
    return Values(
        header=told_of.header(),
        told=None if then is None else then[1],
        now=shown,
        told_entries=[] if then is None else [sides.then.question.entry("told", key, told_of.effects) for key in then[0].holders],
        now_entries=entries,
    )


async def erased(question: Question, person_id: str) -> Problem:
    """Write down that nothing is told of a person any more; the problem to raise."""
    await asking.commit(question.service, [question.entry("not_available", person_id)], question.caller)
    return Problem("erased-by-law")


def _within(question: Question, recalled: Recalled) -> Question:
    """The question in forms that tell no more than was told."""
    forms = {name: lesser(recalled.effects[name], effect) for name, effect in question.told.items()}
    told = {name: form for name, form in forms.items() if form != "refused"}
    refused = {**question.refused, **{name: "refused" for name, form in forms.items() if form == "refused"}}
    asked = asking.asked_of(question.moment, question.grant, told, question.questions)
    return replace(question, told=told, refused=refused, asked=asked)


def _placed(question: Question, recalled: Recalled) -> _Sides:
    with database.engine(question.service.settings).connect() as connection:
        newest = ledger.publication(connection)
        then = history.moment(connection, as_of=recalled.as_of, known_at=recalled.told_at)
        now = history.Moment(newest, None, recalled.day, newest, recalled.day)
        records = recalls.known(connection, load_contracts(), recalled.person_id, then, homes_rule(question.service.settings)).records
        keys = {recalled.person_id, *recalled.persons, *records}
        holders = {history.answers_to(connection, key, newest) for key in keys} - {None}
        named = {recalled.person_id, *recalled.persons, *(h for h in holders if h is not None)}
        erased = {key for key in named if erasures.of_person(connection, key) is not None}

        def side(at: history.Moment, as_of: date | None, known_at: datetime | None) -> _Side:
            night, states = history.intakes(connection, at)
            moment = replace(question.moment, night=night or question.moment.night, stale=stale(states))
            return _Side(replace(question, moment=moment, as_of=as_of, known_at=known_at), at)

        return _Sides(
            then=side(then, recalled.as_of, recalled.told_at),
            now=side(now, recalled.day, None),
            persons=tuple(sorted(str(h) for h in holders if h not in erased)),
            is_erased=bool(erased),
        )


async def _told(side: _Side, person_id: str) -> tuple[past.Told, dict[str, Any]] | None:
    """What is told of one person on one side; None = not available."""
    found = await asking.read(past.person(side.question, side.at, person_id))
    if found is None:
        return None
    answer = asking.told(side.question, found.row)
    if any(name.startswith(_HOME) for name in side.question.told):
        answer["households"] = await asyncio.to_thread(_homes, side, found)
    return found, answer


def _homes(side: _Side, found: past.Told) -> list[dict[str, Any]]:
    """A person's households, with as much of each as is told."""
    told, homes = side.question.told, []
    with database.engine(side.question.service.settings).connect() as connection:
        for home in orjson.loads(found.row["households"]):
            try:
                whole = history.household(connection, home["household_id"], side.at, homes_rule(side.question.service.settings))
            except ConfigError:
                continue
            relation = next((m["relation"] for m in whole["members"] if m["person_id"] == found.row["person_id"]), None)
            homes.append(
                {
                    **home, "size": whole["size"] if "household.size" in told else None,
                    "relation": relation if "household.relation" in told else None,
                }
            )  # fmt: skip
    return homes
