"""Comparisons handed in as jobs: worked off batch by batch, each as a question like any other, and written down before it can be fetched.

A batch's entries in the log, its answers and the job's progress are one transaction: a service that is killed has either done a batch or
not, and no row is answered twice. What a job may be told is asked anew of the policy for each batch; every row says its night.
"""

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar, cast

import orjson
import polars as pl
import structlog

from hub.crypto_suite import Suite
from hub.errors import HubError, ServiceError, unforeseen
from sharing import answer_file, applicants, asking, decide, ledger, spelling, turns
from sharing.applicants import Applicant, Format, Unreadable
from sharing.asking import Question
from sharing.attributes import Room, catalogue
from sharing.ledger import ClientGone, Draft, Entry, Overtaken
from sharing.limits import vain
from sharing.policy import Grant
from sharing.sealed_parts import PART, Parts, PartSeal
from sharing.service import Service
from sharing.tokens import Caller
from warehouse import answers, compare_jobs, database
from warehouse.asking import Refused
from warehouse.compare_jobs import Progress

log = structlog.get_logger()
T = TypeVar("T")
_WORK = "comparing"  # one program works jobs off at a time
_BATCH = 2_000  # rows: others' entries wait for no more than these
_LOOK_S = 1.0  # between two looks for jobs that came by another program, or waited
_TURN_S = 3.0  # after which a job lets those of other clients go on
_AWAY_S = 5  # how long a job waits when pool or log do not answer


class Ended(Exception):
    """A job cannot go on; the code of the problem."""


@dataclass(frozen=True)
class _LookedUp:
    """A batch and what the pool holds of whom it names: what they are looked for by, and rows, by number of the list's row."""

    question: Question
    batch: Sequence[Applicant]
    keys: dict[int, str]
    found: dict[int, list[Any]]


@dataclass(frozen=True)
class Prepared:
    """A batch that is answered and not yet written down."""

    caller: Caller
    progress: Progress
    draft: Draft


def caller_of(job: Any) -> Caller:
    """In whose name a job asks."""
    purposes = None if job["purposes"] is None else frozenset(job["purposes"])
    return Caller(job["client_id"], job["department"], job["generation"], purposes, 0.0)


def question_of(service: Service, job: Any, rows: int = 0) -> Question:
    """A job's question, as the policy has it now.

    Args:
        service: the running service.
        job: its row.
        rows: how many the list has at least.

    Raises:
        Ended: it is not granted any more, or other things would be told than when it was handed in, or the list is too long.
        HubError: no night was published yet.
    """
    moment, who = service.moment, caller_of(job)
    if moment.night is None:
        raise ServiceError("no night was published yet", where="pool")
    allowed = who.purposes is None or job["purpose"] in who.purposes
    grant = decide.admits(moment.policy, who.department, job["purpose"], moment.night, has_consent=job["consent"] is not None)
    if not allowed or not isinstance(grant, Grant):
        raise Ended("purpose-not-granted")
    if not grant.compare_job:
        raise Ended("compare-job-not-granted")
    if rows > grant.compare_job:
        raise Ended("too-large")
    decisions = decide.tells(grant, job["attributes"])
    told = {name: str(d.effect) for name, d in decisions.items() if d.reason is decide.Reason.GRANTED}
    questions = tuple(q for q in job["questions"] if q in grant.questions and q in moment.policy.questions)
    now = {**told, **{f"?{q}": "yes_no" for q in questions}}
    if now != orjson.loads(job["told"]):
        raise Ended("policy-changed")
    return Question(
        service=service, moment=moment, caller=who, grant=grant, kind="compare_job", request_id=job["request_id"], began=time.monotonic(),
        consent=job["consent"], told=told, refused=orjson.loads(job["refused"]), questions=questions,
        asked=asking.asked_of(moment, grant, told, questions),
    )  # fmt: skip


def columns(question: Question) -> tuple[str, ...]:
    """Columns of the job's table. Households are no part of a comparison."""
    known, policy = catalogue(), question.moment.policy
    told = [name for name in question.told if known[name].room is not Room.HOUSEHOLD]
    sources = {known[name].stem or "pool" for name in told} | {policy.questions[q].source for q in question.questions}
    return answer_file.columns([*told, *question.questions], sorted(sources))


def opened(service: Service, seal: PartSeal, job_id: str, kind: str, places: Sequence[Any]) -> BinaryIO:
    """The parts of a kind as one file, read by a thread.

    Raises:
        Overtaken: (as it is read) a part is gone: the job was stopped.
    """

    def read(number: int) -> bytes:
        sealed = compare_jobs.sealed_part(database.engine(service.settings), job_id, kind, number)
        if sealed is None:
            raise Overtaken
        return seal.open(job_id, kind, number, sealed)

    size = places[-1]["start_byte"] + places[-1]["bytes"] if places else 0
    return cast(BinaryIO, io.BufferedReader(Parts([p["start_byte"] for p in places], size, read), buffer_size=1 << 16))


class Worker:
    """Works jobs off, one batch after the other, one job of each client at a time.

    Attributes:
        has_come: set when there may be something to do.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._seal = PartSeal(service.settings)
        self._readers: dict[str, tuple[int, Iterator[list[Applicant]]]] = {}
        self.has_come = asyncio.Event()

    async def keep_on(self) -> None:
        """Turn after turn, until cancelled."""
        await turns.keep_on("compare_job", self.turn, every_s=_LOOK_S, has_come=self.has_come)

    async def turn(self) -> int:
        """Work on every job that is due until none is; how many rows were done."""
        service, rows = self._service, 0
        await compare_jobs.forget(service.asking)
        if not await compare_jobs.due(service.asking):
            self._readers.clear()
            return 0
        async with service.asking.alone(_WORK) as is_ours:
            while is_ours and (due := await compare_jobs.due(service.asking)):
                self._readers = {j["job_id"]: self._readers[j["job_id"]] for j in due if j["job_id"] in self._readers}
                rows += await self._work(due[0], is_alone=len(due) == 1)
        return rows

    async def _work(self, job: Any, *, is_alone: bool) -> int:
        """Go on with a job for a while; how many rows were done."""
        job_id = job["job_id"]
        try:
            return await self._batches(job, is_alone=is_alone)
        except Overtaken:
            return 0  # stopped, or another program is further
        except (Ended, Unreadable) as error:
            problem = str(error) if isinstance(error, Ended) else "input-unreadable"
            if isinstance(error, Ended):
                await self._refused(job, problem)
            await self._end(job, problem)
            return 0
        except ClientGone:
            await self._end(job, "client-revoked")
            return 0
        except (HubError, Refused) as error:
            log.warning("compare_job", state="waits", job_id=job_id, kind=type(error).__name__)
            await compare_jobs.pause(self._service.asking, job_id, _AWAY_S)  # others go on
            return 0
        except Exception as error:
            log.error("compare_job", state="failed", job_id=job_id, error=unforeseen(error))
            await self._end(job, "internal")
            return 0

    async def _end(self, job: Any, problem: str) -> None:
        await compare_jobs.end(self._service.asking, job["job_id"], "failed", problem, self._service.settings.sharing_job_kept_hours)
        log.info("compare_job", state="failed", job_id=job["job_id"], problem=problem)

    async def _refused(self, job: Any, problem: str) -> None:
        """Write down that the job's question is refused."""
        moment = self._service.moment
        entry = Entry(
            job["client_id"], job["department"], job["purpose"], problem.replace("-", "_"), "compare_job", job["request_id"],
            told=dict.fromkeys(orjson.loads(job["told"]), "refused"), policy_version=moment.policy.version, night=str(moment.night),
        )  # fmt: skip
        await self._service.ledger.commit([entry], None)

    async def _reader(self, job: Any) -> Iterator[list[Applicant]]:
        held = self._readers.get(job["job_id"])
        if held is not None and held[0] == job["rows_done"]:
            return held[1]
        places = await compare_jobs.places(self._service.asking, job["job_id"], "input")
        source = opened(self._service, self._seal, job["job_id"], "input", places)
        return applicants.batches(source, Format(job["input"]), job["charset"], _BATCH, job["rows_done"])

    async def _batches(self, job: Any, *, is_alone: bool) -> int:
        service, job_id, before = self._service, job["job_id"], int(job["rows_done"])
        began = last = time.monotonic()
        reader = await self._reader(job)
        self._readers.pop(job_id, None)
        done, parts = before, int(job["output_parts"])
        misses, named = int(job["not_available_rows"]), before - int(job["malformed_rows"])
        is_over = False

        async def batches() -> AsyncIterator[list[Applicant]]:
            nonlocal is_over
            while True:
                batch = await asyncio.to_thread(next, reader, None)
                if batch is None:
                    is_over = True
                    return
                yield batch
                if time.monotonic() - began >= _TURN_S and not (is_alone and len(await compare_jobs.due(service.asking)) == 1):
                    return

        # Three batches are on their way at one time: one is read from the pool, one is answered, one is written down.
        async with aclosing(_ahead(self._answered(job, _ahead(self._looked_up(job, batches()))))) as prepared:
            async for ready in prepared:
                await self._commit(job_id, ready, done, time.monotonic() - last)
                progress = ready.progress
                done, parts, last, before_it = done + progress.rows, parts + 1, time.monotonic(), vain(misses, named)
                misses, named = misses + progress.not_available, named + progress.rows - progress.malformed
                service.misses.take(job["client_id"], max(0.0, vain(misses, named) - before_it))
                if wait_s := service.misses.wait_s(job["client_id"]):
                    await compare_jobs.pause(service.asking, job_id, wait_s)
                    return done - before
        if is_over:
            await self._finish({**job, "rows_done": done, "output_parts": parts})
        else:
            self._readers[job_id] = (done, reader)
        return done - before

    async def _commit(self, job_id: str, prepared: Prepared, at: int, seconds: float) -> None:
        async def along(connection: Any) -> None:
            if not await compare_jobs.advance(connection, job_id, at, prepared.progress, seconds):
                raise Overtaken

        await self._service.ledger.commit_with(prepared.draft, prepared.caller, along)

    async def _looked_up(self, job: Any, batches: AsyncIterator[list[Applicant]]) -> AsyncIterator[_LookedUp]:
        """Batches with what the pool holds of whom they name."""
        service = self._service
        async for batch in batches:
            keys = await asyncio.to_thread(_keys, batch)
            while True:
                await service.refresh()
                question = question_of(service, job, batch[-1].row)
                if any(a.way is not None and a.way not in question.grant.lookup for a in batch):
                    raise Ended("lookup-not-granted")
                found = await _found(question, batch, keys)
                if await answers.publication(service.asking) == question.moment.number:
                    break  # else some of it may be of a later night than it says: it is read again
            yield _LookedUp(question, batch, keys, found)

    async def _answered(self, job: Any, batches: AsyncIterator[_LookedUp]) -> AsyncIterator[Prepared]:
        """Batches answered, numbered on from the job's last."""
        number = int(job["output_parts"])
        async for batch in batches:
            draft, statuses, plain = await asyncio.to_thread(
                _answers, batch, Format(job["output"]), self._service.suite, is_first=number == 0
            )
            sealed = await asyncio.to_thread(self._seal.close, job["job_id"], "answers", number, plain)
            counts = {name: statuses.count(name) for name in ("told", "not_available", "ambiguous", "malformed")}
            yield Prepared(batch.question.caller, Progress(**counts, number=number, size=len(plain), sealed=sealed), draft)
            number += 1

    async def _finish(self, job: Any) -> None:
        """The last row is done; a Parquet file is made of the answers, and what has no row gets its head."""
        service, job_id, made = self._service, job["job_id"], None
        if job["output_parts"] == 0 or job["output"] == Format.PARQUET:
            made = await self._assemble(job, columns(question_of(service, job)))
        await compare_jobs.end(service.asking, job_id, "done", None, service.settings.sharing_job_kept_hours, made)
        log.info("compare_job", state="done", job_id=job_id, rows=job["rows_done"])

    async def _assemble(self, job: Any, names: Sequence[str]) -> tuple[int, int]:
        """Make the output of the answers, a piece at a time; how many pieces and bytes it has."""
        service, job_id, loop = self._service, job["job_id"], asyncio.get_running_loop()
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue(2)

        def put(piece: bytes | None) -> None:
            asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result(60)

        def parts() -> Iterator[bytes]:
            for number in range(job["output_parts"]):
                sealed = compare_jobs.sealed_part(database.engine(service.settings), job_id, "answers", number)
                if sealed is None:
                    raise Overtaken
                yield self._seal.open(job_id, "answers", number, sealed)

        def made() -> None:
            try:
                if job["output"] == Format.PARQUET:
                    answer_file.parquet(parts(), names, PART, put)
                else:
                    put(answer_file.part(Format(job["output"]), [], names, is_first=True))
            finally:
                put(None)

        making = asyncio.create_task(asyncio.to_thread(made))
        size = number = 0
        try:
            while (piece := await pieces.get()) is not None:
                sealed = await asyncio.to_thread(self._seal.close, job_id, "output", number, piece)
                await compare_jobs.put_output(service.asking, job_id, number, size, len(piece), sealed)
                size, number = size + len(piece), number + 1
        finally:
            while not making.done():  # it waits for nobody to take its pieces
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(pieces.get(), 0.1)
            await making
        return number, size


async def _ahead(made: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What an iterator gives, each made while the one before is dealt with."""
    following = asyncio.ensure_future(anext(made, None))
    try:
        while (item := await following) is not None:
            following = asyncio.ensure_future(anext(made, None))
            yield item
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await following


def _keys(batch: Sequence[Applicant]) -> dict[int, str]:
    """What a number or name is looked for by, by number of the list's row: its one spelling; empty = it has none and finds nobody."""
    found: dict[int, str] = {}
    numbers = [a for a in batch if a.way == "resident_id"]
    found |= zip((a.row for a in numbers), spelling.numbers(_texts(numbers)), strict=True)
    names = [a for a in batch if a.way == "name_birth_date"]
    found |= zip((a.row for a in names), spelling.names(_texts(names)), strict=True)
    return found


def _texts(named: Sequence[Applicant]) -> pl.Series:
    return pl.Series("name", [a.name for a in named], dtype=pl.String)


async def _found(question: Question, batch: Sequence[Applicant], keys: dict[int, str]) -> dict[int, list[Any]]:
    """Rows of the warehouse by number of the list's row."""
    found: dict[int, list[Any]] = {}

    def place(rows: Sequence[Any], named: Sequence[Applicant]) -> None:
        for row in rows:
            found.setdefault(named[row["place"] - 1].row, []).append(row)

    service, asked = question.service, question.asked
    by_id, by_number, by_name = ([a for a in batch if a.way == way] for way in ("person_id", "resident_id", "name_birth_date"))
    if by_id:
        place(await answers.persons(service.asking, asked, [a.name for a in by_id]), by_id)
    if by_number:
        place(await answers.by_number(service.asking, asked, [keys[a.row] for a in by_number]), by_number)
    if by_name:
        births = [a.birth_date for a in by_name]
        place(await answers.all_named(service.asking, question.grant.name, [keys[a.row] for a in by_name], births), by_name)
        sure = [(a, found.pop(a.row)[0]["person_id"]) for a in by_name if len(found.get(a.row, ())) == 1]
        place(await answers.persons(service.asking, asked, [p for _, p in sure]), [a for a, _ in sure])
    return found


def _answers(looked: _LookedUp, form: Format, suite: Suite, *, is_first: bool) -> tuple[Draft, list[str], bytes]:
    """Entries of a batch, status of each row, and the answers as part of the job's file."""
    question, batch, keys, found = looked.question, looked.batch, looked.keys, looked.found
    entries, answered, statuses = [], [], []
    night, effects = str(question.moment.night), question.effects
    for applicant in batch:
        rows = found.get(applicant.row, ())
        rest: dict[str, Any] = {"person_id": None, "values": [], "answers": []}
        if applicant.way is None:
            status = "malformed"
        elif len(rows) == 1:
            status = "told"
            rest = asking.told(question, rows[0])
            rest.pop("households", None)
            entries.append(question.entry(status, rest["person_id"], effects))
        else:
            status = "ambiguous" if rows else "not_available"
            named = keys.get(applicant.row) or applicant.name
            entries.append(question.entry(status, f"{named} {applicant.birth_date}" if applicant.way == "name_birth_date" else named))
        statuses.append(status)
        answered.append(
            {
                "row": applicant.row,
                "ref": applicant.ref,
                "status": status,
                "fault": applicant.fault,
                **rest,
                "night": night,
                "receipt": None,
            }
        )
    draft = ledger.draft(entries, suite)
    ids = iter(draft.ids)
    for answer in answered:
        if answer["status"] != "malformed":
            answer["receipt"] = {"receipt_id": next(ids)}
    return draft, statuses, answer_file.part(form, answered, columns(question), is_first=is_first)
