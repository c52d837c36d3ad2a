"""A public conformance suite of the DCI interface against this hub: ``python -m benchmarks.conformance FOLDER``; status 1 when a scenario failed.

The folder is a checkout of OpenSPP's spdci-compliance with its packages installed (``npm install`` there). Nothing of it is part of the
hub. The hub must have had a night; its services need not run. A client of the run's own is registered, may leave its messages
unsigned in a service that runs for it alone, and is revoked at the end.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from rich.table import Table

from hub.errors import ServiceError
from hub.postgres import free_port
from hub.screen import screen
from hub.settings import CHECKOUT, Settings, get_settings
from sharing import secret, tokens
from warehouse import clients, database, disclosure, senders

DEPARTMENT, PURPOSE = "civil_affairs", "roster_monitoring"
# What is asked of a registry; the other profiles are about programs that ask one.
_TAGS = "not @profile=spmis-client and not @profile=spmis-subscriber"


@dataclass(frozen=True)
class Scenario:
    """One scenario of the suite; ``fault`` None = it passed. ``is_written``: the suite has code for all its steps."""

    feature: str
    name: str
    fault: str | None
    is_written: bool


def scenarios(report: Path) -> list[Scenario]:
    """Scenarios of a cucumber JSON report."""
    found = []
    for feature in json.loads(report.read_text(encoding="utf-8")):
        for element in feature["elements"]:
            failed = [s for s in element["steps"] if s["result"]["status"] != "passed"]
            fault = None
            if failed:
                said = failed[0]["result"].get("error_message", failed[0]["result"]["status"])
                fault = f"{failed[0]['name'] if 'name' in failed[0] else failed[0]['keyword'].strip()}: {said.splitlines()[0]}"
            is_written = all(s["result"]["status"] != "undefined" for s in element["steps"])
            found.append(Scenario(Path(feature["uri"]).stem, element["name"], fault, is_written))
    return found


def _ready(address: str, child: "subprocess.Popen[bytes]") -> None:
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at and child.poll() is None:
        try:
            urlopen(f"{address}/.well-known/jwks.json", timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise ServiceError("the service did not start", where="sharing", next_step="run `hub serve` to see why")


def _run(settings: Settings, folder: Path, client_id: str, secret_of_client: str, report: Path) -> None:
    port, callbacks = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    own = {
        "HUB_SHARING_PORT": str(port), "HUB_SHARING_URL": address, "HUB_DCI_IS_LENIENT": "true", "HUB_SHARING_LOOPBACK_RECEIVERS": "true",
        "HUB_SHARING_MISSES_AN_HOUR": "100000",
    }  # fmt: skip
    base = f"http://127.0.0.1:{callbacks}"
    with database.engine(settings).begin() as connection:
        clients.add(connection, client_id, department=DEPARTMENT, title="DCI conformance suite", purposes=(PURPOSE,))
        clients.add_secret(connection, client_id, secret.hashed(secret_of_client), keep_former_s=0)
        senders.register(connection, client_id, client_id, address=base, purpose=PURPOSE, public_keys=None, may_leave_unsigned=True)
        row = clients.one(connection, client_id)
    token = tokens.Tokens(settings, address).give(client_id, DEPARTMENT, row.generation, frozenset({PURPOSE}))
    child = subprocess.Popen([sys.executable, "-m", "sharing"], cwd=CHECKOUT, env={**os.environ, **own})
    try:
        _ready(address, child)
        asked = {
            "API_BASE_URL": f"{address}/", "DOMAIN": "social", "DCI_AUTH_TOKEN": token, "DCI_SENDER_ID": client_id, "DCI_RECEIVER_ID": settings.dci_id, "SENDER_ID": client_id, "RECEIVER_ID": settings.dci_id,
            "DCI_SIGNATURE_VALIDATION_ENABLED": "true", "CALLBACK_SERVER_ENABLED": "true", "CALLBACK_SERVER_HOST": "127.0.0.1",
            "CALLBACK_SERVER_PORT": str(callbacks), "CALLBACK_WAIT_MS": "20000", "QUIET_LOGS": "1",
        }  # fmt: skip
        subprocess.run(
            ["npx", "cucumber-js", "--tags", _TAGS, "--format", f"json:{report}"], cwd=folder, env={**os.environ, **asked}, check=False,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        child.terminate()
        child.wait(20)
        with database.engine(settings).begin() as connection:
            clients.revoke(connection, client_id)


def main(arguments: list[str]) -> int:
    """Print the table; the exit status."""
    if len(arguments) != 1 or not (Path(arguments[0]) / "node_modules").is_dir():
        print(
            "给出已 npm install 的 spdci-compliance 目录 / give the folder of spdci-compliance, after `npm install` in it", file=sys.stderr
        )
        return 2
    settings = get_settings()
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        if disclosure.today(connection) is None:
            print("先运行一夜 / run a night first: `hub night`", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        _run(settings, Path(arguments[0]).resolve(), f"conformance-{secrets.token_hex(4)}", secret.make(), report)
        if not report.is_file():
            print("测试套件没有运行 / the suite did not run", file=sys.stderr)
            return 1
        found = scenarios(report)
    table = Table("特性 feature", "场景 scenario", "结果 result")
    for scenario in found:
        result = (
            "✓"
            if scenario.fault is None
            else f"✗ {scenario.fault}"
            if scenario.is_written
            else "— 套件未写步骤 the suite has no code for it"
        )
        table.add_row(scenario.feature, scenario.name, result)
    screen().print(table)
    passed = sum(s.fault is None for s in found)
    failed = sum(s.fault is not None and s.is_written for s in found)
    print(
        f"场景 scenarios {len(found)} · 通过 passed {passed} · 未通过 failed {failed} · 套件未写 without code {len(found) - passed - failed}"
    )
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
