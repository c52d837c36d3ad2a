"""Working off what was acknowledged: the answer is made, kept, and sent until it is taken. What was acknowledged outlives the service.

An answer is told when it is made, so it is made under the policy and of the publication that hold when it is sent: one that waited
over another of either is made anew.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import structlog
from pydantic import BaseModel

from hub.errors import HubError, unforeseen
from sharing import turns, webhook
from sharing.dci import reply, search, subscription, transaction
from sharing.dci.codes import NotTaken, Rejected
from sharing.dci.models import SearchRequest, SubscribeRequest, TxnStatusRequest, UnsubscribeRequest
from sharing.dci.search import Asker
from sharing.dci.transaction import CALLBACKS, Outcome
from sharing.dispatch import wait
from sharing.ledger import ClientGone
from sharing.service import Service
from sharing.tokens import Caller
from warehouse import transactions
from warehouse.asking import Refused

log = structlog.get_logger()
_WORK = "DCI callbacks"  # one program works off at a time
_BATCH = 50
_AT_ONCE = 8
_TRIED_DAYS = 7
_KEPT_DAYS = 30
_REPEATABLE = ("search", "txn-status")  # what only tells may be answered again; what changes something is done once


@dataclass(frozen=True)
class Made:
    """An answer that can be sent.

    Attributes:
        message: its bytes; None where the whole message is rejected.
        error: why it is; None = it is not.
    """

    message: BaseModel | None
    outcomes: list[Outcome]
    error: Rejected | None = None


async def _made(service: Service, row: Any, request: bytes) -> Made:
    """The answer to a message.

    Raises:
        NotTaken: the service cannot answer now, or the client may not ask any more.
    """
    purposes = _both(row["purposes"], row["own_purposes"])
    caller = Caller(row["client_id"], row["department"], row["generation"], purposes, 0.0)
    try:
        if row["action"] == "search":
            searched = SearchRequest.model_validate_json(request)
            asker = Asker(caller, row["purpose"], row["request_id"], time.monotonic())
            answers = await search.all_answered(service, asker, searched.search_request)
            response = search.response(searched.transaction_id, row["correlation_id"], answers)
            return Made(response, transaction.outcomes(answers))
        if row["action"] == "subscribe":
            wanted = SubscribeRequest.model_validate_json(request)
            asker = Asker(caller, row["purpose"], row["request_id"], time.monotonic())
            address = transaction.beside(row["address"], row["action"], subscription.NOTIFY)
            subscribed = await subscription.all_subscribed(
                service, asker, address, wanted.transaction_id, row["correlation_id"], row["received_at"], wanted.subscribe_request
            )
            return Made(subscribed, [Outcome(a.reference_id, a.status, a.status_reason_code) for a in subscribed.subscribe_response])
        if row["action"] == "unsubscribe":
            leaving = UnsubscribeRequest.model_validate_json(request)
            ended = await subscription.unsubscribed(service, row["client_id"], row["correlation_id"], leaving)
            codes = {s.code for s in ended.subscription_status}
            fault = ended.status_reason_code
            return Made(ended, [Outcome(r, "succ", None) if r in codes else Outcome(r, "rjct", fault) for r in row["reference_ids"]])
        asked = TxnStatusRequest.model_validate_json(request)
        status = await transaction.status(service, row["client_id"], asked)
        found = status.model_copy(update={"correlation_id": row["correlation_id"]})
        return Made(found, [Outcome(asked.txnstatus_request.reference_id, "succ", None)])
    except Rejected as error:
        return Made(None, [Outcome(r, "rjct", error.code) for r in row["reference_ids"]], error)


def _both(one: Any, other: Any) -> frozenset[str] | None:
    """Purposes of a token and of its client; None = all."""
    sets = [frozenset(s) for s in (one, other) if s is not None]
    return None if not sets else frozenset.intersection(*sets)


class Callbacks:
    """Works off what waits.

    Attributes:
        clock: by which waiting is counted.
        jitter: between 0 and 1.
    """

    def __init__(
        self, service: Service, clock: Callable[[], datetime] = lambda: datetime.now(UTC), jitter: Callable[[], float] = random.random
    ) -> None:
        self._service = service
        self.clock = clock
        self.jitter = jitter

    async def turn(self) -> int:
        """Work off once what is due; how many answers were taken."""
        service = self._service
        async with service.asking.alone(_WORK) as is_mine:
            if not is_mine:
                return 0
            now = self.clock()
            await transactions.forget(service.asking, now - timedelta(days=_KEPT_DAYS))
            places = asyncio.Semaphore(_AT_ONCE)

            async def in_turn(row: Any) -> bool:
                async with places:
                    try:
                        return await self._one(row)
                    except (HubError, Refused):
                        raise
                    except Exception as error:  # whatever one message met: the others go on, and it is tried again later
                        await self._later(row, unforeseen(error), None)
                        return False

            return sum(await asyncio.gather(*(in_turn(row) for row in await transactions.due(service.asking, now, _BATCH))))

    async def _one(self, row: Any) -> bool:
        """Answer and send one; whether it was taken."""
        service, correlation_id = self._service, row["correlation_id"]
        try:
            content = await self._answer(row)
            # Without an entry: whether the client is still in force, in the order of the log.
            await service.ledger.commit([], Caller(row["client_id"], row["department"], row["generation"], None, 0.0))
        except NotTaken as error:
            await self._later(row, error.code.code, error.retry_after_s)
            return False
        except ClientGone:
            return False
        outcome = await webhook.send(service.settings, row["address"], {}, content)
        if outcome.is_taken:
            await transactions.ended(service.asking, correlation_id, None)
            return True
        await self._later(row, outcome.fault or "refused", outcome.retry_after_s)
        return False

    async def _answer(self, row: Any) -> bytes:
        """The signed answer: the one that is kept where it still holds, else made now and kept."""
        service, correlation_id, action = self._service, row["correlation_id"], row["action"]
        moment = service.moment
        version, number = moment.policy.version, moment.number
        is_current = (row["policy_version"], row["publication"]) == (version, number)
        if row["answer"] is not None and (is_current or action not in _REPEATABLE):
            kept = orjson.loads(transaction.seal(service).open(bytes(row["answer"]), correlation_id))
        else:
            made = await _made(service, row, transaction.seal(service).open(bytes(row["request"]), correlation_id))
            kept = {
                "message": None if made.message is None else made.message.model_dump(mode="json", exclude_none=True, by_alias=True),
                "code": None if made.error is None else made.error.code, "count": len(made.outcomes),
            }  # fmt: skip
            sealed = transaction.seal(service).close(orjson.dumps(kept), correlation_id)
            await transactions.answered(service.asking, correlation_id, sealed, transaction.written(made.outcomes), version, number)
        error = None if kept["code"] is None else Rejected("header", kept["code"])
        top = reply.header(
            service.settings, CALLBACKS[action][1], receiver_id=row["sender_id"], total=kept["count"], completed=kept["count"],
            status="succ" if error is None else "rjct", error=error, message_id=correlation_id,
        )  # fmt: skip
        return reply.sealed(service.settings, top, None if kept["message"] is None else orjson.dumps(kept["message"]))

    async def _later(self, row: Any, fault: str, retry_after_s: int | None) -> None:
        """Note a failure; an answer nobody takes for too long is given up."""
        now, asking = self.clock(), self._service.asking
        log.warning("callback", state="failed", correlation=row["correlation_id"], fault=fault)
        if now - row["received_at"] > timedelta(days=_TRIED_DAYS):
            await transactions.ended(asking, row["correlation_id"], fault)
            return
        pause = max(wait(row["tries"] + 1, self.jitter()), timedelta(seconds=retry_after_s or 0))
        await transactions.failed(asking, row["correlation_id"], fault, now + pause)

    async def keep_on(self) -> None:
        """Turn after turn, until cancelled."""
        await turns.keep_on("callbacks", self.turn)
