"""Memory that runs out while a delivery is parsed: whoever cannot be parsed says so, the others go on, and the next run with room makes good."""

import contextlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import psutil
import pytest

from pipeline import parse_process, run, steps
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from warehouse import database, ledger

pytestmark = pytest.mark.slow
DAY = date(2026, 3, 2)
NIGHT = ("night", "--date", str(DAY), "--json")
TOO_LITTLE_MIB = 16
TOLD = "memory ran out while this delivery was parsed; nothing of it was let in"


def held_parse(night: subprocess.Popen[str]) -> psutil.Process | None:
    """A process of the night that parses, stopped in the midst of it; None = there is none yet."""
    for child in psutil.Process(night.pid).children():
        with contextlib.suppress(psutil.Error):
            if "pipeline.parse_process" in child.cmdline():
                child.suspend()
                if child.status() == psutil.STATUS_STOPPED:
                    return child
    return None


def test_a_parse_that_gets_no_memory_fails_its_source_in_one_sentence_and_the_next_run_makes_good(
    borrowed: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parse may take less than it needs: the system refuses it, in its own process."""
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    with oracle.watched(hub.settings):
        with monkeypatch.context() as limited:
            limited.setitem(hub.environment, "HUB_PARSE_MEMORY_MIB", str(TOO_LITTLE_MIB))
            done = hub.command(*NIGHT, "--source", "health")
        assert done.returncode == 3 and "Traceback" not in done.stderr and "unforeseen" not in done.stderr, done.stderr
        assert json.loads(done.stdout)["sources"]["health"]["error"] == TOLD
        with database.engine(hub.settings).connect() as connection:
            intake = ledger.intake(connection, DAY, "health")
        assert intake is not None and intake.next_step is not None
        assert "HUB_PARSE_MEMORY_MIB" in intake.next_step and f"hub night --date {DAY} --source health" in intake.next_step
        hub.night(2)
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)


def test_a_parse_whose_process_is_killed_for_its_memory_fails_its_source_alone(borrowed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does where the machine has no more: it takes the parse, and no other."""
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    monkeypatch.setitem(hub.environment, "HUB_PARSE_MEMORY_MIB", "4096")
    with oracle.watched(hub.settings):
        night = hub.begun(*NIGHT)
        while (parse := held_parse(night)) is None:
            assert night.poll() is None, night.communicate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                night.wait(0.02)
        parse.kill()
        _, log = night.communicate()
        assert night.returncode == 4 and "Traceback" not in log, log
        sources = run.report(hub.settings, DAY).sources
        failed = [stem for stem, books in sources.items() if books["state"] == "failed"]
        assert len(failed) == 1 and sources[failed[0]]["error"] == TOLD
        oracle.balanced(sources)
        hub.night(2)
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)


def test_where_memory_is_short_a_delivery_is_parsed_apart_to_the_same_pool(borrowed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, apart = borrowed, list[str]()
    hub.restore("night_1")
    parse = parse_process.parse

    def noted(settings, delivery, *arguments):  # type: ignore[no-untyped-def]
        apart.append(delivery.stem)
        return parse(settings, delivery, *arguments)

    monkeypatch.setattr(parse_process, "free_bytes", lambda: 100 << 20)
    monkeypatch.setattr(parse_process, "parse", noted)
    sources = hub.night(2).sources
    assert sorted(apart) == sorted(stem for stem, books in sources.items() if books["state"] == "ok")
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        pytest.param("exit 127", TOLD, id="the loader found no memory for a symbol"),
        pytest.param("kill -ABRT $$", TOLD, id="a library aborted"),
        pytest.param("exit 3", "the parse's process ended with status 3", id="another reason, which is not told as memory"),
    ],
)
def test_a_parse_that_ends_without_an_answer_says_what_is_known_of_why(
    borrowed: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str, told: str
) -> None:
    hub = borrowed
    hub.restore("night_1")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{ending}\n", encoding="ascii")
    python.chmod(0o700)
    with monkeypatch.context() as patched:
        patched.setattr(parse_process, "is_needed", lambda *_: True)
        patched.setattr(sys, "executable", str(python))
        sources = hub.night(2, only="health").sources
    assert (sources["health"]["state"], sources["health"]["error"]) == ("failed", told)


def test_an_allocation_that_fails_in_the_nights_own_process_is_told_as_well(borrowed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = borrowed
    hub.restore("night_1")

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(steps, "parse_here", full)
        sources = hub.night(2).sources
    assert {books["error"] for books in sources.values() if books["state"] == "failed"} == {TOLD}
    hub.night(2)
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)


def test_what_is_free_is_what_machine_container_and_process_leave(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "memory.max").write_text(f"{100 << 20}\n", encoding="ascii")
    (tmp_path / "memory.current").write_text(f"{90 << 20}\n", encoding="ascii")
    (tmp_path / "memory.stat").write_text(f"anon {30 << 20}\nfile {60 << 20}\n", encoding="ascii")
    whole = parse_process.free_bytes()
    monkeypatch.setattr(parse_process, "_CGROUP", tmp_path)
    assert parse_process.free_bytes() == min(whole, 70 << 20), "files that were read are given up"
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert parse_process.free_bytes() > 70 << 20 or whole <= 70 << 20
