"""What may be asked, what a problem means, whether the service lives."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from sharing import asking
from sharing.attributes import catalogue as attributes
from sharing.problems import Kind, Problem, kinds
from sharing.routes.documented import IF_NONE_MATCH, headers, problems
from sharing.routes.persons import etag, holds, json
from sharing.service import Service

router = APIRouter(tags=["catalogue"])


@router.get(
    "/v1/catalogue", summary="What your department may ask", response_model=dict[str, Any],
    openapi_extra={"parameters": [IF_NONE_MATCH]},
    responses={
        200: {"headers": headers("ETag")},
        304: {"description": "The caller holds it already.", "headers": headers("ETag")},
        **problems(401, 429),
    },
)  # fmt: skip
async def catalogue(request: Request) -> Response:
    """Purposes granted to the calling client, with the attributes and questions of each and how they are told."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    policy, night = service.moment.policy, service.moment.night
    known = attributes()
    purposes = []
    for grant in policy.grants:
        if grant.department != who.department or (who.purposes is not None and grant.purpose not in who.purposes):
            continue
        if night is not None and not grant.is_valid_on(night):
            continue
        purpose = policy.purposes[grant.purpose]
        purposes.append(
            {
                "purpose": grant.purpose, "title": purpose.title.model_dump(), "legal_basis": purpose.legal_basis,
                "retention_days": purpose.retention_days, "consent": purpose.consent, "bulk": purpose.bulk, "lookup": grant.lookup, "subscribe": grant.subscribe, "export": grant.export,
                "compare_job": grant.compare_job, "past_days": grant.past_days,
                "emergency": None if grant.emergency is None else grant.emergency.model_dump(),
                "rows": grant.rows.model_dump(exclude_defaults=True),
                "attributes": [
                    {
                        "attribute": name, "effect": effect, "title": {"zh": known[name].title_zh, "en": known[name].title_en},
                        "classification": known[name].classification, "code_set": known[name].code_set,
                    }
                    for name, effect in grant.attributes.items() if effect != "refused"
                ],
                "questions": [{"question": q, "title": policy.questions[q].title.model_dump(), "source": policy.questions[q].source} for q in grant.questions],
            }
        )  # fmt: skip
    content = {"department": who.department, "policy_version": policy.version, "night": night, "purposes": purposes}
    mark = etag(content)
    return Response(status_code=304, headers={"ETag": mark}) if holds(request, mark) else json(content, ETag=mark)


def _shown(kind: Kind) -> dict[str, Any]:
    return {"code": kind.code, "status": kind.status, "title": kind.title, "next_step": kind.next}


_EXAMPLE = _shown(kinds()["too-many-requests"])


@router.get(
    "/problems",
    summary="Every problem",
    response_model=list[dict[str, Any]],
    responses={200: {"content": {"application/json": {"example": [_EXAMPLE]}}}},
)
async def all_problems() -> list[dict[str, Any]]:
    """Code, status, meaning and next step, in both languages."""
    return [_shown(k) for k in kinds().values()]


@router.get(
    "/problems/{code}",
    summary="One problem",
    response_model=dict[str, Any],
    responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}, **problems(400, 404)},
)
async def one_problem(code: Annotated[str, Path(max_length=60, pattern=r"^[a-z][a-z0-9-]*$")]) -> dict[str, Any]:
    """What a problem's `type` points at."""
    kind = kinds().get(code)
    if kind is None:
        raise Problem("not-found")
    return _shown(kind)


@router.get("/healthz", summary="Whether the service can answer", response_model=dict[str, Any], responses=problems(503))
async def health(request: Request) -> Response:
    """200 when pool and log answer."""
    service: Service = request.app.state.service
    from hub.errors import HubError
    from warehouse.asking import Refused

    try:
        moment = await service.refresh()
    except (HubError, Refused):
        raise Problem("pool-unavailable", retry_after_s=5) from None
    return json({"status": "ok", "night": moment.night, "policy_version": moment.policy.version})
