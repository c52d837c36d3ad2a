"""A small hub of its own for the tests: home folder, PostgreSQL, simulated agencies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.settings import CHECKOUT, Settings
from pipeline import nights, run
from pipeline.services import agencies
from sandbox import clock
from sandbox.endpoints import provision
from schemas.contract import stems
from warehouse import embedded

PERSONS = 1200


class Hub:
    """One hub in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, sandbox_persons=PERSONS)  # type: ignore[call-arg]
        self.environment = {**os.environ, "HUB_HOME": str(home), "HUB_SANDBOX_PERSONS": str(PERSONS)}

    def start(self) -> None:
        self.settings.home.mkdir(parents=True)
        embedded.start(self.settings)
        for stem in stems():  # retries wait shorter than a real agency would like
            provision(stem, self.settings)
            path = self.settings.home / "sources" / f"{stem}.json"
            source = json.loads(path.read_text(encoding="utf-8"))
            source["extra"]["backoff_s"] = 0.05
            path.write_text(json.dumps(source), encoding="utf-8")
        agencies.start(self.settings)

    def night(self, number: int, only: str | None = None) -> run.NightReport:
        """Run the county's night of a number."""
        clock.set_night(self.settings, number)
        day = nights.open_night(self.settings, day=clock.date_of(self.settings, number))
        return run.run(self.settings, day, only=only)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a person runs it."""
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli.main", *arguments], cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def killed_command(self, *arguments: str, after_s: float) -> int:
        """The command line, killed with SIGKILL after a while; its exit status."""
        child = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", *arguments], cwd=CHECKOUT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return child.wait(after_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            return child.wait()

    def stop(self) -> None:
        agencies.stop(self.settings)
        embedded.stop(self.settings)


@pytest.fixture(scope="session")
def make_hub() -> Iterator[object]:
    """Makes hubs; all are stopped at the end."""
    made: list[Hub] = []
    # As root, PostgreSQL runs as another user, who must be able to pass through the folders above its own.
    top = Path(tempfile.mkdtemp(prefix="hub-tests-"))
    top.chmod(0o711)

    def make(name: str) -> Hub:
        hub = Hub(top / name)
        made.append(hub)
        hub.start()
        return hub

    yield make
    for hub in made:
        hub.stop()
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="session")
def five_nights(make_hub) -> Hub:  # type: ignore[no-untyped-def]
    """A hub that had nights 1 to 5 without any trouble; tests only read it."""
    hub = make_hub("clean")
    hub.reports = {n: hub.night(n) for n in range(1, 6)}
    return hub
