"""A parse in a process of its own: where memory runs out, that one process ends, and the night goes on with the other sources.

Starting it takes a second, so a delivery has it only where memory is short, or where the hub is told how much a parse may take.
"""

import contextlib
import os
import pickle
import resource
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from hub.errors import HubError, ServiceError, unforeseen
from hub.progress import Listener, Progress

if TYPE_CHECKING:
    from hub.settings import Settings
    from warehouse.landing import Delivery

Outcome = dict[str, Any]
_CHECKOUT = Path(__file__).resolve().parent.parent
_MIB = 1 << 20
# What a parse takes of its own, and how many times what a medium holds whole, of a page or workbook no more than this.
_BATCH_BYTES, _TIMES, _WHOLE_BYTES = 512 * _MIB, 8, 256 * _MIB
# cgroup v2's files, which a container shows here: what all processes in it may take, and take.
_CGROUP = Path("/sys/fs/cgroup")
# The kernel ends this process first, before any that holds more.
_EXPENDABLE = "1000"
# Where the dynamic loader gets no memory for a symbol it ends the process with this status; so does ours, without room for an answer.
_NO_ROOM = 127
_one_at_a_time = threading.Lock()


def is_needed(settings: "Settings", raw_bytes: int) -> bool:
    """Whether a delivery of so many bytes is parsed in a process of its own."""
    return settings.parse_memory_mib is not None or free_bytes() < _BATCH_BYTES + _TIMES * min(raw_bytes, _WHOLE_BYTES)


def free_bytes() -> int:
    """Memory nobody takes: of the machine, of the container, and of what this process may take."""
    free = [psutil.virtual_memory().available]
    with contextlib.suppress(OSError, ValueError, KeyError):  # no container, or one without a limit: "max"
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        # Of files that were read the kernel keeps copies, and gives them up when they are in the way.
        free.append(limit - int((_CGROUP / "memory.current").read_text(encoding="ascii")) + int(stat["file"]))
    may_take, _ = resource.getrlimit(resource.RLIMIT_AS)
    if may_take != resource.RLIM_INFINITY:
        free.append(may_take - psutil.Process().memory_info().vms)
    return max(min(free), 0)


def no_memory(settings: "Settings", delivery: "Delivery", day: date) -> ServiceError:
    """The error to tell where memory ran out."""
    or_raise = ", or raise HUB_PARSE_MEMORY_MIB" if settings.parse_memory_mib else ""
    return ServiceError(
        "memory ran out while this delivery was parsed; nothing of it was let in", where=_where(delivery),
        next_step=f"make room, see `hub doctor`{or_raise}; then {_again(delivery, day)}",
    )  # fmt: skip


def _where(delivery: "Delivery") -> str:
    return f"delivery {delivery.delivery_id[:8]}"


def _again(delivery: "Delivery", day: date) -> str:
    return f"`hub night --date {day} --source {delivery.stem}`"


def parse(settings: "Settings", delivery: "Delivery", day: date, progress: Listener | None = None) -> Outcome:
    """Parse a night's delivery: :func:`pipeline.steps.parse_here`; the caller holds the source.

    Raises:
        HubError: as the parse does.
        ServiceError: memory ran out, or the process ended for another reason.
    """
    from warehouse import database

    with _one_at_a_time:  # where memory is short, two would take it from each other
        child = subprocess.Popen(
            [sys.executable, "-m", "pipeline.parse_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=_CHECKOUT, env={**os.environ, "PYTHONPATH": str(_CHECKOUT)},
        )  # fmt: skip
        assert child.stdin is not None and child.stdout is not None
        with child, contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            pickle.dump((settings, delivery, day, database.held()), child.stdin)
            child.stdin.close()
            while not isinstance(answer := pickle.load(child.stdout), dict | HubError | MemoryError):
                if progress:
                    progress(answer)
            if isinstance(answer, MemoryError):
                raise no_memory(settings, delivery, day)
            if isinstance(answer, HubError):
                raise answer
            return answer
    if child.returncode < 0 or child.returncode == _NO_ROOM:  # a library that gets no memory aborts; the kernel kills
        raise no_memory(settings, delivery, day)
    raise ServiceError(
        f"the parse's process ended with status {child.returncode}",
        where=_where(delivery),
        next_step=f"run it again: {_again(delivery, day)}",
    )


def _limit(settings: "Settings", mib: int) -> None:
    """Take no more memory than so much from now on, once what every parse needs is there."""
    import polars as pl

    from warehouse import database

    database.engine(settings).connect().close()
    pl.DataFrame({"a": range(1000)}).lazy().group_by(pl.col("a") % 7).agg(pl.len()).collect()  # its threads are begun by the first question
    limit = psutil.Process().memory_info().data + mib * _MIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    """Read settings, source and day; write how far it has come, and last what came of it."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints shall not get between the answers
    asked: tuple[Settings, Delivery, date, Any] = pickle.load(sys.stdin.buffer)
    settings, delivery, day, held = asked
    with contextlib.suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text(_EXPENDABLE, encoding="ascii")

    from hub import log
    from pipeline import steps
    from warehouse import database

    log.configure(settings.log_level)
    if settings.parse_memory_mib is not None:
        _limit(settings, settings.parse_memory_mib)

    def told(progress: Progress) -> None:
        pickle.dump(progress, answers)
        answers.flush()

    answer: Outcome | HubError | MemoryError
    try:
        with database.on_behalf(held):
            answer = steps.parse_here(delivery, day, settings, told)
    except MemoryError:
        answer = MemoryError()
    except HubError as error:
        answer = error
    except BaseException as error:  # where a library written in Rust panics, it is no Exception
        answer = HubError(unforeseen(error), next_step="running the same again is harmless")
    try:
        pickle.dump(answer, answers)
        answers.flush()
    except MemoryError:
        os._exit(_NO_ROOM)
    os._exit(0)


if __name__ == "__main__":
    main()
