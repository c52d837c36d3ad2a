"""A night that is killed, interrupted or started twice: run again, it is the night it would have been; readers see it whole or not."""

import os
import random
import signal
import subprocess
import time

import pytest

from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from warehouse import embedded

pytestmark = pytest.mark.slow

VERBS = ("fetch", "land", "parse", "gate", "resolve", "merge", "share")
# What befalls each night: verbs in which the run is killed, then how PostgreSQL is, in which verb.
KILLS: dict[int, tuple[tuple[str, ...], tuple[str, str] | None]] = {
    1: (("fetch", "land", "parse", "gate", "resolve", "merge"), None),
    2: (("merge",), ("SIGKILL", "parse")),
    3: (("share",), ("immediate", "merge")),
    4: (("land",), None),
    5: ((), None),
}


def kill_server(hub: Hub, how: str) -> None:
    """Kill PostgreSQL as a power cut would."""
    cluster = embedded.cluster(hub.settings)
    if how == "immediate":
        cluster.stop(mode="immediate")
    else:
        os.kill(int((cluster.data_dir / "postmaster.pid").read_text(encoding="ascii").split()[0]), signal.SIGKILL)


@pytest.mark.timeout(900)
def test_killed_in_each_verb_and_run_again_five_nights_are_those_of_a_clean_hub(borrowed: Hub) -> None:
    borrowed.restore("night_0")
    with oracle.watched(borrowed.settings) as readers:
        killed_and_run_again(borrowed, random.Random(20260301))
    assert readers.looks > 100
    assert max(readers.seen) >= 5


def killed_and_run_again(hub: Hub, draw: random.Random) -> None:
    killed: set[str] = set()
    for number, (verbs, server) in KILLS.items():
        clock.set_night(hub.settings, number)
        night = ("night", "--date", str(clock.date_of(hub.settings, number)), "--json")
        for verb in verbs:
            delay_s = draw.uniform(0, 0.08) if verb in killed else 0.0

            def strike(child: subprocess.Popen[str], delay_s: float = delay_s) -> None:
                time.sleep(delay_s)  # the kill falls anywhere in the verb
                child.kill()

            status, _ = hub.struck(verb, strike, *night)
            assert status in (-signal.SIGKILL, 0)
            if status == -signal.SIGKILL:
                killed.add(verb)
        if server is not None:
            status, log = hub.struck(server[1], lambda _child, how=server[0]: kill_server(hub, how), *night)  # type: ignore[misc]
            assert "Traceback" not in log
            assert status in (0, 4, 6, 7), log
        done = hub.night(number)
        assert {books["state"] for books in done.sources.values()} <= {"ok", "not_due"}
        oracle.same_fingerprint(hub.fingerprint(), hub.reports[number].fingerprint, told=f"night {number}")
    # A source may have been away when a night was published: such a ticket is closed, and no other is there that was not.
    quarantined = [line for line in hub.quarantine_history() if "missing" not in line]
    assert quarantined
    oracle.same_books(quarantined, hub.clean_history)
    assert all(t.open == 0 for t in hub.tickets().values() if t.stage == "missing")
    assert killed == set(VERBS)


@pytest.mark.parametrize("verb", ["fetch", "merge"])
def test_an_interrupted_night_says_one_sentence_and_leaves_nothing_half_done(borrowed: Hub, verb: str) -> None:
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    before = hub.fingerprint()
    night = ("night", "--date", "2026-03-02", "--json")
    status, log = hub.struck(verb, lambda child: os.killpg(child.pid, signal.SIGINT), *night)
    told = [line for line in log.splitlines() if line and not line.startswith("{")]
    assert status == 130, log
    assert told == ["已中断，可安全重跑 / interrupted; run it again safely"]
    assert hub.fingerprint() in (before, hub.reports[2].fingerprint)
    hub.night(2)
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)


def test_of_two_nights_started_at_once_one_runs_and_the_other_says_so(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    night = ("night", "--date", "2026-03-02", "--json")
    second: dict[str, object] = {}

    def start_second(_first: subprocess.Popen[str]) -> None:
        second["done"] = hub.command(*night)

    def while_an_agency_keeps_it_waiting(first: subprocess.Popen[str]) -> None:
        start_second(first)
        hub.mend("health")

    hub.break_by("health", "hang", after_bytes=0)
    first, log = hub.struck("fetch", while_an_agency_keeps_it_waiting, *night)
    other = second["done"]
    assert isinstance(other, subprocess.CompletedProcess)
    assert other.returncode == 9
    assert other.stderr.count("another run is at work on this night now") == 1 and "Traceback" not in other.stderr
    assert first == 0, log
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)
