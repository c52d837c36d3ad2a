"""Waiting for the simulated agencies: no longer than it makes sense to."""

import json
import os
from pathlib import Path

from pipeline.services import agencies
from sandbox import clock
from sandbox.servers.readiness import note_prepared, ready_path
from schemas.contract import stems
from tests.served import settings_in

FIRST, *_, LAST = stems()


def _runs(home: Path, stem: str, pid: int) -> None:
    path = ready_path(stem, settings_in(home))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": pid, "port": 1}), encoding="ascii")


def test_agencies_that_have_no_stock_of_the_night_in_time_are_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    for stem in (FIRST, LAST):
        _runs(tmp_path, stem, os.getpid())
    clock.set_night(settings, 3)
    note_prepared(FIRST, settings, clock.reading(settings))
    assert agencies.unprepared(settings, within_s=0) == [LAST]
    note_prepared(LAST, settings, {"night": 2})
    assert agencies.unprepared(settings, within_s=0) == [LAST], "what it has is the stock of another night"
    note_prepared(LAST, settings, clock.reading(settings))
    assert agencies.unprepared(settings, within_s=60) == []


def test_nobody_waits_for_agencies_that_do_not_run(tmp_path: Path) -> None:
    _runs(tmp_path, FIRST, 2**22 + 1)  # no process has such a number
    assert agencies.unprepared(settings_in(tmp_path), within_s=60) == []
