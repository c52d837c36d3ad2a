"""Subscribing and unsubscribing in the standard's words: the hub's own subscriptions, one a person, whose notices leave as ``notify``.

A notice says of whom something else would be told now, and no value; the subscriber searches, and is answered by what holds then.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sharing import asking
from sharing import subscription as subscriptions_of_the_hub
from sharing.dci import query, search
from sharing.dci.codes import NotTaken, Rejected
from sharing.dci.mapping import mapping
from sharing.dci.models import (
    SubscribeAnswer,
    SubscribedTo,
    SubscribeItem,
    SubscribeResponse,
    SubscriptionInfo,
    SubscriptionStatus,
    TypedQuery,
    UnsubscribeRequest,
    UnsubscribeResponse,
    now,
)
from sharing.dci.search import Asker
from sharing.problems import Problem
from sharing.service import Service
from sharing.subscription import Watch
from warehouse import subscriptions

NOTIFY = "/registry/notify"


async def all_subscribed(
    service: Service, asker: Asker, address: str, transaction_id: str, correlation_id: str, received_at: datetime, items: Sequence[SubscribeItem]
) -> SubscribeResponse:  # fmt: skip
    """Make the subscriptions of a message, in their order.

    Args:
        service: the running service.
        asker: who asks.
        address: where notices are sent.
        transaction_id: the sender's.
        correlation_id: the hub's.
        received_at: when the message came: what was made since was made for it, by a service that was stopped over it.
        items: what is asked for.

    Raises:
        NotTaken: the service cannot answer now, or the client may not ask any more.
    """
    found, seen = [], set()
    for item in items:
        try:
            if item.reference_id in seen:
                raise Rejected("subscribe", "rjct.reference_id.duplicate")
            code = await _subscribed(service, asker, address, received_at, item)
        except Rejected as error:
            answer = SubscribeAnswer(
                reference_id=item.reference_id,
                timestamp=now(),
                status="rjct",
                status_reason_code=error.code,
                status_reason_message=error.words,
            )
        else:
            made = SubscriptionInfo(code=code, subscription_code=code, status="subscribe", timestamp=now(), subscribe_criteria=_asked(item))
            answer = SubscribeAnswer(reference_id=item.reference_id, timestamp=now(), status="succ", subscriptions=[made])
        seen.add(item.reference_id)
        found.append(answer)
    return SubscribeResponse(transaction_id=transaction_id, correlation_id=correlation_id, subscribe_response=found)


def _asked(item: SubscribeItem) -> SubscribedTo:
    asked = item.subscribe_criteria
    return SubscribedTo(
        reg_event_type=asked.reg_event_type, filter_type=asked.filter_type, filter=asked.filter, notify_record_type=asked.notify_record_type
    )  # fmt: skip


async def _subscribed(service: Service, asker: Asker, address: str, received_at: datetime, item: SubscribeItem) -> str:
    """The code of the subscription an item asks for.

    Raises:
        Rejected: it is not made.
        NotTaken: the service cannot answer now.
    """
    try:
        return await _made(service, asker, address, received_at, item)
    except Problem as problem:
        raise search.refusal(
            problem, "subscribe", invalid="rjct.notify_details.invalid", ambiguous="rjct.person_id.invalid"
        ) from None  # fmt: skip


async def _made(service: Service, asker: Asker, address: str, received_at: datetime, item: SubscribeItem) -> str:
    asked = item.subscribe_criteria
    if asked.notify_record_type is not None and asked.notify_record_type != "Member":
        raise Rejected("subscribe", "rjct.notify_types.invalid")
    kind = asked.filter_type or ("idtype-value" if isinstance(asked.filter, TypedQuery) else "predicate")
    try:
        named = query.understood(kind, asked.filter, "Member")
        purpose, consent = search.purpose(asker, asked.authorize, asked.consent), search.reference(asked.consent)
    except Rejected:
        raise Rejected("subscribe", "rjct.notify_details.invalid") from None
    if named.by not in ("resident_id", "person_id") or named.narrowing:
        raise Rejected("subscribe", "rjct.notify_details.invalid")
    known = mapping()
    question = await asking.admitted(
        service, asker.caller, asker.request_id, asker.began, "dci_subscription", purpose=purpose, consent=consent, attributes=known.attributes,
        questions=[q for q in known.questions if q in service.moment.policy.questions], lookup=named.by,
    )  # fmt: skip
    if "person" not in question.grant.subscribe:
        raise await asking.refuse("subscription-not-granted", question, "subscription_not_granted")
    row, name = await search.person(question, named)
    if row is None:
        await asking.miss(question, name)
        raise Rejected("subscribe", "rjct.person_id.invalid")
    person_id, client_id = row["person_id"], asker.caller.client_id
    held = await asking.read(subscriptions.of_person(service.asking, client_id, purpose, person_id))
    if held is not None:
        if held["created_at"] < received_at:
            raise Rejected("subscribe", "rjct.event.already_subscribed")
        return str(held["subscription_id"])
    if await asking.read(subscriptions.count(service.asking, client_id, purpose)) >= question.moment.policy.purposes[purpose].bulk:
        raise Rejected("subscribe", "rjct.notify_details.invalid", Problem("too-large"))
    watch = Watch("person", question.grant, question.told, question.questions, question.asked)
    marks = await asking.read(subscriptions_of_the_hub.marks(service, question.moment, watch, [person_id]))
    await asking.commit(service, [question.entry("subscribed", person_id, {"person_id": "clear"})], question.caller)
    made = await asking.read(
        subscriptions.add(
            service.asking, client_id=client_id, purpose=purpose, consent=consent, kind="person", attributes=list(question.told),
            questions=question.questions, address=address, publication=question.moment.number, subjects=[person_id], refs=[item.reference_id],
            marks=marks, protocol="dci",
        )
    )  # fmt: skip
    return str(made)


async def unsubscribed(service: Service, client_id: str, correlation_id: str, asked: UnsubscribeRequest) -> UnsubscribeResponse:
    """End subscriptions of a client. One that is not there and one of another client are answered alike.

    Raises:
        NotTaken: the service cannot do it now.
    """
    ended, strangers = [], 0
    for code in dict.fromkeys(asked.subscription_codes):
        try:
            is_ended = await asking.read(subscriptions.remove(service.asking, client_id, str(UUID(code))))
        except ValueError:
            is_ended = False
        except Problem as problem:
            raise NotTaken.of(problem) from None
        if is_ended:
            ended.append(SubscriptionStatus(code=code, status="unsubscribe"))
        strangers += not is_ended
    error = Rejected("unsubscribe", "rjct.subscription_code.invalid") if strangers else None
    return UnsubscribeResponse(
        transaction_id=asked.transaction_id, correlation_id=correlation_id, timestamp=now(), status="succ" if error is None else "rjct",
        status_reason_code=None if error is None else error.code, status_reason_message=None if error is None else error.words,
        subscription_status=ended,
    )  # fmt: skip
