"""Joints of the kits that need no agency, or a stranger one than ours."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

import connectors
from connectors.delivery import Fetched, FetchRequest, Manifest
from connectors.kits import zip_download
from connectors.kits.patience import Busy, Patience
from connectors.kits.sftp import key_values
from connectors.kits.signed_gateway import signature
from hub.errors import ConfigError, SourceUnavailable
from hub.settings import Endpoint
from schemas.contract import Scope, Timeouts, stems
from tests.served import consumed, contract_of

ROOM = Path(connectors.__file__).parent
FILE = b"PK" + bytes(range(256)) * 400


class _BreaksOff(BaseHTTPRequestHandler):
    """Sends half of what is left, then drops the line, until little is left."""

    def do_GET(self) -> None:
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if first else 200)
        self.send_header("ETag", '"one"')
        self.send_header("X-As-Of", "2026-03-01")
        self.send_header("X-Content-SHA256", hashlib.sha256(FILE).hexdigest())
        self.send_header("Content-Length", str(len(FILE) - first))
        self.end_headers()
        rest = FILE[first:]
        self.wfile.write(rest if len(rest) < 30_000 else rest[: len(rest) // 2])
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def listening() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _BreaksOff)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def request_to(url: str, **extra: object) -> FetchRequest:
    endpoint = Endpoint(url=url, username="u", secret=SecretStr("s"), extra={"backoff_s": 0.01, **extra})
    return FetchRequest(contract_of("zip-basic"), endpoint, date(2026, 3, 1), Scope.FULL, None)


def test_a_download_that_breaks_off_goes_on_where_it_stopped() -> None:
    with listening() as url:
        parts, manifest = consumed(Fetched(zip_download.stream(request_to(url))))
    assert parts == [("snapshot.zip", FILE)]
    assert manifest == Manifest(Scope.FULL, date(2026, 3, 1), None, hashlib.sha256(FILE).hexdigest())


def test_a_name_that_does_not_resolve_is_an_unavailable_source() -> None:
    with pytest.raises(SourceUnavailable):
        consumed(Fetched(zip_download.stream(request_to("http://agency.invalid:8080"))))


def test_the_signature_is_the_published_one() -> None:
    # Computed once with openssl: printf 'sidrid1' | openssl dgst -sha256 -hmac key -binary | base64
    assert signature("key", "sid", "rid", "1") == "YBMNVdr1K7bodfHyj/ug0FKDaZ34VvpMIwS8lgysf2E="


def test_a_control_file_of_lines_is_read_by_name() -> None:
    assert key_values("rows = 12\r\nSHA256=ab\n\n# note\n") == {"rows": "12", "sha256": "ab"}


def test_a_pause_the_agency_asks_for_is_kept_and_not_counted_as_a_failure() -> None:
    patience = Patience("here", Timeouts(1, 1, 1, 30), retries=0, backoff_s=0)
    calls = 0
    for attempt in patience.attempts():
        with attempt:
            calls += 1
            if calls < 3:
                raise Busy("later", where="here", pause_s=0.01)
    assert calls == 3


def test_a_pause_beyond_the_time_left_is_not_waited_for() -> None:
    patience = Patience("here", Timeouts(1, 1, 1, 30), retries=9, backoff_s=0)
    with pytest.raises(Busy):
        for attempt in patience.attempts():
            with attempt:
                raise Busy("tomorrow", where="here", pause_s=86_400)


def test_an_unknown_source_has_no_connector() -> None:
    with pytest.raises(ConfigError, match="no connector"):
        connectors.load("seventh")


@pytest.mark.parametrize("stem", stems())
def test_each_contract_has_a_connector_of_at_most_80_lines(stem: str) -> None:
    assert callable(connectors.load(stem).fetch)
    assert len((ROOM / f"{stem}.py").read_text(encoding="utf-8").splitlines()) <= 80


def test_no_kit_names_an_agency() -> None:
    agencies = {path.stem for path in ROOM.glob("*.py")} - {"__init__", "delivery"}
    for kit in (ROOM / "kits").glob("*.py"):
        text = kit.read_text(encoding="utf-8")
        assert not [stem for stem in agencies if stem in text], kit.name
