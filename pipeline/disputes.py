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
from schemas.contract import Contract
from warehouse import database, disputes, ledger, questions
from warehouse.disputes import By, Stored
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
        attribute: as the catalogue names it: a golden value, or a field of the record.
        department: that disputes it over the service; None = it was opened at the hub.
        person_id: whose record it is about now; None when the record is gone.
        outcome: answered (the agency delivered another value, or no longer holds the record), refused, withdrawn; None while open.
        continues: the dispute it goes on from: the delivery that had answered that one was withdrawn; None = somebody opened it.
        age_days: working days from the opening to the end, or to the day it is looked at.
    """

    dispute_id: str
    continues: str | None
    kind: Kind
    reason: Reason
    attribute: str
    stem: str
    record_id: str
    person_id: str | None
    asker: str
    department: str | None
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
        found.dispute_id, found.continues, Kind(found.kind), Reason(found.reason), found.attribute, found.stem,
        found.record_id, found.person_id, found.asker, found.department, found.owner, found.opened_date, found.due_date, found.is_due_provisional, found.outcome, found.ended_date, found.delivery_id, found.words,
        working_days(settings).between(found.opened_date, until), until > found.due_date,
    )  # fmt: skip


def listed(connection: sa.Connection, settings: Settings, *, person_id: str | None = None, closed: bool = False) -> list[Dispute]:
    """Disputes as they stand, oldest first.

    Args:
        person_id: only about this person.
        closed: those that have ended as well.
    """
    day = ledger.today(settings, connection)
    return [_as_of(settings, day, d) for d in disputes.stored(connection, person_id=person_id) if closed or d.outcome is None]


def open_dispute(
    settings: Settings,
    person_id: str,
    attribute: str,
    *,
    kind: str,
    reason: str,
    asker: str,
    record_key: str | None = None,
    details: str | None = None,
) -> list[Dispute]:
    """Dispute a value of a person; it is routed to the agency whose record it is in, or comes from. One dispute a record.

    Args:
        settings: whose pool.
        person_id: of the person.
        attribute: as the catalogue names it, ``person.NAME`` or ``SOURCE.FIELD``; NAME alone is the golden value.
        kind: one of :class:`Kind`.
        reason: one of :class:`Reason`.
        asker: who says so.
        record_key: only this record of the agency; None = each that the person has there.
        details: what the agency is told beside, kept sealed.

    Raises:
        ConfigError: no such person, attribute, kind or reason; the id was merged into another person's; the person has no such value; or it is
            disputed already.
    """
    for name, value, known in (("--kind", kind, list(Kind)), ("--reason", reason, list(Reason))):
        if value not in known:
            raise ConfigError(f"{value!r} is not known", where=name, next_step=f"one of: {', '.join(known)}")
    attribute = attribute if "." in attribute else f"{disputes.GOLDEN}.{attribute}"
    if not disputes.is_known(attribute):
        golden = ", ".join(COLUMNS)
        raise ConfigError(
            f"{attribute!r} is not known",
            where="ATTRIBUTE",
            next_step=f"one of: {golden}; or SOURCE.FIELD of a source's contract, see docs/catalogue.md",
        )
    if details is not None and (len(details) > disputes.DETAILS_CHARS or not details.isprintable()):
        raise ConfigError(f"at most {disputes.DETAILS_CHARS} characters, none of control", where="--details")
    database.migrate(settings)
    with database.engine(settings).begin() as connection:
        person = str(questions.person(connection, questions.unmerged(connection, person_id, "PERSON"))["person_id"])
        found = disputes.sources(connection, person, attribute, record_key)
        if not found:
            raise ConfigError(f"no agency gives a {attribute} for this person", where="ATTRIBUTE", next_step="see `hub person ID`")
        try:
            made = disputes.open_(connection, settings, attribute, found, By(asker, kind, reason, details))
        except disputes.Disputed:
            raise ConfigError("this value is disputed already", where="ATTRIBUTE", next_step="see `hub dispute list`") from None
        day = ledger.today(settings, connection)
        return [_as_of(settings, day, one) for one in made]


def details(settings: Settings, dispute_id: str) -> tuple[Dispute, str | None]:
    """A dispute with what the agency is told beside; None = nothing.

    Raises:
        ConfigError: no such dispute.
    """
    with database.engine(settings).connect() as connection:
        found = _one(connection, settings, dispute_id)
        return found, disputes.details(connection, settings, found.dispute_id)


def _one(connection: sa.Connection, settings: Settings, dispute_id: str) -> Dispute:
    found = disputes.stored(connection, dispute_id=dispute_id) if dispute_id else []
    if len(found) != 1:
        raise ConfigError(f"{len(found)} disputes begin with that id", where="DISPUTE", next_step="see `hub dispute list --all`")
    return _as_of(settings, ledger.today(settings, connection), found[0])


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
        disputes.note(connection, found.dispute_id, outcome, ledger.today(settings, connection), actor, words)
        return _one(connection, settings, found.dispute_id)


def answered(connection: sa.Connection, contract: Contract, day: date, delivery_id: str) -> int:
    """End what a delivery answers; part of the transaction that publishes it, after its records are written. How many."""
    return disputes.answer(connection, contract, delivery_id, day, tickets.NIGHT)


def taken_out(connection: sa.Connection, settings: Settings, contract: Contract, delivery_id: str) -> int:
    """Dispute anew what a withdrawn delivery had answered, where the disputed value is back; part of that transaction. How many."""
    return disputes.open_again(connection, settings, contract, delivery_id, tickets.NIGHT)
