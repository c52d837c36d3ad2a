"""The morning in numbers: how each source stands, who is in the pool, what is in quarantine."""

from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from typing import Any

from hub.errors import ConfigError
from hub.settings import Settings
from pipeline import disputes, tickets
from schemas.contract import readable_contracts
from warehouse import database, emergencies, erasures, ledger, quarantine, questions, recalls, review, rulings, subscriptions, unusual

# State of an intake → how the source stands.
STANDS = {"merged": "ok", "accepted": "waiting", "not_due": "not_due", "held": "held", "withdrawn": "withdrawn", "failed": "failed"}
_BOOKS = ("delivered", "rejected", "quarantined", "unchanged", "inserted", "updated", "past", "erased", "withdrawn")


@dataclass(frozen=True)
class SourceStatus:
    """How one source stands on a night.

    Attributes:
        state: ok, not_due, waiting (accepted, not published), held, failed, or how far it came.
        last_good_night: business date of its last published delivery; None = it never had one.
        as_of_date: the day that delivery shows.
        is_stale: whether the night went by without a good delivery that was due.
        deadline: time of the night, Asia/Shanghai; None when its contract is gone.
        rows: records of the source in the pool.
        books: the night's delivery by column of the books, rows; None = not known.
        error: why it is held or failed; None when it is not.
        notices: what differs from the contract without breaking it, each in Chinese and English.
        delivery_id: of the night's delivery; None = none landed.
        rulings: on that delivery, newest first.
    """

    stem: str
    agency_zh: str
    state: str
    last_good_night: date | None
    as_of_date: date | None
    is_stale: bool
    deadline: time | None
    rows: int
    books: dict[str, int | None]
    error: str | None
    error_where: str | None
    next_step: str | None
    notices: list[list[str]]
    delivery_id: str | None
    rulings: list[rulings.Ruling]


@dataclass(frozen=True)
class OpenTickets:
    """A source's tickets that are not closed.

    Attributes:
        rows: that are still to be mended.
        oldest_days: age of the oldest, working days.
        overdue: past their due date.
        escalated: older than the setting allows.
    """

    stem: str
    tickets: int
    rows: int
    oldest_days: int
    overdue: int
    escalated: int


@dataclass(frozen=True)
class OpenDisputes:
    """A source's disputed values that are not answered.

    Attributes:
        oldest_days: age of the oldest, working days.
        overdue: past their due date.
    """

    stem: str
    disputes: int
    overdue: int
    oldest_days: int


@dataclass(frozen=True)
class Status:
    """How the hub stands after a night.

    Attributes:
        published_at: None until the night is in the pool.
        quarantine: rows that this night's deliveries left in quarantine, by source and rule, most first.
        tickets: those that are not closed, by source, oldest first; ages count to the night.
        disputes: values somebody says are wrong that their source has not answered; counted to the hub's day.
        recalls: departments that have not acknowledged that something they were told turned out otherwise.
        receivers: clients that do not take the notices they subscribed to.
        erasures: persons erased by law whom landing, or free space in the database's files, still holds.
        emergencies: how many last, and how many are over and not reviewed.
        judgements: pairs of records that were judged and wait for another reviewer to agree.
        unusual: departments of whose access something waits to be reviewed.
    """

    night: date
    published_at: datetime | None
    sources: list[SourceStatus]
    persons: int | None
    households: int | None
    quarantine: list[quarantine.RuleCount]
    tickets: list[OpenTickets]
    disputes: list[OpenDisputes]
    recalls: list[recalls.OpenRecalls]
    receivers: list[subscriptions.Troubled]
    erasures: int
    emergencies: tuple[int, int]
    judgements: int
    unusual: list[unusual.OpenFindings]
    fingerprint: str | None
    seconds: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain values; sources by stem."""
        found = asdict(self)
        found["sources"] = {s.pop("stem"): s for s in found["sources"]}
        return found


def status(settings: Settings, day: date | None = None) -> Status:
    """How the hub stands.

    Args:
        settings: whose pool.
        day: after which night; None = the newest.

    Raises:
        ConfigError: no night was run yet, or that one never was.
    """
    database.migrate(settings)
    contracts = readable_contracts()
    with database.engine(settings).connect() as connection:
        nights = ledger.nights(connection, limit=4000)
        night = next((n for n in nights if day is None or n.business_date == day), None)
        if night is None:
            what = "no night was run yet" if day is None else f"the night {day} was never opened"
            raise ConfigError(what, next_step="run `hub night`")
        intakes = ledger.intakes(connection, night.business_date)
        good = ledger.last_good(connection)
        rows = questions.records_by_source(connection)
        rules = quarantine.summary(connection, business_date=night.business_date)
        told_wrongly = recalls.open_by_department(connection)
        away = subscriptions.troubled(connection)
        to_be_erased = sum(not e.is_whole for e in erasures.listed(connection))
        broken_glass = emergencies.waiting(connection)
        ruled = rulings.by_delivery(connection)
        judged = review.waiting(connection)
        to_be_reviewed = unusual.open_by_department(connection)
        disputed = _disputed(disputes.listed(connection, settings))
        waiting = _waiting(tickets.listed(connection, settings, day=night.business_date))
    sources = []
    for i in intakes:
        contract = contracts.get(i.stem)
        last, as_of = good.get(i.stem, (None, None))
        sources.append(
            SourceStatus(
                i.stem,
                contract.agency_zh if contract else "",
                STANDS.get(i.state, i.state),
                last,
                as_of,
                i.state not in ("merged", "not_due"),
                contract.delivery.deadline if contract else None,
                rows.get(i.stem, 0),
                {name: getattr(i, name) for name in _BOOKS},
                i.error,
                i.error_where,
                i.next_step,
                i.notices,
                i.delivery_id,
                ruled.get(i.delivery_id or "", []),
            )  # fmt: skip
        )
    return Status(
        night.business_date,
        night.published_at,
        sources,
        night.persons,
        night.households,
        rules,
        waiting,
        disputed,
        told_wrongly,
        away,
        to_be_erased,
        broken_glass,
        judged,
        to_be_reviewed,
        night.fingerprint,
        night.seconds,
    )


def _disputed(found: list[disputes.Dispute]) -> list[OpenDisputes]:
    """Disputes that are open, by source, oldest first."""
    by_source: dict[str, list[disputes.Dispute]] = {}
    for one in found:
        by_source.setdefault(one.stem, []).append(one)
    counted = [OpenDisputes(stem, len(of), sum(d.is_overdue for d in of), max(d.age_days for d in of)) for stem, of in by_source.items()]
    return sorted(counted, key=lambda c: (-c.oldest_days, c.stem))


def _waiting(found: list[tickets.Ticket]) -> list[OpenTickets]:
    """Tickets that are not closed, by source, oldest first."""
    by_source: dict[str, list[tickets.Ticket]] = {}
    for one in found:
        if one.open:
            by_source.setdefault(one.stem, []).append(one)
    counted = [
        OpenTickets(
            stem,
            len(of),
            sum(t.open for t in of),
            max(t.age_days for t in of),
            sum(t.is_overdue for t in of),
            sum(t.is_escalated for t in of),
        )
        for stem, of in by_source.items()
    ]
    return sorted(counted, key=lambda c: (-c.oldest_days, c.stem))
