"""A notice on its way: a signature others can verify, and addresses nothing is sent to."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from hub.settings import Settings
from sharing import webhook
from sharing.client import NotFromTheHub, verified
from sharing.dispatch import wait

BODY = '{"type":"person.changed","data":{"ref":"行 17"}}'.encode()
ID = "019d4657-1c00-7d7c-88d5-5d7c0d1a9f00"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, sharing_loopback_receivers=True)  # type: ignore[call-arg]


@contextmanager
def receiver(status: int = 204, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A receiver that answers everything in one way; its address, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", asked
        server.shutdown()


def signed(settings: Settings, stamp: int) -> tuple[str, dict[str, str]]:
    secret = webhook.secret(settings, ID)
    return secret, {"webhook-id": ID, "webhook-timestamp": str(stamp), "webhook-signature": webhook.signature([secret], ID, stamp, BODY)}


def test_a_signature_is_verified_by_the_library_of_the_standard_and_by_the_departments_client(settings):
    secret, headers = signed(settings, int(time.time()))
    assert Webhook(secret).verify(BODY, headers)["type"] == "person.changed"
    assert verified(secret, headers, BODY)["data"]["ref"] == "行 17"


def test_a_secret_is_a_subscriptions_own_and_the_same_after_a_restart(settings):
    assert webhook.secret(settings, ID) == webhook.secret(Settings(home=settings.home), ID) != webhook.secret(settings, ID[:-1] + "1")


def rotated(settings: Settings, number: int, former_until: datetime | None) -> dict[str, str]:
    """Headers of a notice that is sent now, of a subscription whose secret was given anew."""
    row = {"subscription_id": ID, "secret_number": number, "former_secret_until": former_until}
    stamp = int(time.time())
    signatures = webhook.signature(webhook.secrets_in_force(settings, row, datetime.now(UTC)), ID, stamp, BODY)
    return {"webhook-id": ID, "webhook-timestamp": str(stamp), "webhook-signature": signatures}


def test_while_a_secret_is_rotated_a_notice_is_verified_by_the_new_one_and_by_the_former_by_both(settings):
    first, second, third = (webhook.secret(settings, ID, n) for n in range(3))
    assert len({first, second, third}) == 3
    headers = rotated(settings, 2, datetime.now(UTC) + timedelta(hours=1))
    for key in (second, third):
        assert Webhook(key).verify(BODY, headers)["type"] == "person.changed"
        assert verified(key, headers, BODY)["type"] == "person.changed"
    with pytest.raises(NotFromTheHub):
        verified(first, headers, BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(BODY, headers)


@pytest.mark.parametrize("former_until", [None, datetime.now(UTC) - timedelta(seconds=1)])
def test_once_its_time_is_over_the_former_secret_verifies_nothing(settings, former_until):
    headers = rotated(settings, 1, former_until)
    assert verified(webhook.secret(settings, ID, 1), headers, BODY)
    with pytest.raises(NotFromTheHub):
        verified(webhook.secret(settings, ID), headers, BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook.secret(settings, ID)).verify(BODY, headers)


def test_an_altered_old_or_foreign_notice_is_refused_by_both(settings):
    secret, headers = signed(settings, int(time.time()))
    _, late = signed(settings, int(time.time()) - 3600)
    foreign = webhook.secret(settings, ID[:-1] + "1")
    for key, with_headers, body in (
        (secret, headers, BODY + b" "),
        (secret, late, BODY),
        (foreign, headers, BODY),
        (secret, {**headers, "webhook-id": "another"}, BODY),
        (secret, {k: v for k, v in headers.items() if k != "webhook-timestamp"}, BODY),
    ):
        with pytest.raises(NotFromTheHub):
            verified(key, with_headers, body)
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, with_headers)


@pytest.mark.parametrize(
    "address",
    ["http://desk.example/x", "https://me:word@desk.example/x", "ftp://desk.example/x", "https:///x", "https://desk.example/x#y", "https://desk.example:99999/",
     "https://desk example/", "https://desk.example\\@other/", "file:///etc/passwd", "https://d.example/" + "x" * 500, "http://127.0.0.1/x", "行", "https://0177.0.0.1/"],
)  # fmt: skip
def test_an_address_that_is_not_plain_https_is_none_notices_are_sent_to(tmp_path, address):
    assert not webhook.is_sound(address, Settings(home=tmp_path))
    assert webhook.is_sound("https://desk.example:8443/notices?desk=7", Settings(home=tmp_path))


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("desk.example", True), ("DESK.example", True), ("desk.example.", True), ("a.gov.example", True), ("b.a.gov.example", True), ("gov.example", False),
     ("evilgov.example", False), ("desk.example.evil.example", False), ("evil.desk.example", False), ("10.1.2.3", False), ("a.gov.example@evil.example", False)],
)  # fmt: skip
def test_where_receivers_are_listed_nothing_is_sent_to_another(tmp_path, monkeypatch, host, is_one):
    """A list that is made shorter holds for subscriptions that are there: each sending looks at it."""
    listed = Settings(home=tmp_path, sharing_receivers="desk.example .gov.example")  # type: ignore[call-arg]
    called: list[object] = []

    async def resolved(*_: object, **__: object) -> list[object]:
        return [(None, None, None, "", ("10.1.2.3", 443))]

    def stream(_client: object, _method: str, url: object, **_more: object) -> None:
        called.append(url)
        raise OSError

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolved)
    monkeypatch.setattr("httpx.AsyncClient.stream", stream)
    assert webhook.is_sound(f"https://{host}/notices", listed) is is_one
    assert asyncio.run(webhook.send(listed, f"https://{host}/notices", {}, BODY)).fault == ("not reached" if is_one else "address refused")
    assert len(called) == is_one


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "240.0.0.1",
        "0.1.2.3",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "64:ff9b::7f00:1",
        "::7f00:1",
        "2002:7f00:1::1",
        "2001:0:1::1",
    ],
)
def test_a_name_that_leads_to_this_machine_or_to_its_keeper_is_not_called(tmp_path, monkeypatch, place):
    called = []

    async def resolved(*_: object, **__: object) -> list[object]:
        return [(None, None, None, "", ("10.1.2.3", 443)), (None, None, None, "", (place, 443))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolved)
    monkeypatch.setattr("httpx.AsyncClient.stream", lambda *a, **k: called.append(a))
    found = asyncio.run(webhook.send(Settings(home=tmp_path), "https://desk.example/x", {}, BODY))
    assert (found.is_taken, found.fault, called) == (False, "address refused", [])


def test_an_address_of_this_machine_on_its_network_is_not_called_either(tmp_path, monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # nothing is sent
        own = asking.getsockname()[0]
    assert not own.startswith("127."), "a machine without a network cannot be tried"
    with socket.create_server((own, 0)) as listener:
        listener.settimeout(0.1)
        found = asyncio.run(webhook.send(Settings(home=tmp_path), f"https://{own}:{listener.getsockname()[1]}/", {}, BODY))
        with pytest.raises(TimeoutError):
            listener.accept()
    assert (found.is_taken, found.fault) == (False, "address refused")


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "localhost", "0", "127.0.0.1.", "LOCALHOST"]
)  # fmt: skip
def test_this_machine_is_not_called_however_its_address_is_written(tmp_path, host):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        found = asyncio.run(webhook.send(Settings(home=tmp_path), f"https://{host}:{listener.getsockname()[1]}/", {}, BODY))
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not found.is_taken and found.fault in ("address refused", "name unknown"), (
        "nothing is raised: other receivers must not wait for it"
    )


def test_a_name_that_turns_to_this_machine_once_it_was_looked_at_leads_nowhere(tmp_path, monkeypatch):
    """DNS rebinding: an innocent address is shown to whoever looks first, this machine's to whoever looks next."""
    monkeypatch.setattr(webhook, "_TIMEOUT_S", 0.3)
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.settimeout(0.1)

        def resolved(host: str, *_: object, **__: object) -> list[object]:
            if host == "rebinding.example":
                asked.append(host)
            place = "192.0.2.1" if len(asked) < 2 and host == "rebinding.example" else host if host[0].isdigit() else "127.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        found = asyncio.run(webhook.send(Settings(home=tmp_path), f"https://rebinding.example:{port}/", {}, BODY))
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not found.is_taken and asked == ["rebinding.example"], "it is looked up once, and that very address is called"


def test_the_very_address_that_was_looked_at_is_called_under_the_hosts_own_name(tmp_path, monkeypatch):
    """A name that means another place a moment later leads nowhere else."""
    called = {}

    async def resolved(*_: object, **__: object) -> list[object]:
        return [(None, None, None, "", ("10.1.2.3", 443))]

    def stream(_client: object, _method: str, url: object, **more: object) -> None:
        called.update(more, url=str(url))
        raise OSError

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolved)
    monkeypatch.setattr("httpx.AsyncClient.stream", stream)
    assert asyncio.run(webhook.send(Settings(home=tmp_path), "https://desk.example:8443/x?y=1", {}, BODY)).is_down
    assert called["url"] == "https://10.1.2.3:8443/x?y=1"
    assert called["headers"]["Host"] == "desk.example:8443" and called["extensions"] == {"sni_hostname": "desk.example"}


def test_a_redirect_is_an_answer_and_is_not_followed(settings):
    with receiver() as (elsewhere, led), receiver(302, Location=elsewhere) as (address, asked):
        found = asyncio.run(webhook.send(settings, address, {}, BODY))
    assert (found.is_taken, found.status, asked, led) == (False, 302, ["/hook"], [])


def test_a_receiver_that_is_busy_says_how_long_it_wants_to_be_left_alone(settings):
    with receiver(503, Retry_After="120") as (address, _):
        found = asyncio.run(webhook.send(settings, address, {}, BODY))
    assert (found.is_down, found.retry_after_s) == (True, 120)


def test_one_that_never_answers_is_given_up(settings, monkeypatch):
    monkeypatch.setattr(webhook, "_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = asyncio.run(webhook.send(settings, f"http://127.0.0.1:{silent.getsockname()[1]}/", {}, BODY))
    assert (found.is_down, found.fault) == (True, "timed out")


def test_waiting_doubles_up_to_an_hour_and_chance_takes_away_at_most_half_of_it():
    longest = [wait(n, 1.0) for n in range(1, 40)]
    assert longest[:3] == [timedelta(seconds=s) for s in (5, 10, 20)]
    assert longest == sorted(longest) and longest[-1] == timedelta(hours=1)
    assert all(wait(n, 0.0) == whole / 2 for n, whole in enumerate(longest, start=1))
