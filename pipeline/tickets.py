"""Tickets: what is in quarantine, asked of the agency and followed until it is proven mended.

A ticket is one agency's, one rule's and one business day's. The night opens, escalates and closes it in its own transactions; people
say that it was sent. Nobody closes one by hand: it closes when nothing of it is open, and opens again if a proof falls.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hub.dates import CHINA
from hub.errors import ConfigError, MergeError
from hub.settings import Settings
from hub.working_days import working_days
from pipeline import parsing, readers
from schemas.contract import Contract, readable_contracts
from warehouse import database, items, landing, ledger, tickets
from warehouse.items import Rows
from warehouse.tickets import Group, Stored

if TYPE_CHECKING:  # it loads Great Expectations, which a list of tickets does not need
    from expectations.gate import Verdict

NIGHT = "hub"  # who acts where no person does
ESCALATED = "escalated"  # an event that is no state: whoever is asked besides, the ticket is as far as it was
_UNDER_WAY = ("pending", "fetched", "landed", "parsed")
_MISSING = ("应交付而未收到可用的交付", "a delivery that was due did not come in usable form")
_JOINED = "并入较早的工单 its rows are on an earlier ticket"
_KEY_REPEATED = ("主键重复", "the key came more than once")


class State(StrEnum):
    """How far a ticket is."""

    OPEN = "open"  # found by the night; the agency has not been told
    SENT = "sent"  # the agency was told
    ANSWERED = "answered"  # the agency sent something again; not all of it passed
    CLOSED = "closed"  # everything is settled, by proof
    REOPENED = "reopened"  # it was closed, and a proof did not hold


# What may follow a state. Sent again is a reminder, answered again a further part.
_NEXT = {
    State.OPEN: {State.SENT, State.ANSWERED, State.CLOSED},
    State.SENT: {State.SENT, State.ANSWERED, State.CLOSED},
    State.ANSWERED: {State.SENT, State.ANSWERED, State.CLOSED},
    State.CLOSED: {State.REOPENED},
    State.REOPENED: {State.SENT, State.ANSWERED, State.CLOSED},
}


@dataclass(frozen=True)
class Ticket:
    """A ticket as it stands on a day; counts are of keys, or of rows where a row has none.

    Attributes:
        stage: parse, gate (rows kept out), field (rows went in without a field), held or missing (a delivery).
        rows: all it is about; each is open, passed or withdrawn.
        again: failures beyond the first: sent again, still wrong.
        age_days: working days from the opening to the closing, or to the day it is looked at.
        is_due_provisional: whether the due date was reckoned over a year whose holidays are not announced.
        is_escalated: whether it is not closed and a night up to the day it is looked at has escalated it.
        escalated_date: business date of that night, since the ticket was last reopened; None = none did.
        escalated_to: who is asked since, beside the owner.
    """

    ticket_id: str
    stem: str
    agency_zh: str
    rule_id: str
    stage: str
    field: str | None
    title_zh: str
    title_en: str
    state: State
    owner: str
    opened_date: date
    due_date: date
    is_due_provisional: bool
    closed_date: date | None
    age_days: int
    is_overdue: bool
    is_escalated: bool
    escalated_date: date | None
    escalated_to: str | None
    rows: int
    open: int
    passed: int
    withdrawn: int
    again: int


def _counts(group: Group) -> dict[str, int]:
    return {name: getattr(group, name) for name in ("rows", "open", "passed", "withdrawn", "again")}


# -- what the night does -------------------------------------------------------------------------------------------------------------------


def _read(settings: Settings, connection: sa.Connection, contract: Contract, delivery_id: str) -> Rows:
    """The keys of a delivery, read again from landing."""
    delivery = landing.deliveries(connection, delivery=delivery_id)[0]
    return items.landed(connection, parsing.keys(contract, readers.delivered(settings, contract, delivery)))


def opened(connection: sa.Connection, settings: Settings, contract: Contract, day: date, delivery_id: str, verdict: "Verdict") -> None:
    """Open what the gate found in a delivery; part of the transaction that writes its verdict."""
    tickets.lock(connection)
    for older in items.unopened(connection, contract.stem, but=delivery_id):
        items.open_rows(connection, contract.stem, older, _read(settings, connection, contract, older))
    items.open_rows(connection, contract.stem, delivery_id, items.staged(contract, day))
    for reason in verdict.reasons if verdict.state == "held" else ():
        fails = verdict.conditions.get(reason.rule_id)
        items.open_held(connection, contract, day, delivery_id, reason.rule_id, reason.field, fails)
    _keep(connection, settings, contract, day)


def settled(connection: sa.Connection, settings: Settings, contract: Contract, day: date, delivery: landing.Delivery) -> None:
    """Settle what a delivery proves; part of the transaction that publishes it.

    A delivery that comes after newer ones is followed by those, read again from landing: what they prove of its rows nobody looked
    for when they were published.

    Raises:
        MergeError: a row of it is in quarantine and on no ticket.
    """
    tickets.lock(connection)
    if delivery.delivery_id in items.unopened(connection, contract.stem):
        raise MergeError(
            "rows are in quarantine that are on no ticket", where=f"delivery {delivery.delivery_id[:8]}",
            next_step=f"run `hub replay {delivery.delivery_id[:8]}`",
        )  # fmt: skip
    items.settle(connection, contract.stem, delivery, items.staged(contract, day))
    _settle_later(connection, settings, contract, delivery.business_date)
    _keep(connection, settings, contract, day)


def _settle_later(connection: sa.Connection, settings: Settings, contract: Contract, day: date) -> None:
    for newer in items.later(connection, contract.stem, day):
        found = landing.deliveries(connection, delivery=newer)[0]
        items.settle(connection, contract.stem, found, _read(settings, connection, contract, newer))


def taken_out(connection: sa.Connection, settings: Settings, contract: Contract, delivery: landing.Delivery) -> None:
    """Open again what a delivery proved that is taken out of the pool, unless a later one proves it; part of that transaction.

    Nothing more is asked about its own rows.
    """
    tickets.lock(connection)
    if items.take_back(connection, delivery.delivery_id):
        _settle_later(connection, settings, contract, delivery.business_date)
    _keep(connection, settings, contract, ledger.today(settings, connection))


def missing(connection: sa.Connection, settings: Settings, day: date) -> None:
    """Open tickets for deliveries that were due and are not there; part of the transaction that publishes without them."""
    absent = [i for i in ledger.intakes(connection, day) if i.state in ("failed", *_UNDER_WAY)]
    contracts = readable_contracts() if absent else {}
    for intake in absent:
        contract = contracts.get(intake.stem)
        if contract is not None and is_missing(contract, intake, settings, datetime.now(CHINA)):
            tickets.lock(connection)
            items.open_missing(connection, intake.stem, day)
            _keep(connection, settings, contract, day, words=intake.error)


def escalated(connection: sa.Connection, settings: Settings, day: date) -> int:
    """Escalate what agencies left lying; part of the transaction that publishes the night.

    Args:
        day: business date of the night, by which ages count.

    Returns:
        Tickets that this night was the first to escalate since they were opened, or opened again.
    """
    days = working_days(settings)
    old = [
        t
        for t in tickets.stored(connection)
        if t.state != State.CLOSED and t.escalated_date is None and days.between(t.opened_date, day) > settings.ticket_escalation_days
    ]
    if not old:
        return 0
    tickets.lock(connection)
    for one, group in _summed(connection, old):
        tickets.note(connection, one.ticket_id, ESCALATED, day, NIGHT, {**_counts(group), "owner": settings.ticket_escalation_owner})
    return len(old)


def is_missing(contract: Contract, intake: ledger.Intake, settings: Settings, now: datetime) -> bool:
    """Whether a night that is published now goes without a delivery that was due.

    One that could not be read is missing. One that is under way, or that nobody has asked for, is missing once its deadline has passed by
    the clock in China; the county's calendar knows no hours.
    """
    if not contract.delivery.is_due(intake.business_date):
        return False
    deadline = datetime.combine(intake.business_date, contract.delivery.deadline, CHINA)
    return intake.state == "failed" or (intake.state in _UNDER_WAY and settings.business_clock == "wall" and now >= deadline)


def _keep(connection: sa.Connection, settings: Settings, contract: Contract, day: date, words: str | None = None) -> None:
    """Write down tickets that are new, with some words on them, and states that changed."""
    known = {(t.rule_id, t.opened_date): t for t in tickets.stored(connection, stem=contract.stem)}
    groups = tickets.groups(connection, contract.stem)
    for group in groups:
        ticket = known.get((group.rule_id, group.opened_date))
        if ticket is None:
            ticket_id = _open(connection, settings, contract, group)
            tickets.note(connection, ticket_id, State.OPEN, day, NIGHT, {**_counts(group), **({"words": words} if words else {})})
            before, detail = State.OPEN, _counts(group)
        else:
            ticket_id, before, detail = ticket.ticket_id, State(ticket.state), ticket.detail
        state = _state(before, detail, group)
        if state is not None:
            tickets.note(connection, ticket_id, state, group.proved_date or day if state is State.CLOSED else day, NIGHT, _counts(group))
    # A key that failed, passed and failed again is on two tickets; where the proof between them falls, it is on the earlier one alone.
    for key in known.keys() - {(g.rule_id, g.opened_date) for g in groups}:
        if known[key].state != State.CLOSED:
            empty = _empty(known[key])
            tickets.note(connection, known[key].ticket_id, State.CLOSED, day, NIGHT, {**_counts(empty), "words": _JOINED})


def _empty(ticket: Stored) -> Group:
    """What a ticket adds up to whose rows are all on an earlier one."""
    return Group(ticket.stem, ticket.rule_id, ticket.opened_date, ticket.stage, ticket.field, None, 0, 0, 0, 0, 0, None)


def _state(before: State, detail: dict[str, Any], group: Group) -> State | None:
    """The state that what is settled leads to; None where nothing changed since the last."""
    if group.open == 0:
        return None if before is State.CLOSED else State.CLOSED
    if before is State.CLOSED:
        return State.REOPENED
    is_sent_again = group.again > detail["again"] and group.stage != "missing"
    is_news = group.open < detail["open"] or is_sent_again
    return State.ANSWERED if is_news else None


def _open(connection: sa.Connection, settings: Settings, contract: Contract, group: Group) -> str:
    ticket_id = f"{group.stem}.{group.rule_id}.{group.opened_date:%Y%m%d}"
    due = working_days(settings).after(group.opened_date, settings.ticket_due_days)
    zh, en = _titles(connection, contract, group)
    tickets.add(
        connection,
        ticket_id,
        group,
        title_zh=zh,
        title_en=en,
        owner=contract.owner,
        due_date=due.day,
        is_due_provisional=due.is_provisional,
    )
    return ticket_id


def _titles(connection: sa.Connection, contract: Contract, group: Group) -> tuple[str, str]:
    """What the rule asks, in Chinese and English."""
    if group.rule_id == items.MISSING:
        return _MISSING
    if group.rule_id == "key_repeated":
        return _KEY_REPEATED
    told = parsing.told(contract, group.rule_id, group.field)
    if told is not None:
        return told
    report = landing.load_report(connection, str(group.delivery_id)) or {"results": []}
    found = next((r for r in report["results"] if r["rule_id"] == group.rule_id), None)
    return (found["title_zh"], found["title_en"]) if found else (group.rule_id, group.rule_id)


# -- what people ask and say ---------------------------------------------------------------------------------------------------------------


def _summed(connection: sa.Connection, kept: list[Stored]) -> list[tuple[Stored, Group]]:
    """Tickets, each with what it adds up to."""
    sources = {t.stem for t in kept}
    groups = tickets.groups(connection, min(sources) if len(sources) == 1 else None)
    found = {(g.stem, g.rule_id, g.opened_date): g for g in groups}
    return [(t, found.get((t.stem, t.rule_id, t.opened_date)) or _empty(t)) for t in kept]


def _as_of(settings: Settings, day: date, stored: Stored, group: Group, agency_zh: str) -> Ticket:
    is_closed = group.open == 0
    closed_date = (group.proved_date or stored.state_date) if is_closed else None
    is_escalated = stored.escalated_date is not None and stored.escalated_date <= day
    age = working_days(settings).between(group.opened_date, closed_date or day)
    return Ticket(
        stored.ticket_id, stored.stem, agency_zh, stored.rule_id, stored.stage, stored.field, stored.title_zh, stored.title_en,
        State(stored.state), stored.owner, group.opened_date, stored.due_date, stored.is_due_provisional, closed_date, age,
        (closed_date or day) > stored.due_date, is_escalated and not is_closed, stored.escalated_date if is_escalated else None,
        stored.escalated_to if is_escalated else None, **_counts(group),
    )  # fmt: skip


def listed(connection: sa.Connection, settings: Settings, *, stem: str | None = None, day: date | None = None) -> list[Ticket]:
    """All tickets as they stand, by source, day and rule.

    Args:
        day: by which ages count; None = today, see :func:`today`.
    """
    day = day or ledger.today(settings, connection)
    contracts = readable_contracts()
    return [
        _as_of(settings, day, one, group, contracts[one.stem].agency_zh if one.stem in contracts else "")
        for one, group in _summed(connection, tickets.stored(connection, stem=stem))
    ]


def find(connection: sa.Connection, settings: Settings, ticket_id: str) -> tuple[Ticket, Group]:
    """A ticket by its number, and what it adds up to.

    Raises:
        ConfigError: there is none of that number.
    """
    for stored, group in _summed(connection, tickets.stored(connection, ticket_id=ticket_id)):
        contract = readable_contracts().get(stored.stem)
        return _as_of(settings, ledger.today(settings, connection), stored, group, contract.agency_zh if contract else ""), group
    raise ConfigError(f"there is no ticket {ticket_id!r}", where="TICKET", next_step="see `hub ticket list --all`")


def send(settings: Settings, ticket_id: str, *, actor: str, words: str | None = None) -> Ticket:
    """Note that the agency was told of a ticket.

    Args:
        actor: who told it.
        words: by which way, to whom; no person's value.

    Raises:
        ConfigError: there is no such ticket, or it is closed.
    """
    with database.engine(settings).begin() as connection:
        tickets.lock(connection)
        ticket, group = find(connection, settings, ticket_id)
        if State.SENT not in _NEXT[ticket.state]:
            raise ConfigError(
                f"a ticket that is {ticket.state} cannot be sent", where="TICKET", next_step=f"see `hub ticket show {ticket_id}`"
            )
        detail = {**_counts(group), **({"words": words} if words else {})}
        tickets.note(connection, ticket_id, State.SENT, ledger.today(settings, connection), actor, detail)
        return find(connection, settings, ticket_id)[0]
