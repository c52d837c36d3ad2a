"""Subscriptions: to be told that something changed."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request, Response

from hub.errors import HubError
from sharing import asking, dispatch, subscription, webhook
from sharing.dispatch import Dispatcher
from sharing.ledger import ClientGone
from sharing.models import (
    NewSubscription,
    NoticePage,
    Replay,
    Replayed,
    RotatedSecret,
    SecretRotation,
    Subscription,
    SubscriptionList,
    SubscriptionRequest,
    TestDelivery,
)
from sharing.once import OnceRoute, documented
from sharing.problems import Problem
from sharing.routes.documented import problems
from sharing.routes.persons import json
from sharing.service import Service
from sharing.subscription import Watch
from warehouse import notices, subscriptions
from warehouse.asking import Refused

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"], route_class=OnceRoute)
_MOST = 200  # subscriptions a client
_OWN = problems(400, 401, 404, 429, 503)
_ONCE = problems(400, 401, 404, 409, 422, 429, 503)


def _shown(service: Service, row: Any) -> dict[str, Any]:
    state = "suspended" if subscription.entitled(service.moment, row) is None else "paused" if row["is_paused"] else "active"
    instant = row["next_try_at"]
    return {
        "subscription_id": row["subscription_id"], "purpose": row["purpose"], "kind": row["kind"], "attributes": list(row["attributes"]),
        "questions": list(row["questions"]), "address": row["address"], "state": state, "tries": row["tries"],
        "next_try_at": None if instant is None else instant.isoformat(), "created_at": row["created_at"].isoformat(),
    }  # fmt: skip


async def _own(request: Request, subscription_id: UUID) -> tuple[Service, Any]:
    """The caller's subscription.

    Raises:
        Problem: it has none of that id.
    """
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    row = await asking.read(subscriptions.one(service.asking, who.client_id, subscription_id))
    if row is None:
        raise Problem("not-found")
    return service, {**dict(row), "generation": who.generation}


@router.post(
    "", summary="Subscribe", status_code=201, response_model=NewSubscription, dependencies=[Depends(documented)], responses=problems(400, 401, 403, 409, 413, 422, 429, 503)
)  # fmt: skip
async def subscribe(request: Request, asked: SubscriptionRequest) -> Response:
    """A notice is made when what you would be told of a subject changes. One that is not there, or not yours, is watched alike and tells nothing."""
    service: Service = request.app.state.service
    if asked.address is not None and not webhook.is_sound(asked.address, service.settings):
        raise Problem("receiver-refused")
    subjects = {str(s.id): s.ref for s in asked.subjects}
    question = await asking.admit(
        service, request, "subscription", purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes,
        questions=asked.questions, lookup=None if asked.kind == "condition" else "person_id",
    )  # fmt: skip
    if asked.kind not in question.grant.subscribe:
        raise await asking.refuse("subscription-not-granted", question, "subscription_not_granted")
    if len(subjects) > question.moment.policy.purposes[asked.purpose].bulk:
        errors = [{"pointer": "/subjects", "message": "more than the purpose's bulk allows"}]
        raise await asking.refuse("too-large", question, "too_large", errors=errors)
    held = await asking.read(subscriptions.of_client(service.asking, question.caller.client_id))
    if len(held) >= _MOST:
        raise Problem("too-large", errors=[{"pointer": "/", "message": f"a client has no more than {_MOST} subscriptions"}])
    watch = Watch(asked.kind, question.grant, question.told, question.questions, question.asked)
    if asked.kind == "condition":
        subjects = dict.fromkeys(await asking.read(subscription.holding(service, question.moment, watch)) or ())
        marks: list[bytes | None] = [None] * len(subjects)
    else:
        marks = await asking.read(subscription.marks(service, question.moment, watch, list(subjects)))
    (receipt,) = await asking.commit(service, [question.entry("subscribed", None, question.effects)], question.caller)
    made = await asking.read(
        subscriptions.add(
            service.asking, client_id=question.caller.client_id, purpose=asked.purpose, consent=asked.consent, kind=asked.kind,
            attributes=list(question.told), questions=question.questions, address=asked.address, publication=question.moment.number,
            subjects=list(subjects), refs=list(subjects.values()), marks=marks,
        )
    )  # fmt: skip
    row = await asking.read(subscriptions.one(service.asking, question.caller.client_id, made))
    if row is None:
        raise Problem("client-revoked")
    content = {**_shown(service, row), "secret": webhook.secret(service.settings, made), "refused": question.header()["refused"]}
    answer = json({**content, "receipt": asking.note(receipt)})
    answer.status_code = 201
    return answer


@router.get("", summary="Your subscriptions", response_model=SubscriptionList, responses=problems(401, 429, 503))
async def listed(request: Request) -> Response:
    """Those of the calling client."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    rows = await asking.read(subscriptions.of_client(service.asking, who.client_id))
    return json({"subscriptions": [_shown(service, r) for r in rows]})


@router.get("/{subscription_id}", summary="One subscription", response_model=Subscription, responses=_OWN)
async def one(request: Request, subscription_id: UUID) -> Response:
    """Its state, and how its receiver fares."""
    return json(_shown(*await _own(request, subscription_id)))


@router.delete("/{subscription_id}", summary="End a subscription", status_code=204, response_class=Response, responses=_OWN)
async def end(request: Request, subscription_id: UUID) -> Response:
    """What waits is forgotten as well."""
    service, row = await _own(request, subscription_id)
    await asking.read(subscriptions.remove(service.asking, row["client_id"], subscription_id))
    return Response(status_code=204)


@router.post(
    "/{subscription_id}/pause",
    summary="Send nothing for a while",
    response_model=Subscription,
    dependencies=[Depends(documented)],
    responses=_ONCE,
)
async def pause(request: Request, subscription_id: UUID) -> Response:
    """Changes are noted meanwhile."""
    service, row = await _own(request, subscription_id)
    await asking.read(subscriptions.pause(service.asking, row["subscription_id"]))
    return json(_shown(service, {**row, "is_paused": True}))


@router.post(
    "/{subscription_id}/resume",
    summary="Send again, at once",
    response_model=Subscription,
    dependencies=[Depends(documented)],
    responses=_ONCE,
)
async def resume(request: Request, subscription_id: UUID) -> Response:
    """What waits is sent in its order; it also ends the waiting after failures."""
    service, row = await _own(request, subscription_id)
    await asking.read(subscriptions.resume(service.asking, row["subscription_id"], _clock(request)))
    return json(_shown(service, {**row, "is_paused": False, "tries": 0, "next_try_at": None}))


@router.post(
    "/{subscription_id}/replay",
    summary="Send notices again",
    response_model=Replayed,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 404, 409, 413, 422, 429, 503),
)
async def replay(request: Request, subscription_id: UUID, asked: Replay) -> Response:
    """All behind a cursor, or those that were given up; in their order, with the ids they had."""
    service, row = await _own(request, subscription_id)
    found = await asking.read(
        notices.replay(service.asking, row["subscription_id"], int(asked.cursor), _clock(request), dead_only=asked.dead_only)
    )
    return json({"replayed": found})


@router.post(
    "/{subscription_id}/secret",
    summary="A new secret",
    response_model=RotatedSecret,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 404, 409, 413, 422, 429, 503),
)
async def rotate(request: Request, subscription_id: UUID, asked: SecretRotation) -> Response:
    """While the former secret still counts, each notice carries a signature by either; the one before the former does not count any more."""
    service, row = await _own(request, subscription_id)
    until = _clock(request) + timedelta(hours=asked.keep_hours) if asked.keep_hours else None
    number = await asking.read(subscriptions.rotate(service.asking, row["subscription_id"], until))
    if number is None:  # notices that leave as DCI messages are signed by the hub's own key
        raise Problem("not-found")
    secret = webhook.secret(service.settings, row["subscription_id"], number)
    ends = None if until is None else until.isoformat()
    return json({"subscription_id": row["subscription_id"], "secret": secret, "former_secret_until": ends})


@router.post(
    "/{subscription_id}/test",
    summary="Send a test notice",
    response_model=TestDelivery,
    dependencies=[Depends(documented)],
    responses=_ONCE,
)
async def test(request: Request, subscription_id: UUID) -> Response:
    """Sent at once and signed like others; its type is ``subscription.test``, it is about nobody, and it is not tried again."""
    service, row = await _own(request, subscription_id)
    if row["address"] is None or row["protocol"] != "native":
        raise Problem("receiver-refused")
    if wait_s := service.test_notices.wait_s(row["client_id"]):
        raise Problem("too-many-requests", retry_after_s=wait_s)
    service.test_notices.take(row["client_id"])
    message = {"type": "subscription.test", "timestamp": _clock(request).isoformat(), "data": {"subscription_id": row["subscription_id"]}}
    outcome = await dispatch.send(service, row, str(uuid4()), message, _clock(request))
    return json({"is_taken": outcome.is_taken, "status": outcome.status, "fault": outcome.fault})


@router.get(
    "/{subscription_id}/notices",
    summary="Notices behind a cursor",
    response_model=NoticePage,
    responses=problems(400, 401, 403, 404, 429, 503),
)
async def page(
    request: Request,
    subscription_id: UUID,
    cursor: Annotated[str, Query(pattern=r"^[0-9]{1,18}$", description="Of the last page; 0 = from the first.")] = "0",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    state: Annotated[Literal["waiting", "delivered", "dead"] | None, Query(description="Only those in a state.")] = None,
) -> Response:
    """For those who cannot receive, and for looking again: the same notices, the same order. Giving a cursor says that all up to it arrived."""
    service, row = await _own(request, subscription_id)
    watch = subscription.entitled(service.moment, row)
    if watch is None:
        raise Problem("purpose-not-granted")
    if state is None:
        await asking.read(notices.fetched(service.asking, row["subscription_id"], int(cursor)))
    found = await asking.read(notices.after(service.asking, row["subscription_id"], int(cursor), limit + 1, state))
    try:
        leaving = await dispatch.written_down(service, row, watch, found[:limit])
    except ClientGone:
        raise Problem("client-revoked") from None
    except (HubError, Refused):
        raise Problem("log-unavailable", retry_after_s=5) from None
    last = str(leaving[-1]["sequence"]) if leaving else cursor
    return json({"notices": [dispatch.document(row, n) for n in leaving], "cursor": last, "has_more": len(found) > limit})


def _clock(request: Request) -> Any:
    dispatcher: Dispatcher = request.app.state.dispatcher
    return dispatcher.clock()
