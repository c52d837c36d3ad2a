"""Messages that leave: signed answers, acknowledgements, and refusals in the standard's form."""

import time
from typing import Any
from uuid import uuid4

import orjson
from fastapi import Response
from pydantic import BaseModel

from hub.settings import Settings
from sharing.dci import signature as signatures
from sharing.dci.codes import NotTaken, Rejected, codes
from sharing.dci.envelope import closed
from sharing.dci.models import Ack, Acknowledged, Fault, Refused, Reply, Status, now

_HEADERS = {"Cache-Control": "private, no-store"}


def _json(content: BaseModel) -> bytes:
    return orjson.dumps(content.model_dump(mode="json", exclude_none=True, by_alias=True))


def signed(settings: Settings, header: BaseModel, message: BaseModel | None) -> bytes:
    """A message as it leaves, signed over the very bytes that are sent."""
    return sealed(settings, header, None if message is None else _json(message))


def sealed(settings: Settings, header: BaseModel, message: bytes | None) -> bytes:
    """The same, of a message that is written already."""
    top = _json(header)
    covered = b"".join([b'{"header":', top, b',"message":', message or b"null", b"}"])
    key_id, key = signatures.own_key(settings)
    return closed(top, message, signatures.made(key, settings.dci_id, key_id, covered, int(time.time())))


def header(
    settings: Settings, action: str, *, receiver_id: str | None, total: int, completed: int, status: Status = "succ", error: Rejected | None = None,
    message_id: str | None = None,
) -> Reply:  # fmt: skip
    """The header of an answer."""
    return Reply(
        message_id=message_id or str(uuid4()), message_ts=now(), action=action, status=status, total_count=total, completed_count=completed,
        status_reason_code=None if error is None else error.code, status_reason_message=None if error is None else error.words,
        sender_id=settings.dci_id, receiver_id=receiver_id,
    )  # fmt: skip


def rejected(settings: Settings, action: str, error: Rejected) -> bytes:
    """A message that is rejected as a whole; a code the standard does not have for headers stands in the text."""
    top = header(settings, action, receiver_id=None, total=0, completed=0, status="rjct", error=error)
    if error.code not in codes("header"):
        top = top.model_copy(update={"status_reason_code": None, "status_reason_message": f"{error.code}: {error.words}"})
    return signed(settings, top, None)


def answer(content: bytes) -> Response:
    """An answer on its way."""
    return Response(content, 200, _HEADERS, "application/json")


def acknowledged(correlation_id: str) -> Response:
    """A message was taken in and is worked off later."""
    return answer(_json(Acknowledged(message=Ack(ack_status="ACK", timestamp=now(), correlation_id=correlation_id))))


def not_acknowledged(error: Rejected) -> Response:
    """A message is rejected as a whole, and nothing follows. The standard has one code for it here; which one it is says the text."""
    fault = Fault(code="err.request.bad", message=f"{error.code}: {error.words}")
    return answer(_json(Acknowledged(message=Ack(ack_status="ERR", timestamp=now(), correlation_id=str(uuid4()), error=fault))))


def refused(settings: Settings, error: NotTaken, *, action: str | None) -> Response:
    """A message was not taken in.

    Args:
        settings: whose hub.
        error: why.
        action: of the reply where the address answers at once; None = it acknowledges.
    """
    fault = Fault(code=error.code.code, message=error.words)
    faults = [fault, *(Fault(code=fault.code, message=f"{p['pointer']}: {p['message']}"[:999]) for p in error.pointers)]
    content: dict[str, Any] = {"errors": faults, "code": fault.code}
    if action is None:
        content["message"] = Ack(ack_status="ERR", timestamp=now(), correlation_id=str(uuid4()), error=fault)
    else:
        content["header"] = header(settings, action, receiver_id=None, total=0, completed=0, status="rjct")
    headers = dict(_HEADERS)
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="hub"'
    return Response(_json(Refused(**content)), error.status, headers, "application/json")
