"""The log: a department's own receipts, signed tree heads, proofs."""

import base64
import binascii
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from hub.errors import HubError
from sharing import asking, checkpoint
from sharing.models import Proof, ReceiptDetail, ReceiptPage
from sharing.problems import Problem
from sharing.routes.documented import problems
from sharing.routes.persons import json
from sharing.service import Service
from warehouse import audit_log
from warehouse.asking import Refused

router = APIRouter(tags=["log"])
_MOST = 2**62


async def _from_log(work: Any) -> Any:
    try:
        return await work
    except (HubError, Refused):
        raise Problem("log-unavailable", retry_after_s=5) from None


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        found = int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except (binascii.Error, ValueError):
        found = _MOST + 1
    if found > _MOST:
        raise Problem("bad-request", errors=[{"pointer": "cursor", "message": "not a cursor of this list"}])
    return found


@router.get("/v1/receipts", summary="Your department's receipts", response_model=ReceiptPage, responses=problems(400, 401, 429, 503))
async def receipts(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=40, pattern=r"^[A-Za-z0-9_-]+$", description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Newest first. Persons are keyed hashes."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    rows = await _from_log(audit_log.entries(service.asking, who.department, _cursor(cursor), limit + 1))
    page = [
        {
            "leaf_index": r["leaf_index"],
            **(orjson.loads(r["body"]) if r["body"] is not None else {"entry_id": r["entry_id"], "is_erased": True}),
        }
        for r in rows[:limit]
    ]
    following = None
    if len(rows) > limit:
        following = base64.urlsafe_b64encode(rows[limit - 1]["leaf_index"].to_bytes(8, "big")).decode().rstrip("=")
    return json({"receipts": page, "next_cursor": following})


@router.get(
    "/v1/receipts/{receipt_id}",
    summary="A receipt with its proof",
    response_model=ReceiptDetail,
    responses=problems(400, 401, 404, 429, 503),
)
async def receipt(request: Request, receipt_id: UUID) -> Response:
    """Entry, salt, audit path and signed tree head: enough to verify it without the hub. Only your department's own."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    row = await _from_log(audit_log.entry(service.asking, str(receipt_id), who.department))
    if row is None:
        raise Problem("not-found")
    size, _, note = await _from_log(service.head())
    index = row["leaf_index"]
    path = await _from_log(service.prove(lambda read: service.tree.inclusion(index, size, read), size))
    return json(
        {
            "receipt_id": row["entry_id"], "leaf_index": index, "body": row["body"], "salt": None if row["salt"] is None else bytes(row["salt"]).hex(),
            "tree_size": size, "inclusion": [h.hex() for h in path], "checkpoint": note,
        }
    )  # fmt: skip


@router.get("/v1/log/checkpoint", summary="The signed tree head", response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "C2SP checkpoint."}, **problems(503)})  # fmt: skip
async def head(request: Request) -> Response:
    """Keep it: whoever holds one finds a log that was rewritten. Open to everybody."""
    _, _, note = await _from_log(request.app.state.service.head())
    return Response(note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


@router.get("/v1/log/key", summary="The key that signs tree heads", response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Verifier key of a signed note."}})  # fmt: skip
async def key(request: Request) -> Response:
    """One line: name, hash and key, whose first byte says whether it is of Ed25519 or SM2. It does not change; take it once over a way you trust."""
    service: Service = request.app.state.service
    return Response(checkpoint.verifier_key(service.origin, service.head_key.public_key()) + "\n", media_type="text/plain")


@router.get("/v1/log/consistency", summary="Proof that the log only grew", response_model=Proof, responses=problems(400, 503))
async def consistency(request: Request, old: Annotated[int, Query(ge=0, le=_MOST)], new: Annotated[int, Query(ge=0, le=_MOST)]) -> Response:
    """From the tree of ``old`` entries to that of ``new`` (RFC 6962 section 2.1.2)."""
    service: Service = request.app.state.service
    if new > await _from_log(audit_log.size(service.asking)) or old > new:
        raise Problem("bad-request", errors=[{"pointer": "new", "message": "the log has no trees of these sizes"}])
    path = await _from_log(service.prove(lambda read: service.tree.consistency(old, new, read), new))
    return json({"hashes": [h.hex() for h in path]})
