"""A command that changes the pool, killed at whatever moment and run again, leaves the pool it would have left."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipeline import erasure, rulings
from tests.conftest import Hub
from tests.pipeline.test_erasure import someone
from tests.pipeline.test_rulings import newest
from tests.pipeline.test_survivorship import written

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TIMES = 2


def withdrawing(hub: Hub, _folder: Path) -> list[str]:
    delivery = newest(hub, "medical_insurance")
    code = rulings.withdraw(hub.settings, delivery, dry_run=True).confirm
    return ["withdraw", delivery, "--reason", "wrong file", *(["--confirm", code] if code else [])]


def adopting(_hub: Hub, folder: Path) -> list[str]:
    return ["survivorship", "adopt", str(written(folder))]


def erasing(hub: Hub, _folder: Path) -> list[str]:
    person = someone(hub, "cardinality(sources) >= 2")
    said = {"--basis": "consent", "--reason": "decision 2026/17", "--by": "王工", "--confirmed-by": "李工"}
    options = [part for option in said.items() for part in option]
    return ["erasure", "carry-out", person, *options, "--confirm", erasure.plan(hub.settings, person).confirm]


@pytest.mark.parametrize("command", [withdrawing, adopting, erasing])
def test_a_command_killed_at_any_moment_and_run_again_leaves_the_pool_of_a_quiet_one(borrowed: Hub, tmp_path: Path, command) -> None:  # type: ignore[no-untyped-def]
    hub, draw = borrowed, random.Random(20260301)
    with hub.landing_kept():
        hub.restore("night_5")
        said = command(hub, tmp_path)
        started = time.perf_counter()
        done = hub.command(*said)
        whole_s = time.perf_counter() - started
        assert done.returncode == 0, done.stderr
        quiet = (hub.fingerprint(), hub.quarantine_history())
    with hub.landing_kept():
        hub.restore("night_5")
        for _ in range(TIMES):
            child = hub.begun(*said)
            try:
                child.communicate(timeout=draw.uniform(whole_s / 4, whole_s))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
        again = hub.command(*said)
        assert again.returncode in (0, 2), again.stderr  # 2: it was through before it was killed, and cannot be done twice
        hub.command("erasure", "finish")
        assert (hub.fingerprint(), hub.quarantine_history()) == quiet
