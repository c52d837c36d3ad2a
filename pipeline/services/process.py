"""A child process that outlives the command which started it: pid file, log file, readiness."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil

from hub.errors import ServiceError
from hub.settings import CHECKOUT, Settings


class Service:
    """One supervised process of a home folder."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self._home = settings.home.resolve()
        self._note = self._home / "run" / f"{name}.json"
        self.log = self._home / "logs" / f"{name}.log"

    def process(self) -> psutil.Process | None:
        """The running process; None if there is none. A pid that was given to another program is not ours."""
        try:
            note = json.loads(self._note.read_text(encoding="ascii"))
            found = psutil.Process(note["pid"])
            if abs(found.create_time() - note["created"]) < 1 and found.status() != psutil.STATUS_ZOMBIE:
                return found
        except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
            pass
        return None

    def start(self, command: list[str], *, environment: dict[str, str] | None = None) -> None:
        """Start in a session of its own, unless it runs."""
        if self.process():
            return
        for folder in (self._note.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT, start_new_session=True,
                env={**os.environ, "HUB_HOME": str(self._home), "PYTHONPATH": str(CHECKOUT), **(environment or {})},
            )  # fmt: skip
        created = psutil.Process(child.pid).create_time()
        self._note.write_text(json.dumps({"pid": child.pid, "created": created}), encoding="ascii")

    def wait(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until it answers.

        Raises:
            ServiceError: it ended, or does not answer in time; the log is named.
        """
        ends_at = time.monotonic() + timeout_s
        while not is_ready():
            if self.process() is None or time.monotonic() > ends_at:
                raise ServiceError(f"{self.name} did not come up", where=str(self.log), next_step="read the end of that log")
            time.sleep(0.1)

    def stop(self, timeout_s: float = 20) -> bool:
        """End it and its children; whether it ran."""
        found = self.process()
        if found is not None:
            family = [found, *found.children(recursive=True)]
            for member in family:
                _signal(member, signal.SIGTERM)
            for member in psutil.wait_procs(family, timeout=timeout_s)[1]:
                _signal(member, signal.SIGKILL)
        self._note.unlink(missing_ok=True)
        return found is not None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
