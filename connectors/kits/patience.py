"""Patience with an agency: how long each phase of a call may take, and when it is tried again."""

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tenacity import RetryCallState, Retrying, retry_if_exception

from connectors.delivery import FetchRequest
from hub.errors import SourceError, SourceUnavailable
from hub.log import get_logger
from schemas.contract import Timeouts

_LONGEST_PAUSE_S = 60.0
_MOST_PAUSES = 30


class Busy(SourceUnavailable):
    """The agency asks to be left alone for a while.

    Attributes:
        pause_s: the pause it asks for; None when it names none.
    """

    def __init__(self, message: str, *, where: str, pause_s: float | None) -> None:
        super().__init__(message, where=where, next_step="fetch later, or ask the agency for a higher rate")
        self.pause_s = pause_s


@dataclass
class Patience:
    """The waiting rules of one fetch; its clock starts when it is made.

    Attributes:
        retries: further tries after a failed one; pauses an agency asks for itself do not count.
        backoff_s: longest first pause; doubled with each try; each pause is drawn at random below it (full jitter).
    """

    where: str
    timeouts: Timeouts
    retries: int
    backoff_s: float = 1.0
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = time.monotonic() + self.timeouts.total_s

    @classmethod
    def of(cls, request: FetchRequest) -> "Patience":
        """The rules the contract sets; ``backoff_s`` among the endpoint's extras overrides the first pause."""
        return cls(
            where=request.where,
            timeouts=request.contract.delivery.timeouts,
            retries=request.contract.delivery.retries,
            backoff_s=float(request.endpoint.extra.get("backoff_s", cls.backoff_s)),
        )

    def remaining_s(self) -> float:
        """Seconds left of the whole fetch.

        Raises:
            SourceUnavailable: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.too_slow("the whole fetch", self.timeouts.total_s)
        return left

    def too_slow(self, phase: str, limit_s: float) -> SourceUnavailable:
        """The error for a phase that took longer than allowed."""
        return SourceUnavailable(
            f"{phase} took longer than {limit_s:g} s",
            where=self.where,
            next_step="fetch again; if it stays slow, ask the agency or raise the time-out in the contract",
        )

    def attempts(self) -> Retrying:
        """Tries of one call: transient source errors are tried again until retries or time run out.

        The last error comes out as it is.
        """
        failures = pauses = 0

        def is_over(state: RetryCallState) -> bool:
            nonlocal failures, pauses
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, Busy) and error.pause_s is not None:
                pauses += 1
            else:
                failures += 1
            is_late = state.upcoming_sleep >= self._end - time.monotonic()
            return failures > self.retries or pauses > _MOST_PAUSES or is_late

        def pause(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            jittered = random.uniform(0, min(_LONGEST_PAUSE_S, self.backoff_s * 2 ** min(failures, 10)))
            return (getattr(error, "pause_s", None) or 0.0) + jittered

        return Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, SourceError) and error.is_transient),
            stop=is_over,
            wait=pause,
            before_sleep=self._note,
            reraise=True,
        )

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        message = error.message if isinstance(error, SourceError) else ""
        get_logger(__name__).info(
            "source.retry",
            where=self.where,
            attempt=state.attempt_number,
            pause_s=round(state.upcoming_sleep, 2),
            reason=message,
        )

    @contextmanager
    def cut_off(self, descriptor: int, phase: str, limit_s: float) -> Iterator[None]:
        """Hold a block that reads a socket to a time limit, whatever the library below does.

        When the limit passes the socket is shut down, so that the read returns; the block's own error is then replaced.

        Args:
            descriptor: file descriptor of the socket.
            phase: what is waited for, for the message.
            limit_s: seconds; the end of the whole fetch counts as well.

        Raises:
            SourceUnavailable: the limit passed.
        """
        limit = min(limit_s, self.remaining_s())
        passed = threading.Event()
        done = threading.Event()

        def watch() -> None:
            if not done.wait(limit):
                passed.set()
                with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as twin:
                    twin.shutdown(socket.SHUT_RDWR)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except Exception:
            if passed.is_set():
                raise self.too_slow(phase, limit) from None
            raise
        finally:
            done.set()
            watcher.join()
        if passed.is_set():
            raise self.too_slow(phase, limit)
