"""A pool of its own for the sharing tests: the county after five nights, asked over HTTP by clients of several departments."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from hub.dates import CHINA
from hub.postgres import free_port
from hub.settings import CHECKOUT, Settings
from sharing import keys, operator_seal, secret, turns
from sharing.app import create
from tests.conftest import Hub
from tests.sharing.witness import table, watching, witness
from warehouse import clients, database, embedded

POOL = "sharing_pool"
AUDIENCE = "http://hub.test"


@dataclass
class Asker:
    """One client of a department."""

    http: TestClient
    client_id: str
    secret: str
    token: str = ""

    def renew(self) -> "Asker":
        answer = self.http.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=(self.client_id, self.secret))
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        return self

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **parameters: Any) -> Any:
        return self.http.get(path, params=parameters, headers=self.headers)

    def post(self, path: str, **body: Any) -> Any:
        return self.http.post(path, json=body, headers=self.headers)

    def person(self, person_id: str, purpose: str, *names: str, **more: Any) -> Any:
        """Ask of a person; names with a dot are attributes, the others questions."""
        return self.get(
            f"/v1/persons/{person_id}", purpose=purpose, attributes=[n for n in names if "." in n], questions=[n for n in names if "." not in n], **more
        )  # fmt: skip


class Pool:
    """The pool, its service, and the tables behind both."""

    def __init__(self, settings: Settings, http: TestClient) -> None:
        self.settings = settings
        self.http = http
        self.engine = database.engine(settings)

    def rows(self, query: str, **values: Any) -> list[Any]:
        """What the tables hold, by the owner's right."""
        with self.engine.begin() as connection:
            return list(connection.execute(sa.text(query), values).all())

    def run(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def asker(self, client_id: str, department: str, *purposes: str) -> Asker:
        """A new client with a token."""
        made = secret.make()
        with self.engine.begin() as connection:
            clients.add(connection, client_id, department=department, title="test", purposes=purposes or None)
            clients.add_secret(connection, client_id, secret.hashed(made), keep_former_s=0)
        return Asker(self.http, client_id, made).renew()

    def entries(self) -> int:
        return int(self.rows("SELECT size FROM audit.log")[0][0])


@dataclass
class Log:
    """The log of a pool of its own, written as the service writes it, at whatever time a story needs."""

    pool: Pool
    clients: int = 0

    def client(self) -> str:
        """A client nobody else's story is about."""
        self.clients += 1
        return f"desk-{self.clients}"

    def add(
        self, client: str, day: date, *subjects: str | None, decision: str = "told", asked: str = "person", hour: int = 10, by: str | None = "赵工",
        department: str = "civil_affairs", purpose: str = "roster_monitoring",
    ) -> None:  # fmt: skip
        """An entry a subject; each is a request of its own."""
        at = datetime.combine(day, time(hour), CHINA)
        pseudonyms, sealing = keys.Pseudonyms(self.pool.settings), operator_seal.seal(self.pool.settings)
        rows, named = [], []
        size = self.pool.entries()
        for n, subject in enumerate(subjects):
            request = str(uuid4())
            body = json.dumps({"asked": asked, "at": at.isoformat(), "request_id": request}, ensure_ascii=False, separators=(",", ":"))
            rows.append(
                {
                    "leaf": size + n, "id": str(uuid4()), "at": at, "client": client, "department": department, "purpose": purpose, "decision": decision, "body": body,
                    "subject": None if subject is None else pseudonyms.of(subject),
                }
            )  # fmt: skip
            if by is not None:
                named.append({"client": client, "request": request, "at": at, "sealed": operator_seal.closed(sealing, client, request, by)})
        with self.pool.engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO audit.entry VALUES (:leaf, CAST(:id AS uuid), :at, :client, :department, :purpose, :decision, :subject, :body, '')"
                ),
                rows,
            )
            if named:
                connection.execute(sa.text("INSERT INTO share.operator VALUES (:client, :request, :at, :sealed)"), named)
            connection.execute(sa.text("UPDATE audit.log SET size = :size, suite = 'international'"), {"size": size + len(rows)})


@pytest.fixture(scope="session", autouse=True)
def _every_dci_message_is_seen() -> Iterator[None]:
    with watching():
        yield


@pytest.fixture(autouse=True)
def _every_dci_message_is_the_standards() -> Iterator[None]:
    """Those a test looks on fail it where they pass; those that came to a receiver fail it here."""
    yield
    found, witness.behind[:] = witness.behind[:], ()
    assert not found, "\n".join(found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if "DCI_SCHEMAS" in os.environ and witness.seen:  # of this process: workers show nothing
        terminalreporter.section("DCI")
        for line in table():
            terminalreporter.write_line(line)


@contextmanager
def by_hand() -> Iterator[None]:
    """Services that are started in here send notices and answers when a test says so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "EVERY_S", 1e6)
        yield


@contextmanager
def turned_by_hand(hub: Hub, home: Path) -> Iterator[Pool]:
    """The service over a hub whose nights go on; what it does behind its answers it does when a test says so."""
    hub.restore("night_5")
    values: dict[str, Any] = {
        "home": home, "database_url": sa.make_url(embedded.cluster(hub.settings).url("hub")).render_as_string(hide_password=False),
        "sharing_loopback_receivers": True, "sharing_requests_a_minute": 100_000, "sharing_misses_an_hour": 100_000,
    }  # fmt: skip
    settings = Settings(**values)
    database.migrate(settings)
    with by_hand(), TestClient(create(settings, AUDIENCE)) as http:
        yield Pool(settings, http)
    database.engine(settings).dispose()


@pytest.fixture(scope="session")
def sharing_settings(five_nights, tmp_path_factory) -> Settings:  # type: ignore[no-untyped-def]
    """A copy of the pool after five nights, with a home of its own."""
    five_nights.keep(POOL)
    url = sa.make_url(embedded.cluster(five_nights.settings).url(POOL))
    values: dict[str, Any] = {
        "home": tmp_path_factory.mktemp("sharing"), "database_url": url.render_as_string(hide_password=False),
        "sharing_requests_a_minute": 100_000, "sharing_misses_an_hour": 100_000,
    }  # fmt: skip
    return Settings(**values)


@pytest.fixture(scope="session")
def pool(sharing_settings: Settings) -> Iterator[Pool]:
    """The service over it."""
    with by_hand(), TestClient(create(sharing_settings, AUDIENCE)) as http:
        yield Pool(sharing_settings, http)
    database.engine(sharing_settings).dispose()


@pytest.fixture(scope="session")
def dated(five_nights, tmp_path_factory) -> Iterator[Log]:  # type: ignore[no-untyped-def]
    """The log of a pool after five nights, whose entries may be of any day, and the service over it."""
    five_nights.keep("dated_pool")
    url = sa.make_url(embedded.cluster(five_nights.settings).url("dated_pool")).render_as_string(hide_password=False)
    settings = Settings(home=tmp_path_factory.mktemp("dated"), database_url=url)  # type: ignore[call-arg, arg-type]
    with by_hand(), TestClient(create(settings, AUDIENCE)) as http:
        yield Log(Pool(settings, http))
    database.engine(settings).dispose()


@pytest.fixture(scope="session")
def civil(pool: Pool) -> Asker:
    return pool.asker("civil-desk", "civil_affairs")


@pytest.fixture(scope="session")
def town(pool: Pool) -> Asker:
    return pool.asker("town-desk", "town_office")


@pytest.fixture
def address(pool: Pool) -> Iterator[tuple[str, dict[str, str]]]:
    """A service of its own process, as `hub serve` starts it."""
    port = free_port()
    environment = {
        **os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": pool.settings.database_url.get_secret_value(),  # type: ignore[union-attr]
        "HUB_SHARING_PORT": str(port), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    child = subprocess.Popen([sys.executable, "-m", "sharing"], cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        subprocess.run(
            ["curl", "-s", "--retry", "60", "--retry-delay", "1", "--retry-connrefused", f"{url}/healthz"], check=True, capture_output=True
        )
        yield url, environment
    finally:
        child.terminate()
        child.wait(20)
