"""Comparisons as jobs: a list of up to a million applicants handed in as a file, its answers fetched as one."""

import asyncio
import base64
import hashlib
import math
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from sharing import applicants, asking, compare_job
from sharing.applicants import MEDIA, Format, Unreadable
from sharing.compare_job import Ended
from sharing.ledger import Overtaken
from sharing.models import CompareJob, CompareJobList, CompareJobRequest
from sharing.once import OnceRoute, documented
from sharing.problems import Problem, kinds, language
from sharing.routes.documented import IF_NONE_MATCH, headers, problems
from sharing.routes.persons import holds, json
from sharing.sealed_parts import PART, PartSeal
from sharing.service import Service
from sharing.tokens import Caller
from warehouse import answers, compare_jobs

router = APIRouter(prefix="/v1/compare-jobs", tags=["compare-jobs"], route_class=OnceRoute)
_MOST = 10  # jobs a client may have kept
_LONGEST_WAIT_S = 30
_RANGE = re.compile(r"bytes=(\d{1,15})?-(\d{1,15})?")
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")
_EXAMPLES = {
    Format.CSV: "ref,resident_id\r\nrow-1,110101199003070003\r\n",
    Format.NDJSON: '{"ref":"row-1","resident_id":"110101199003070003"}\n{"ref":"row-2","name":"王伟","birth_date":"1990-03-07"}\n',
}
_LIST = {
    "required": True,
    "description": "Columns `resident_id`, or `name` and `birth_date` (2001-02-03), or `person_id`; and `ref`, your own mark, if you like. CSV has a head.",
    "content": {
        media: {"schema": {"type": "string", **({} if form in _EXAMPLES else {"format": "binary"})}, **({"example": _EXAMPLES[form]} if form in _EXAMPLES else {})}
        for form, media in MEDIA.items()
    },
}  # fmt: skip
_ANSWERS = {
    Format.CSV: "row,ref,status,fault,person_id,night,receipt_id,person.name,insured,medical_insurance.as_of_date,pool.as_of_date,stale_sources,disputed\r\n",
    Format.NDJSON: '{"row":1,"ref":"row-1","status":"not_available","fault":null,"person_id":null,"values":[],"answers":[],"night":"2026-03-05","receipt":{"receipt_id":"…"}}\n',
}  # fmt: skip
_FILE = {
    media: {"schema": {"type": "string", **({} if form in _ANSWERS else {"format": "binary"})}, **({"example": _ANSWERS[form]} if form in _ANSWERS else {})}
    for form, media in MEDIA.items()
}  # fmt: skip


def _wait_s(row: Any) -> int:
    left = _seconds_left(row)
    return 1 if left is None else max(1, min(_LONGEST_WAIT_S, left // 2))


def _seconds_left(row: Any) -> int | None:
    if row["state"] != "running" or not row["rows_done"] or not row["worked_s"]:
        return None
    left, a_row_s = int(row["input_rows"]) - int(row["rows_done"]), float(row["worked_s"]) / int(row["rows_done"])
    return max(0, math.ceil(left * a_row_s))


def _shown(request: Request, row: Any) -> dict[str, Any]:
    spoken = language(request.headers.get("accept-language"))
    kind = kinds().get(row["problem"] or "")
    is_at_work = row["state"] in ("queued", "running")
    return {
        "job_id": row["job_id"], "purpose": row["purpose"], "attributes": list(row["attributes"]), "questions": list(row["questions"]),
        "refused": [{"name": n, "reason": r} for n, r in orjson.loads(row["refused"]).items()], "output": row["output"], "state": row["state"],
        "problem": None if kind is None else {"code": kind.code, "title": kind.title[spoken], "next_step": kind.next[spoken]},
        "input_bytes": row["input_bytes"], "rows": row["input_rows"], "rows_done": row["rows_done"], "told": row["told_rows"],
        "not_available": row["not_available_rows"], "ambiguous": row["ambiguous_rows"], "malformed": row["malformed_rows"],
        "rows_per_s": round(row["rows_done"] / row["worked_s"], 1) if row["worked_s"] else None, "seconds_left": _seconds_left(row),
        "paused_until": None if row["next_at"] is None else row["next_at"].isoformat(),
        "output_bytes": row["output_bytes"] if row["state"] == "done" else None, "created_at": row["created_at"].isoformat(),
        "ended_at": None if row["ended_at"] is None else row["ended_at"].isoformat(),
        "expires_at": None if is_at_work else row["expires_at"].isoformat(),
    }  # fmt: skip


def _answer(request: Request, row: Any, status: int = 200) -> Response:
    answer = json(_shown(request, row))
    answer.status_code = status
    if row["state"] in ("queued", "running"):
        answer.headers["Retry-After"] = str(_wait_s(row))
    return answer


async def _own(request: Request, job_id: UUID) -> tuple[Service, Caller, Any]:
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    row = await asking.read(compare_jobs.one(service.asking, who.client_id, job_id))
    if row is None:
        raise Problem("not-found")
    return service, who, row


def _still_granted(service: Service, row: Any, rows: int = 0) -> None:
    try:
        compare_job.question_of(service, row, rows)
    except Ended as ended:
        raise Problem(str(ended)) from None


@router.post(
    "",
    summary="Hand in a comparison as a job",
    status_code=201,
    response_model=CompareJob,
    dependencies=[Depends(documented)],
    responses=problems(400, 401, 403, 409, 413, 422, 429, 503),
)
async def begin(request: Request, asked: CompareJobRequest) -> Response:
    """Needs a right of its own, which also says how many rows at most. The list is sent to ``/input``, the answers are fetched from ``/output``."""
    service: Service = request.app.state.service
    question = await asking.admit(
        service, request, "compare_job", purpose=asked.purpose, consent=asked.consent, attributes=asked.attributes, questions=asked.questions,
        lookup=None,
    )  # fmt: skip
    if not question.grant.compare_job:
        raise await asking.refuse("compare-job-not-granted", question, "compare_job_not_granted")
    who = question.caller
    await asking.commit(service, [], who)  # says whether the client is in force
    if len(await asking.read(compare_jobs.of_client(service.asking, who.client_id))) >= _MOST:
        raise Problem("too-large", errors=[{"pointer": "/", "message": f"a client has no more than {_MOST} jobs: delete one"}])
    row = await asking.read(
        compare_jobs.add(
            service.asking, who.client_id, who.generation, asked.purpose, asked.consent, list(question.told), question.questions, question.effects,
            question.refused, asked.output, question.request_id, service.settings.sharing_job_kept_hours,
        )
    )  # fmt: skip
    return _answer(request, row, 201)


@router.get("", summary="Your jobs", response_model=CompareJobList, responses=problems(401, 429, 503))
async def listed(request: Request) -> Response:
    """Those of the calling client that are kept."""
    service: Service = request.app.state.service
    who = asking.caller(service, request)
    return json({"jobs": [_shown(request, r) for r in await asking.read(compare_jobs.of_client(service.asking, who.client_id))]})


@router.get(
    "/{job_id}",
    summary="How far a job is",
    response_model=CompareJob,
    responses={200: {"headers": headers("Retry-After")}, **problems(400, 401, 404, 429, 503)},
)
async def state(request: Request, job_id: UUID) -> Response:
    """Its state, its rows by what became of them, and how long it will take; ``Retry-After`` says when to ask again."""
    _, _, row = await _own(request, job_id)
    return _answer(request, row)


@router.delete(
    "/{job_id}", summary="Stop and forget a job", status_code=204, response_class=Response, responses=problems(400, 401, 404, 429, 503)
)
async def remove(request: Request, job_id: UUID) -> Response:
    """List and answers are forgotten; its receipts stay."""
    service, who, _ = await _own(request, job_id)
    await asking.read(compare_jobs.remove(service.asking, who.client_id, job_id))
    return Response(status_code=204)


@router.put(
    "/{job_id}/input", summary="Send the list of a job", status_code=202, response_model=CompareJob, openapi_extra={"requestBody": _LIST},
    responses={202: {"headers": headers("Retry-After")}, **problems(400, 401, 403, 404, 409, 413, 415, 429, 503)},
)  # fmt: skip
async def put_input(
    request: Request,
    job_id: UUID,
    upload_offset: Annotated[
        int | None, Header(ge=0, le=1 << 40, description="Bytes that came before, as `input_bytes` of the job says; left out = from the beginning.")
    ] = None,
    upload_complete: Annotated[
        Literal["?1", "?0"], Header(description="?0 = more is to come; the job begins when the last came.")
    ] = "?1",
    repr_digest: Annotated[
        str | None, Header(max_length=200, pattern=_DIGEST.pattern, description="Of the whole list, `sha-256=:…:` (RFC 9530); it is checked when all has come.")
    ] = None,
) -> Response:  # fmt: skip
    """As one stream, or in as many as you like. What came stays: an upload that broke off goes on behind it, with ``Upload-Offset``."""
    service, who, row = await _own(request, job_id)
    if row["state"] != "waiting_for_input":
        raise Problem("job-not-waiting")
    named = applicants.media(request.headers.get("content-type", ""))
    if named is None:
        raise Problem("media-not-supported")
    form, charset = named
    _still_granted(service, row)
    await asking.commit(service, [], who)
    if upload_offset is None or upload_offset == row["input_bytes"] == 0:
        if not await asking.read(compare_jobs.begin_input(service.asking, row["job_id"], form, charset)):
            raise Problem("job-not-waiting")
        row = {**row, "input_bytes": 0, "input_parts": 0, "input_rows": 0}
    elif upload_offset != row["input_bytes"] or (row["input"], row["charset"]) != (form, charset):
        raise Problem(
            "upload-offset", errors=[{"pointer": "header/Upload-Offset", "message": f"{row['input_bytes']} bytes came, as {row['input']}"}]
        )
    size = await _received(request, service, row)
    if upload_complete == "?1":
        _, _, row = await _own(request, job_id)
        await _complete(service, row, size, repr_digest)
        request.app.state.worker.has_come.set()
    _, _, row = await _own(request, job_id)
    return _answer(request, row, 202)


async def _received(request: Request, service: Service, row: Any) -> int:
    """Keep what comes, part by part; bytes of the list so far."""
    seal, job_id = PartSeal(service.settings), row["job_id"]
    size, number, most = row["input_bytes"], row["input_parts"], service.settings.sharing_job_megabytes << 20
    held = bytearray()

    async def keep(n: int) -> None:
        nonlocal size, number
        plain = bytes(held[:n])
        del held[:n]
        lines = plain.count(b"\n")
        sealed = await asyncio.to_thread(seal.close, job_id, "input", number, plain)
        if not await asking.read(compare_jobs.add_input(service.asking, job_id, number, size, len(plain), lines, sealed)):
            raise Problem(
                "upload-offset", errors=[{"pointer": "header/Upload-Offset", "message": "another upload goes on at the same time"}]
            )
        size, number = size + len(plain), number + 1

    try:
        async for data in request.stream():
            held += data
            if size + len(held) > most:
                raise Problem(
                    "too-large",
                    errors=[{"pointer": "input", "message": f"a list has no more than {service.settings.sharing_job_megabytes} MiB"}],
                )
            while len(held) >= PART:
                await keep(PART)
    except ClientDisconnect:
        if held:
            await keep(len(held))
        raise Problem("bad-request") from None  # nobody reads it; the upload may go on
    if held:
        await keep(len(held))
    return int(size)


async def _complete(service: Service, row: Any, size: int, digest: str | None) -> None:
    """All has come: look at its head, and let it wait for its turn."""
    seal, job_id = PartSeal(service.settings), row["job_id"]
    places = await asking.read(compare_jobs.places(service.asking, job_id, "input"))

    def looked() -> int:
        if digest is not None:
            hashed = hashlib.sha256()
            whole = compare_job.opened(service, seal, job_id, "input", places)
            while block := whole.read(1 << 16):
                hashed.update(block)
            given = _DIGEST.search(digest)
            if given is None or base64.b64decode(given[1]) != hashed.digest():
                raise Problem("digest-mismatch")
        source = compare_job.opened(service, seal, job_id, "input", places)
        return applicants.look(source, Format(row["input"]), row["charset"], row["input_rows"])

    try:
        rows = await asyncio.to_thread(looked)
    except Unreadable as error:
        raise Problem("input-unreadable", errors=[{"pointer": error.pointer, "message": error.complaint}]) from None
    except Overtaken:
        raise Problem("job-not-waiting") from None
    _still_granted(service, row, rows)
    if not await asking.read(compare_jobs.queue(service.asking, job_id, size, rows)):
        raise Problem("job-not-waiting")


def _wanted(request: Request, size: int, mark: str) -> tuple[int, int] | None:
    """First and last byte that are asked for (RFC 9110 section 14); None = all of them.

    Raises:
        Problem: there are no such bytes.
    """
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or not (found[1] or found[2]) or request.headers.get("if-range", mark) != mark:
        return None
    first, last = (int(found[1]), int(found[2] or size)) if found[1] else (size - int(found[2]), size)
    first, last = max(0, first), min(last, size - 1)
    if first > last:
        raise Problem("range-not-satisfiable")
    return first, last


@router.get(
    "/{job_id}/output", summary="The answers of a job", response_class=StreamingResponse, openapi_extra={"parameters": [IF_NONE_MATCH]},
    responses={
        200: {"content": _FILE, "description": "All of them, in the order of the list.", "headers": headers("ETag")},
        206: {"content": _FILE, "description": "The bytes that Range names.", "headers": headers("ETag", "Content-Range")},
        304: {"description": "The caller holds them already.", "headers": headers("ETag")},
        **problems(400, 401, 403, 404, 409, 416, 429, 503, retried=(409,)),
    },
)  # fmt: skip
async def output(request: Request, job_id: UUID) -> Response:
    """To be fetched when the job is done, as often as you like, from any byte on (``Range``): each row was written down when it was answered."""
    service, who, row = await _own(request, job_id)
    if row["state"] != "done":
        raise Problem("job-not-done", retry_after_s=_wait_s(row) if row["state"] in ("queued", "running") else None)
    await asking.commit(service, [], who)
    _still_granted(service, row)
    size, mark = row["output_bytes"], f'"{row["job_id"]}"'
    media = MEDIA[Format(row["output"])]
    sent = {"ETag": mark, "Accept-Ranges": "bytes", "Cache-Control": "private, no-store"}
    if holds(request, mark):
        return Response(status_code=304, headers=sent)
    wanted = _wanted(request, size, mark)
    first, last = wanted or (0, size - 1)
    sent |= {"Content-Length": str(last - first + 1), "Content-Disposition": f'attachment; filename="{row["job_id"]}.{row["output"]}"'}
    if wanted is not None:
        sent["Content-Range"] = f"bytes {first}-{last}/{size}"
    return StreamingResponse(
        _bytes(service, who, row, first, last),
        206 if wanted else 200,
        sent,
        f"{media}; charset=utf-8" if row["output"] == Format.CSV else media,
    )


async def _bytes(service: Service, who: Caller, row: Any, first: int, last: int) -> AsyncIterator[bytes]:
    """The output between two bytes, part by part; a client that is revoked in the midst gets no further one."""
    seal, job_id = PartSeal(service.settings), row["job_id"]
    kind, places = "output", await compare_jobs.places(service.asking, job_id, "output")
    if not places:
        kind, places = "answers", await compare_jobs.places(service.asking, job_id, "answers")
    for place in places:
        start = place["start_byte"]
        if start > last or start + place["bytes"] <= first:
            continue
        client = await answers.client(service.asking, who.client_id)
        sealed = await compare_jobs.part(service.asking, job_id, kind, place["number"])
        if client is None or client["generation"] != who.generation or sealed is None:
            raise ClientDisconnect  # too few bytes: it is told apart from a whole answer by its length
        plain = await asyncio.to_thread(seal.open, job_id, kind, place["number"], sealed)
        yield plain[max(0, first - start) : last + 1 - start]
