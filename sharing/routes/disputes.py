"""Disputes (校核纠错, 异议): a value your department was told is wrong. Its agency is asked, and the value is marked until it answers."""

import asyncio
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from sharing import asking, named
from sharing.asking import Question
from sharing.models import Dispute, DisputeList, DisputePage, DisputeRequest
from sharing.once import OnceRoute, documented
from sharing.problems import Problem
from sharing.routes import own
from sharing.routes.documented import problems
from sharing.routes.persons import json
from sharing.service import Service
from warehouse import audit_log, database, disputes, ledger

router = APIRouter(prefix="/v1/disputes", tags=["disputes"], route_class=OnceRoute)
_STATES = {None: "open", "answered": "answered_by_delivery"}


def _shown(service: Service, row: Any) -> dict[str, Any]:
    ended, outcome = row["ended_date"], row["outcome"]
    until = ended or ledger.by_clock(service.settings, service.moment.night)
    return {
        "dispute_id": row["dispute_id"], "continues": row["continues"], "receipt_id": row["receipt_id"], "attribute": row["attribute"], "source": row["stem"], "kind": row["kind"],
        "reason": row["reason"], "opened_by": row["client_id"], "opened_date": str(row["opened_date"]), "due_date": str(row["due_date"]),
        "state": _STATES.get(outcome, outcome), "is_overdue": until > row["due_date"],
        "ended_date": None if ended is None else str(ended), "refusal": row["words"] if outcome == "refused" else None,
    }  # fmt: skip


@router.post(
    "",
    summary="Dispute a value",
    status_code=201,
    response_model=DisputeList,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 403, 404, 409, 413, 422, 429, 503),
)
async def open_(request: Request, asked: DisputeRequest) -> Response:
    """The value stays what it is. Its agency has ten working days; it answers by what it delivers next, or refuses with a reason. Whoever may see the value sees the mark meanwhile."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    if not disputes.is_known(asked.attribute):
        raise Problem(
            "bad-request", errors=[{"pointer": "body/attribute", "message": "no field of an agency's record, nor a golden value"}]
        )
    receipt = await asking.read(audit_log.entry(service.asking, str(asked.receipt_id), who.department))
    if receipt is None or receipt["body"] is None:
        raise Problem("not-found")
    entry = orjson.loads(receipt["body"])
    if entry.get("decision") not in ("told", "unchanged") or entry["told"].get(asked.attribute, "refused") == "refused":
        raise Problem("not-found")
    question = await asking.admitted(
        service, who, request.state.request_id, request.state.began, "dispute", purpose=entry["purpose"], consent=asked.consent,
        attributes=[asked.attribute], questions=[], lookup=None if asked.resident_id is None else "resident_id",
    )  # fmt: skip
    person_id = await _subject(question, asked, bytes(receipt["subject"] or b""))
    await asking.commit(service, [question.entry("disputed", person_id)], who)
    by = disputes.By(who.client_id, asked.kind, asked.reason, asked.details, who.department, who.client_id, str(asked.receipt_id))
    made = await asking.read(asyncio.to_thread(_opened, service, person_id, asked.attribute, by))
    rows = [await asking.read(disputes.one(service.asking, who.department, key)) for key in made]
    answer = json({"disputes": [_shown(service, row) for row in rows]})
    answer.status_code = 201
    return answer


async def _subject(question: Question, asked: DisputeRequest, subject: bytes) -> str:
    """The person that is named, if the receipt is about it.

    Raises:
        Problem: it is not, or is not there or not yours. That is written down and counts as a question that finds nobody.
    """
    pseudonyms = question.service.pseudonyms
    if asked.person_id is not None:
        key = str(asked.person_id)
        row = await named.by_id(question, key)
    else:
        row, key = await named.by_number(question, str(asked.resident_id))
    # An answer to an id that has been merged meanwhile was about the id of then.
    if row is not None and subject in {pseudonyms.of(key), pseudonyms.of(row["person_id"])}:
        return str(row["person_id"])
    await asking.miss(question, key)
    raise Problem("not-found")


def _opened(service: Service, person_id: str, attribute: str, by: disputes.By) -> list[str]:
    with database.engine(service.settings).begin() as connection:
        found = disputes.sources(connection, person_id, attribute)
        if not found:
            raise Problem("not-found")
        try:
            return [one.dispute_id for one in disputes.open_(connection, service.settings, attribute, found, by)]
        except disputes.Disputed:
            raise Problem("already-disputed") from None


@router.get("", summary="Your department's disputes", response_model=DisputePage, responses=problems(400, 401, 429, 503))
async def page(
    request: Request,
    cursor: Annotated[UUID | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    open: Annotated[bool, Query(description="Only those that are not answered.")] = False,
) -> Response:
    """Oldest first, by your receipts, never by a person."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    rows = await asking.read(disputes.page(service.asking, who.department, cursor, limit + 1, open_only=open))
    return own.page("disputes", rows, limit, "dispute_id", partial(_shown, service))


@router.get("/{dispute_id}", summary="One dispute", response_model=Dispute, responses=problems(400, 401, 404, 429, 503))
async def one(request: Request, dispute_id: UUID) -> Response:
    """Only your department's own."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    return own.one(await asking.read(disputes.one(service.asking, who.department, dispute_id)), partial(_shown, service))


@router.delete("/{dispute_id}", summary="Take a dispute back", response_model=Dispute, responses=problems(400, 401, 404, 429, 503))
async def withdraw(request: Request, dispute_id: UUID) -> Response:
    """Because the value was right after all. The mark ends; a dispute that has ended stays as it ended, and saying it again changes nothing."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    if await asking.read(disputes.one(service.asking, who.department, dispute_id)) is not None:
        await asking.read(asyncio.to_thread(_withdrawn, service, str(dispute_id), who.client_id))
    return own.one(await asking.read(disputes.one(service.asking, who.department, dispute_id)), partial(_shown, service))


def _withdrawn(service: Service, dispute_id: str, client_id: str) -> None:
    with database.engine(service.settings).begin() as connection:
        disputes.lock(connection)
        if all(d.outcome is None for d in disputes.stored(connection, dispute_id=dispute_id)):
            disputes.note(connection, dispute_id, "withdrawn", ledger.today(service.settings, connection), client_id)
