"""The HTTP service: routes, problems, request ids."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.errors import unforeseen
from hub.settings import Settings
from sharing import deprecation, operator
from sharing.compare_job import Worker
from sharing.dci.callback import Callbacks
from sharing.deprecation import Deprecation
from sharing.dispatch import Dispatcher
from sharing.problems import MEDIA, Problem, language
from sharing.routes import (
    catalogue,
    compare_jobs,
    consents,
    dci,
    disputes,
    emergencies,
    exports,
    households,
    log,
    oauth,
    persons,
    recalls,
    subscriptions,
)
from sharing.routes.documented import complete
from sharing.service import Service
from warehouse.asking import Unreadable

logger = structlog.get_logger()
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_MOST_BYTES = 4 << 20
# A list of applicants is read as a stream, never whole; how large it may be is that route's to say.
_STREAMED = re.compile(r"/v1/compare-jobs/[^/]{1,60}/input")
# Where a client may name the operator it asks for.
_ASKED_FOR_SOMEBODY = ("/v1/persons", "/v1/households")
_SECURITY = {
    b"x-content-type-options": b"nosniff", b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"x-frame-options": b"DENY", b"cross-origin-resource-policy": b"same-origin", b"referrer-policy": b"no-referrer",
    b"strict-transport-security": b"max-age=31536000",
}  # fmt: skip


class _Envelope:
    """Gives every request an id and a beginning, bounds its body, and answers what nobody foresaw. Plain ASGI: it is in every answer's way."""

    def __init__(self, app: ASGIApp, deprecations: Sequence[Deprecation]) -> None:
        self._app = app
        self._leaving = {d.what: d.headers for d in deprecations}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid4())
        state = scope.setdefault("state", {})
        state["request_id"], state["began"] = request_id, time.monotonic()
        named = headers.get(operator.HEADER) if scope["path"].startswith(_ASKED_FOR_SOMEBODY) else None
        received, started = 0, False
        is_bounded = not (scope["method"] == "PUT" and _STREAMED.fullmatch(scope["path"]))

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if is_bounded and received > _MOST_BYTES:
                state["is_too_large"] = True  # who reads the body hides what is raised here
                raise Problem("too-large")
            return message

        async def marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *_SECURITY.items()]
                if self._leaving and "route" in scope:
                    message["headers"] += self._leaving.get(f"{scope['method']} {scope['route'].path}", [])
            await send(message)

        try:
            if named is not None:
                await operator.keep(scope["app"].state.service, Request(scope), named)
            await self._app(scope, bounded, marked)
        except Problem as problem:
            if not started:
                await _answer(scope, problem)(scope, receive, marked)
        except Unreadable:
            if not started:
                await _answer(scope, Problem("bad-request"))(scope, receive, marked)
        except Exception as error:
            logger.error("request", state="failed", error=unforeseen(error), request_id=request_id)
            if not started:
                await _answer(scope, Problem("internal"))(scope, receive, marked)


def _answer(scope: Scope, problem: Problem) -> Response:
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Language"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if problem.kind.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="hub"'
    accept = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"accept-language"), None)
    spoken = language(accept)
    headers["Content-Language"] = spoken
    return Response(orjson.dumps(problem.body(spoken, scope["state"]["request_id"])), problem.kind.status, headers, MEDIA)


def _token_error(request: Request) -> Response | None:
    """The token endpoint has its own words for what is malformed (RFC 6749 section 5.2); None elsewhere."""
    if request.url.path not in ("/oauth2/token", "/oauth2/client/token") or request.method != "POST":
        return None
    return Response(orjson.dumps({"error": "invalid_request"}), 400, {"Cache-Control": "no-store"}, "application/json")


def _pointers(error: RequestValidationError) -> list[dict[str, str]]:
    """Places of what is wrong, never the value that is."""
    return [{"pointer": "/".join(str(p)[:60] for p in e["loc"]), "message": e["type"]} for e in error.errors()[:20]]


def _openapi(app: FastAPI, deprecations: Sequence[Deprecation]) -> dict[str, Any]:
    if app.openapi_schema is None:
        from fastapi.openapi.utils import get_openapi

        schema = get_openapi(title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes)
        schema["components"].setdefault("securitySchemes", {})["client"] = {
            "type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/oauth2/token", "scopes": {}}},
        }  # fmt: skip
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                if path.startswith(_ASKED_FOR_SOMEBODY):
                    operation.setdefault("parameters", []).append(operator.documented())
                if MEDIA not in operation["responses"].get("422", {}).get("content", {}):
                    operation["responses"].pop("422", None)  # malformed requests are 400
                for status, response in operation["responses"].items():
                    if MEDIA in response.get("content", {}):
                        response["content"].pop("application/json", None)
                    if status == "401" and path.startswith(("/v1/", "/registry/")):
                        operation["security"] = [{"client": []}]
        complete(schema)
        deprecation.mark(schema, deprecations)
        app.openapi_schema = schema
    return app.openapi_schema


def create(settings: Settings, audience: str, deprecations: Sequence[Deprecation] | None = None) -> FastAPI:
    """The application.

    Args:
        settings: whose hub.
        audience: address by which departments reach it.
        deprecations: what is to leave the interface; None = what the table says.

    Raises:
        ConfigError: the table is wrong.
    """
    leaving = deprecation.table() if deprecations is None else deprecations

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(settings, audience)
        await app.state.service.open()
        app.state.dispatcher = Dispatcher(app.state.service)
        app.state.callbacks = Callbacks(app.state.service)
        app.state.worker = Worker(app.state.service)
        tasks = [asyncio.create_task(t.keep_on()) for t in (app.state.dispatcher, app.state.callbacks, app.state.worker)]
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await app.state.service.close()

    app = FastAPI(
        title="Assistance hub: sharing", version="1.0.0", summary="社会救助资源库数据共享接口",
        description="The minimum answer, to whom it is due, with a receipt. Get a token at /oauth2/token, see /v1/catalogue for what you may ask.",
        lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    # Routes are tried in this order: those that are asked most come first.
    for module in (
        persons,
        oauth,
        catalogue,
        compare_jobs,
        households,
        exports,
        subscriptions,
        emergencies,
        consents,
        disputes,
        recalls,
        log,
        dci,
    ):
        app.include_router(module.router)

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return _answer(request.scope, problem)

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> Response:
        return _token_error(request) or _answer(request.scope, Problem("bad-request", errors=_pointers(error)))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
        if request.scope["state"].get("is_too_large"):
            code = "too-large"
        return _token_error(request) or _answer(request.scope, Problem(code))

    app.openapi = lambda: _openapi(app, leaving)  # type: ignore[method-assign]
    app.add_middleware(_Envelope, deprecations=leaving)
    if leaving:
        app.openapi()  # a table that names what is not there is found now, not by whoever asks for the page
    return app
