"""The DCI social-registry interface, version 1.0.0: messages of the standard, the hub's own answers."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

import orjson
from fastapi import APIRouter, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from hub.settings import Settings
from schemas.codes import load_code_set
from sharing.dci import disabled, models, reply, search, transaction
from sharing.dci.codes import Code, NotTaken, Rejected, codes
from sharing.dci.disabled import Asked, Told
from sharing.dci.models import (
    DisabledEnvelope,
    Header,
    SearchEnvelope,
    SearchReply,
    SubscribeEnvelope,
    TxnStatusEnvelope,
    UnsubscribeEnvelope,
)
from sharing.dci.reception import Sender, received
from sharing.dci.search import Asker
from sharing.problems import Problem
from sharing.routes import oauth
from sharing.routes.documented import headers
from sharing.service import Service

_MOST_POINTERS = 20
_EXAMPLE_ID = "0e1d2c3b-4a59-4687-9fa0-b1c2d3e4f506"


_STATUSES = (400, 401, 403, 404, 408, 413, 415, 429, 503)
_EXAMPLE_AT = datetime(2026, 3, 6, tzinfo=UTC)


def _refusals(action: str | None) -> dict[int | str, dict[str, Any]]:
    """Documentation of messages that are not taken in; ``action`` is of the reply, None = the address acknowledges."""
    return {
        status: {
            "model": models.Refused, "description": "The message was not taken in.",
            "content": {"application/json": {"examples": {c.code: {"value": _refused(c, action)} for c in _told_with(status)}}},
            **({"headers": headers("Retry-After")} if status in (429, 503) else {}),
        }
        for status in _STATUSES
    }  # fmt: skip


def _told_with(status: int) -> list[Code]:
    """Codes of a status; one the standard has none for is told as a bad request."""
    known = codes("transport")
    return [c for c in known.values() if c.status == status] or [known["err.request.bad"]]


def _refused(code: Code, action: str | None) -> dict[str, Any]:
    fault = models.Fault(code=code.code, message=code.words)
    told = models.Refused(errors=[fault], code=code.code)
    if action is None:
        ack = models.Ack(ack_status="ERR", timestamp=_EXAMPLE_AT, correlation_id=_EXAMPLE_ID, error=fault)
        told = told.model_copy(update={"message": ack})
    else:
        top = models.Reply(
            message_id=_EXAMPLE_ID, message_ts=_EXAMPLE_AT, action=action, status="rjct", total_count=0, completed_count=0,
            sender_id=Settings.model_fields["dci_id"].default,
        )  # fmt: skip
        told = told.model_copy(update={"header": top})
    return told.model_dump(mode="json", exclude_none=True, by_alias=True)


_SYNC, _LATER, _STATUS = _refusals("on-search"), _refusals(None), _refusals("txn-on-status")


class MessageRoute(APIRoute):
    """A route whose refusals are the standard's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, with what it refuses said in the standard's words."""
        handler = super().get_route_handler()

        async def spoken(request: Request) -> Response:
            service: Service = request.app.state.service
            action = _REPLIES.get(request.url.path)
            try:
                if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
                    raise NotTaken("err.request.bad", status=415)
                return await handler(request)
            except Rejected as error:
                if action is None:
                    return reply.not_acknowledged(error)
                return reply.answer(reply.rejected(service.settings, action, error))
            except NotTaken as error:
                return reply.refused(service.settings, error, action=action)
            except Problem as problem:
                return reply.refused(service.settings, NotTaken.of(problem), action=action)
            except RequestValidationError as error:
                if _is_encrypted(error.body):
                    return reply.refused(service.settings, NotTaken("err.encryption.invalid"), action=action)
                places = [
                    {"pointer": "/".join(str(p)[:60] for p in e["loc"]), "message": e["type"]} for e in error.errors()[:_MOST_POINTERS]
                ]
                return reply.refused(service.settings, NotTaken("err.request.bad", pointers=places), action=action)
            except HTTPException:
                code = "too-large" if request.scope["state"].get("is_too_large") else "bad-request"
                return reply.refused(service.settings, NotTaken.of(Problem(code)), action=action)

        return spoken


def _is_encrypted(body: Any) -> bool:
    """Whether a body that is no message says or shows that its message is encrypted (the standard's ``EncryptedMessage``)."""
    header, message = (body.get("header"), body.get("message")) if isinstance(body, dict) else (None, None)
    is_said = isinstance(header, dict) and header.get("is_msg_encrypted") in (True, "true")
    return is_said or (isinstance(message, dict) and {"ciphertext", "encrypted_key"} <= message.keys())


router = APIRouter(tags=["dci"])
messages = APIRouter(tags=["dci"], route_class=MessageRoute)
# Addresses that answer at once → the action of their answers; the others acknowledge.
_REPLIES = {
    "/registry/sync/search": "on-search",
    "/registry/sync/txn/status": "txn-on-status",
    "/registry/sync/disabled": "on-search",
    "/registry/sync/get-disability-details": "on-search",
    "/registry/sync/get-disability-support": "on-search",
}


@messages.post("/registry/sync/search", summary="DCI: search, answered at once", response_model=SearchReply, responses=_SYNC)
async def sync_search(request: Request, asked: SearchEnvelope) -> Response:
    """Each search is answered under the grant of your department for its purpose. Whoever is not there, not yours and not told leaves no record alike."""
    service: Service = request.app.state.service
    items = asked.message.search_request
    sender = await received(service, request, asked.header, "search", len(items))
    asker = Asker(sender.caller, sender.purpose, request.state.request_id, request.state.began)
    answers, correlation_id = await search.all_answered(service, asker, items), str(uuid4())
    await transaction.answered_at_once(
        service, sender, "search", correlation_id, asked.message.transaction_id, transaction.outcomes(answers), request.state.request_id
    )  # fmt: skip
    top = reply.header(service.settings, "on-search", receiver_id=sender.sender_id, total=len(items), completed=len(items))
    return reply.answer(reply.signed(service.settings, top, search.response(asked.message.transaction_id, correlation_id, answers)))


@messages.post("/registry/search", summary="DCI: search, answered later", response_model=models.Acknowledged, responses=_LATER)
async def searched(request: Request, asked: SearchEnvelope) -> Response:
    """Acknowledged when it is on disk; the answer is sent to `/registry/on-search` below your address, until it is taken."""
    references = [i.reference_id for i in asked.message.search_request]
    return await _taken(request, asked.header, "search", asked.message, asked.message.transaction_id, references)


@messages.post("/registry/subscribe", summary="DCI: be told of changes", response_model=models.Acknowledged, responses=_LATER)
async def subscribed(request: Request, asked: SubscribeEnvelope) -> Response:
    """Each request names a person by an identifier. Its code is sent to `/registry/on-subscribe` below your address, later changes to `/registry/notify`."""
    references = [i.reference_id for i in asked.message.subscribe_request]
    return await _taken(request, asked.header, "subscribe", asked.message, asked.message.transaction_id, references)


@messages.post("/registry/unsubscribe", summary="DCI: be told no more", response_model=models.Acknowledged, responses=_LATER)
async def unsubscribed(request: Request, asked: UnsubscribeEnvelope) -> Response:
    """What became of it is sent to `/registry/on-unsubscribe` below your address. `total_count` is 1, or the number of codes."""
    codes = list(dict.fromkeys(asked.message.subscription_codes))
    count = len(codes) if asked.header.total_count == len(codes) else 1
    return await _taken(request, asked.header, "unsubscribe", asked.message, asked.message.transaction_id, codes, count)


@messages.post(
    "/registry/txn/status", summary="DCI: what became of requests, answered later", response_model=models.Acknowledged, responses=_LATER
)
async def status_asked(request: Request, asked: TxnStatusEnvelope) -> Response:
    """The answer is sent to `/registry/txn/on-status` below your address."""
    references = [asked.message.txnstatus_request.reference_id]
    return await _taken(request, asked.header, "txn-status", asked.message, asked.message.transaction_id, references)


@messages.post(
    "/registry/sync/txn/status",
    summary="DCI: what became of requests, answered at once",
    response_model=models.TxnStatusReply,
    responses=_STATUS,
)
async def sync_status(request: Request, asked: TxnStatusEnvelope) -> Response:
    """Requests of your own; they hold statuses and no record. One that is not there and one of another sender are answered alike."""
    service: Service = request.app.state.service
    sender = await received(service, request, asked.header, "txn-status", 1)
    found = await transaction.status(service, sender.caller.client_id, asked.message)
    top = reply.header(service.settings, "txn-on-status", receiver_id=sender.sender_id, total=1, completed=1)
    return reply.answer(reply.signed(service.settings, top, found))


@messages.post("/registry/sync/disabled", summary="DCI: whether somebody is disabled", response_model=models.DisabledReply, responses=_SYNC)
async def is_disabled(request: Request, asked: DisabledEnvelope) -> Response:
    """Of the disability registry. Whoever is not there, not yours or not told, and of whom it is not known, leaves the answer empty alike."""
    found, sender, correlation_id = await _disabled(request, asked, Asked.STATUS)
    answers = []
    if found is not None and found.is_disabled is not None:
        told: Literal["yes", "no"] = "yes" if found.is_disabled else "no"
        answers = [
            models.DisabledAnswer(reference_id=asked.message.transaction_id, timestamp=models.now(), status="succ", disabled_status=told)
        ]
    response = models.DisabledResponse(
        transaction_id=asked.message.transaction_id, correlation_id=correlation_id, disabled_response=answers
    )
    return _signed(request, sender, response)


@messages.post(
    "/registry/sync/get-disability-details", summary="DCI: how somebody is disabled", response_model=models.DisabilityReply, responses=_SYNC
)
async def disability_details(request: Request, asked: DisabledEnvelope) -> Response:
    """Of the disability registry: impairments, their levels, and the state of the certificate, as far as your purpose tells them in clear."""
    found, sender, correlation_id = await _disabled(request, asked, Asked.DETAILS)
    return _signed(request, sender, _disability(asked, correlation_id, [] if found is None else found.records))


@messages.post(
    "/registry/sync/get-disability-support",
    summary="DCI: what support somebody needs",
    response_model=models.DisabilityReply,
    responses=_SYNC,
)
async def disability_support(request: Request, asked: DisabledEnvelope) -> Response:
    """Of the disability registry: whether rehabilitation is needed, as far as your purpose tells it; no source of the hub knows more."""
    found, sender, correlation_id = await _disabled(request, asked, Asked.SUPPORT)
    records = [] if found is None or not found.records else [found.records]
    return _signed(request, sender, _disability(asked, correlation_id, records))


async def _disabled(request: Request, asked: DisabledEnvelope, what: Asked) -> tuple[Told | None, Sender, str]:
    service: Service = request.app.state.service
    sender = await received(service, request, asked.header, "search", 1)
    asker = Asker(sender.caller, sender.purpose, request.state.request_id, request.state.began)
    found, correlation_id = await disabled.told(service, asker, asked.message.disabled_criteria, what), str(uuid4())
    outcomes = [transaction.Outcome(asked.message.transaction_id, "succ", None)]
    await transaction.answered_at_once(
        service, sender, "search", correlation_id, asked.message.transaction_id, outcomes, request.state.request_id
    )  # fmt: skip
    return found, sender, correlation_id


def _disability(asked: DisabledEnvelope, correlation_id: str, records: Any) -> models.DisabilityResponse:
    answer = models.DisabilityAnswer(
        reference_id=asked.message.transaction_id, timestamp=models.now(), status="succ", data=models.DisabilityData(reg_records=records)
    )
    return models.DisabilityResponse(transaction_id=asked.message.transaction_id, correlation_id=correlation_id, search_response=[answer])


def _signed(request: Request, sender: Sender, response: BaseModel) -> Response:
    settings = request.app.state.service.settings
    top = reply.header(settings, "on-search", receiver_id=sender.sender_id, total=1, completed=1)
    return reply.answer(reply.signed(settings, top, response))


async def _taken(
    request: Request, header: Header, action: str, message: BaseModel, transaction_id: str, references: list[str], count: int | None = None
) -> Response:  # fmt: skip
    """Take a message in that is worked off later; it holds a request a reference, or ``count``."""
    service: Service = request.app.state.service
    sender = await received(service, request, header, action, len(references) if count is None else count)
    correlation_id = await transaction.taken(service, sender, header, action, message, transaction_id, references, request.state.request_id)
    return reply.acknowledged(correlation_id)


@router.post("/oauth2/client/token", summary="DCI: an access token", response_model=models.Token, responses=oauth.REFUSALS)
async def token(
    request: Request,
    grant_type: Annotated[str | None, Form(examples=["client_credentials"])] = None,
    client_id: Annotated[str | None, Form(max_length=40)] = None,
    client_secret: Annotated[str | None, Form(max_length=200)] = None,
    scope: Annotated[str | None, Form(max_length=1000, description="Purposes, separated by spaces; all if not given.")] = None,
) -> Response:
    """The same token as at /oauth2/token, with its seconds as a text."""
    given = await oauth.token(request, grant_type, client_id, client_secret, None, None, scope)
    if given.status_code == 200:
        content = orjson.loads(given.body)
        given = Response(orjson.dumps({**content, "expires_in": str(content["expires_in"])}), 200, oauth.NO_STORE, "application/json")
    return given


@router.get("/.well-known/locations.json", summary="DCI: areas, from provinces to villages", response_model=dict[str, Any])
async def locations(request: Request) -> Response:
    """Area codes by which records name where somebody lives, as the standard's location tree."""
    places = []
    for entry in load_code_set("area").values():
        places.append(
            {
                "@type": "Place", "id": entry.code, "identifier": [{"@type": "PropertyValue", "name": "area_code", "identifier": entry.code}],
                "name": entry.zh, "additional_type": entry.source, "contained_in_place": entry.parent, "containedInPlace": entry.parent,
            }
        )  # fmt: skip
    content = {
        "@context": {"@context": "http://spdci.org/", "xsd": "http://www.w3.org/2001/XMLSchema#", "schema": "http://schema.org/"},
        "@type": "LocationHierarchy", "locations": places,
    }  # fmt: skip
    return Response(orjson.dumps(content), 200, {"Cache-Control": "public, max-age=3600"}, "application/json")


router.include_router(messages)
