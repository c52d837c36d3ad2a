"""An agency behind a signed gateway: HMAC-SHA256 headers, a clock check, no signature twice, errors as HTTP 200."""

import base64
import hashlib
import hmac
import threading
from collections import OrderedDict
from datetime import date
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from sandbox.servers.agency import Agency
from sandbox.servers.http import HttpBackend, HttpFaults, bare_application, unknown
from sandbox.servers.paging import Slice, page, wrap
from schemas.contract import Scope

_PREFIX = "gjzwfwpt_"
_SKEW_MS = 600_000
_SEEN = 100_000


def _error(code: str, message: str) -> bytes:
    return orjson.dumps({"code": code, "message": message, "data": None})


class _Gate:
    """Checks signatures; remembers those it has seen while their time is valid."""

    def __init__(self, agency: Agency) -> None:
        self._agency = agency
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def refusal(self, sid_in_path: str, headers: dict[str, str]) -> bytes | None:
        """The error for a call that is not let in; None for one that is."""
        rid, sid, rtime, sign = (headers.get(_PREFIX + name, "") for name in ("rid", "sid", "rtime", "sign"))
        access, switches = self._agency.access, self._agency.switches
        if switches.strikes("refuse") or not self._agency.is_username(rid) or sid != access.extra["sid"] or sid_in_path != sid:
            return _error("api-403", "未授权的服务")
        expected = hmac.new(access.secret.encode(), (sid + rid + rtime).encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(base64.b64encode(expected), sign.encode()):
            return _error("api-401", "签名错误")
        if not rtime.isdigit() or abs(switches.now() * 1000 - int(rtime)) > _SKEW_MS:
            switches.strikes("clock_wrong")
            return _error("api-402", "请求时间超出允许范围")
        with self._lock:
            if sign in self._seen:
                return _error("api-405", "重复请求")
            self._seen[sign] = None
            while len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
        if switches.strikes("rate_limited"):
            return _error("api-429", "调用过于频繁")
        return None


def _answer(agency: Agency, body: bytes) -> bytes:
    """The page a call asks for, or an error."""
    contract = agency.contract
    try:
        query: dict[str, Any] = orjson.loads(body)
        scope = Scope(query.get("scope", "full"))
        since = date.fromisoformat(query["since"]) if "since" in query else None
        number, size = query["pageno"], query["pagesize"]
    except (orjson.JSONDecodeError, ValueError, TypeError, KeyError, AttributeError):
        return _error("api-400", "请求体格式错误")
    if complaint := unknown(set(query), {"scope", "since", "pageno", "pagesize"}):
        return _error("api-400", complaint)
    largest = contract.delivery.page_size
    if not (isinstance(number, int) and isinstance(size, int) and number >= 1 and 1 <= size <= largest):
        return _error("api-400", f"pageno从1起, pagesize 1-{largest}")
    if scope not in contract.delivery.scopes or (scope is Scope.DELTA) != (since is not None):
        return _error("api-400", "scope或since不合法")
    stock = agency.stock.tonight()
    if stock is None:
        return _error("api-503", "系统维护中")
    rows = agency.stock.select(stock, scope, since)
    beside = {"pageno": number, "asof": stock.as_of.isoformat()}

    def make(total: int, rows: bytes) -> bytes:
        path = contract.delivery.records_path or "data.records"
        return wrap(path, {"total": total, **beside}, rows, {"code": 200, "message": "ok"})

    return page(rows, Slice((number - 1) * size, size), agency.switches, make)


def application(agency: Agency) -> FastAPI:
    """The agency's web application."""
    app = bare_application()
    gate = _Gate(agency)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/sysapi/{sid}")
    async def call(sid: str, request: Request) -> Response:
        body = await request.body()
        answer = gate.refusal(sid, dict(request.headers)) or await run_in_threadpool(_answer, agency, body)
        return Response(answer, media_type="application/json;charset=UTF-8")

    return app


def backend(agency: Agency) -> HttpBackend:
    """The agency's server."""
    error = _error("300", "系统异常")
    app = HttpFaults(application(agency), agency.switches, error_body=error, answers_200=True)
    return HttpBackend(app, lambda: _warm(agency))


def _warm(agency: Agency) -> None:
    agency.stock.tonight()
