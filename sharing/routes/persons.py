"""Persons, one at a time or many at once."""

import hashlib
from typing import Annotated, Any
from uuid import UUID

import orjson
import polars as pl
from fastapi import APIRouter, Query, Request, Response

from sharing import asking, named, past, spelling
from sharing.limits import vain
from sharing.models import Comparison, ComparisonResult, Found, Lookup, Person, WantedThen
from sharing.problems import Problem
from sharing.routes.documented import IF_NONE_MATCH, headers, problems
from warehouse import answers

router = APIRouter(prefix="/v1/persons", tags=["persons"])


def json(content: dict[str, Any], **headers: str) -> Response:
    """An answer as it leaves."""
    return Response(orjson.dumps(content), media_type="application/json", headers={"Cache-Control": "private, no-store", **headers})


def etag(content: dict[str, Any]) -> str:
    """Mark of what is told: of the answer alone, so it tells no more than the answer does."""
    return '"' + hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32] + '"'


def holds(request: Request, mark: str) -> bool:
    """Whether the caller says that it holds the answer of a mark (RFC 9110 section 13.1.2)."""
    return mark in [m.strip().removeprefix("W/") for m in request.headers.get("if-none-match", "").split(",")]


@router.get(
    "/{person_id}", summary="A person by the hub's id", response_model=Person,
    openapi_extra={"parameters": [IF_NONE_MATCH]},
    responses={
        200: {"headers": headers("ETag")},
        304: {"description": "The caller holds this answer already; a receipt is in the headers.", "headers": headers("ETag", "Hub-Receipt")},
        **problems(400, 401, 403, 404, 429, 503),
    },
)  # fmt: skip
async def person(request: Request, person_id: UUID, asked: Annotated[WantedThen, Query()]) -> Response:
    """What the purpose lets you know of one person. An id that was merged into another is followed.

    A question to the past needs a right of its own; it is answered of persons who are the grant's now and were then.
    """
    question = await asking.admit(
        request.app.state.service, request, "person", purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes,
        questions=asked.questions, lookup="person_id",
    )  # fmt: skip
    question, at = await past.placed(question, asked.as_of, asked.known_at)
    if at is None:
        row = await named.by_id(question, str(person_id))
        found = None if row is None else past.Told(row, (row["person_id"],))
    else:
        found = await asking.read(past.person(question, at, str(person_id)))
    if found is None:
        raise await asking.miss(question, str(person_id))
    content = {**question.header(), **asking.told(question, found.row)}
    mark = etag(content)
    is_known = holds(request, mark)
    entries = [question.entry("unchanged" if is_known else "told", holder, question.effects) for holder in found.holders]
    receipt = (await asking.commit(question.service, entries, question.caller))[0]
    if is_known:
        return Response(status_code=304, headers={"ETag": mark, "Hub-Receipt": receipt.receipt_id})
    return json({**content, "receipt": asking.note(receipt)}, ETag=mark)


@router.post(
    "/lookup",
    summary="A person by number, or by name and date of birth",
    response_model=Found,
    responses=problems(400, 401, 403, 404, 409, 413, 429, 503),
)
async def lookup(request: Request, asked: Lookup) -> Response:
    """The same as by the hub's id. A name and birth date that fit several persons give up to five candidates and no value."""
    way = "resident_id" if asked.resident_id is not None else "name_birth_date"
    question = await asking.admit(
        request.app.state.service, request, way, purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes,
        questions=asked.questions, lookup=way,
    )  # fmt: skip
    if asked.resident_id is not None:
        row, key = await named.by_number(question, asked.resident_id)
        if row is None:
            raise await asking.miss(question, key)
        return await _one(question, row, None)
    found, key = await named.by_name(question, asked.name, asked.birth_date)
    records = sum(r["records"] for r in found)
    candidates = [
        {"person_id": r["person_id"], "confidence": round(r["records"] / records, 3), "has_number": r["by_number"] > 0} for r in found
    ]
    if len(found) > 1:
        receipts = await named.offered(question, found)
        content = {**question.header(), "person_id": None, "values": [], "answers": [], "candidates": candidates}
        return json({**content, "receipt": asking.note(receipts[0])})
    row = await named.by_id(question, found[0]["person_id"]) if found else None
    if row is None:
        raise await asking.miss(question, key)
    return await _one(question, row, candidates)


async def _one(question: asking.Question, row: Any, candidates: list[dict[str, Any]] | None) -> Response:
    content = {**question.header(), **asking.told(question, row), "candidates": candidates or []}
    (receipt,) = await asking.commit(question.service, [question.entry("told", row["person_id"], question.effects)], question.caller)
    return json({**content, "receipt": asking.note(receipt)})


@router.post(
    "/compare", summary="Up to 10 000 persons at once", response_model=ComparisonResult, responses=problems(400, 401, 403, 413, 429, 503)
)
async def compare(request: Request, asked: Comparison) -> Response:
    """Each applicant is answered in its place; one that is not there, not yours or not told is `not_available`."""
    service = request.app.state.service
    by_id = [a.person_id is not None for a in asked.applicants]
    if any(by_id) and not all(by_id):
        raise Problem("bad-request", errors=[{"pointer": "/applicants", "message": "name all by resident_id, or all by person_id"}])
    question = await asking.admit(
        service, request, "compare", purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes, questions=asked.questions,
        lookup="person_id" if all(by_id) else "resident_id",
    )  # fmt: skip
    if len(asked.applicants) > question.moment.policy.purposes[asked.purpose].bulk:
        errors = [{"pointer": "/applicants", "message": "more than the purpose's bulk allows"}]
        raise await asking.refuse("too-large", question, "too_large", errors=errors)
    if all(by_id):
        names = [str(a.person_id) for a in asked.applicants]
        rows = await asking.read(answers.persons(service.asking, question.asked, names))
    else:
        raw = pl.Series([a.resident_id for a in asked.applicants], dtype=pl.String)
        numbers = spelling.numbers(raw)
        names = [n or r for n, r in zip(numbers, raw, strict=True)]
        rows = await asking.read(answers.by_number(service.asking, question.asked, numbers.to_list()))
    placed = answers.place_of(rows)
    results, entries, misses = [], [], 0
    for place, applicant in enumerate(asked.applicants, start=1):
        found = placed.get(place, ())
        if len(found) == 1:
            answer = asking.told(question, found[0])
            answer.pop("households", None)
            results.append({"ref": applicant.ref, "status": "told", **answer})
            entries.append(question.entry("told", answer["person_id"], question.effects))
        else:
            status = "ambiguous" if found else "not_available"
            misses += not found
            results.append({"ref": applicant.ref, "status": status, "person_id": None, "values": [], "answers": []})
            entries.append(question.entry(status, names[place - 1]))
    service.misses.take(question.caller.client_id, vain(misses, len(asked.applicants)))
    receipts = await asking.commit(service, entries, question.caller)
    if misses:
        await asking.beat(question)
    for result, receipt in zip(results, receipts, strict=True):
        result["receipt"] = asking.note(receipt)
    return json({**question.header(), "results": results})
