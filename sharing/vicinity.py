"""Whom clients asked about one at a time, seen as neighbours see it: who lives together, who lives close by, who bears whose name.

Worked out when access is reviewed, from the log's pseudonyms and the pool as it is now: whoever holds the key of the pseudonyms finds the persons. Nothing of
it is written into the log, where an equal mark on two entries would tell that two persons live together, or that one bears an operator's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl
import sqlalchemy as sa

from hub.dates import CHINA
from hub.settings import Settings
from identity import names
from sharing import keys, operator_seal
from warehouse import audit_log, operators
from warehouse import vicinity as places
from warehouse.vicinity import Resident

BACK_DAYS = 30


@dataclass(frozen=True)
class Operator:
    """Who asks at a department; two of one name are one."""

    name: str
    surname: str


@dataclass(frozen=True)
class Asked:
    """A person a client was told of on a day, asked for by itself.

    Attributes:
        person_id: as it is now; empty = it is not in the pool any more.
        entries: of the log.
        first_leaf, last_leaf: where they stand in it.
        operator: who was named; None = nobody, or nobody with a family name in Chinese characters.
        is_named: whether somebody was.
    """

    client_id: str
    department: str
    day: date
    person_id: str
    entries: int
    operator: Operator | None
    is_named: bool
    first_leaf: int
    last_leaf: int


@dataclass(frozen=True)
class Seen:
    """What the rules are applied to.

    Attributes:
        residents: persons asked about, by their ids.
        shares: (community, family name) → share of its persons, (None, family name) → of the pool's, (community, "") → the community's share of the pool.
    """

    asked: list[Asked]
    residents: dict[str, Resident]
    shares: dict[tuple[str | None, str], float]


def seen(connection: sa.Connection, settings: Settings, day: date, *, clients: Sequence[str] | None = None, first_leaf: int = 0) -> Seen:
    """What clients asked about one at a time on a day, and on the days before by clients that asked on it.

    Args:
        connection: an open connection.
        settings: whose keys.
        day: of Asia/Shanghai.
        clients: those that may have; None = any.
        first_leaf: the first entry that can be of those days.
    """
    since = datetime.combine(day - timedelta(days=BACK_DAYS - 1), time(), CHINA)
    until = datetime.combine(day + timedelta(days=1), time(), CHINA)
    rows = audit_log.singly(connection, since, until, clients=clients, first_leaf=first_leaf)
    active = {r.client_id for r in rows if r.day == day}
    rows = [r for r in rows if r.client_id in active]
    if not rows:
        return Seen([], {}, {})
    persons = _persons(connection, settings, {bytes(r.subject) for r in rows})
    named = _named(connection, settings, since, until, sorted(active))
    in_emergencies = operators.of_emergencies(connection)
    told = [in_emergencies.get(r.emergency or "") or named.get((r.client_id, r.request_id)) for r in rows]
    known = _divided({name for name in told if name is not None})
    asked = [
        Asked(r.client_id, r.department, r.day, persons.get(bytes(r.subject), ""), r.entries, known.get(name or ""), name is not None,
              r.first_leaf, r.last_leaf)
        for r, name in zip(rows, told, strict=True)
    ]  # fmt: skip
    residents = places.residents(connection, sorted({a.person_id for a in asked if a.person_id}))
    return Seen(asked, residents, places.shares(connection, sorted({o.surname for o in known.values()})))


def _persons(connection: sa.Connection, settings: Settings, subjects: set[bytes]) -> dict[bytes, str]:
    """Ids of persons by their pseudonyms."""
    pseudonyms = keys.Pseudonyms(settings)
    return {subject: now for before, now in places.ids(connection) if (subject := pseudonyms.of(before)) in subjects}


def _named(
    connection: sa.Connection, settings: Settings, since: datetime, until: datetime, clients: Sequence[str]
) -> dict[tuple[str, str], str]:
    """Operators by client and request; of several with one request the last."""
    sealing = operator_seal.seal(settings)
    rows = operators.named(connection, since, until, clients)
    found = ((r, operator_seal.opened(sealing, r.client_id, r.request_id, bytes(r.sealed))) for r in rows)
    return {(r.client_id, r.request_id): name for r, name in found if name is not None}


def _divided(told: set[str]) -> dict[str, Operator]:
    """Operators by their names as they were told; a name without a family name in Chinese characters is left out."""
    whole = pl.Series(sorted(told), dtype=pl.String)
    nothing = pl.Series([None] * len(whole), dtype=pl.String)
    surnames = names.divide(whole, nothing, nothing)["surname"]
    return {
        name: Operator(name, surname)
        for name, surname in zip(whole, surnames, strict=True)
        if surname is not None and not surname.isascii()
    }
