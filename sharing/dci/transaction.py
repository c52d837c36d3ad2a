"""A transaction: a message that was taken in, kept sealed until its answer was taken, and asked about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
from pydantic import BaseModel

from hub.errors import HubError
from hub.seal import Seal
from sharing import webhook
from sharing.dci.codes import NotTaken, Rejected, codes
from sharing.dci.models import Header, SearchAnswer, SearchResponse, Status, TxnStatus, TxnStatusRequest, TxnStatusResponse
from sharing.dci.reception import Sender
from sharing.service import Service
from warehouse import transactions
from warehouse.asking import Refused

# Action → where its answer goes, below the sender's address, and the action of the answer.
CALLBACKS = {
    "search": ("/registry/on-search", "on-search"), "subscribe": ("/registry/on-subscribe", "on-subscribe"),
    "unsubscribe": ("/registry/on-unsubscribe", "on-unsubscribe"), "txn-status": ("/registry/txn/on-status", "txn-on-status"),
}  # fmt: skip
_KINDS = {"search": ("search",), "subscribe": ("subscribe", "unsubscribe"), "subscibe": ("subscribe", "unsubscribe")}
_MOST = 100


@dataclass(frozen=True)
class Outcome:
    """How one request ended, without anything it told."""

    reference_id: str
    status: Status
    code: str | None


def destination(service: Service, sender: Sender, header: Header, action: str) -> str:
    """Where the answer of a message is sent: to the registered address, or below it.

    Raises:
        NotTaken: none is registered, or the message names another.
    """
    path, _ = CALLBACKS[action]
    base = sender.address
    given = header.sender_uri if header.sender_uri is not None else base
    if (
        base is None
        or given is None
        or not (given == base or given.startswith(f"{base}/"))
        or not webhook.is_sound(given, service.settings)
    ):
        raise NotTaken("err.sender_uri.invalid")
    parts = urlsplit(given)
    if parts.query or ".." in parts.path or "%" in parts.path:  # what could lead out of the registered address
        raise NotTaken("err.sender_uri.invalid")
    whole = given.rstrip("/")
    return whole if whole.endswith(path) else whole + path


def beside(address: str, action: str, path: str) -> str:
    """Another path of the interface below the place to which the answer of a message goes."""
    return address.removesuffix(CALLBACKS[action][0]) + path


async def taken(
    service: Service, sender: Sender, header: Header, action: str, message: BaseModel, transaction_id: str, reference_ids: Sequence[str], request_id: str
) -> str:  # fmt: skip
    """Keep a message to be worked off later; its correlation id. It is on disk when this returns.

    Raises:
        NotTaken: its answer could not be sent, or it cannot be kept now.
    """
    address, correlation_id = destination(service, sender, header, action), str(uuid4())
    request = seal(service).close(message.model_dump_json(by_alias=True).encode(), correlation_id)
    await _kept(
        service, sender, correlation_id, action, transaction_id, reference_ids, request_id, address=address, request=request, outcome=None
    )
    return correlation_id


async def answered_at_once(
    service: Service, sender: Sender, action: str, correlation_id: str, transaction_id: str, outcomes: Sequence[Outcome], request_id: str
) -> None:  # fmt: skip
    """Keep how a message ended that was answered at once.

    Raises:
        NotTaken: it cannot be kept now.
    """
    references = [o.reference_id for o in outcomes]
    await _kept(
        service, sender, correlation_id, action, transaction_id, references, request_id, address=None, request=None, outcome=written(outcomes)
    )  # fmt: skip


async def _kept(
    service: Service, sender: Sender, correlation_id: str, action: str, transaction_id: str, references: Sequence[str], request_id: str, **how: Any
) -> None:  # fmt: skip
    caller = sender.caller
    try:
        await transactions.add(
            service.asking, correlation_id=correlation_id, client_id=caller.client_id, transaction_id=transaction_id, action=action,
            request_id=request_id, purposes=None if caller.purposes is None else sorted(caller.purposes), reference_ids=references, **how,
        )  # fmt: skip
    except (HubError, Refused):
        raise NotTaken("err.service.unavailable", retry_after_s=5) from None


def written(outcomes: Sequence[Outcome]) -> str:
    """Outcomes as they are kept."""
    return orjson.dumps(outcomes).decode()


def outcomes(answers: Sequence[SearchAnswer]) -> list[Outcome]:
    """How searches ended."""
    return [Outcome(a.reference_id, a.status, a.status_reason_code) for a in answers]


async def status(service: Service, client_id: str, asked: TxnStatusRequest) -> TxnStatusResponse:
    """What became of a client's requests: ``rcvd`` not answered yet, ``pdng`` the answer waits to be taken, ``succ``, ``rjct``.

    A transaction that is not there and one that is another's are answered alike: with no request.

    Raises:
        Rejected: such transactions are not kept.
        NotTaken: the service cannot answer now.
    """
    query = asked.txnstatus_request
    if query.txn_type == "receipt":
        raise Rejected("header", "rjct.action.not_supported")
    values = [query.attribute_value] if isinstance(query.attribute_value, str) else query.attribute_value
    try:
        rows = await transactions.of_client(service.asking, client_id, _KINDS[query.txn_type], query.attribute_type, values, _MOST)
    except (HubError, Refused):
        raise NotTaken("err.service.unavailable", retry_after_s=5) from None
    only = set(values) if query.attribute_type == "reference_id_list" else None
    found = [answer for row in rows for answer in _answers(row) if only is None or answer.reference_id in only]
    of = SearchResponse(
        transaction_id=rows[0]["transaction_id"] if rows else asked.transaction_id,
        correlation_id=rows[0]["correlation_id"] if rows else str(uuid4()), search_response=found,
    )  # fmt: skip
    return TxnStatusResponse(
        transaction_id=asked.transaction_id,
        correlation_id=str(uuid4()),
        txnstatus_response=TxnStatus(txn_type=query.txn_type, txn_status=of),
    )


def _answers(row: Any) -> list[SearchAnswer]:
    at = row["received_at"]
    if row["outcome"] is None:
        waiting: Status = "rjct" if row["state"] == "dead" else "rcvd"
        return [SearchAnswer(reference_id=r, timestamp=at, status=waiting) for r in row["reference_ids"]]
    ended = [Outcome(**o) for o in orjson.loads(row["outcome"])]
    if row["state"] == "waiting":
        return [SearchAnswer(reference_id=o.reference_id, timestamp=at, status="pdng") for o in ended]
    words = codes("search")
    return [
        SearchAnswer(
            reference_id=o.reference_id, timestamp=at, status=o.status, status_reason_code=o.code if o.code in words else None,
            status_reason_message=words[o.code].words if o.code in words else o.code,
        )
        for o in ended
    ]  # fmt: skip


def seal(service: Service) -> Seal:
    """What seals messages and their answers, each by its correlation id."""
    return Seal(service.settings, "dci_transaction.key")
