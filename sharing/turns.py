"""What the service does again and again behind its answers: turn after turn, whatever one of them met."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from hub.errors import HubError, unforeseen
from warehouse.asking import Refused

log = structlog.get_logger()
EVERY_S = 1.0


async def keep_on(
    work: str, turn: Callable[[], Awaitable[object]], *, every_s: float | None = None, has_come: asyncio.Event | None = None
) -> None:
    """Take turns until cancelled.

    Args:
        work: what it is called in the log.
        turn: is taken; what it cannot do it does the next time.
        every_s: seconds between two turns; None = :data:`EVERY_S`.
        has_come: set when there may be something to do sooner.
    """
    has_come = asyncio.Event() if has_come is None else has_come
    while True:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(has_come.wait(), EVERY_S if every_s is None else every_s)
        has_come.clear()
        try:
            await turn()
        except (HubError, Refused) as error:
            log.warning(work, state="failed", kind=type(error).__name__)
        except Exception as error:  # whatever it met: the next turn goes on
            log.error(work, state="failed", error=unforeseen(error))
