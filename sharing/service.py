"""What the running service holds: connections, ledger, keys, policy of the day, limits."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog

from hub.crypto_suite import chosen
from hub.errors import HubError, ServiceError, unforeseen
from hub.settings import Settings
from schemas.contract import stems
from sharing import checkpoint, enforcement, keys, log_suite, lookout, merkle, recall, turns
from sharing import policy as policies
from sharing.ledger import Ledger
from sharing.limits import Limit
from sharing.policy import Policy
from sharing.tokens import Tokens
from warehouse import answers, asking, audit_log, operators
from warehouse.asking import Asking
from warehouse.gathering import Gathering

log = structlog.get_logger()
_GOOD = ("merged", "not_due")
_REFRESH_S = 2.0
_LOOKOUT_S = 3600.0
_OPERATORS_KEPT_DAYS = 60  # longer than `hub audit unusual` looks back


@dataclass(frozen=True)
class Moment:
    """The pool as of one publication, and the policy that holds for it.

    Attributes:
        night: the last published; None before the first.
        stale: sources whose data of that night did not come.
        stems: sources the database knows under the policy.
    """

    number: int
    night: date | None
    policy: Policy
    stale: frozenset[str]
    stems: frozenset[str]


def stale(states: dict[str, str]) -> frozenset[str]:
    """Sources whose data of a night did not come, by how the night's intakes stand."""
    return frozenset(s for s in stems() if states.get(s) not in _GOOD)


class Service:
    """One running service."""

    def __init__(self, settings: Settings, audience: str) -> None:
        self.settings = settings
        self.audience = audience
        self.tokens = Tokens(settings, audience)
        self.pseudonyms = keys.Pseudonyms(settings)
        self.requests = Limit(settings.sharing_requests_a_minute, 60)
        self.misses = Limit(settings.sharing_misses_an_hour, 3600)
        self.token_tries = Limit(20, 60)
        self.test_notices = Limit(10, 60)
        self.asking: Asking
        self.gathering: Gathering
        self.ledger: Ledger
        self.moment: Moment
        self._watches: list[asyncio.Task[None]] = []
        self._is_behind = True
        self._has_published = asyncio.Event()
        self.suite = chosen(settings)
        self.tree = merkle.Tree(self.suite.digest)
        self.head_key = keys.head_key(settings, self.suite)
        self.origin = keys.origin(settings)
        self._head_lock = asyncio.Lock()

    async def open(self) -> None:
        """Bring the warehouse up to date, hold the policy in it, connect, begin to write.

        Raises:
            HubError: the warehouse does not answer, the policy is wrong, or the log is of another suite.
        """
        await asyncio.to_thread(log_suite.hold, self.settings)
        policy, day = await asyncio.to_thread(enforcement.policy_today, self.settings)
        await asyncio.to_thread(enforcement.ensure, self.settings, policy, day)
        self.asking = await asking.connect(self.settings, enforcement.password(self.settings))
        self.gathering = Gathering(self.asking)
        self.moment = await self._look(policy)
        self.ledger = Ledger(self.asking, self.suite)
        self.ledger.start()
        self._has_published.set()  # or asked while no service ran to its next look
        self._watches = [
            asyncio.create_task(turns.keep_on("refresh", self._follow, every_s=_REFRESH_S)),
            asyncio.create_task(turns.keep_on("unusual", self.look_out, every_s=_LOOKOUT_S, has_come=self._has_published)),
        ]

    async def close(self) -> None:
        """Stop writing, disconnect."""
        for watch in self._watches:
            watch.cancel()
        await self.ledger.stop()
        await self.asking.close()

    async def _look(self, policy: Policy) -> Moment:
        number, night, states = await answers.night(self.asking)
        held = await answers.applied(self.asking)
        known = held[1] if held is not None else frozenset()
        return Moment(number, night, policy, stale(states), known)

    async def refresh(self) -> Moment:
        """Follow the pool to its last publication; the policy of its night is held in the database first."""
        number, night, _ = await answers.night(self.asking)
        held = await answers.applied(self.asking)
        if number != self.moment.number or held is None:
            policy = policies.in_force(night) if night is not None else self.moment.policy
            await asyncio.to_thread(enforcement.ensure, self.settings, policy, night or policies.first_day())
            self.moment = await self._look(policy)
            self._is_behind = True
            self._has_published.set()
        return self.moment

    async def look_back(self) -> None:
        """After a publication: find what was told and does not stand any more."""
        if not self._is_behind:
            return
        self._is_behind = False
        try:
            found = await asyncio.to_thread(recall.scan, self.settings)
        except HubError:
            self._is_behind = True
            raise
        except Exception as error:  # whatever one disclosure met: answers go on, and the next publication looks again from where this began
            log.error("recalls", state="failed", error=unforeseen(error))
        else:
            if found:
                log.info("recalls", found=found)
        # Last: what it meets must not keep anybody from being told that something was wrong.
        await operators.forget(self.asking, datetime.now(UTC) - timedelta(days=_OPERATORS_KEPT_DAYS))

    async def look_out(self) -> None:
        """After a publication, and once an hour: find access that somebody should look at."""
        found = await asyncio.to_thread(lookout.look, self.settings)
        if found:
            log.warning("unusual", found=found)

    async def _follow(self) -> None:
        await self.refresh()
        await self.look_back()

    async def read_tiles(self, wanted: list[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Tiles of the log."""
        return await audit_log.tiles(self.asking, wanted)

    async def prove(self, make: Any, size: int) -> Any:
        """Run a proof over the tree of the first ``size`` entries: tiles it asks for are fetched until it has all."""
        held = await self.read_tiles(merkle.edge_tiles(size))

        class Missing(Exception):
            pass

        def read(level: int, number: int) -> bytes:
            try:
                return held[level, number]
            except KeyError:
                wanted.append((level, number))
                raise Missing from None

        for _ in range(256):
            wanted: list[tuple[int, int]] = []
            try:
                return make(read)
            except Missing:
                found = await self.read_tiles(wanted)
                if not found:
                    raise ServiceError("the log lacks a tile", where="audit.tile", next_step="run `hub audit verify`") from None
                held.update(found)
        raise ServiceError("the log's tiles do not hang together", where="audit.tile", next_step="run `hub audit verify`")

    async def head(self) -> tuple[int, bytes, str]:
        """Size, root and checkpoint of the log now; signed and kept when it grew since the last."""
        async with self._head_lock:
            size = await audit_log.size(self.asking)
            newest = await audit_log.newest_head(self.asking)
            if newest is not None and newest["size"] == size:
                return size, bytes(newest["root"]), newest["checkpoint"]
            root: bytes = await self.prove(lambda read: self.tree.root(size, read), size)
            signed_at = datetime.now(UTC)
            note = checkpoint.sign(self.origin, size, root, signed_at, self.head_key)
            if size:  # what was signed of no entry fixes nothing
                await audit_log.keep_head(self.asking, size, root, signed_at, note)
            return size, root, note
