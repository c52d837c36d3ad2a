"""Transactions of the DCI interface: taken in, worked off later, and what became of each request."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from warehouse.asking import Asking

_COLUMNS = (
    "t.correlation_id::text, t.client_id, t.transaction_id, t.action, t.request_id, t.purposes, t.reference_ids, t.received_at, t.address, t.state,"
    " t.request, t.answer, t.outcome, t.policy_version, t.publication, t.tries, t.fault, c.department, c.generation, c.purposes AS own_purposes,"
    " s.sender_id, s.purpose"
)


async def add(
    asking: Asking,
    *,
    correlation_id: str,
    client_id: str,
    transaction_id: str,
    action: str,
    request_id: str,
    purposes: Sequence[str] | None,
    reference_ids: Sequence[str],
    address: str | None,
    request: bytes | None,
    outcome: str | None,
) -> None:
    """Take a transaction in. One with an outcome is done already."""
    await asking.read(
        None,
        "INSERT INTO share.dci_transaction (correlation_id, client_id, transaction_id, action, request_id, purposes, reference_ids, address, request,"
        " outcome, state) VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $10::jsonb IS NULL THEN 'waiting' ELSE 'done' END)",
        correlation_id, client_id, transaction_id, action, request_id, None if purposes is None else list(purposes), list(reference_ids), address,
        request, outcome,
    )  # fmt: skip


async def due(asking: Asking, now: datetime, limit: int) -> list[Any]:
    """Transactions that are to be worked off now, oldest first, of senders in force; with the client's generation and purposes."""
    return await asking.read(
        None,
        f"SELECT {_COLUMNS} FROM share.dci_transaction t JOIN share.client c ON c.client_id = t.client_id AND c.revoked_at IS NULL"
        " JOIN share.sender s ON s.client_id = t.client_id WHERE t.state = 'waiting' AND (t.next_try_at IS NULL OR t.next_try_at <= $1)"
        " ORDER BY t.received_at, t.correlation_id LIMIT $2",
        now, limit,
    )  # fmt: skip


async def answered(
    asking: Asking, correlation_id: str, answer: bytes, outcome: str, policy_version: str, publication: int
) -> None:  # fmt: skip
    """Keep an answer that is to be sent."""
    await asking.read(
        None,
        "UPDATE share.dci_transaction SET answer = $2, outcome = $3, policy_version = $4, publication = $5"
        " WHERE correlation_id = $1::uuid AND state = 'waiting'",
        correlation_id, answer, outcome, policy_version, publication,
    )  # fmt: skip


async def failed(asking: Asking, correlation_id: str, fault: str, next_try_at: datetime) -> None:
    """Note that an answer could not be made or was not taken, and when to try again."""
    await asking.read(
        None,
        "UPDATE share.dci_transaction SET tries = tries + 1, fault = $2, next_try_at = $3 WHERE correlation_id = $1::uuid",
        correlation_id, fault, next_try_at,
    )  # fmt: skip


async def ended(asking: Asking, correlation_id: str, fault: str | None) -> None:
    """End a transaction: its answer was taken (None), or it is given up. What was asked and answered is forgotten."""
    await asking.read(
        None,
        "UPDATE share.dci_transaction SET state = CASE WHEN $2::text IS NULL THEN 'done' ELSE 'dead' END, fault = $2, request = NULL, answer = NULL,"
        " next_try_at = NULL WHERE correlation_id = $1::uuid",
        correlation_id, fault,
    )  # fmt: skip


async def of_client(asking: Asking, client_id: str, actions: Sequence[str], kind: str, values: Sequence[str], limit: int) -> list[Any]:
    """A client's transactions, newest first.

    Args:
        asking: the connections.
        client_id: whose.
        actions: of which kinds.
        kind: ``transaction_id``, ``correlation_id``, or ``reference_id_list``: of those that hold one of the references.
        values: that are looked for.
        limit: at most so many.
    """
    condition = {
        "transaction_id": "t.transaction_id = ANY($3::text[])", "correlation_id": "t.correlation_id::text = ANY($3::text[])",
        "reference_id_list": "t.reference_ids && $3::text[]",
    }[kind]  # fmt: skip
    return await asking.read(
        None,
        "SELECT t.correlation_id::text, t.transaction_id, t.reference_ids, t.received_at, t.state, t.outcome FROM share.dci_transaction t"
        f" WHERE t.client_id = $1 AND t.action = ANY($2::text[]) AND {condition} ORDER BY t.received_at DESC, t.correlation_id DESC LIMIT $4",
        client_id, list(actions), list(values), limit,
    )  # fmt: skip


async def forget(asking: Asking, before: datetime) -> None:
    """Forget transactions that came before an instant, and those that wait for senders that are no more."""
    # Two statements, each by an index of its own: it is asked every second.
    await asking.read(None, "DELETE FROM share.dci_transaction WHERE received_at < $1", before)
    await asking.read(
        None,
        "DELETE FROM share.dci_transaction t WHERE state = 'waiting' AND NOT EXISTS (SELECT FROM share.sender s"
        " JOIN share.client c USING (client_id) WHERE s.client_id = t.client_id AND c.revoked_at IS NULL)",
    )
