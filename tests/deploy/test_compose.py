"""The container deployment, as far as it can be judged without a container engine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
BIN = Path(sys.executable).parent


def test_it_is_postgresql_18_airflow_with_celery_redis_and_the_agencies() -> None:
    assert set(SERVICES) == {
        "postgres", "redis", "prepare", "api-server", "scheduler", "dag-processor", "triggerer", "worker", "sharing", "agencies",
    }  # fmt: skip
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert SERVICES["scheduler"]["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_watched_and_does_not_run_as_root(name: str) -> None:
    service = SERVICES[name]
    assert service.get("user") not in (None, "root", "0", "0:0")
    assert service["healthcheck"].get("test") or name == "prepare"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights_to_spare(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_references_lead_somewhere() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"], f"{name}: {secret}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), f"{name}: {source}"
        mode = service.get("network_mode", "")
        assert not mode or mode.removeprefix("service:") in SERVICES


def test_secrets_come_from_files_that_the_script_makes() -> None:
    script = (ROOT / "deploy/make-secrets.sh").read_text(encoding="utf-8")
    made = set(re.findall(r"^keep (\w+) ", script, re.MULTILINE))
    assert made == set(COMPOSE["secrets"])
    for secret, where in COMPOSE["secrets"].items():
        assert where["file"] == f"./deploy/secrets/{secret}"
    assert "*" in (ROOT / "deploy/secrets/.gitignore").read_text(encoding="utf-8").split()


def test_no_secret_is_written_into_the_file() -> None:
    secret = re.compile(r"PASSWORD$|SECRET|_KEY$|CONN$|BROKER_URL|RESULT_BACKEND")
    for name, service in SERVICES.items():
        written = [variable for variable in service.get("environment", {}) if secret.search(variable)]
        assert written == [], name


def test_the_pages_are_offered_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    assert published == {"api-server": ["127.0.0.1:8080:8080"], "sharing": ["127.0.0.1:8081:8081"]}


def test_the_secret_files_are_made_once(tmp_path: Path) -> None:
    for folder in ("deploy", "deploy/secrets"):
        (tmp_path / folder).mkdir()
    script = tmp_path / "deploy/make-secrets.sh"
    script.write_text((ROOT / "deploy/make-secrets.sh").read_text(encoding="utf-8"), encoding="utf-8")
    contents = []
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
        contents.append({p.name: p.read_bytes() for p in (tmp_path / "deploy/secrets").iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == set(COMPOSE["secrets"])
    assert all(contents[0].values())


def commands() -> list[tuple[str, ...]]:
    """Each distinct command of our containers, without the arguments that only make sense inside."""
    found = {tuple(SERVICES[name]["command"]) for name in OURS}
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_exists_and_starts_outside_a_container(command: tuple[str, ...], tmp_path: Path) -> None:
    if command[0].startswith("/opt/hub/"):
        script = ROOT / command[0].removeprefix("/opt/hub/")
        assert script.stat().st_mode & 0o111, "not executable"
        done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    else:
        environment = {"PATH": f"{BIN}:/usr/bin:/bin", "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False, env=environment)
        assert "usage" in done.stdout.lower()
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.slow
def test_the_agencies_command_starts_outside_a_container() -> None:
    done = subprocess.run([sys.executable, "-m", "sandbox.servers"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "usage: python -m sandbox.servers STEM" in done.stderr + done.stdout


def test_the_image_is_pinned_hashed_and_not_root() -> None:
    lines = [line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert all(re.fullmatch(r"python:3\.11-slim-\w+", base) for base in bases)
    assert any("--require-hashes" in line for line in lines)
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER 10001:10001"]
    assert not any(re.search(r"ADD\s+http|curl .*\| *sh|:latest", line) for line in lines)
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists() or source == "README.md", source


def test_every_room_is_copied_into_the_image() -> None:
    copied = set(re.findall(r"^COPY (\w+) \w+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    rooms = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {
        "tests",
        "manual",
    }  # the one makes pages, the other checks: neither runs there
    assert rooms <= copied
