"""Households."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from schemas.codes import load_code_set
from sharing import asking, past
from sharing.asking import Question
from sharing.models import Household, WantedThen
from sharing.routes.documented import problems
from sharing.routes.persons import json
from warehouse import answers

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
    "/{household_id}", summary="A household with its members", response_model=Household, responses=problems(400, 401, 403, 404, 429, 503)
)
async def household(request: Request, household_id: UUID, asked: Annotated[WantedThen, Query()]) -> Response:
    """Ask for ``household.size``, ``household.members``, ``household.relation``, and for what you need to know of each member."""
    question = await asking.admit(
        request.app.state.service, request, "household", purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes,
        questions=asked.questions, lookup="person_id",
    )  # fmt: skip
    told = question.told
    question, at = await past.placed(question, asked.as_of, asked.known_at)
    rows, holders = [], {}
    if any(name.startswith("household.") for name in told) and at is not None:
        then = await asking.read(past.household(question, at, str(household_id)))
        rows, holders = [t.row for t in then], {t.row["person_id"]: t.holders for t in then}
    elif any(name.startswith("household.") for name in told):
        rows = await asking.read(
            answers.household(
                question.service.asking, question.asked, str(household_id), with_size="household.size" in told,
                with_relation="household.relation" in told, with_members="household.members" in told,
            )
        )  # fmt: skip
    if not rows:
        raise await asking.miss(question, str(household_id))
    members = []
    if "household.members" in told:
        for row in rows:
            member = asking.told(question, row)
            member.pop("households", None)
            entry = load_code_set("relation_to_head").get(row["relation"] or "")
            members.append(
                {**member, "relation": row["relation"], "relation_label": None if entry is None else {"zh": entry.zh, "en": entry.en}}
            )
    of = [(row["person_id"], holder) for row in rows for holder in holders.get(row["person_id"], (row["person_id"],))]
    receipts = await asking.commit(
        question.service, [question.entry("told", holder, question.effects) for _, holder in of], question.caller
    )
    noted = {person: asking.note(receipt) for (person, _), receipt in reversed(list(zip(of, receipts, strict=True)))}
    for member in members:
        member["receipt"] = noted[member["person_id"]]
    first = rows[0]
    return json(
        {
            **question.header(),
            "household_id": first["household_id"],
            "kind": first["kind"],
            "size": first["size"],
            "members": members,
            "sums": _sums(question, members),
        }
    )
