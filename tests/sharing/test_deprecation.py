"""What is to leave the interface says so itself, a year ahead at least: in every answer, and on the page."""

import json
import warnings
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from fastapi.testclient import TestClient

from hub.errors import ConfigError
from hub.settings import CHECKOUT, Settings
from sharing import deprecation
from sharing.app import create
from sharing.client import Hub
from sharing.deprecation import Deprecation

SETTINGS = Settings(home=Path("/nonexistent"))  # type: ignore[call-arg]
INSTEAD = {"zh": "改用 /v2/problems", "en": "use /v2/problems"}
DATES = {"since": date(2027, 1, 1), "until": date(2028, 1, 1), "instead": INSTEAD}
ONE, MEMBER = (Deprecation.model_validate({"what": what, **DATES}) for what in ("GET /problems/{code}", "Recall.changed"))


def app(*deprecations: Deprecation) -> TestClient:
    return TestClient(create(SETTINGS, "http://hub.test", deprecations))


def test_every_answer_of_an_operation_that_leaves_says_since_when_and_until_when_and_no_other_does() -> None:
    http = app(ONE)
    for path, status in (("/problems/not-found", 200), ("/problems/no-such", 404), (f"/problems/{'x' * 80}", 400)):
        answer = http.get(path)
        assert answer.status_code == status
        since = datetime.fromtimestamp(int(answer.headers["deprecation"].removeprefix("@")), UTC)
        until = parsedate_to_datetime(answer.headers["sunset"])
        assert (since, until) == (datetime(2026, 12, 31, 16, tzinfo=UTC), datetime(2027, 12, 31, 16, tzinfo=UTC)), "days of China"
        assert answer.headers["sunset"] == "Fri, 31 Dec 2027 16:00:00 GMT"
        assert answer.headers["link"] == '</openapi.json>; rel="deprecation"; type="application/json"'
    for path in ("/problems", "/nothing", "/openapi.json"):
        assert not {"deprecation", "sunset", "link"} & http.get(path).headers.keys()
    assert "deprecation" not in http.post("/problems/not-found").headers, "another operation of that path"
    assert "deprecation" not in app().get("/problems/not-found").headers


def test_the_page_marks_operation_and_member_and_says_what_to_use_instead() -> None:
    page = app(ONE, MEMBER).get("/openapi.json").json()
    operation, member = page["paths"]["/problems/{code}"]["get"], page["components"]["schemas"]["Recall"]["properties"]["changed"]
    for found in (operation, member):
        assert found["deprecated"] is True
        assert all(words in found["description"] for words in ("2027-01-01", "2028-01-01", *INSTEAD.values()))
    assert all({"Deprecation", "Sunset"} <= r["headers"].keys() for r in operation["responses"].values())
    assert {"Deprecation", "Sunset"} <= page["components"]["headers"].keys()
    assert "deprecated" not in page["paths"]["/problems"]["get"]


class _Leaving(BaseHTTPRequestHandler):
    """A service whose catalogue is to leave."""

    def _answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in ONE.headers if self.path == "/v1/catalogue" else ():
            self.send_header(name.decode(), value.decode())
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"access_token": "t", "expires_in": 300})

    def log_message(self, *_: object) -> None:
        """Nothing is written down."""


def test_the_client_warns_the_program_that_uses_it() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Leaving)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        desk = Hub(f"http://127.0.0.1:{server.server_port}", "my-desk", "secret")
        with pytest.warns(DeprecationWarning, match="Fri, 31 Dec 2027 16:00:00 GMT"):
            assert desk.catalogue() == {}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert desk.receipt("r-1") == {}
    finally:
        server.shutdown()
        server.server_close()


def test_what_is_not_there_or_would_go_before_its_year_is_over_is_refused(tmp_path: Path) -> None:
    for what in ("GET /v1/nothing", "POST /problems/{code}", "Recall.nothing", "Nothing.changed"):
        with pytest.raises(ConfigError, match="no such operation"):
            app(Deprecation.model_validate({"what": what, **DATES}))
    for wrong in ({"until": date(2027, 12, 31)}, {"until": date(2026, 1, 1)}, {"what": "PATCH /x"}, {"instead": "nothing"}, {"more": 1}):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.yml"
        file.write_text(yaml.safe_dump([{"what": "GET /problems", **DATES, **wrong}]), encoding="utf-8")
        with pytest.raises(ConfigError):
            deprecation.table(file)
    assert deprecation.LEAST.days == 365


def test_what_the_table_names_is_on_the_page_and_told_in_the_changelog() -> None:
    page, told = create(SETTINGS, "http://hub.test").openapi(), (CHECKOUT / "docs" / "changelog.md").read_text(encoding="utf-8")
    marked = {f"{m.upper()} {path}" for path, methods in page["paths"].items() for m, o in methods.items() if o.get("deprecated")}
    assert marked == {d.what for d in deprecation.table() if " " in d.what}
    assert [d.what for d in deprecation.table() if f"`{d.what}`" not in told] == []
