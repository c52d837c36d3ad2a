"""An agency behind REST: OAuth 2.0 client credentials, tokens that end mid-run, cursor pages, a rate limit."""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import date

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from sandbox.servers.agency import Agency
from sandbox.servers.http import HttpBackend, HttpFaults, bare_application, unknown
from sandbox.servers.paging import Slice, page, wrap
from schemas.contract import Scope

_TOKEN_PATH = "/oauth2/token"
_TOKEN_LIFE_S = 120
_TOKEN_CALLS = 3
_CALLS_A_SECOND = 50.0
_BURST = 100.0


@dataclass
class _Token:
    ends_at: float
    calls_left: int


class _Tokens:
    """Tokens in force; each ends after some seconds or calls, whichever is first."""

    def __init__(self, agency: Agency) -> None:
        self._agency = agency
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def issue(self) -> tuple[str, int]:
        life_s = int(self._agency.access.extra.get("token_life_s", _TOKEN_LIFE_S))
        calls = int(self._agency.access.extra.get("token_calls", _TOKEN_CALLS))
        if self._agency.switches.strikes("token_expires"):
            calls = 1
        value = secrets.token_urlsafe(32)
        with self._lock:
            now = time.monotonic()
            self._tokens = {v: t for v, t in self._tokens.items() if t.ends_at > now and t.calls_left > 0}
            self._tokens[value] = _Token(now + life_s, calls)
        return value, life_s

    def accepts(self, header: str) -> bool:
        kind, _, value = header.partition(" ")
        with self._lock:
            token = self._tokens.get(value) if kind == "Bearer" else None
            if token is None or token.ends_at <= time.monotonic() or token.calls_left <= 0:
                return False
            token.calls_left -= 1
        return not self._agency.switches.strikes("unauthorized_once")


class _Bucket:
    """A token bucket: so many calls a second, with a burst."""

    def __init__(self) -> None:
        self._level = _BURST
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def takes(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._level = min(_BURST, self._level + (now - self._at) * _CALLS_A_SECOND)
            self._at = now
            if self._level < 1:
                return False
            self._level -= 1
            return True


def _error(status: int, code: int, message: str, **headers: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message, "data": None}, status, {k.replace("_", "-"): v for k, v in headers.items()})


class _Records:
    """The records interface: checks a call strictly, then cuts a page."""

    def __init__(self, agency: Agency) -> None:
        self._agency = agency
        self._key = secrets.token_bytes(16)

    def _cursor(self, version: str, scope: Scope, since: date | None, first: int) -> str:
        state = f"{version}|{scope}|{since or ''}|{first}".encode()
        seal = hmac.new(self._key, state, hashlib.sha256).digest()[:9]
        return base64.urlsafe_b64encode(seal + state).decode()

    def _first(self, cursor: str, version: str, scope: Scope, since: date | None) -> int | None:
        """The row a cursor stands at; -1 when the stock has moved on; None when it is not one of this agency's."""
        try:
            raw = base64.urlsafe_b64decode(cursor.encode())
            seal, state = raw[:9], raw[9:]
            if not hmac.compare_digest(seal, hmac.new(self._key, state, hashlib.sha256).digest()[:9]):
                return None
            was, of, after, first = state.decode().split("|")
        except (binascii.Error, ValueError):
            return None
        if (of, after) != (scope.value, str(since or "")):
            return None
        return int(first) if was == version else -1

    def answer(self, query: dict[str, str]) -> Response:
        contract = self._agency.contract
        if complaint := unknown(set(query), {"scope", "since", "limit", "cursor"}):
            return _error(400, 10008, complaint)
        try:
            scope = Scope(query.get("scope", "full"))
            since = date.fromisoformat(query["since"]) if "since" in query else None
            limit = int(query.get("limit", "1000"))
        except ValueError:
            return _error(400, 10008, "参数格式错误")
        largest = contract.delivery.page_size
        if scope not in contract.delivery.scopes or (scope is Scope.DELTA) != (since is not None) or not 1 <= limit <= largest:
            return _error(400, 10008, f"参数不合法; limit 1-{largest}")
        stock = self._agency.stock.tonight()
        if stock is None:
            return _error(503, 10006, "系统维护中")
        first = self._first(query["cursor"], stock.version, scope, since) if "cursor" in query else 0
        if first is None:
            return _error(400, 10008, "游标无效")
        if first < 0:
            return _error(410, 10009, "游标已过期")
        rows = self._agency.stock.select(stock, scope, since)
        following = self._cursor(stock.version, scope, since, first + limit) if first + limit < rows.height else None
        beside = {"asOf": stock.as_of.isoformat(), "cursor": query.get("cursor"), "nextCursor": following}

        def make(total: int, rows: bytes) -> bytes:
            path = contract.delivery.records_path or "data.records"
            return wrap(path, {"total": total, **beside}, rows, {"code": 0, "message": "ok"})

        return Response(page(rows, Slice(first, limit), self._agency.switches, make), media_type="application/json")


def application(agency: Agency) -> FastAPI:
    """The agency's web application."""
    app = bare_application()
    tokens, bucket, records = _Tokens(agency), _Bucket(), _Records(agency)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post(_TOKEN_PATH)
    async def token(request: Request) -> Response:
        form = (await request.body()).decode("ascii", "replace")
        kind, _, basic = request.headers.get("authorization", "").partition(" ")
        try:
            username, _, secret = base64.b64decode(basic, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            username = secret = ""
        if "grant_type=client_credentials" not in form.split("&"):
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        if kind != "Basic" or not (agency.is_username(username) and agency.is_secret(secret)):
            return JSONResponse({"error": "invalid_client"}, 401, {"WWW-Authenticate": "Basic"})
        value, life_s = tokens.issue()
        return JSONResponse({"access_token": value, "token_type": "Bearer", "expires_in": life_s}, headers={"Cache-Control": "no-store"})

    @app.get("/api/v1/records")
    def read(request: Request) -> Response:
        if not bucket.takes():
            return _error(429, 10004, "调用超过配额", Retry_After="1")
        if not tokens.accepts(request.headers.get("authorization", "")):
            return _error(401, 10002, "令牌无效或已过期", WWW_Authenticate="Bearer")
        return records.answer(dict(request.query_params))

    return app


def backend(agency: Agency) -> HttpBackend:
    """The agency's server."""
    return HttpBackend(HttpFaults(application(agency), agency.switches, spared=_TOKEN_PATH), lambda: _warm(agency))


def _warm(agency: Agency) -> None:
    agency.stock.tonight()
