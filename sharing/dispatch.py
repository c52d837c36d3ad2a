"""Sending notices: at least once, in order for each subject, until they are taken or the policy's days are over."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import structlog

from hub.errors import HubError, unforeseen
from sharing import turns, webhook
from sharing.dci import notification
from sharing.ledger import ClientGone, Entry
from sharing.service import Service
from sharing.subscription import Watch, entitled, look
from sharing.tokens import Caller
from sharing.webhook import Outcome
from warehouse import notices, subscriptions
from warehouse.asking import Refused

log = structlog.get_logger()
_WORK = "sending notices"  # one program at a time: order is kept among all
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 3600.0
_BATCH = 50
_AT_ONCE = 8
_TURN_S = 30.0  # after which a subscription that has much to tell lets others go on
GONE = 410


def wait(tries: int, jitter: float) -> timedelta:
    """How long to wait after some failures: doubling up to an hour, of which at least half, the rest by chance (0 to 1)."""
    longest = min(_FIRST_WAIT_S * 2 ** min(tries - 1, 20), _LONGEST_WAIT_S)
    return timedelta(seconds=longest * (0.5 + jitter / 2))


def document(subscription: Any, notice: Any) -> dict[str, Any]:
    """A notice as it travels: that something changed, and no value.

    Args:
        subscription: its row.
        notice: the notice's row, with the receipt it leaves under.
    """
    kind = f"{subscription['kind']}.{notice['change']}"
    return {
        "type": kind, "timestamp": notice["made_at"].isoformat(),
        "data": {
            "notice_id": notice["notice_id"], "cursor": str(notice["sequence"]), "subscription_id": subscription["subscription_id"],
            "purpose": subscription["purpose"], "subject_id": notice["subject_id"], "ref": notice["ref"],
            "question": subscription["questions"][0] if subscription["kind"] == "condition" else None,
            "night": None if notice["night"] is None else str(notice["night"]), "receipt_id": notice["receipt_id"],
        },
    }  # fmt: skip


async def written_down(service: Service, subscription: Any, watch: Watch, found: Sequence[Any]) -> list[dict[str, Any]]:
    """Notices with the receipts they leave under; those that leave for the first time are written into the log before.

    Raises:
        ClientGone: the client is not in force any more: nothing may leave.
        HubError: the log cannot be written: nothing may leave.
    """
    moment, fresh = service.moment, [n for n in found if n["receipt_id"] is None]
    # What is told: of a condition its answer, of a subject that something changed and nothing of what.
    told = {f"?{q}": "yes_no" for q in watch.questions} if watch.kind == "condition" else {}
    entries = [
        Entry(
            client_id=subscription["client_id"], department=subscription["department"], purpose=subscription["purpose"], decision="notified",
            asked=watch.kind, request_id=str(uuid4()), subject=service.pseudonyms.of(n["subject_id"]), consent=subscription["consent"],
            told=told if n["change"] == "began" else {}, policy_version=moment.policy.version, night=str(moment.night),
        )
        for n in fresh
    ]  # fmt: skip
    caller = Caller(subscription["client_id"], subscription["department"], subscription["generation"], None, 0.0)
    receipts = await service.ledger.commit(entries, caller)  # without an entry too: it says whether the client is still in force
    given = {n["sequence"]: r.receipt_id for n, r in zip(fresh, receipts, strict=True)}
    if given:
        await notices.leaving(service.asking, given)
    return [{**dict(n), "receipt_id": given.get(n["sequence"], n["receipt_id"])} for n in found]


async def notify(service: Service, subscription: Any, notice: Any, now: datetime) -> Outcome:
    """Send a notice once, in the words its subscriber speaks."""
    if subscription["protocol"] == "dci":
        return await webhook.send(
            service.settings, subscription["address"], {}, notification.message(service.settings, subscription, notice)
        )
    return await send(service, subscription, notice["notice_id"], document(subscription, notice), now)


async def send(service: Service, subscription: Any, message_id: str, message: dict[str, Any], now: datetime) -> Outcome:
    """Sign a message by the secrets in force at an instant, and send it once."""
    body, stamp = orjson.dumps(message), int(time.time())
    signed = webhook.signature(webhook.secrets_in_force(service.settings, subscription, now), message_id, stamp, body)
    headers = {"webhook-id": message_id, "webhook-timestamp": str(stamp), "webhook-signature": signed}
    return await webhook.send(service.settings, subscription["address"], headers, body)


class Dispatcher:
    """Looks for what changed after each publication, and sends what waits.

    Attributes:
        clock: by which waiting is counted; signatures carry the machine's own time.
        jitter: between 0 and 1.
    """

    def __init__(
        self, service: Service, clock: Callable[[], datetime] = lambda: datetime.now(UTC), jitter: Callable[[], float] = random.random
    ) -> None:
        self._service = service
        self.clock = clock
        self.jitter = jitter
        self._pass = asyncio.Lock()

    async def deliver(self) -> int:
        """Send once what is due now; how many notices were taken."""
        service = self._service
        async with self._pass, service.asking.alone(_WORK) as is_mine:
            if not is_mine:
                return 0
            places = asyncio.Semaphore(_AT_ONCE)

            async def in_turn(row: Any) -> int:
                async with places:
                    try:
                        return await self._subscription(row)
                    except (HubError, Refused):
                        raise
                    except Exception as error:  # whatever one receiver met: the others are sent to, and it is tried again later
                        log.error("notices", state="failed", subscription=row["subscription_id"], error=unforeseen(error))
                        later = self.clock() + wait(row["tries"] + 1, self.jitter())
                        await subscriptions.unreachable(service.asking, row["subscription_id"], row["tries"] + 1, later)
                        return 0

            return sum(await asyncio.gather(*(in_turn(row) for row in await subscriptions.due(service.asking, self.clock()))))

    async def _subscription(self, row: Any) -> int:
        service, taken, ends_at = self._service, 0, time.monotonic() + _TURN_S
        while time.monotonic() < ends_at:
            watch = entitled(service.moment, row)
            if watch is None:  # what was granted once is not any more: nothing leaves, and what waits may yet be granted again
                return taken
            found = await notices.first(service.asking, row["subscription_id"], self.clock(), _BATCH)
            if not found:
                return taken
            try:
                leaving = await written_down(service, row, watch, found)
            except ClientGone:
                return taken
            for notice in leaving:
                if time.monotonic() > ends_at:
                    break
                outcome = await notify(service, row, notice, self.clock())
                if outcome.is_taken:
                    taken += 1
                    await notices.delivered(service.asking, notice["sequence"])
                    if row["tries"]:
                        await subscriptions.unreachable(service.asking, row["subscription_id"], 0, None)
                        row = {**dict(row), "tries": 0}
                elif await self._failed(row, notice, outcome):
                    return taken
        return taken

    async def _failed(self, row: Any, notice: Any, outcome: Outcome) -> bool:
        """Note a failure; whether the receiver is to be left alone for a while."""
        asking, now, fault = self._service.asking, self.clock(), outcome.fault or "refused"
        subscription_id = row["subscription_id"]
        limit = now - timedelta(days=self._service.moment.policy.purposes[row["purpose"]].retry_days)
        pause = max(
            wait(row["tries"] + 1 if outcome.is_down else notice["tries"] + 1, self.jitter()), timedelta(seconds=outcome.retry_after_s or 0)
        )
        await notices.failed(asking, notice["sequence"], fault, now + (timedelta() if outcome.is_down else pause))
        buried = await notices.bury(asking, subscription_id, limit, fault, None if outcome.is_down else notice["sequence"])
        log.warning("notice", state="failed", subscription=subscription_id, fault=fault, dead=buried)
        if outcome.status == GONE:
            await subscriptions.pause(asking, subscription_id)
        elif outcome.is_down:
            await subscriptions.unreachable(asking, subscription_id, row["tries"] + 1, now + pause)
        return outcome.is_down or outcome.status == GONE

    async def turn(self) -> int:
        """Look at what was not looked at since the last publication, deliver what is due; how many notices were taken."""
        await look(self._service, self.clock())
        return await self.deliver()

    async def keep_on(self) -> None:
        """Turn after turn, until cancelled."""
        await turns.keep_on("notices", self.turn)
