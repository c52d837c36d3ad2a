"""The doctor names what is wrong, with a next step, and changes nothing."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub.settings import CHECKOUT, Settings, get_settings
from pipeline import doctor
from pipeline.doctor import configuration, machine, running, stores
from pipeline.doctor.finding import Finding, State
from schemas.contract import SCHEMAS_DIR, load_contract
from warehouse import database


def settings_of(home: Path, **values: Any) -> Settings:
    return Settings(home=home, **values)


def worst(findings: Iterable[Finding], check: str) -> Finding:
    """The gravest finding of a check."""
    found = [f for f in findings if f.check == check]
    assert found, check
    return max(found, key=lambda f: list(State).index(f.state))


def is_told(finding: Finding, *words: str) -> bool:
    """Whether a fault is told in both languages with a next step."""
    return (
        finding.state in (State.FAULT, State.WARNING)
        and bool(finding.next_step)
        and not finding.zh.isascii()
        and all(w in finding.en for w in words)
    )


@pytest.mark.slow
def test_a_new_checkout_is_well_and_nothing_is_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HUB_")} | {"HUB_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "doctor", "--json"], cwd=CHECKOUT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert done.returncode == 0, [f for f in told["findings"] if f["state"] == "fault"]
    assert told["faults"] == 0
    assert {"idle"} == {f["state"] for f in told["findings"] if f["check"] in ("database", "landing", "airflow", "services", "secrets")}
    assert not home.exists()


@pytest.mark.slow
def test_a_wrong_setting_is_a_finding_and_status_1(tmp_path: Path) -> None:
    environment = os.environ | {"HUB_HOME": str(tmp_path), "HUB_DATABASE_PORT": "none"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "doctor"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "HUB_DATABASE_PORT" in done.stdout and "→" in done.stdout and "Traceback" not in done.stderr


def test_a_package_that_is_not_as_pinned_is_named(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("polars==0.0.1 \\\n    --hash=sha256:00\nno-such-package==1.0\ncolorama==9 ; sys_platform == 'win32'\n")
    assert is_told(machine.packages(pins), "polars", "no-such-package missing")
    pins.write_text("# nothing\n")
    assert machine.packages(pins).state is State.OK


def test_a_clock_before_the_code_is_named() -> None:
    assert is_told(machine.clock(datetime(2001, 1, 1, tzinfo=UTC)), "2001")
    assert machine.clock(datetime.now(UTC)).state is State.OK


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    assert is_told(worst(machine.home(settings_of(tmp_path / "home")), "home"), str(tmp_path), "Permission denied")


@pytest.mark.parametrize(("free_gib", "state"), [(0.5, State.FAULT), (5, State.WARNING), (50, State.OK)])
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, state: State) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: type("U", (), {"free": free_gib * (1 << 30)}))
    finding = worst(machine.home(settings_of(tmp_path)), "disk")
    assert finding.state is state
    assert is_told(finding, "GiB") == (state is not State.OK)


def test_a_wrong_contract_is_named_with_file_field_and_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stem = "health"
    text = (SCHEMAS_DIR / f"{stem}.yml").read_text(encoding="utf-8")
    (tmp_path / f"{stem}.yml").write_text(text.replace("codeSet, value: sex", "codeSet, value: nonesuch"), encoding="utf-8")
    monkeypatch.setattr(configuration, "load_contract", lambda name: load_contract(name, tmp_path if name == stem else SCHEMAS_DIR))
    line = next(n for n, row in enumerate(text.splitlines(), start=1) if row.strip() == "- name: sex")
    assert is_told(worst(configuration.contracts(), "contract"), f"schemas/{stem}.yml", "field sex", f"line {line}", "nonesuch")


def test_a_source_without_its_connector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "stems", lambda: ("health", "police"))
    monkeypatch.setattr(configuration, "load_contract", lambda _: load_contract("health"))
    assert is_told(worst(configuration.contracts(), "contract"), "connectors/police.py", "expectations/police.py")


def test_a_secret_others_can_read_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    settings.secret("landing.key")
    assert worst(configuration.secrets(settings), "secrets").state is State.OK
    (settings.secrets_dir / "landing.key").chmod(0o644)
    assert is_told(worst(configuration.secrets(settings), "secrets"), "landing.key")


def test_a_lost_or_wrong_landing_key_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    settings.secret("other")
    (tmp_path / "landing").mkdir()
    assert is_told(worst(configuration.secrets(settings), "landing key"), "landing.key is gone")
    assert not (settings.secrets_dir / "landing.key").exists(), "looking must not make a new key"
    assert is_told(worst(configuration.secrets(settings_of(tmp_path, landing_key="beef")), "landing key"), "64 hex digits")


def test_a_lost_database_password_is_named_and_not_made_anew(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    settings.secret("other")
    (tmp_path / "postgres").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ports.json").write_text('{"postgres": 1}')
    assert is_told(worst(configuration.secrets(settings), "database password"), "postgres.password")
    list(stores.database(settings)), list(running.services(settings)), list(running.ports(settings))
    assert not (settings.secrets_dir / "postgres.password").exists()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_taken_by_another_program_is_named(tmp_path: Path, taken_port: int) -> None:
    finding = worst(running.ports(settings_of(tmp_path, airflow_port=taken_port)), "port")
    assert is_told(finding, str(taken_port)) and "HUB_AIRFLOW_PORT" in str(finding.next_step)


def endpoint(home: Path, text: str) -> Settings:
    (home / "sources").mkdir(exist_ok=True)
    for stem in ("health", "education", "housing", "medical_insurance", "disability"):
        (home / "sources" / f"{stem}.json").write_text(text)
    return settings_of(home, business_clock="wall")


def test_an_agency_that_does_not_answer_is_named(tmp_path: Path, taken_port: int) -> None:
    assert worst(configuration.endpoints(endpoint(tmp_path, f'{{"url": "http://127.0.0.1:{taken_port}"}}')), "endpoint").state is State.OK
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = worst(configuration.endpoints(endpoint(tmp_path, f'{{"url": "http://127.0.0.1:{closed.getsockname()[1]}"}}')), "endpoint")
    assert is_told(found, "does not answer")


@pytest.mark.parametrize(("text", "says"), [("{", "not JSON"), ('{"address": "x"}', "not an endpoint")])
def test_a_damaged_endpoint_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    assert worst(configuration.endpoints(endpoint(tmp_path, text)), "endpoint").state is State.FAULT
    assert any(says in f.en for f in configuration.endpoints(endpoint(tmp_path, text)))


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, database_url="postgresql+psycopg2://hub:x@127.0.0.1:1/hub")
    found = worst(stores.database(settings), "database")
    assert is_told(found, "HUB_DATABASE_URL") and "hub:x" not in found.en


@pytest.mark.slow
def test_a_running_hub_is_well(five_nights) -> None:  # type: ignore[no-untyped-def]
    done = five_nights.command("doctor", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0, [f for f in told["findings"] if f["state"] == "fault"]
    states = {f["check"]: f["state"] for f in told["findings"]}
    assert states["database"] == states["landing"] == states["endpoint"] == "ok"


@pytest.mark.slow
def test_a_landing_key_that_is_not_the_one_is_named(five_nights) -> None:  # type: ignore[no-untyped-def]
    settings = five_nights.settings.model_copy(
        update={"landing_key": settings_of(five_nights.settings.home, landing_key="ab" * 32).landing_key}
    )
    assert is_told(worst(stores.landing(settings), "landing"), "cannot be read")


@pytest.mark.slow
def test_an_old_database_is_named(five_nights, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    condition = database.Condition(18, "0000", "9999")
    monkeypatch.setattr(stores.warehouse, "condition", lambda _: condition)
    assert is_told(worst(stores.database(five_nights.settings), "database"), "0000", "9999")
    monkeypatch.setattr(stores.warehouse, "condition", lambda _: database.Condition(15, "9999", "9999"))
    assert is_told(worst(stores.database(five_nights.settings), "database"), "too old")


def test_the_whole_examination_goes_on_after_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_LOG_LEVEL", "LOUD")
    get_settings.cache_clear()
    try:
        found = list(doctor.examine())
    finally:
        get_settings.cache_clear()
    assert is_told(worst(found, "settings"), "HUB_LOG_LEVEL")
    assert worst(found, "contract").state is State.OK
