"""Subscriptions: what clients want to hear of, and by what mark a change is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse.asking import Asking

_COLUMNS = (
    "s.subscription_id::text, s.client_id, c.department, s.purpose, s.consent, s.kind, s.attributes, s.questions, s.address, s.is_paused, s.publication,"
    " s.tries, s.next_try_at, s.created_at, s.protocol, s.secret_number, s.former_secret_until, c.generation, c.purposes,"
    " (SELECT d.sender_id FROM share.sender d WHERE d.client_id = s.client_id) AS sender_id"
)
# Who is told anything is a client in force; its generation goes into the entry's transaction.
_IN_FORCE = "share.subscription s JOIN share.client c ON c.client_id = s.client_id AND c.revoked_at IS NULL"


async def add(
    asking: Asking,
    *,
    client_id: str,
    purpose: str,
    consent: str | None,
    kind: str,
    attributes: Sequence[str],
    questions: Sequence[str],
    address: str | None,
    publication: int,
    subjects: Sequence[str],
    refs: Sequence[str | None],
    marks: Sequence[bytes | None],
    protocol: str = "native",
) -> str:
    """Add a subscription with all it watches, in one statement; its id."""
    rows = await asking.read(
        None,
        "WITH made AS (INSERT INTO share.subscription (client_id, purpose, consent, kind, attributes, questions, address, publication, protocol)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $12) RETURNING subscription_id),"
        " watched AS (INSERT INTO share.watched SELECT subscription_id, u.subject_id, u.ref, u.mark FROM made,"
        " unnest($9::uuid[], $10::text[], $11::bytea[]) AS u(subject_id, ref, mark))"
        " SELECT subscription_id::text FROM made",
        client_id, purpose, consent, kind, list(attributes), list(questions), address, publication, list(subjects), list(refs), list(marks),
        protocol,
    )  # fmt: skip
    return str(rows[0][0])


async def of_client(asking: Asking, client_id: str) -> list[Any]:
    """A client's subscriptions, oldest first, each with the client's generation and purposes."""
    return await asking.read(
        None, f"SELECT {_COLUMNS} FROM {_IN_FORCE} WHERE s.client_id = $1 ORDER BY s.subscription_id", client_id
    )  # fmt: skip


async def one(asking: Asking, client_id: str, subscription_id: Any) -> Any | None:
    """A subscription of a client; None = it has none of that id."""
    rows = await asking.read(
        None,
        f"SELECT {_COLUMNS} FROM {_IN_FORCE} WHERE s.client_id = $1 AND s.subscription_id = $2",
        client_id, subscription_id,
    )  # fmt: skip
    return rows[0] if rows else None


async def of_person(asking: Asking, client_id: str, purpose: str, person_id: str) -> Any | None:
    """A client's subscription by the DCI interface to a person for a purpose: ``subscription_id``, ``created_at``; None = there is none."""
    rows = await asking.read(
        None,
        "SELECT s.subscription_id::text, s.created_at FROM share.subscription s JOIN share.watched w USING (subscription_id)"
        " WHERE s.client_id = $1 AND s.purpose = $2 AND s.protocol = 'dci' AND w.subject_id = $3::uuid ORDER BY s.subscription_id LIMIT 1",
        client_id, purpose, person_id,
    )  # fmt: skip
    return rows[0] if rows else None


async def count(asking: Asking, client_id: str, purpose: str) -> int:
    """How many subscriptions by the DCI interface a client has for a purpose."""
    rows = await asking.read(
        None, "SELECT count(*) FROM share.subscription WHERE client_id = $1 AND purpose = $2 AND protocol = 'dci'", client_id, purpose
    )  # fmt: skip
    return int(rows[0][0])


async def remove(asking: Asking, client_id: str, subscription_id: Any) -> bool:
    """End a subscription, its notices with it; whether there was one."""
    rows = await asking.read(
        None, "DELETE FROM share.subscription WHERE client_id = $1 AND subscription_id = $2 RETURNING 1", client_id, subscription_id
    )  # fmt: skip
    return bool(rows)


async def behind(asking: Asking, publication: int) -> list[Any]:
    """Subscriptions that were not looked at since a publication."""
    return await asking.read(
        None, f"SELECT {_COLUMNS} FROM {_IN_FORCE} WHERE s.publication < $1 ORDER BY s.subscription_id", publication
    )  # fmt: skip


async def looked(asking: Asking, subscription_id: str, publication: int) -> None:
    """Note up to which publication a subscription was looked at."""
    await asking.read(
        None, "UPDATE share.subscription SET publication = $2 WHERE subscription_id = $1 AND publication < $2", subscription_id, publication
    )  # fmt: skip


async def watched(asking: Asking, subscription_id: str, after: str | None, limit: int) -> list[str]:
    """Ids of what a subscription watches behind one of them (None = from the first), in their order."""
    rows = await asking.read(
        None,
        "SELECT subject_id::text FROM share.watched w WHERE subscription_id = $1 AND ($2::uuid IS NULL OR w.subject_id > $2)"
        " ORDER BY w.subject_id LIMIT $3",
        subscription_id, after, limit,
    )  # fmt: skip
    return [r[0] for r in rows]


async def due(asking: Asking, now: datetime) -> list[Any]:
    """Subscriptions that have something to be sent now."""
    return await asking.read(
        None,
        f"SELECT {_COLUMNS} FROM {_IN_FORCE} WHERE s.address IS NOT NULL AND NOT s.is_paused"
        " AND (s.next_try_at IS NULL OR s.next_try_at <= $1)"
        " AND EXISTS (SELECT FROM share.notice n WHERE n.subscription_id = s.subscription_id AND n.state = 'waiting')"
        " ORDER BY s.subscription_id",
        now,
    )  # fmt: skip


async def unreachable(asking: Asking, subscription_id: str, tries: int, next_try_at: datetime | None) -> None:
    """Note that a receiver was not reached, and when to try again; no tries and None = it was."""
    await asking.read(
        None, "UPDATE share.subscription SET tries = $2, next_try_at = $3 WHERE subscription_id = $1", subscription_id, tries, next_try_at
    )  # fmt: skip


_PAUSE = "UPDATE share.subscription SET is_paused = true WHERE subscription_id = {id} AND NOT is_paused"
# What waited meanwhile has all of the policy's days before it.
_RESUME = (
    "WITH resumed AS (UPDATE share.subscription SET is_paused = false, tries = 0, next_try_at = NULL WHERE subscription_id = {id} RETURNING 1)"
    " UPDATE share.notice SET waiting_since = {now}, tries = 0, next_try_at = NULL WHERE subscription_id = {id} AND state = 'waiting'"
    " AND EXISTS (SELECT FROM resumed)"
)


_ROTATE = (
    "UPDATE share.subscription SET secret_number = secret_number + 1, former_secret_until = {until} WHERE subscription_id = {id} AND protocol = 'native'"
    " RETURNING secret_number"
)


async def rotate(asking: Asking, subscription_id: str, former_until: datetime | None) -> int | None:
    """Have a subscription's secret made anew: its new number; None = it has no secret.

    Args:
        asking: the program's connections.
        subscription_id: of the subscription.
        former_until: until when the one before still signs as well; None = not at all.
    """
    rows = await asking.read(None, _ROTATE.format(id="$1", until="$2"), subscription_id, former_until)
    return int(rows[0][0]) if rows else None


async def pause(asking: Asking, subscription_id: str) -> None:
    """Send nothing until it is resumed; changes are noted meanwhile."""
    await asking.read(None, _PAUSE.format(id="$1"), subscription_id)


async def resume(asking: Asking, subscription_id: str, now: datetime) -> None:
    """Send again what waits, at once."""
    await asking.read(None, _RESUME.format(id="$1", now="$2"), subscription_id, now)


@dataclass(frozen=True)
class Subscription:
    """A subscription as the operator sees it. ``is_revoked``: its client is, so nothing is sent; ``next_try_at`` None = at once."""

    subscription_id: str
    client_id: str
    department: str
    purpose: str
    kind: str
    address: str | None
    is_paused: bool
    is_revoked: bool
    tries: int
    next_try_at: datetime | None
    watched: int
    waiting: int
    delivered: int
    dead: int


def listed(connection: sa.Connection) -> list[Subscription]:
    """All subscriptions, oldest first, with how many subjects each watches and how its notices stand."""
    rows = connection.execute(
        sa.text(
            "SELECT s.subscription_id::text, s.client_id, c.department, s.purpose, s.kind, s.address, s.is_paused, c.revoked_at IS NOT NULL AS is_revoked,"
            " s.tries, s.next_try_at, (SELECT count(*) FROM share.watched w WHERE w.subscription_id = s.subscription_id) AS watched,"
            " count(n.sequence) FILTER (WHERE n.state = 'waiting') AS waiting, count(n.sequence) FILTER (WHERE n.state = 'delivered') AS delivered,"
            " count(n.sequence) FILTER (WHERE n.state = 'dead') AS dead FROM share.subscription s JOIN share.client c USING (client_id)"
            " LEFT JOIN share.notice n USING (subscription_id) GROUP BY s.subscription_id, c.client_id ORDER BY s.subscription_id"
        )
    )
    return [Subscription(**row._mapping) for row in rows]


@dataclass(frozen=True)
class Troubled:
    """A client whose receivers do not take what is sent to them: dead letters, notices that wait, and the oldest of both."""

    client_id: str
    department: str
    dead: int
    waiting: int
    oldest_at: datetime


def troubled(connection: sa.Connection) -> list[Troubled]:
    """Clients with dead letters, or whose receivers could not be reached of late; most dead letters first. Paused and fetched subscriptions are not meant."""
    rows = connection.execute(
        sa.text(
            "SELECT c.client_id, c.department, count(*) FILTER (WHERE n.state = 'dead') AS dead, count(*) FILTER (WHERE n.state = 'waiting') AS waiting,"
            " min(n.made_at) AS oldest_at FROM share.subscription s JOIN share.client c ON c.client_id = s.client_id AND c.revoked_at IS NULL"
            " JOIN share.notice n ON n.subscription_id = s.subscription_id AND (n.state = 'dead' OR (n.state = 'waiting' AND s.tries > 0"
            "  AND s.address IS NOT NULL AND NOT s.is_paused)) GROUP BY c.client_id ORDER BY dead DESC, c.client_id"
        )
    )
    return [Troubled(**row._mapping) for row in rows]


def known(connection: sa.Connection, subscription_id: str) -> str:
    """A subscription's id, where there is one.

    Raises:
        ConfigError: there is none.
    """
    found = connection.scalar(
        sa.text("SELECT subscription_id::text FROM share.subscription WHERE subscription_id = CAST(:id AS uuid)"), {"id": subscription_id}
    )
    if found is None:
        raise ConfigError("there is no such subscription", where="SUBSCRIPTION", next_step="see `hub subscription list`")
    return str(found)


def set_paused(connection: sa.Connection, subscription_id: str, now: datetime | None) -> None:
    """Pause a subscription, or resume it at an instant (None = pause)."""
    statement = _PAUSE.format(id="CAST(:id AS uuid)") if now is None else _RESUME.format(id="CAST(:id AS uuid)", now=":now")
    connection.execute(sa.text(statement), {"id": subscription_id} if now is None else {"id": subscription_id, "now": now})


def rotate_secret(connection: sa.Connection, subscription_id: str, former_until: datetime | None) -> int:
    """The same as :func:`rotate`, for the operator.

    Raises:
        ConfigError: it has no secret.
    """
    statement = _ROTATE.format(id="CAST(:id AS uuid)", until="CAST(:until AS timestamptz)")
    number = connection.scalar(sa.text(statement), {"id": subscription_id, "until": former_until})
    if number is None:
        raise ConfigError(
            "notices of this subscription leave as DCI messages, signed by the hub's own key",
            where="SUBSCRIPTION",
            next_step="see `hub dci`",
        )
    return int(number)
