"""Secrets stay where they are kept: not in a command line anybody on the machine can read, not on a screen, not in a log, not in the code."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from hub.postgres import free_port
from hub.settings import CHECKOUT
from tests.conftest import Hub
from tests.sharing.conftest import Pool

pytestmark = pytest.mark.slow
MARK = "5ec4e7" * 10 + "5ec4"
PROC = Path("/proc")


def secrets_of(folder: Path) -> set[str]:
    """Everything in a folder that is a secret by its length; of clients to try things with, what they prove themselves by."""
    shapes = {"sandbox-clients.json": r"hub_[A-Za-z0-9_-]{20,}"}
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {w for p in files for w in re.findall(shapes.get(p.name, r"[A-Za-z0-9_-]{20,}"), p.read_text(encoding="ascii"))}


def command_lines() -> Iterator[str]:
    """What `ps` shows of every process there is."""
    for place in PROC.glob("[0-9]*/cmdline"):
        try:
            yield place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue


def test_no_command_line_shows_a_secret_while_the_service_answers_and_a_backup_is_taken(pool: Pool, address, borrowed: Hub, tmp_path: Path):
    borrowed.restore("night_1")
    secrets = secrets_of(pool.settings.secrets_dir) | secrets_of(borrowed.settings.secrets_dir)
    assert len(secrets) >= 6
    seen: set[str] = set()
    child = borrowed.begun("backup", str(tmp_path))
    while child.poll() is None:
        seen.update(command_lines())
    assert child.returncode == 0
    for program in ("pg_dump", "-m sharing", "postgres", r"pipeline\.cli\S* backup"):
        assert any(re.search(program, line) for line in seen), f"{program} was at work and was looked at"
    assert [line.split()[0] for line in seen if any(secret in line for secret in secrets)] == []


@pytest.mark.parametrize("arguments", [("config",), ("config", "--json"), ("services",), ("doctor",), ("key", "list"), ("client", "list")])
def test_no_screen_shows_a_secret_that_was_set_or_made(borrowed: Hub, pool: Pool, arguments: tuple[str, ...]):
    operator = object.__new__(Hub)
    url = pool.settings.database_url.get_secret_value()  # type: ignore[union-attr]
    operator.environment = {
        **borrowed.environment, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": url, "HUB_LANDING_KEY": MARK, "HUB_BACKUP_KEY": MARK,
    }  # fmt: skip
    done = operator.invoked(*arguments)
    told = done.stdout + done.stderr
    password = url.split("://")[1].split("@")[0].split(":")[1]
    assert told and not [s for s in {MARK, password, *secrets_of(pool.settings.secrets_dir)} if s in told]


@pytest.mark.parametrize(
    "wrong",
    [
        {"HUB_DATABASE_URL": f"postgresql://hub:{MARK}@127.0.0.1:1/hub"}, {"HUB_DATABASE_URL": f"nonsense {MARK}"},
        {"HUB_LANDING_KEY": f"{MARK}x"}, {"HUB_BACKUP_KEY": MARK[:-2]},
    ],
)  # fmt: skip
def test_what_is_said_of_a_secret_that_is_wrong_does_not_show_it(borrowed: Hub, tmp_path: Path, wrong: dict[str, str]):
    operator = object.__new__(Hub)
    operator.environment = {**borrowed.environment, "HUB_LOG_LEVEL": "DEBUG", **wrong}
    for arguments in (("status",), ("doctor",), ("backup", str(tmp_path / "b")), ("night", "--date", "2026-03-01")):
        done = operator.invoked(*arguments)
        assert MARK[:-2] not in done.stdout + done.stderr, arguments


def test_the_services_log_holds_nothing_a_caller_proves_itself_by(pool: Pool):
    asker, port = pool.asker("logged-desk", "civil_affairs"), free_port()
    environment = {
        **os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": pool.settings.database_url.get_secret_value(),  # type: ignore[union-attr]
        "HUB_SHARING_PORT": str(port), "HUB_LOG_LEVEL": "DEBUG",
    }  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "sharing"], cwd=CHECKOUT, env=environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        subprocess.run(
            ["curl", "-s", "--retry", "60", "--retry-delay", "1", "--retry-connrefused", f"{url}/healthz"], check=True, capture_output=True
        )
        basic = (asker.client_id, asker.secret)
        given = requests.post(f"{url}/oauth2/token", data={"grant_type": "client_credentials"}, auth=basic, timeout=20).json()[
            "access_token"
        ]
        held = {"Authorization": f"Bearer {given}"}
        tries = [
            requests.post(f"{url}/oauth2/token", data={"grant_type": "password", "password": asker.secret}, auth=basic, timeout=20),
            requests.post(f"{url}/oauth2/token", json={"client_secret": asker.secret}, timeout=20),
            requests.post(f"{url}/oauth2/token", data={"client_id": asker.client_id, "client_secret": asker.secret * 9}, timeout=20),
            requests.get(f"{url}/v1/catalogue?access_token={given}", timeout=20),
            requests.get(f"{url}/v1/{given}", headers=held, timeout=20),
            requests.get(f"{url}/v1/catalogue", headers={**held, "X-Request-Id": given}, timeout=20),
            requests.post(f"{url}/v1/persons/lookup", data=b"\xff" + given.encode(), headers=held, timeout=20),
            requests.post(f"{url}/registry/sync/search", data=given, headers=held, timeout=20),
            requests.post(f"{url}/v1/subscriptions", json={"address": f"https://x:{asker.secret}@desk.example/"}, headers=held, timeout=20),
        ]  # fmt: skip
        assert all(t.status_code < 500 for t in tries)
    finally:
        child.terminate()
        said = child.communicate(timeout=30)[0]
    hidden = {asker.secret, given, given.split(".")[2], base64.b64encode(f"{asker.client_id}:{asker.secret}".encode()).decode()}
    hidden |= secrets_of(pool.settings.secrets_dir)
    assert not [h for h in hidden if h in said]
    for answer in tries:
        assert not [h for h in hidden if h in answer.text], answer.url.split("?")[0][-20:]
