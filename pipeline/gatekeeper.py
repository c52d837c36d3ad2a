"""The gate in a process of its own: loading Great Expectations takes seconds, and beside the rest of a night it holds nothing up.

Imports next to nothing, so that it can be started before anything else is loaded.
"""

import gc
import os
import pickle
import queue
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hub.errors import HubError, ServiceError, unforeseen

if TYPE_CHECKING:
    from hub.settings import Settings

Outcome = dict[str, Any]
_Process = subprocess.Popen[bytes]
_CHECKOUT = Path(__file__).resolve().parent.parent
_UNFORESEEN = 1  # exit status
_begun: list[_Process] = []


def _started() -> _Process:
    """Its process. An interrupt of the night's process group is not for it: it ends when the night has."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.gatekeeper"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(_CHECKOUT)}, process_group=0,
    )  # fmt: skip


def begin() -> None:
    """Start the process that the next :class:`Gatekeeper` takes; if none does, it ends with this one."""
    _begun.append(_started())


class Gatekeeper:
    """A process that judges one delivery at a time, for as long as this one lives."""

    def __init__(self, settings: "Settings") -> None:
        """Start it, unless :func:`begin` did; returns before it is ready."""
        self._one_at_a_time = threading.Lock()
        self._child = _begun.pop() if _begun else _started()
        self._say(settings)

    def _say(self, something: object) -> None:
        assert self._child.stdin is not None
        pickle.dump(something, self._child.stdin)
        self._child.stdin.flush()

    def __call__(self, stem: str, day: date) -> Outcome:
        """Judge a source's delivery: :func:`pipeline.steps.gate`, whose lock the caller holds.

        Raises:
            HubError: as the gate does.
            ServiceError: the process ended.
        """
        # Here, because this module is to be there before anything else is loaded.
        from warehouse import database

        assert self._child.stdout is not None
        with self._one_at_a_time:
            try:
                self._say((stem, day, database.held()))
                answer: Outcome | HubError = pickle.load(self._child.stdout)
            except (OSError, EOFError, pickle.UnpicklingError):
                raise ServiceError(
                    f"the gate's process ended with status {self._child.wait()}", where=stem, next_step="running the same again is harmless"
                ) from None
        if isinstance(answer, HubError):
            raise answer
        return answer

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.end()

    def end(self) -> None:
        """End it; what it held of memory is for others. Does nothing if it has ended."""
        assert self._child.stdin is not None and self._child.stdout is not None
        for pipe in (self._child.stdin, self._child.stdout):
            try:
                pipe.close()
            except OSError:  # it ended by itself
                pass
        self._child.wait()


def _listen(asked: "queue.SimpleQueue[Any]") -> None:
    """Hand on what is asked. When nobody can ask any more, for the night is over or was killed, nothing more may be done."""
    try:
        while True:
            asked.put(pickle.load(sys.stdin.buffer))
    except (EOFError, OSError):
        os._exit(0)


def main() -> None:
    """Read settings, then sources and days; write what the gate says to each."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints shall not get between the answers
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    gc.disable()  # nothing that is loaded goes away

    from hub import log
    from pipeline import steps
    from warehouse import database

    steps.warm_gate()
    gc.enable()
    gc.freeze()
    settings: Settings = asked.get()
    log.configure(settings.log_level)
    while True:
        stem, day, held = asked.get()
        try:
            with database.on_behalf(held):
                answer: Outcome | HubError = steps.gate.__wrapped__(stem, day, settings)  # type: ignore[attr-defined]
        except HubError as error:
            answer = error
        except Exception as error:
            print(f"错误 / error: {unforeseen(error)}", file=sys.stderr, flush=True)
            os._exit(_UNFORESEEN)
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
