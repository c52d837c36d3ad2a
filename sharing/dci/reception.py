"""Taking a message in: who sent it, whether it is signed, new and in time. Nothing about any person decides this."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from fastapi import Request

from hub.errors import HubError
from sharing import asking
from sharing.dci import signature as signatures
from sharing.dci.codes import NotTaken, Rejected
from sharing.dci.envelope import Envelope, Malformed, opened
from sharing.dci.models import MOST_REQUESTS, VERSION, Header
from sharing.service import Service
from sharing.tokens import Caller
from warehouse import senders
from warehouse.asking import Refused

UNSIGNED = (None, "unsigned-stub", "unsigned")  # what conformance suites put in the place of a signature
_WINDOW_S = 300
# A message could come again in time until its instant is out of the window on the other side.
_KEPT_S = 2 * _WINDOW_S + signatures.LONGEST_S


@dataclass(frozen=True)
class Sender:
    """A registered sender.

    Attributes:
        address: where its answers are sent, without the path of the interface; None = nowhere.
        purpose: of questions that name none; None = such are not answered.
    """

    caller: Caller
    sender_id: str
    address: str | None
    purpose: str | None


async def _registered(service: Service, caller: Caller) -> Any:
    try:
        row = await senders.one(service.asking, caller.client_id)
    except (HubError, Refused):
        raise NotTaken("err.service.unavailable", retry_after_s=5) from None
    if row is None:
        raise NotTaken("err.sender_id.invalid")
    return row


async def received(service: Service, request: Request, header: Header, action: str, count: int) -> Sender:
    """Take a message in.

    Args:
        service: the running service.
        request: that carries it.
        header: of the message, as it was read.
        action: that belongs to the address it came to.
        count: requests it holds.

    Raises:
        NotTaken: it is not taken in.
        Rejected: it is rejected as a whole.
        Problem: there is no valid token, or the client asks too often.
    """
    caller = asking.caller(service, request)
    try:
        envelope = opened(await request.body())
    except Malformed:
        raise NotTaken("err.request.bad") from None
    row = await _registered(service, caller)
    if header.sender_id != row["sender_id"]:
        raise NotTaken("err.sender_id.invalid")
    if header.receiver_id is not None and header.receiver_id != service.settings.dci_id:
        raise NotTaken("err.receiver_id.invalid")
    if header.version != VERSION:
        raise NotTaken("err.version.not_supported")
    if header.is_msg_encrypted:
        raise NotTaken("err.encryption.invalid")
    _signed(service, envelope, row, header.sender_id)
    if abs(header.message_ts.timestamp() - time.time()) > _WINDOW_S:
        raise Rejected("header", "rjct.message_ts.invalid")
    if header.action != action:
        raise Rejected("header", "rjct.action.invalid")
    if header.total_count != count:
        raise Rejected("header", "rjct.total_count.invalid")
    if count > MOST_REQUESTS:
        raise Rejected("header", "rjct.total_count.limit_exceeded")
    if wait_s := service.misses.wait_s(caller.client_id):
        raise NotTaken("err.request.too_many_requests", retry_after_s=wait_s)
    try:
        is_new = await senders.use_message(
            service.asking, caller.client_id, header.message_id, datetime.now(UTC) + timedelta(seconds=_KEPT_S)
        )
    except (HubError, Refused):
        raise NotTaken("err.service.unavailable", retry_after_s=5) from None
    if not is_new:
        raise Rejected("header", "rjct.message_id.duplicate")
    service.requests.take(caller.client_id, count - 1)  # each request of a message counts
    return Sender(caller, row["sender_id"], row["address"], row["purpose"])


def _signed(service: Service, envelope: Envelope, row: Any, sender_id: str) -> None:
    """Hold a message's signature against the sender's keys.

    Raises:
        NotTaken: it is missing, or does not hold.
    """
    if envelope.signature in UNSIGNED:
        if service.settings.dci_is_lenient and row["may_leave_unsigned"]:
            return
        raise NotTaken("err.signature.missing")
    signature = signatures.read(envelope.signature or "")
    if signature is None or signature.sender_id != sender_id or not signatures.is_timely(signature, time.time()):
        raise NotTaken("err.signature.invalid")
    keys = orjson.loads(row["public_keys"]) if row["public_keys"] is not None else {}
    if not signatures.holds(signature, envelope.signed, keys):
        raise NotTaken("err.signature.invalid")
