"""Supervised processes of a home folder."""

import json
import sys
from pathlib import Path

import pytest

from hub.errors import ServiceError
from hub.settings import Settings
from pipeline.services.process import Service

FOREVER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)  # type: ignore[call-arg]


def test_a_service_is_started_once_and_outlives_the_object(settings: Settings) -> None:
    service = Service(settings, "sleeper")
    service.start(FOREVER)
    first = service.process()
    assert first is not None
    try:
        Service(settings, "sleeper").start(FOREVER)
        again = Service(settings, "sleeper").process()
        assert again is not None and again.pid == first.pid
    finally:
        assert service.stop()
    assert service.process() is None
    assert not service.stop(), "stopping what is stopped does nothing"


def test_a_number_that_now_belongs_to_another_program_is_not_ours(settings: Settings) -> None:
    service = Service(settings, "sleeper")
    service.start(FOREVER)
    found = service.process()
    assert found is not None
    note = settings.home / "run" / "sleeper.json"
    kept = note.read_text(encoding="ascii")
    note.write_text(json.dumps({"pid": found.pid, "created": found.create_time() - 3600}), encoding="ascii")
    assert service.process() is None
    assert not service.stop()
    assert found.is_running(), "the other program lives on"
    note.write_text(kept, encoding="ascii")
    assert service.stop()


def test_a_service_that_ends_at_once_is_reported_with_its_log(settings: Settings) -> None:
    service = Service(settings, "broken")
    service.start([sys.executable, "-c", "raise SystemExit('no port')"])
    with pytest.raises(ServiceError, match="broken did not come up") as found:
        service.wait(lambda: False, timeout_s=20)
    assert found.value.where == str(service.log)
    assert "no port" in service.log.read_text(encoding="utf-8")
