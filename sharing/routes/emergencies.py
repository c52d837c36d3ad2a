"""Emergencies: breaking the glass, within a grant that is made for it."""

from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Request, Response

from sharing import asking
from sharing.ledger import Entry
from sharing.models import Emergency, EmergencyList, EmergencyRequest
from sharing.once import OnceRoute, documented
from sharing.problems import Problem
from sharing.routes.documented import problems
from sharing.routes.persons import json
from sharing.service import Service
from warehouse import emergencies

log = structlog.get_logger()
router = APIRouter(prefix="/v1/emergencies", tags=["emergencies"], route_class=OnceRoute)


def _shown(row: Any) -> dict[str, Any]:
    def at(name: str) -> str | None:
        return None if row[name] is None else row[name].isoformat()

    return {
        "emergency_id": row["emergency_id"], "purpose": row["purpose"], "operator": row["operator"], "reason": row["reason"],
        "persons": row["persons"], "told": row["told"], "opened_at": at("opened_at"), "closes_at": at("closes_at"), "closed_at": at("closed_at"),
        "finding": row["finding"],
    }  # fmt: skip


@router.post(
    "",
    summary="Break the glass",
    status_code=201,
    response_model=Emergency,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 403, 409, 413, 422, 429, 503),
)
async def open_(request: Request, asked: EmergencyRequest) -> Response:
    """Until it closes, the client may ask under the purpose, whose grant speaks in emergencies alone. It is seen at once by the hub's operator, and reviewed."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    moment = service.moment
    if moment.night is None:
        raise Problem("pool-unavailable", retry_after_s=60)

    async def written(decision: str) -> None:
        entry = Entry(
            who.client_id, who.department, asked.purpose, decision, "emergency", request.state.request_id, policy_version=moment.policy.version,
            night=str(moment.night),
        )  # fmt: skip
        await asking.commit(service, [entry], who)

    allowed = who.purposes is None or asked.purpose in who.purposes
    grant = moment.policy.grant(who.department, asked.purpose, moment.night) if allowed else None
    if grant is None or grant.emergency is None:
        await written("no_grant")
        raise Problem("purpose-not-granted")
    if await asking.read(emergencies.unreviewed(service.asking, who.department, service.settings.emergency_review_days)):
        await written("emergency_unreviewed")
        raise Problem("emergency-unreviewed")
    await written("emergency")
    row = await asking.read(
        emergencies.open_(
            service.asking, who.client_id, who.department, asked.purpose, operator=asked.operator, reason=asked.reason,
            minutes=grant.emergency.minutes, persons=grant.emergency.persons,
        )
    )  # fmt: skip
    if row is None:
        raise Problem("emergency-open")
    log.warning(
        "emergency", state="opened", emergency=row["emergency_id"], client=who.client_id, department=who.department, purpose=asked.purpose
    )
    answer = json(_shown(row))
    answer.status_code = 201
    return answer


@router.get("", summary="Your emergencies", response_model=EmergencyList, responses=problems(401, 429, 503))
async def listed(request: Request) -> Response:
    """Of the calling client, newest first, with of how many persons it was told."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    return json({"emergencies": [_shown(r) for r in await asking.read(emergencies.of_client(service.asking, who.client_id))]})


@router.delete("/{emergency_id}", summary="Close it", status_code=204, response_class=Response, responses=problems(400, 401, 404, 429, 503))
async def close(request: Request, emergency_id: UUID) -> Response:
    """Before its time, because it is over."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    if not await asking.read(emergencies.close(service.asking, who.client_id, emergency_id)):
        raise Problem("not-found")
    log.warning("emergency", state="closed", emergency=str(emergency_id), client=who.client_id)
    return Response(status_code=204)
