"""Recalls: what your department was told and what turned out otherwise."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from sharing import asking, recalled
from sharing.models import Consent, Recall, RecallPage, RecallValues
from sharing.once import OnceRoute, documented
from sharing.problems import Problem
from sharing.recall import CAUSES, told_as
from sharing.routes import own
from sharing.routes.documented import problems
from sharing.routes.persons import json
from sharing.service import Service
from warehouse import audit_log, recalls

router = APIRouter(prefix="/v1/recalls", tags=["recalls"], route_class=OnceRoute)


def _shown(row: Any) -> dict[str, Any]:
    zh, en = CAUSES[row["cause"]]
    instant = row["acknowledged_at"]
    return {
        "recall_id": row["recall_id"], "receipt_id": row["receipt_id"], "told_at": row["told_at"].isoformat(), "purpose": row["purpose"],
        "person_id": row["person_id"], "persons": list(row["persons"]), "changed": list(row["changed"]),
        "told_as": [{"name": n, "effect": told_as(n, e)} for n, e in zip(row["changed"], row["effects"], strict=True)],
        "values": f"{router.prefix}/{row['recall_id']}/values", "cause": row["cause"], "why": {"zh": zh, "en": en},
        "stands": row["stands"], "night": None if row["night"] is None else str(row["night"]), "found_at": row["found_at"].isoformat(),
        "acknowledged_at": None if instant is None else instant.isoformat(), "acknowledged_by": row["acknowledged_by"],
    }  # fmt: skip


@router.get("", summary="Your department's recalls", response_model=RecallPage, responses=problems(400, 401, 429, 503))
async def page(
    request: Request,
    cursor: Annotated[UUID | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    open: Annotated[bool, Query(description="Only those nobody has acknowledged.")] = True,
) -> Response:
    """Oldest first. A recall names the receipt, the person and what would be told otherwise; `values` leads to what was told and what is true now."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    rows = await asking.read(recalls.page(service.asking, who.department, cursor, limit + 1, open_only=open))
    return own.page("recalls", rows, limit, "recall_id", _shown)


@router.get("/{recall_id}", summary="One recall", response_model=Recall, responses=problems(400, 401, 404, 429, 503))
async def one(request: Request, recall_id: UUID) -> Response:
    """Only your department's own."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    return own.one(await asking.read(recalls.one(service.asking, who.department, recall_id)), _shown)


@router.get(
    "/{recall_id}/values", summary="What you were told, and what is true now", response_model=RecallValues,
    responses=problems(400, 401, 403, 404, 410, 429, 503),
)  # fmt: skip
async def values(
    request: Request,
    recall_id: UUID,
    consent: Annotated[Consent | None, Query(description="Reference of the person's authorisation, where the purpose needs one.")] = None,
) -> Response:
    """Of what changed and the purpose still lets you know, in the forms it was told in or lesser ones. It does not ask how far back the purpose reaches."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    row = await asking.read(recalls.one(service.asking, who.department, recall_id))
    if row is None:
        raise Problem("not-found")
    question = await recalled.admitted(
        service, who, request.state.request_id, request.state.began, list(row["changed"]), row["purpose"], consent
    )
    entry = await asking.read(audit_log.entry(service.asking, row["receipt_id"], who.department))
    about = None if entry is None else recalled.of(row, entry["body"])
    if about is None or row["cause"] == "erased":
        raise await recalled.erased(question, row["person_id"])
    found = await recalled.read(question, about)
    entries = [*found.told_entries, *found.now_entries]
    notes = [asking.note(receipt) for receipt in await asking.commit(service, entries, question.caller)]
    for answer, note in zip(found.now, notes[len(found.told_entries) :], strict=True):
        answer["receipt"] = note
    if any(answer["status"] == "not_available" for answer in found.now):
        await asking.beat(question)
    recall = _shown(row)
    kept = {name: recall[name] for name in ("recall_id", "receipt_id", "cause", "why", "stands")}
    told = None if found.told is None else {**found.told, "known_at": recall["told_at"], "receipt": notes[0]}
    return json({**found.header, **kept, "told": told, "now": found.now})


@router.post(
    "/{recall_id}/acknowledge",
    summary="Say that it was dealt with",
    response_model=Recall,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 404, 409, 422, 429, 503),
)
async def acknowledge(request: Request, recall_id: UUID) -> Response:
    """The first acknowledgement counts; saying it again changes nothing."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    return own.one(await asking.read(recalls.acknowledge(service.asking, who.department, recall_id, who.client_id)), _shown)
