"""Households."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from schemas.codes import load_code_set
from sharing import asking, named, past
from sharing.asking import Question
from sharing.models import Household, HouseholdLookup, WantedThen
from sharing.routes.documented import IF_NONE_MATCH, headers, problems
from sharing.routes.persons import etag, holds, json
from warehouse import answers
from warehouse import past as history
from warehouse.answers import Asked

_AMOUNT = "_yuan"  # what a field's name ends with that holds one


def _sums(question: Question, members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the members' amounts come to, by attribute; a repayment of one record is taken off by its sign."""
    found = []
    for name in (n for n, effect in question.told.items() if n.endswith(_AMOUNT) and effect == "clear"):
        told = [[v for v in m["values"] if v["attribute"] == name and v["value"] is not None] for m in members]
        values = [v for of_one in told for v in of_one]
        total = sum((Decimal(str(v["value"])) for v in values), Decimal(0))
        found.append(
            {"attribute": name, "total_yuan": f"{total:f}", "members": sum(map(bool, told)), "is_stale": any(v["is_stale"] for v in values)}
        )
    return found


router = APIRouter(prefix="/v1/households", tags=["households"])


@router.get(
    "/{household_id}", summary="A household with its members", response_model=Household,
    openapi_extra={"parameters": [IF_NONE_MATCH]},
    responses={
        200: {"headers": headers("ETag")},
        304: {"description": "The caller holds this answer already; receipts are in the headers.", "headers": headers("ETag", "Hub-Receipt")},
        **problems(400, 401, 403, 404, 429, 503),
    },
)  # fmt: skip
async def household(request: Request, household_id: UUID, asked: Annotated[WantedThen, Query()]) -> Response:
    """Ask for ``household.size``, ``household.members``, ``household.relation``, and for what you need to know of each member."""
    question = await asking.admit(
        request.app.state.service, request, "household", purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes,
        questions=asked.questions, lookup="person_id",
    )  # fmt: skip
    question, at = await past.placed(question, asked.as_of, asked.known_at)
    return await _told(question, str(household_id), str(household_id), at, request)


@router.post(
    "/lookup", summary="The household of a person, by number, or by name and date of birth", response_model=Household,
    responses=problems(400, 401, 403, 404, 409, 413, 429, 503),
)  # fmt: skip
async def lookup(request: Request, asked: HouseholdLookup) -> Response:
    """The same as by the hub's id, and nothing that the id would not tell. A name and birth date that fit several persons lead to no household."""
    way = "resident_id" if asked.resident_id is not None else "name_birth_date"
    question = await asking.admit(
        request.app.state.service, request, "household", purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes,
        questions=asked.questions, lookup=way,
    )  # fmt: skip
    role = question.grant.name
    if asked.resident_id is not None:
        row, key = await named.by_number(question, asked.resident_id, Asked(role, (), (), ()))
    else:
        found, key = await named.by_name(question, asked.name, asked.birth_date)
        if len(found) > 1:
            raise await named.ambiguous(question, [r["person_id"] for r in found])
        row = found[0] if found else None
    home = None
    if row is not None and any(name.startswith("household.") for name in question.told):
        home = await asking.read(answers.home(question.service.asking, role, row["person_id"], asked.kind))
    if home is None:
        raise await asking.miss(question, key)
    return await _told(question, home, key, None, None)


async def _told(question: Question, household_id: str, key: str, at: history.Moment | None, asked: Request | None) -> Response:
    """What is told of a household, with an entry for each of its members; ``key`` is what it was asked by, ``asked`` may say what the caller holds already."""
    told = question.told
    rows: list[Any] = []
    holders: dict[str, tuple[str, ...]] = {}
    if any(name.startswith("household.") for name in told) and at is not None:
        then = await asking.read(past.household(question, at, household_id))
        rows, holders = [t.row for t in then], {t.row["person_id"]: t.holders for t in then}
    elif any(name.startswith("household.") for name in told):
        rows = await asking.read(
            answers.household(
                question.service.asking, question.asked, household_id, with_size="household.size" in told,
                with_relation="household.relation" in told, with_members="household.members" in told,
            )
        )  # fmt: skip
    if not rows:
        raise await asking.miss(question, key)
    members = []
    if "household.members" in told:
        for row in rows:
            member = asking.told(question, row)
            member.pop("households", None)
            entry = load_code_set("relation_to_head").get(row["relation"] or "")
            members.append(
                {**member, "relation": row["relation"], "relation_label": None if entry is None else {"zh": entry.zh, "en": entry.en}}
            )
    first = rows[0]
    content = {
        **question.header(), "household_id": first["household_id"], "kind": first["kind"], "size": first["size"],
        "members": members, "sums": _sums(question, members),
    }  # fmt: skip
    mark = etag(content)
    is_known = asked is not None and holds(asked, mark)
    of = [(row["person_id"], holder) for row in rows for holder in holders.get(row["person_id"], (row["person_id"],))]
    entries = [question.entry("unchanged" if is_known else "told", holder, question.effects) for _, holder in of]
    receipts = await asking.commit(question.service, entries, question.caller)
    if is_known:
        return Response(status_code=304, headers={"ETag": mark, "Hub-Receipt": ", ".join(r.receipt_id for r in receipts)})
    noted = {person: asking.note(receipt) for (person, _), receipt in reversed(list(zip(of, receipts, strict=True)))}
    for member in members:
        member["receipt"] = noted[member["person_id"]]
    return json(content, **({"ETag": mark} if asked is not None else {}))
