"""Reading together what is asked at one time: questions of one kind that come while one is being read are the next statement."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hub.errors import HubError, ServiceError
from warehouse.answers import Asked, place_of
from warehouse.asking import Asking, Refused

# Rows of a list of keys under one role, each with its ``place`` (from 1) in the list.
Read = Callable[[Asking, Asked, list[str]], Awaitable[list[Any]]]
_Waiting = list[tuple[str, "asyncio.Future[list[Any]]"]]
_MOST = 500  # keys a statement


class Gathering:
    """Reads for many who each ask for one.

    A question that finds none of its kind being read is read at once, so that nobody waits for company. Of one kind are questions
    that read the same things of a person under the same role: PostgreSQL refuses each what it would refuse it alone.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._waiting: dict[tuple[Read, Asked], _Waiting] = {}
        self._reading: dict[tuple[Read, Asked], asyncio.Task[None]] = {}

    async def one(self, read: Read, asked: Asked, key: str) -> list[Any]:
        """Rows of one key.

        Args:
            read: reads many keys.
            asked: what is asked.
            key: by which the person is named.

        Raises:
            ServiceError: PostgreSQL does not answer or broke off.
            Refused: it does not let the role read that.
        """
        kind, found = (read, asked), asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, []).append((key, found))
        if kind not in self._reading:
            self._reading[kind] = asyncio.create_task(self._read(kind))
        rows: list[Any] = await found
        return rows

    async def _read(self, kind: tuple[Read, Asked]) -> None:
        read, asked = kind
        try:
            while waiting := self._waiting.pop(kind, None):
                if len(waiting) > _MOST:
                    self._waiting[kind] = waiting[_MOST:]
                    del waiting[_MOST:]
                await self._answer(read, asked, [w for w in waiting if not w[1].done()])
        finally:
            del self._reading[kind]

    async def _answer(self, read: Read, asked: Asked, waiting: _Waiting) -> None:
        try:
            placed = place_of(await read(self._asking, asked, [key for key, _ in waiting]) if waiting else ())
        except (HubError, Refused) as error:
            _fail(waiting, error)
        except asyncio.CancelledError:
            _fail(waiting, ServiceError("the service stops"))
            raise
        except Exception as error:  # something about one of the keys: it is told alone
            if len(waiting) == 1:
                _fail(waiting, error)
            else:
                for one in waiting:
                    await self._answer(read, asked, [one])
        else:
            for place, (_, found) in enumerate(waiting, start=1):
                if not found.done():
                    found.set_result(placed.get(place, []))


def _fail(waiting: _Waiting, error: Exception) -> None:
    for _, found in waiting:
        if not found.done():
            found.set_exception(error)
