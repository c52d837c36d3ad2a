"""A REST agency: OAuth 2.0 client credentials, cursor pages, rate limit. Strict, as the real ones are."""

import asyncio
import base64
import json
import secrets
import threading
from datetime import date
from typing import Annotated, Any

import orjson
import polars as pl
import uvicorn
from fastapi import FastAPI, Form, Header, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from hub.settings import Settings
from sandbox import agency, clock, faults, spoiling
from schemas.contract import Contract

# A token lives for so many pages, so that every larger pull sees one expire.
_TOKEN_PAGES = 7
_BURST = 3


class _Agency:
    """One agency's stock of the night and the state of its faults."""

    def __init__(self, contract: Contract, settings: Settings, endpoint: dict[str, Any]) -> None:
        self.contract, self.settings, self.endpoint = contract, settings, endpoint
        self.tokens: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self._stock: tuple[Any, pl.DataFrame] | None = None
        self._lock = threading.Lock()

    def faults(self) -> frozenset[str]:
        return faults.active(self.settings, self.contract.stem)

    def stock(self, since: date | None) -> tuple[date, pl.DataFrame]:
        """As-of date and rows of a scope."""
        night, on = clock.current_night(self.settings), self.faults()
        wanted = (night, since, on)
        with self._lock:
            if self._stock is None or self._stock[0] != wanted:
                frame = agency.snapshot(self.contract, night, self.settings)
                if since is not None:
                    frame = frame.filter(pl.col(agency.CHANGED) > clock.night_of(self.settings, since))
                self._stock = wanted, spoiling.spoil(frame.drop(agency.CHANGED), self.contract, on)
            return clock.date_of(self.settings, night), self._stock[1]

    def count(self, name: str) -> int:
        self.calls[name] = self.calls.get(name, 0) + 1
        return self.calls[name]

    def fault_first(self) -> Response | None:
        """What a fault of the protocol answers in place of the page."""
        on = self.faults()
        for name in set(self.calls) - on - {"page"}:
            del self.calls[name]
        if "down" in on:
            raise HTTPException(503, "maintenance")
        if "server_error_burst" in on and self.count("server_error_burst") <= _BURST:
            raise HTTPException(500, "internal error")
        if "unauthorized_once" in on and self.count("unauthorized_once") == 1:
            raise HTTPException(401, "token revoked")
        if "rate_limited" in on and self.count("rate_limited") % 3 == 0:
            raise HTTPException(429, "slow down", headers={"Retry-After": "1"})
        if "error_in_200" in on:
            return JSONResponse({"code": 10006, "message": "系统维护中", "data": None})
        if "html_login" in on:
            return HTMLResponse("<!doctype html><title>统一登录</title><form>…</form>")
        if "empty_file" in on:
            return Response(b"", media_type="application/json")
        return None


def app(contract: Contract, settings: Settings, endpoint: dict[str, Any]) -> FastAPI:
    """The agency's interface: ``POST /oauth2/token``, ``GET /api/v1/records``, ``GET /health``."""
    state = _Agency(contract, settings, endpoint)
    api = FastAPI(title=contract.title_en, docs_url=None, redoc_url=None, openapi_url=None)

    @api.get("/health")
    def health() -> dict[str, str]:
        return {"status": "up"}

    @api.post("/oauth2/token")
    def token(grant_type: Annotated[str, Form()], authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        given = base64.b64decode(authorization.removeprefix("Basic ") or b"Og==").decode(errors="replace")
        wanted = f"{endpoint['username']}:{endpoint['secret']}"
        if "down" in state.faults():
            raise HTTPException(503, "maintenance")
        if grant_type != "client_credentials" or not secrets.compare_digest(given.encode(), wanted.encode()):
            raise HTTPException(401, {"error": "invalid_client"})
        made = secrets.token_urlsafe(24)
        state.tokens[made] = _TOKEN_PAGES
        return {"access_token": made, "token_type": "Bearer", "expires_in": 3600}

    @api.get("/api/v1/records")
    async def records(
        request: Request, cursor: str | None = None, since: date | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000, authorization: Annotated[str, Header()] = "",
    ) -> Response:  # fmt: skip
        if set(request.query_params) - {"cursor", "since", "limit"}:
            raise HTTPException(400, "unknown parameter")
        bearer = authorization.removeprefix("Bearer ")
        if state.tokens.get(bearer, 0) < 1:
            raise HTTPException(401, "token missing or expired")
        state.tokens[bearer] -= 1
        if "hang" in state.faults():
            await asyncio.sleep(3600)
        instead = state.fault_first()
        if instead is not None:
            return instead
        as_of, frame = await asyncio.to_thread(state.stock, since)
        start = _start(cursor)
        on = state.faults()
        read_at = 0 if "page_repeated" in on and start == limit else start
        page = frame.slice(read_at, limit)
        following = start + limit
        body = {
            "code": 0,
            "message": "ok",
            "data": {
                "asOf": str(as_of),
                "total": frame.height + (7 if "total_disagrees" in on else 0),
                "cursor": _cursor(following) if following < frame.height else None,
                "records": page.to_dicts(),
            },
        }
        raw = orjson.dumps(body)
        return Response(raw[: len(raw) // 2] if "truncated" in on else raw, media_type="application/json")

    return api


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"start": start}).encode()).decode()


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(cursor))["start"])
    except (ValueError, KeyError, TypeError):
        raise HTTPException(400, "bad cursor") from None


def serve(contract: Contract, settings: Settings, endpoint: dict[str, Any]) -> None:
    """Serve until stopped."""
    uvicorn.run(
        app(contract, settings, endpoint), host="127.0.0.1", port=endpoint["port"], log_level="warning", access_log=False
    )
