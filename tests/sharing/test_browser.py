"""What a browser is let do with the service: nothing. There is no page, no cookie, no other origin that may read, and none that may show it."""

import re
from collections.abc import Iterator

import pytest

from tests import pages
from tests.sharing.conftest import Asker, Pool

pytestmark = pytest.mark.slow
EVIL = "https://evil.example"
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")


def answers(pool: Pool, headers: dict[str, str]) -> Iterator[tuple[str, str, object]]:
    """What every address answers to every method."""
    paths = [
        *pool.http.get("/openapi.json").json()["paths"],
        "/",
        "/docs",
        "/redoc",
        "/favicon.ico",
        "/robots.txt",
        "/openapi.json",
        "/nowhere",
    ]
    for path in paths:
        where = re.sub(r"\{[^}]+\}", "019d4657-1c00-7d7c-88d5-5d7c0d1a9f00", path)
        for method in METHODS:
            yield method, path, pool.http.request(method, where, headers=headers)


@pytest.fixture(scope="module", params=["nobody", "a client"])
def asked(request: pytest.FixtureRequest, pool: Pool, civil: Asker) -> list[tuple[str, str, object]]:
    """Everything, asked from a page of another origin, without a token and with one."""
    headers = {
        "Origin": EVIL,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
        "Cookie": "session=1",
    }
    found = list(answers(pool, headers if request.param == "nobody" else {**headers, **civil.headers}))
    assert len(found) > 300
    return found


def test_no_answer_sets_a_cookie(asked):
    assert [(m, p) for m, p, a in asked if "set-cookie" in a.headers] == []


def test_no_answer_lets_another_origin_read_it(asked):
    assert [(m, p) for m, p, a in asked if any(h.startswith("access-control-") for h in a.headers)] == []
    assert [(m, p) for m, p, a in asked if a.headers["cross-origin-resource-policy"] != "same-origin"] == []


def test_no_answer_may_be_shown_in_another_page_or_run_anything(asked):
    for method, path, answer in asked:
        assert answer.headers["content-security-policy"] == POLICY, (method, path)
        assert (answer.headers["x-frame-options"], answer.headers["x-content-type-options"]) == ("DENY", "nosniff"), (method, path)


def test_no_answer_is_a_page(asked):
    kinds = {a.headers["content-type"].split(";")[0] for _, _, a in asked if "content-type" in a.headers}
    assert kinds <= {"application/json", "application/problem+json", "application/x-ndjson", "text/plain"}, kinds
    assert [(m, p) for m, p, a in asked if b"<script" in a.content or b"<html" in a.content] == []


def test_no_address_answers_methods_it_has_not_and_none_gives_back_what_was_sent(asked):
    for method, path, answer in asked:
        if method in ("TRACE", "CONNECT", "PROPFIND", "OPTIONS", "HEAD", "PATCH"):
            assert answer.status_code in (404, 405) or (method, path) == ("HEAD", "/openapi.json"), (method, path)
        assert b"session=1" not in answer.content and EVIL.encode() not in answer.content, (method, path)


def test_a_cookie_is_no_proof_of_anybody(pool, civil):
    """A browser sends cookies by itself; nothing it sends by itself opens anything."""
    for cookie in (civil.token, f"access_token={civil.token}", f"Authorization=Bearer {civil.token}"):
        assert pool.http.get("/v1/catalogue", headers={"Cookie": cookie}).status_code == 401
    assert pool.http.get("/v1/catalogue", params={"access_token": civil.token}).status_code == 401, (
        "nor does an address that may be kept or handed on"
    )


def test_another_host_name_is_taken_over_into_no_answer(pool, civil):
    """Neither an address in an answer nor the audience of a token follows from what the request calls the host."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "X-Forwarded-Proto": "https"}
    for path in ("/.well-known/oauth-authorization-server", "/openapi.json", "/v1/catalogue", "/healthz", "/nowhere"):
        answer = pool.http.get(path, headers={**civil.headers, **headers})
        assert "evil.example" not in answer.text + str(answer.headers), path


@pytest.mark.parametrize(
    "page",
    [
        "<script>1</script>", '<p onclick="x">', '<img src="https://evil.example/x.png">', '<a href="javascript:x">', '<iframe src="/">',
        '<style>@import "x"</style>', '<p style="background: url(x)">', '<meta http-equiv="refresh" content="0">', '<form action="/">', "<base>",
    ],
)  # fmt: skip
def test_a_page_that_runs_or_fetches_something_would_be_found(page):
    good = f'<meta http-equiv="Content-Security-Policy" content="{pages.POLICY}"><p>x</p>'
    assert pages.faults(good) == [] and pages.faults(good + page) and pages.faults("<p>x</p>") == ["no policy"]
