"""What the HTTP agencies share: faults that any web server can have, and strictness about parameters."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any

import uvicorn
from fastapi import FastAPI

from sandbox.endpoints import HOST
from sandbox.servers.switches import Switches

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LOGIN = "<!DOCTYPE html><html><head><title>统一身份认证</title></head><body><form>登录</form></body></html>".encode()
_ERROR = '{"code":"500","message":"系统异常","data":null}'.encode()


class HttpFaults:
    """ASGI middleware: answers in the agency's stead while a fault strikes."""

    def __init__(self, app: Any, switches: Switches, *, spared: str = "", error_body: bytes = _ERROR, answers_200: bool = False) -> None:
        """Wrap an application.

        Args:
            app: the agency.
            switches: its faults.
            spared: path that only total failures reach (the token endpoint).
            error_body: what an error looks like that travels as HTTP 200.
            answers_200: whether refusals travel as HTTP 200 too, as on gateways; then they are the application's own.
        """
        self._app = app
        self._switches = switches
        self._spared = spared
        self._error_body = error_body
        self._answers_200 = answers_200

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"date", formatdate(self._switches.now(), usegmt=True).encode())]}
            await send(message)

        answer = None
        if scope["type"] == "http" and scope["path"] != "/health":
            answer = self._fault(is_data=scope["path"] != self._spared)
        if answer is None:
            await self._app(scope, receive, dated)
            return
        status, kind, body, extra = answer
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *extra]
        await dated({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _fault(self, *, is_data: bool) -> tuple[int, bytes, bytes, list[tuple[bytes, bytes]]] | None:
        strikes = self._switches.strikes
        json = b"application/json; charset=utf-8"
        if strikes("server_error_burst"):
            return 500, json, self._error_body, []
        if is_data and not self._answers_200:
            if strikes("refuse"):
                return 403, json, self._error_body, []
            if strikes("rate_limited"):
                return 429, json, self._error_body, [(b"retry-after", b"1")]
            if strikes("clock_wrong") and self._switches.times_struck("clock_wrong") == 1:
                return 429, json, self._error_body, [(b"retry-after", formatdate(self._switches.now() + 1, usegmt=True).encode())]
        if is_data and strikes("error_in_200"):
            return 200, json, self._error_body, []
        if is_data and strikes("html_login"):
            return 200, b"text/html; charset=utf-8", _LOGIN, []
        if is_data and strikes("empty_file"):
            return 200, json, b"", []
        return None


class HttpBackend:
    """An application on a port of its own behind the relay."""

    def __init__(self, app: Any, prepare: Callable[[], None]) -> None:
        """Keep an application to serve.

        Args:
            app: the agency's ASGI application.
            prepare: makes ready what tonight's callers will ask for.
        """
        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            server_header=False,
            date_header=False,
        )
        self._server = uvicorn.Server(config)
        self._serving: asyncio.Task[None] | None = None
        self.prepare = prepare

    async def start(self) -> int:
        """Serve; returns the port."""
        # With the protocol named, asyncio switches Nagle's delay off: each reply would wait 40 ms for it.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind((HOST, 0))
        listener.listen()
        # Signals are the process's business: `serve` would take them.
        self._serving = asyncio.create_task(self._server._serve([listener]))
        while not self._server.started:
            await asyncio.sleep(0.01)
            if self._serving.done():
                self._serving.result()
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving

    async def ready(self) -> None:
        """Nothing to wait for: answers are made when asked."""


def bare_application() -> FastAPI:
    """An application without the pages a browser would read."""
    return FastAPI(openapi_url=None, docs_url=None, redoc_url=None)


def unknown(given: set[str], known: set[str]) -> str | None:
    """The parameters an agency does not know, for its refusal; None when it knows all."""
    extra = sorted(given - known)
    return f"未知参数: {', '.join(name[:20] for name in extra)}" if extra else None
