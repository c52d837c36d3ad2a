"""Writing down who was told what, before it is told: entries of all requests that wait together are one transaction."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from hub.crypto_suite import Suite
from hub.errors import HubError, ServiceError
from sharing import merkle
from sharing.receipts import commitment
from sharing.tokens import Caller
from warehouse import audit_log
from warehouse.asking import Asking, Refused

_MOST = 20_000  # entries a transaction
_TRIES = 50


class ClientGone(Exception):
    """The client is revoked, or its token is of an earlier generation."""


@dataclass(frozen=True)
class Entry:
    """One person told of, or refused, to a client.

    Attributes:
        decision: ``told``, ``unchanged`` (the caller holds it already), ``not_available`` or a refusal's reason.
        subject: keyed hash of the person; None = none was named.
        told: attribute or question → how it was told.
        asked: kind of the question.
        as_of, known_at: of a question to the past, the date and the instant it named.
        emergency: id of the emergency in which it was asked.
    """

    client_id: str | None
    department: str | None
    purpose: str | None
    decision: str
    asked: str
    request_id: str
    subject: bytes | None = None
    told: dict[str, str] = field(default_factory=dict)
    consent: str | None = None
    policy_version: str | None = None
    night: str | None = None
    as_of: str | None = None
    known_at: str | None = None
    emergency: str | None = None


@dataclass(frozen=True)
class Receipt:
    """Where an entry stands in the log."""

    receipt_id: str
    leaf_index: int


class Overtaken(Exception):
    """What was to be written along with entries does not hold any more; neither was written."""


@dataclass(frozen=True)
class Draft:
    """Entries as they will be written, without their places: ids, canonical JSON, salts, hashes of the leaves."""

    ids: tuple[str, ...]
    bodies: tuple[str, ...]
    salts: tuple[bytes, ...]
    leaves: tuple[bytes, ...]


def draft(entries: Sequence[Entry], suite: Suite) -> Draft:
    """Entries ready to be written into a log of a suite. Pure work: for many it is done in a thread."""
    tree = merkle.Tree(suite.digest)
    made = [_body(e) for e in entries]
    leaves = tuple(tree.leaf_hash(commitment(body, salt, suite.digest)) for _, body, salt in made)
    return Draft(tuple(m[0] for m in made), tuple(m[1] for m in made), tuple(m[2] for m in made), leaves)


# Writes something in the transaction of the entries, on its connection.
Along = Callable[[Any], Awaitable[None]]


@dataclass
class _Waiting:
    draft: Draft
    caller: Caller | None
    along: Along | None
    done: "asyncio.Future[list[Receipt]]"


class Ledger:
    """The one writer of a program."""

    def __init__(self, asking: Asking, suite: Suite) -> None:
        self._asking = asking
        self.suite = suite
        self._tree = merkle.Tree(suite.digest)
        self._waiting: deque[_Waiting] = deque()
        self._patient: deque[_Waiting] = deque()
        self._has_come = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._size = -1
        self._edge: dict[int, bytes] = {}

    def start(self) -> None:
        """Begin writing."""
        self._task = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Stop; what still waits is refused."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._fail([*self._waiting, *self._patient], ServiceError("the service stops"))
        self._waiting.clear()
        self._patient.clear()

    async def commit(self, entries: Sequence[Entry], caller: Caller | None) -> list[Receipt]:
        """Write entries down; returns when they are on disk.

        Args:
            entries: in the order they get their places.
            caller: who is about to be told; None when nobody is told anything.

        Raises:
            ClientGone: the client is not in force any more; nothing was written.
            HubError: they could not be written.
        """
        return await self._queued(
            self._waiting, _Waiting(draft(entries, self.suite), caller, None, asyncio.get_running_loop().create_future())
        )

    async def commit_with(self, made: Draft, caller: Caller, along: Along) -> list[Receipt]:
        """Write entries and something else down together or not at all, once nobody else waits who is in a hurry.

        Args:
            made: the entries.
            caller: who is about to be told.
            along: writes the other thing.

        Raises:
            ClientGone: the client is not in force any more; nothing was written.
            Overtaken: as ``along`` raised it; nothing was written.
            HubError: they could not be written.
        """
        return await self._queued(self._patient, _Waiting(made, caller, along, asyncio.get_running_loop().create_future()))

    async def _queued(self, queue: deque[_Waiting], waiting: _Waiting) -> list[Receipt]:
        queue.append(waiting)
        self._has_come.set()
        return await waiting.done

    async def _next(self) -> list[_Waiting]:
        while not self._waiting and not self._patient:
            self._has_come.clear()
            await self._has_come.wait()
        if not self._waiting:
            return [self._patient.popleft()]
        batch = [self._waiting.popleft()]
        count = len(batch[0].draft.ids)
        while self._waiting and count < _MOST:
            batch.append(self._waiting.popleft())
            count += len(batch[-1].draft.ids)
        return batch

    async def _write(self) -> None:
        while True:
            batch = await self._next()
            try:
                await self._append(batch)
            except asyncio.CancelledError:
                self._fail(batch, ServiceError("the service stops"))
                raise
            except (HubError, Refused, Overtaken) as error:
                self._size = -1
                self._fail(batch, ServiceError("the log refused the entry") if isinstance(error, Refused) else error)
            except Exception:  # the writer must outlive whatever one batch met
                self._size = -1
                self._fail(batch, ServiceError("the log could not be written"))

    @staticmethod
    def _fail(batch: list[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_exception(error)

    async def _append(self, batch: list[_Waiting]) -> None:
        for _ in range(_TRIES):
            if not batch:
                return
            if self._size < 0:
                self._size = await audit_log.size(self._asking)
                found = await audit_log.tiles(self._asking, merkle.edge_tiles(self._size))
                self._edge = {level: hashes for (level, _), hashes in found.items()}
            drafts = [w.draft for w in batch]
            ids = [i for d in drafts for i in d.ids]
            bodies = [b for d in drafts for b in d.bodies]
            salts = [x for d in drafts for x in d.salts]
            leaves = [h for d in drafts for h in d.leaves]
            edge, changed = self._tree.grow(self._size, self._edge, leaves)
            clients = list({(w.caller.client_id, w.caller.generation) for w in batch if w.caller is not None})
            written = await audit_log.append(self._asking, self._size, self.suite.name, clients, bodies, salts, changed, batch[0].along)
            if written.state == "done":
                receipts = iter([Receipt(receipt_id, self._size + n) for n, receipt_id in enumerate(ids)])
                self._size, self._edge = self._size + len(bodies), edge
                for waiting in batch:
                    own = [next(receipts) for _ in waiting.draft.ids]
                    if not waiting.done.done():
                        waiting.done.set_result(own)
                return
            if written.state == "gone":
                for waiting in [w for w in batch if w.caller is not None and f"{w.caller.client_id} {w.caller.generation}" in written.gone]:
                    batch.remove(waiting)
                    if not waiting.done.done():
                        waiting.done.set_exception(ClientGone())
            elif written.state == "other suite":
                raise ServiceError(
                    "the log began under another suite", where="audit.log", next_step="start the service again: it says which"
                )
            else:
                self._size = -1
        raise ServiceError("other programs write to the log all the time", where="audit.log")


def _body(entry: Entry) -> tuple[str, str, bytes]:
    """Id, canonical JSON and salt of an entry."""
    receipt_id = str(uuid4())
    body: dict[str, Any] = {
        "entry_id": receipt_id, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), "client_id": entry.client_id,
        "department": entry.department, "purpose": entry.purpose, "decision": entry.decision, "asked": entry.asked, "request_id": entry.request_id,
        "subject": None if entry.subject is None else entry.subject.hex(), "told": entry.told, "consent": entry.consent,
        "policy_version": entry.policy_version, "night": entry.night,
    }  # fmt: skip
    body |= {
        name: at for name, at in (("as_of", entry.as_of), ("known_at", entry.known_at), ("emergency", entry.emergency)) if at is not None
    }
    return receipt_id, orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode(), os.urandom(32)
