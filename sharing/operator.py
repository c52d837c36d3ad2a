"""The person at a department on whose behalf a program asks, where the program names it: sealed, kept for a while beside the log, shown to nobody."""

import unicodedata
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Request

from sharing import asking, operator_seal
from sharing.operator_seal import LEAST, MOST
from sharing.problems import Problem
from sharing.service import Service
from warehouse import operators

HEADER = b"hub-operator"


def documented() -> dict[str, Any]:
    """The header as the OpenAPI page shows it."""
    return {
        "name": "Hub-Operator", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 720},
        "description": "经办人：代谁查询，2–60 字，UTF-8 百分号编码。On whose behalf you ask: 2 to 60 characters of UTF-8, per cent encoded. Kept sealed beside the log for 60 days.",
        "example": "%E7%8E%8B%E5%B7%A5",
    }  # fmt: skip


def read(header: bytes) -> str:
    """A name out of its header: UTF-8, in per cent signs or as it is.

    Raises:
        Problem: it is no name.
    """
    try:
        text = unicodedata.normalize("NFC", unquote_to_bytes(header).decode()).strip(" ")
    except UnicodeDecodeError:
        text = ""
    if not LEAST <= len(text) <= MOST or not text.isprintable():
        raise Problem(
            "bad-request",
            errors=[{"pointer": "header/Hub-Operator", "message": f"{LEAST} to {MOST} printable characters in UTF-8, per cent encoded"}],
        )
    return text


async def keep(service: Service, request: Request, header: bytes) -> None:
    """Keep whom a request names, before it is looked at; nothing is kept of whom nobody's token is with.

    Raises:
        Problem: it is no name, or the pool does not answer.
    """
    name = read(header)
    who = asking.bearer(service, request)
    if who is None or service.requests.wait_s(who.client_id):
        return  # refused further on
    request_id = request.state.request_id
    sealed = operator_seal.closed(operator_seal.seal(service.settings), who.client_id, request_id, name)
    await asking.read(operators.keep(service.asking, who.client_id, request_id, sealed))
