"""The simulated agencies are as strict as the real ones."""

import asyncio
import base64
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import asyncssh
import psycopg2
import pytest
import pyzipper
import requests

from connectors.kits.signed_gateway import signature
from hub.errors import ConfigError, ServiceError, SourceUnavailable
from sandbox import clock, corrections, endpoints
from sandbox.servers.catalogue import FAULTS, check
from sandbox.servers.readiness import is_prepared, is_ready
from sandbox.servers.switches import Switches
from tests.served import STEM, Served, consumed, contract_of, fetch, served, settings_in

Agencies = Callable[[str], Served]

pytestmark = pytest.mark.slow


def token_of(agency: Served) -> str:
    answer = requests.post(
        f"{agency.endpoint.url}/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=(agency.agency.access.username, agency.agency.access.secret),
        timeout=5,
    )
    return str(answer.json()["access_token"])


def read(agency: Served, token: str, **query: Any) -> requests.Response:
    url = f"{agency.endpoint.url}/api/v1/records"
    return requests.get(url, params=query, headers={"Authorization": f"Bearer {token}"}, timeout=5)


def call(agency: Served, *, rtime: int | None = None, secret: str | None = None, **query: Any) -> dict[str, Any]:
    access = agency.agency.access
    sid, rid = str(access.extra["sid"]), access.username
    stamp = str(rtime if rtime is not None else time.time_ns() // 1_000_000)
    headers = {"gjzwfwpt_sid": sid, "gjzwfwpt_rid": rid, "gjzwfwpt_rtime": stamp}
    headers["gjzwfwpt_sign"] = signature(secret or access.secret, sid, rid, stamp)
    body = {"pageno": 1, "pagesize": 10, "scope": "full", **query}
    answer = requests.post(f"{agency.endpoint.url}/sysapi/{sid}", json=body, headers=headers, timeout=5)
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_token_is_good_for_so_many_calls(agencies: Agencies) -> None:
    agency = agencies("rest-oauth")
    token = token_of(agency)
    assert [read(agency, token, limit=10).status_code for _ in range(4)] == [200, 200, 200, 401]


@pytest.mark.parametrize(
    "query",
    [{"page": 2}, {"limit": 101}, {"limit": 0}, {"scope": "delta"}, {"since": "2026-03-01"}, {"cursor": "AAAA"}],
)
def test_a_call_with_a_wrong_parameter_is_refused(agencies: Agencies, query: dict[str, Any]) -> None:
    agency = agencies("rest-oauth")
    assert read(agency, token_of(agency), **query).status_code == 400


def test_a_cursor_ends_with_its_night(agencies: Agencies) -> None:
    agency = agencies("rest-oauth")
    token = token_of(agency)
    cursor = read(agency, token, limit=10).json()["data"]["nextCursor"]
    agency.night(4)
    assert read(agency, token, limit=10, cursor=cursor).status_code == 410


def test_what_an_agency_corrects_is_offered_in_the_night_whose_stock_it_had_made_already(agencies: Agencies) -> None:
    agency = agencies("rest-oauth").agency
    before = agency.stock.tonight()
    corrections.correct(agency.settings, STEM, [corrections.ALL], 1)
    corrected = agency.stock.tonight()
    corrections.path_of(agency.settings, STEM).unlink()
    after = agency.stock.tonight()
    assert before is not None and corrected is not None and after is not None
    assert (corrected.version != before.version, after.version) == (True, before.version)
    assert after is not corrected is not before, "the rows were made anew"


def test_the_gateway_answers_200_to_everything_and_means_it_by_code(agencies: Agencies) -> None:
    agency = agencies("signed-gateway")
    now = time.time_ns() // 1_000_000
    assert call(agency, rtime=now - 5)["code"] == 200
    assert call(agency, rtime=now - 5)["code"] == "api-405"  # the same signature twice
    assert call(agency, rtime=now - 700_000)["code"] == "api-402"  # a clock 11 minutes off
    assert call(agency, secret="guessed")["code"] == "api-401"
    assert call(agency, rows=5)["code"] == "api-400"
    assert call(agency, pagesize=101)["code"] == "api-400"


def test_the_gateway_sends_rows_as_a_string_of_json(agencies: Agencies) -> None:
    data = call(agencies("signed-gateway"))["data"]
    assert isinstance(data, str)
    assert len(json.loads(data)["rows"]) == 10


def test_a_drop_is_read_only_and_shows_nothing_else(agencies: Agencies) -> None:
    agency = agencies("sftp-drop")

    async def look() -> tuple[list[str], list[type[asyncssh.SFTPError]]]:
        access = agency.agency.access
        refused: list[type[asyncssh.SFTPError]] = []
        async with asyncssh.connect(
            "127.0.0.1", access.port, username=access.username, password=access.secret, known_hosts=None, config=None
        ) as connection, connection.start_sftp_client() as sftp:  # fmt: skip
            names = [str(n.filename) for n in await sftp.readdir("/outbox")]
            for attempt in (
                sftp.open("/outbox/new.csv", "wb"),
                sftp.remove(f"/outbox/{names[0]}"),
                sftp.rename(f"/outbox/{names[0]}", "/outbox/x"),
                sftp.open("/etc/passwd", "rb"),
                sftp.open("/outbox/../outbox.version", "rb"),
            ):
                try:
                    await attempt
                except asyncssh.SFTPError as error:
                    refused.append(type(error))
            with pytest.raises(asyncssh.Error):
                await connection.run("id", check=True)
            return names, refused

    names, refused = asyncio.run(look())
    assert {name for name in names if "20260303" in name} == {
        f"{STEM}_20260303_{scope}.{kind}" for scope in ("full", "delta") for kind in ("csv.gz", "ctl")
    }
    assert refused == [asyncssh.SFTPPermissionDenied] * 3 + [asyncssh.SFTPNoSuchFile] * 2


def test_a_drop_makes_no_files_for_past_nights(tmp_path: Path) -> None:
    with served("sftp-drop", tmp_path, retries=0) as agency:
        agency.night(5)
        consumed(fetch(agency.request()))
        with pytest.raises(SourceUnavailable, match="not there yet"):
            consumed(fetch(agency.request(day=date(2026, 3, 3))))
        assert consumed(fetch(agency.request(day=date(2026, 3, 1))))[1].as_of_date == date(2026, 3, 1)


@pytest.mark.parametrize(
    "statement",
    [
        "SET default_transaction_read_only = off; CREATE TABLE t (a int)",
        "SET default_transaction_read_only = off; CREATE TEMP TABLE t (a int)",
        "SET default_transaction_read_only = off; DELETE FROM v_sixth",
        "SELECT * FROM t_sixth_a",
        "SELECT * FROM t_sixth_b",
        "SELECT lo_create(4711)",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
def test_the_exchange_role_may_only_read_its_views(agencies: Agencies, statement: str) -> None:
    agency = agencies("exchange-database")
    access = agency.agency.access
    connection = psycopg2.connect(
        host="127.0.0.1", port=access.port, user=access.username, password=access.secret, dbname=endpoints.DATABASE
    )
    try:
        with pytest.raises(psycopg2.Error) as raised, connection.cursor() as cursor:
            cursor.execute(statement)
        assert raised.value.pgcode in ("42501", "25006", "42P01")
    finally:
        connection.close()


def _reading(agency: Served) -> tuple[psycopg2.extensions.connection, str]:
    """A session in the midst of reading the view."""
    access = agency.agency.access
    connection = psycopg2.connect(
        host="127.0.0.1", port=access.port, user=access.username, password=access.secret, dbname=endpoints.DATABASE
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {endpoints.view_name(agency.agency.contract.stem)}")
    return connection, f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{access.username}'"


def test_a_reader_whose_line_broke_is_not_left_behind(agencies: Agencies) -> None:
    agency = agencies("exchange-database")
    broken, count = _reading(agency)
    # What the system does for a process that is killed with unread answers: the line is reset, not closed.
    with socket.socket(fileno=os.dup(broken.fileno())) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), broken.fileno())
    other, _ = _reading(agency)
    with other.cursor() as cursor:
        ends_at = time.monotonic() + 20
        while cursor.execute(count) or cursor.fetchone() != (1,):
            assert time.monotonic() < ends_at, "the session of the broken line is still there"
            other.rollback()
            time.sleep(0.05)
    other.close()


def test_the_next_push_does_not_wait_for_a_reader_that_stopped(agencies: Agencies) -> None:
    agency = agencies("exchange-database")
    stopped, _ = _reading(agency)
    agency.night(4)
    assert consumed(fetch(agency.request()))[1].as_of_date == agency.request().business_date
    with pytest.raises(psycopg2.OperationalError), stopped.cursor() as cursor:
        cursor.execute("SELECT 1")
    stopped.close()


def test_the_zip_opens_with_its_password_alone(agencies: Agencies) -> None:
    agency = agencies("zip-basic")
    data = consumed(fetch(agency.request()))[0][0][1]
    with pyzipper.AESZipFile(io.BytesIO(data)) as archive:
        (entry,) = archive.infolist()
        assert entry.filename.endswith(".xlsx")
        with pytest.raises(RuntimeError):
            archive.read(entry)
        archive.setpassword(agency.endpoint.extra["zip_password"].encode())
        assert archive.read(entry).startswith(b"PK")


def test_a_monthly_agency_offers_its_last_due_day(tmp_path: Path) -> None:
    with served("zip-basic", tmp_path, schedule="0 2 4 * *") as agency:
        assert consumed(fetch(agency.request()))[1].as_of_date == date(2026, 3, 1)
        agency.night(9)
        assert consumed(fetch(agency.request()))[1].as_of_date == date(2026, 3, 4)


def test_basic_authentication_is_checked(agencies: Agencies) -> None:
    agency = agencies("zip-basic")
    guess = base64.b64encode(f"{agency.agency.access.username}:guess".encode()).decode()
    for header in ("", "Basic !", f"Basic {guess}", f"Bearer {guess}"):
        answer = requests.get(f"{agency.endpoint.url}/files/latest.zip", headers={"Authorization": header}, timeout=5)
        assert answer.status_code == 401


def test_ports_and_secrets_are_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    contract = contract_of("signed-gateway")
    first = endpoints.provision("one", settings, contract=contract)
    assert endpoints.provision("one", settings, contract=contract) == first
    assert endpoints.provision("two", settings, contract=contract).port != first.port
    for folder in ("sandbox/endpoints", "sources"):
        assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / folder).glob("*.json")} == {"0o600"}
    assert first.secret not in repr(first)


def test_a_protocol_nobody_speaks_is_a_wrong_contract(tmp_path: Path) -> None:
    contract = contract_of("zip-basic")
    contract = replace(contract, delivery=replace(contract.delivery, protocol="pigeon"))
    with pytest.raises(ConfigError, match="pigeon"):
        endpoints.provision(STEM, settings_in(tmp_path), contract=contract)


def test_a_fault_the_protocol_cannot_have_is_refused() -> None:
    assert check(contract_of("sftp-drop"), "control_missing") is FAULTS["control_missing"]
    for name in ("token_expires", "no_such_fault"):
        with pytest.raises(ConfigError, match=name):
            check(contract_of("sftp-drop"), name)


def test_a_fault_strikes_as_often_as_the_switch_says(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    switches = Switches(path)
    assert not switches.strikes("page_repeated")
    path.write_text('["server_error_burst", {"fault": "page_repeated", "times": 1}]', encoding="utf-8")
    assert [switches.strikes("server_error_burst") for _ in range(4)] == [True, True, True, False]
    assert [switches.strikes("page_repeated") for _ in range(2)] == [True, False]
    path.unlink()
    assert not switches.is_on("server_error_burst")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with served("rest-oauth", tmp_path), pytest.raises(ServiceError, match="is taken"), served("rest-oauth", tmp_path):
        pass


def prepared(agency: Served) -> bool:
    """Whether it is, within ten seconds."""
    ends_at = time.monotonic() + 10
    while not (done := is_prepared(STEM, agency.settings)) and time.monotonic() < ends_at:
        time.sleep(0.02)
    return done


@pytest.mark.parametrize("protocol", ["rest-oauth", "sftp-drop"])
def test_an_agency_says_when_it_has_the_stock_of_the_night(tmp_path: Path, protocol: str) -> None:
    held_up = threading.Event()
    with served(protocol, tmp_path, held_up=held_up) as agency:
        assert is_prepared(STEM, agency.settings)
        agency.night(2)
        assert not is_prepared(STEM, agency.settings)
        held_up.set()
        assert prepared(agency)
        clock.set_night(agency.settings, 9, still_since=2)
        assert not is_prepared(STEM, agency.settings)
        assert prepared(agency)
        clock.set_night(agency.settings, 9)  # the same night, but the county has not stood still
        assert not is_prepared(STEM, agency.settings)
        assert prepared(agency)
    assert not is_prepared(STEM, agency.settings)


def test_nobody_waits_for_an_agency_that_cannot_make_its_stock(tmp_path: Path) -> None:
    def broken(*_: Any) -> Any:
        raise ConfigError("no county")

    with served("rest-oauth", tmp_path) as agency:
        agency.agency.stock._snapshot = broken
        agency.night(2)
        assert prepared(agency)


def test_an_agency_is_a_process_that_ends_in_order(tmp_path: Path) -> None:
    environment = {**os.environ, "HUB_HOME": str(tmp_path), "HUB_SANDBOX_PERSONS": "200"}
    settings = settings_in(tmp_path)
    process = subprocess.Popen([sys.executable, "-m", "sandbox.servers", "health"], env=environment)
    try:
        for _ in range(600):
            if is_ready("health", settings) or process.poll() is not None:
                break
            time.sleep(0.05)
        assert is_ready("health", settings)
        port = endpoints.load_access("health", settings).port
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=5).json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not is_ready("health", settings)
    finally:
        process.kill()
        process.wait()


def test_an_unknown_agency_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    environment = {**os.environ, "HUB_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "sandbox.servers", "seventh"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "seventh" in done.stderr
    assert "Traceback" not in done.stderr
