"""The gate in a process of its own: the same verdicts, and an end when the night ends, however it ends."""

import subprocess
import sys

import pytest

from hub.errors import ServiceError
from hub.settings import CHECKOUT
from pipeline import gatekeeper, nights, run
from pipeline.gatekeeper import Gatekeeper
from sandbox import clock
from tests.conftest import Hub

pytestmark = pytest.mark.slow


def night(hub: Hub, number: int, keeper: Gatekeeper) -> run.NightReport:
    clock.set_night(hub.settings, number)
    return run.run(hub.settings, nights.open_night(hub.settings, day=clock.date_of(hub.settings, number)), keeper=keeper)


def test_a_night_judged_beside_is_the_night_judged_here_what_is_held_included(borrowed: Hub) -> None:
    borrowed.restore("night_0")
    borrowed.break_by("housing", "shifted_column")
    with Gatekeeper(borrowed.settings) as keeper:
        broken = night(borrowed, 1, keeper)
    borrowed.mend("housing")
    with Gatekeeper(borrowed.settings) as keeper:
        mended = night(borrowed, 1, keeper)
    assert {stem for stem, source in broken.sources.items() if source["state"] == "held"} == {"housing"}
    assert "the gate holds this delivery" in broken.sources["housing"]["error"]
    assert mended.sources == borrowed.reports[1].sources
    assert borrowed.fingerprint() == borrowed.reports[1].fingerprint


def test_a_gate_that_died_fails_its_sources_in_one_sentence_and_the_night_can_be_run_again(borrowed: Hub) -> None:
    borrowed.restore("night_1")
    with Gatekeeper(borrowed.settings) as keeper:
        keeper._child.kill()
        done = night(borrowed, 2, keeper)
    judged = [source for source in done.sources.values() if source["state"] != "not_due"]
    assert judged and {source["state"] for source in judged} == {"failed"}
    assert {source["error"] for source in judged} == {"the gate's process ended with status -9"}
    borrowed.night(2)
    assert borrowed.fingerprint() == borrowed.reports[2].fingerprint


def test_the_gates_process_ends_with_the_one_that_started_it(borrowed: Hub) -> None:
    program = (
        "import os, sys; from hub.settings import get_settings; from pipeline.gatekeeper import Gatekeeper;"
        " keeper = Gatekeeper(get_settings()); print(keeper._child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    night = subprocess.Popen(
        [sys.executable, "-c", program], cwd=CHECKOUT, env=borrowed.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _, said = night.communicate(timeout=120)  # the pipes are closed when the last of both has ended
    assert night.returncode == -9
    assert said == ""


def test_who_asks_a_gate_that_is_gone_is_told(borrowed: Hub) -> None:
    with Gatekeeper(borrowed.settings) as keeper:
        keeper._child.kill()
        with pytest.raises(ServiceError, match="the gate's process ended with status -9"):
            keeper("housing", clock.date_of(borrowed.settings, 2))


def test_a_gate_that_was_begun_before_its_night_is_the_one_that_judges(borrowed: Hub) -> None:
    borrowed.restore("night_0")
    gatekeeper.begin()
    (begun,) = gatekeeper._begun
    with Gatekeeper(borrowed.settings) as keeper:
        done = night(borrowed, 1, keeper)
    assert keeper._child is begun
    assert begun.returncode == 0
    assert done.sources == borrowed.reports[1].sources
