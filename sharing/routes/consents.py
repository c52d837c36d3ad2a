"""Consents: persons who authorised your department to ask about them. A grant may speak of those persons alone."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from sharing import asking, spelling
from sharing.ledger import Entry
from sharing.models import ConsentPage, ConsentRequest, RegisteredConsent
from sharing.once import OnceRoute, documented
from sharing.problems import Problem
from sharing.routes import own
from sharing.routes.documented import problems
from sharing.routes.persons import json
from sharing.service import Service
from sharing.tokens import Caller
from warehouse import consents

router = APIRouter(prefix="/v1/consents", tags=["consents"], route_class=OnceRoute)


def _shown(row: Any) -> dict[str, Any]:
    withdrawn = row["withdrawn_at"]
    return {
        "consent_id": row["consent_id"], "purpose": row["purpose"], "reference": row["reference"], "valid_from": str(row["valid_from"]),
        "valid_to": str(row["valid_to"]), "registered_at": row["registered_at"].isoformat(), "registered_by": row["client_id"],
        "withdrawn_at": None if withdrawn is None else withdrawn.isoformat(),
    }  # fmt: skip


async def _written(request: Request, who: Caller, purpose: str, decision: str, reference: str | None) -> None:
    service: Service = request.app.state.service
    moment = service.moment
    entry = Entry(
        who.client_id, who.department, purpose, decision, "consent", request.state.request_id, consent=reference,
        policy_version=moment.policy.version, night=None if moment.night is None else str(moment.night),
    )  # fmt: skip
    await asking.commit(service, [entry], who)


@router.post(
    "",
    summary="Register a consent",
    status_code=201,
    response_model=RegisteredConsent,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 403, 409, 413, 422, 429, 503),
)
async def register(request: Request, asked: ConsentRequest) -> Response:
    """What a person signed at your department. Whether the pool knows the number is not told; the document itself stays with you, and is shown to auditors."""
    service: Service = request.app.state.service
    who, moment = asking.caller(service, request), service.moment
    if moment.night is None:
        raise Problem("pool-unavailable", retry_after_s=60)
    number = spelling.number(asked.resident_id)
    if not number:
        raise Problem("bad-request", errors=[{"pointer": "body/resident_id", "message": "no resident identity number"}])
    valid_from = asked.valid_from or moment.night
    if asked.valid_to < valid_from:
        raise Problem("bad-request", errors=[{"pointer": "body/valid_to", "message": "before it begins"}])
    allowed = who.purposes is None or asked.purpose in who.purposes
    if not allowed or moment.policy.grant(who.department, asked.purpose, moment.night) is None:
        await _written(request, who, asked.purpose, "no_grant", None)
        raise Problem("purpose-not-granted")
    await _written(request, who, asked.purpose, "consent_registered", asked.reference)
    row = await asking.read(
        consents.register(
            service.asking, who.client_id, who.department, asked.purpose, number=number, reference=asked.reference, valid_from=valid_from,
            valid_to=asked.valid_to,
        )
    )  # fmt: skip
    answer = json(_shown(row))
    answer.status_code = 201
    return answer


@router.get("", summary="Your department's consents", response_model=ConsentPage, responses=problems(400, 401, 429, 503))
async def page(
    request: Request,
    cursor: Annotated[UUID | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Oldest first, those that were withdrawn as well; by your references, never by a person's number."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    rows = await asking.read(consents.page(service.asking, who.department, cursor, limit + 1))
    return own.page("consents", rows, limit, "consent_id", _shown)


@router.get("/{consent_id}", summary="One consent", response_model=RegisteredConsent, responses=problems(400, 401, 404, 429, 503))
async def one(request: Request, consent_id: UUID) -> Response:
    """Only your department's own."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    return own.one(await asking.read(consents.one(service.asking, who.department, consent_id)), _shown)


@router.delete("/{consent_id}", summary="Withdraw a consent", response_model=RegisteredConsent, responses=problems(400, 401, 404, 429, 503))
async def withdraw(request: Request, consent_id: UUID) -> Response:
    """Because the person took it back. From then on the grant does not speak of them; saying it again changes nothing."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    row = await asking.read(consents.withdraw(service.asking, who.department, consent_id, who.client_id))
    if row is not None:
        await _written(request, who, row["purpose"], "consent_withdrawn", row["reference"])
    return own.one(row, _shown)
