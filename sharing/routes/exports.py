"""Exports: everybody a grant covers, and what changed since."""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from sharing import asking, export
from sharing.asking import Question
from sharing.models import Export, ExportList, ExportRequest
from sharing.once import OnceRoute, documented
from sharing.problems import Problem, language
from sharing.routes.documented import problems
from sharing.routes.persons import json
from sharing.service import Service
from warehouse import answers, exports

router = APIRouter(prefix="/v1/exports", tags=["exports"], route_class=OnceRoute)
_MOST = 5  # exports a client
_NDJSON = "application/x-ndjson"
_EXAMPLE = (
    '{"type":"export","export_id":"…","client_id":"my-desk","since":"0","purpose":"roster_monitoring","policy_version":"…","night":"2026-03-05","refused":[]}\n'
    '{"type":"person","person_id":"…","values":[],"answers":[],"receipt":{"receipt_id":"…","leaf_index":17}}\n'
    '{"type":"deleted","person_id":"…","leads_to":null,"receipt":{"receipt_id":"…","leaf_index":18}}\n'
    '{"type":"cursor","cursor":"1.…"}\n{"type":"end","since":"1","persons":1,"deleted":1}\n'
)


def _shown(row: Any) -> dict[str, Any]:
    return {
        "export_id": row["export_id"], "purpose": row["purpose"], "attributes": list(row["attributes"]), "questions": list(row["questions"]),
        "since": str(row["round"]), "created_at": row["created_at"].isoformat(),
    }  # fmt: skip


async def _own(request: Request, export_id: UUID) -> tuple[Service, Any]:
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    row = await asking.read(exports.one(service.asking, who.client_id, export_id))
    if row is None:
        raise Problem("not-found")
    return service, row


async def _may_export(question: Question) -> None:
    """Whether the grant exports, and no more than it says."""
    if not question.grant.export:
        raise await asking.refuse("export-not-granted", question, "export_not_granted")
    if await asking.read(answers.coverage(question.service.asking, question.grant.name)) > question.grant.export:
        raise await asking.refuse("too-large", question, "export_too_large")


@router.post(
    "",
    summary="Begin an export",
    status_code=201,
    response_model=Export,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 403, 409, 413, 422, 429, 503),
)
async def begin(request: Request, asked: ExportRequest) -> Response:
    """Needs a right of its own, which also says how many persons at most. Its lines are fetched from ``/rows``, as often as you like."""
    service: Service = request.app.state.service
    question = await asking.admit(
        service, request, "export", purpose=asked.purpose, consent=None, attributes=asked.attributes, questions=asked.questions, lookup=None
    )
    await _may_export(question)
    if len(await asking.read(exports.of_client(service.asking, question.caller.client_id))) >= _MOST:
        raise Problem("too-large", errors=[{"pointer": "/", "message": f"a client has no more than {_MOST} exports: end one"}])
    row = await asking.read(
        exports.add(service.asking, question.caller.client_id, asked.purpose, list(question.told), list(question.questions))
    )
    answer = json(_shown(row))
    answer.status_code = 201
    return answer


@router.get("", summary="Your exports", response_model=ExportList, responses=problems(401, 429, 503))
async def listed(request: Request) -> Response:
    """Those of the calling client."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    return json({"exports": [_shown(r) for r in await asking.read(exports.of_client(service.asking, who.client_id))]})


@router.delete(
    "/{export_id}", summary="End an export", status_code=204, response_class=Response, responses=problems(400, 401, 404, 429, 503)
)
async def end(request: Request, export_id: UUID) -> Response:
    """What was told in it is forgotten; its receipts stay."""
    service, row = await _own(request, export_id)
    await asking.read(exports.remove(service.asking, row["client_id"], export_id))
    return Response(status_code=204)


@router.get(
    "/{export_id}/rows", summary="Everybody, or what changed since", response_class=StreamingResponse,
    responses={
        200: {"content": {_NDJSON: {"schema": {"type": "string"}, "example": _EXAMPLE}}, "description": "Lines of JSON; complete with the line `end`."},
        **problems(400, 401, 403, 404, 413, 429, 503),
    },
)  # fmt: skip
async def rows(
    request: Request,
    export_id: UUID,
    since: Annotated[
        str, Query(alias="_since", pattern=r"^[0-9]{1,18}$", description="`since` of the last line you got; 0 = everybody.")
    ] = "0",
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,18}\.[0-9a-f-]{36}$", description="Of a stream that broke off, to go on behind it.")
    ] = None,
) -> StreamingResponse:
    """Persons as by their id; who is gone, or not the grant's any more, as ``deleted``, with the id it leads to where that is the grant's."""
    service, row = await _own(request, export_id)
    if int(since) > row["round"]:
        raise Problem("bad-request", errors=[{"pointer": "query/_since", "message": "this export was never so far"}])
    question = await asking.admit(
        service,
        request,
        "export",
        purpose=row["purpose"],
        consent=None,
        attributes=row["attributes"],
        questions=row["questions"],
        lookup=None,
    )
    await _may_export(question)
    place = _place(cursor, row["round"])
    if place is None:
        place = export.Place(await asking.read(exports.begin(service.asking, row["export_id"])), None)
    spoken = language(request.headers.get("accept-language"))
    stream = export.lines(question, row, int(since), place, spoken)
    return StreamingResponse(stream, media_type=_NDJSON, headers={"Cache-Control": "private, no-store"})


def _place(cursor: str | None, last: int) -> export.Place | None:
    if cursor is None:
        return None
    number, _, person = cursor.partition(".")
    is_id = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", person)
    if not is_id or not 0 < int(number) <= last:
        raise Problem("bad-request", errors=[{"pointer": "query/cursor", "message": "not a cursor of this export"}])
    return export.Place(int(number), person)
