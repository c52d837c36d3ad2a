"""Disputes (校核纠错, 异议): a value somebody says is wrong, asked of the agency it comes from, tracked until it is answered.

The value stays what it is while a dispute is open, and is marked. It is answered by what the agency delivers next, through the night like
anything else, or refused by the agency with a reason: nobody here changes a value. The clock is in working days and a setting: the
regulation on sharing of government data (国令第809号 art. 26) asks for an entrance for corrections; its number of days is not verified here.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import sqlalchemy as sa

from hub.errors import ConfigError
from hub.settings import Settings
from hub.working_days import working_days
from pipeline import tickets
from schemas.contract import Contract, load_contract
from warehouse import database, disputes, questions
from warehouse.disputes import Stored
from warehouse.survivorship import COLUMNS


class Kind(StrEnum):
    """Who disputes what for."""

    CORRECTION = "correction"  # 校核纠错: a department that uses the value
    OBJECTION = "objection"  # 异议: the citizen it is about
    RECHECK = "recheck"  # 核对复核: an applicant against the check of the family's economic situation


class Reason(StrEnum):
    """What is said of the value: chosen, not written, so that no value is in it."""

    WRONG = "wrong"
    OUTDATED = "outdated"
    NOT_MINE = "not_mine"


@dataclass(frozen=True)
class Dispute:
    """A dispute as it stands on a day.

    Attributes:
        person_id: whose record it is about now; None when the record is gone.
        outcome: answered (the agency delivered another value, or no longer holds the record), refused, withdrawn; None while open.
        age_days: working days from the opening to the end, or to the day it is looked at.
    """

    dispute_id: str
    kind: Kind
    reason: Reason
    attribute: str
    stem: str
    person_id: str | None
    asker: str
    owner: str
    opened_date: date
    due_date: date
    is_due_provisional: bool
    outcome: str | None
    ended_date: date | None
    delivery_id: str | None
    words: str | None
    age_days: int
    is_overdue: bool


def _as_of(settings: Settings, day: date, found: Stored) -> Dispute:
    until = found.ended_date or day
    return Dispute(
        found.dispute_id, Kind(found.kind), Reason(found.reason), found.attribute, found.stem, found.person_id, found.asker, found.owner,
        found.opened_date, found.due_date, found.is_due_provisional, found.outcome, found.ended_date, found.delivery_id, found.words,
        working_days(settings).between(found.opened_date, until), until > found.due_date,
    )  # fmt: skip


def listed(connection: sa.Connection, settings: Settings, *, person_id: str | None = None, closed: bool = False) -> list[Dispute]:
    """Disputes as they stand, oldest first.

    Args:
        person_id: only about this person.
        closed: those that have ended as well.
    """
    day = tickets.today(settings, connection)
    return [_as_of(settings, day, d) for d in disputes.stored(connection, person_id=person_id) if closed or d.outcome is None]


def open_dispute(settings: Settings, person_id: str, attribute: str, *, kind: str, reason: str, asker: str) -> Dispute:
    """Dispute a value of a person; it is routed to the agency the value comes from.

    Raises:
        ConfigError: no such person, attribute, kind or reason; the person has no such value; or it is disputed already.
    """
    for name, value, known in (("ATTRIBUTE", attribute, COLUMNS), ("--kind", kind, list(Kind)), ("--reason", reason, list(Reason))):
        if value not in known:
            raise ConfigError(f"{value!r} is not known", where=name, next_step=f"one of: {', '.join(known)}")
    database.migrate(settings)
    with database.engine(settings).begin() as connection:
        disputes.lock(connection)
        person = str(questions.person(connection, person_id)["person_id"])
        source = disputes.source(connection, person, attribute)
        if source is None:
            raise ConfigError(f"no agency gives a {attribute} for this person", where="ATTRIBUTE", next_step="see `hub person ID`")
        if any((d.record_id, d.attribute) == (source.record_id, attribute) and d.outcome is None for d in disputes.stored(connection)):
            raise ConfigError("this value is disputed already", where="ATTRIBUTE", next_step="see `hub dispute list`")
        contract, day = load_contract(source.stem), tickets.today(settings, connection)
        due = working_days(settings).after(day, settings.dispute_due_days)
        key = disputes.add(
            connection, source, kind=kind, reason=reason, attribute=attribute, asker=asker, owner=tickets.owner_of(contract), opened_date=day,
            due_date=due.day, is_due_provisional=due.is_provisional,
        )  # fmt: skip
        return _one(connection, settings, key)


def _one(connection: sa.Connection, settings: Settings, dispute_id: str) -> Dispute:
    found = disputes.stored(connection, dispute_id=dispute_id) if dispute_id else []
    if len(found) != 1:
        raise ConfigError(f"{len(found)} disputes begin with that id", where="DISPUTE", next_step="see `hub dispute list --all`")
    return _as_of(settings, tickets.today(settings, connection), found[0])


def end(settings: Settings, dispute_id: str, outcome: str, *, actor: str, words: str | None = None) -> Dispute:
    """Note that the agency refused, with its reason, or that the asker took it back.

    Args:
        outcome: refused or withdrawn; answered is what a delivery does.

    Raises:
        ConfigError: no such dispute, it has ended, or a refusal without a reason.
    """
    with database.engine(settings).begin() as connection:
        disputes.lock(connection)
        found = _one(connection, settings, dispute_id)
        if found.outcome is not None:
            raise ConfigError(f"this dispute has ended: {found.outcome}", where="DISPUTE", next_step="open another one")
        if outcome == "refused" and not (words or "").strip():
            raise ConfigError("a refusal has a reason", where="--because", next_step="write what the agency says, without a person's value")
        disputes.note(connection, found.dispute_id, outcome, tickets.today(settings, connection), actor, words)
        return _one(connection, settings, found.dispute_id)


def answered(connection: sa.Connection, contract: Contract, day: date, delivery_id: str) -> int:
    """End what a delivery answers; part of the transaction that publishes it, after its records are written. How many."""
    return disputes.answer(connection, contract.stem, delivery_id, day, tickets.NIGHT)
