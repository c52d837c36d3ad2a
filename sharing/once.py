"""Requests that change something are done once, however often they are sent: the header ``Idempotency-Key``, after the IETF's draft.

Kept for a day is what was done; what was refused changed nothing and is judged anew.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.routing import APIRoute

from hub.seal import Seal
from sharing import asking
from sharing.problems import Problem
from sharing.service import Service
from warehouse import answered

_PATTERN = r'^("[A-Za-z0-9._:-]{1,255}"|[A-Za-z0-9._:-]{1,255})$'


def documented(
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=_PATTERN, max_length=257, examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
            description="Of your making, one for each thing to be done: sent again with it, the request is answered as it was and done no second time.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """The header as the OpenAPI page shows it; a malformed one is refused here."""


class OnceRoute(APIRoute):
    """A route whose POST requests may carry a key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, asked at most once for a key."""
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            given = request.headers.get("idempotency-key", "")
            if request.method != "POST" or not re.fullmatch(_PATTERN, given):
                return await handler(request)
            service: Service = request.app.state.service
            who = asking.bearer(service, request)
            if who is None:
                return await handler(request)
            key = given.strip('"')
            asked = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + await request.body()).digest()
            before = await asking.read(answered.claim(service.asking, who.client_id, key, asked))
            if before is not None:
                return _again(service, request, who.client_id, key, asked, before)
            try:
                answer = await handler(request)
            except (Exception, asyncio.CancelledError) as error:
                # A problem is raised before anything is done, but for a database that breaks off over the very statement: then asking again may do it
                # twice, which is the lesser evil, for it says to ask again. Of anything unforeseen nobody knows what was done: the key stays taken.
                if isinstance(error, Problem) or type(error).__name__ == "RequestValidationError":
                    await asking.read(answered.let_go(service.asking, who.client_id, key))
                raise
            sealed = _seal(service).close(bytes(answer.body), _of(who.client_id, key))
            await asking.read(answered.keep(service.asking, who.client_id, key, answer.status_code, sealed))
            return answer

        return once


def _again(service: Service, request: Request, client_id: str, key: str, asked: bytes, before: Any) -> Response:
    asking.caller(service, request)  # counted like any other
    if bytes(before["asked"]) != asked:
        raise Problem("key-reused")
    if before["status"] is None:
        raise Problem("in-progress", retry_after_s=1)
    body = _seal(service).open(bytes(before["answer"]), _of(client_id, key))
    return Response(body, before["status"], {"Cache-Control": "private, no-store"}, "application/json")


def _seal(service: Service) -> Seal:
    return Seal(service.settings, "answered.key")


def _of(client_id: str, key: str) -> str:
    return f"{client_id} {key}"
