"""One question from its arrival to its answer: who asks, for what, about whom; what is written down; what may leave.

Nothing leaves before its entry is on disk. A subject that is not there, not the grant's and not told take the same way: the same
statement, the same kind of entry, the same problem, and an end at the same beat of the clock.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

import orjson
import structlog
from fastapi import Request

from hub.errors import HubError
from schemas.codes import load_code_set
from sharing import decide, tls
from sharing.attributes import Attribute, Room, catalogue
from sharing.ledger import ClientGone, Entry, Receipt
from sharing.policy import Grant, form_of
from sharing.problems import Problem
from sharing.service import Moment, Service
from sharing.tokens import Caller
from warehouse import emergencies
from warehouse.answers import Asked
from warehouse.asking import Refused
from warehouse.forms import Form

log = structlog.get_logger()
T = TypeVar("T")
_BEAT_S = 0.025  # an answer about a subject that is not told waits for the next beat since the request came


@dataclass(frozen=True)
class Question:
    """A question that is admitted: under which grant, what may be told of what was asked.

    Attributes:
        told: attribute → how it is told.
        refused: what was asked and is not told, with the reason.
        questions: codes.
        asked: the same in the warehouse's terms.
        as_of: date the answer is to be true of; None = whatever is newest.
        known_at: instant by whose knowledge; None = by the present.
        emergency: id of the emergency the client has open; None = the grant needs none.
    """

    service: Service
    moment: Moment
    caller: Caller
    grant: Grant
    kind: str
    request_id: str
    began: float
    consent: str | None
    told: dict[str, str]
    refused: dict[str, str]
    questions: tuple[str, ...]
    asked: Asked
    as_of: date | None = None
    known_at: datetime | None = None
    emergency: str | None = None

    def entry(self, decision: str, subject: str | None, told: dict[str, str] | None = None) -> Entry:
        """An entry of the log about this question."""
        return Entry(
            client_id=self.caller.client_id, department=self.caller.department, purpose=self.grant.purpose, decision=decision, asked=self.kind,
            request_id=self.request_id, subject=None if subject is None else self.service.pseudonyms.of(subject), told=told or {},
            consent=self.consent, policy_version=self.moment.policy.version, night=str(self.moment.night),
            as_of=None if self.as_of is None else str(self.as_of), known_at=None if self.known_at is None else self.known_at.isoformat(), emergency=self.emergency,
        )  # fmt: skip

    @property
    def effects(self) -> dict[str, str]:
        """Attribute or question → how it is told."""
        return {**self.told, **{f"?{q}": "yes_no" for q in self.questions}}

    def header(self) -> dict[str, Any]:
        """What every answer says of itself."""
        times = {"as_of": self.as_of, "known_at": self.known_at}
        return {
            **{name: at for name, at in times.items() if at is not None}, "purpose": self.grant.purpose, "policy_version": self.moment.policy.version, "night": self.moment.night,
            "refused": [{"name": n, "reason": r} for n, r in self.refused.items()],
        }  # fmt: skip


def bearer(service: Service, request: Request) -> Caller | None:
    """Whom the request's token was given to; None = it has no valid one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    found = service.tokens.caller(token.strip()) if scheme.lower() == "bearer" and token else None
    if found is not None and found.certificate is not None and found.certificate != tls.shown(request.scope):
        return None
    return found


def caller(service: Service, request: Request) -> Caller:
    """Who asks.

    Raises:
        Problem: there is no valid token, or the client asks too often.
    """
    found = bearer(service, request)
    if found is None:
        raise Problem("client-unauthorised")
    wait_s = service.requests.wait_s(found.client_id)
    if wait_s:
        raise Problem("too-many-requests", retry_after_s=wait_s)
    service.requests.take(found.client_id)
    return found


async def admit(
    service: Service, request: Request, kind: str, *, purpose: str, consent: str | None, attributes: Sequence[str], questions: Sequence[str],
    lookup: str | None,
) -> Question:  # fmt: skip
    """Admit a question, or refuse it; nothing about any person decides this. A refusal is written down.

    Args:
        service: the running service.
        request: that carries the question.
        kind: of the question, for the log.
        purpose: code.
        consent: reference of the person's authorisation.
        attributes: asked for.
        questions: asked.
        lookup: the way the person is named; None = by something of the department's own that is about it.

    Raises:
        Problem: it is refused.
    """
    return await admitted(
        service, caller(service, request), request.state.request_id, request.state.began, kind, purpose=purpose, consent=consent,
        attributes=attributes, questions=questions, lookup=lookup,
    )  # fmt: skip


async def admitted(
    service: Service, who: Caller, request_id: str, began: float, kind: str, *, purpose: str, consent: str | None, attributes: Sequence[str],
    questions: Sequence[str], lookup: str | None,
) -> Question:  # fmt: skip
    """Admit a question whose caller is known, as :func:`admit` does; ``began`` is when it came, by the monotonic clock.

    Raises:
        Problem: it is refused.
    """
    moment = service.moment
    known, policy = catalogue(), moment.policy
    unknown = [a for a in attributes if a not in known] + [q for q in questions if q not in policy.questions]
    if unknown:
        raise Problem("unknown-attribute")
    if not attributes and not questions:
        raise Problem("nothing-asked")

    async def refuse(code: str, reason: str, **more: Any) -> Problem:
        entry = Entry(who.client_id, who.department, purpose, reason, kind, request_id, policy_version=policy.version,
                      told=dict.fromkeys([*attributes, *(f"?{q}" for q in questions)], "refused"), night=str(moment.night))  # fmt: skip
        await commit(service, [entry], who)
        return Problem(code, **more)

    if wait_s := service.misses.wait_s(who.client_id):
        raise await refuse("too-many-misses", "paused", retry_after_s=wait_s)
    if moment.night is None:
        raise Problem("pool-unavailable", retry_after_s=60)
    allowed = who.purposes is None or purpose in who.purposes
    written = policy.grant(who.department, purpose, moment.night) if allowed else None
    opened = await read(emergencies.held(service.asking, who.client_id, purpose)) if written is not None and written.emergency else None
    grant = (
        decide.admits(
            policy, who.department, purpose, moment.night, has_consent=consent is not None, has_emergency=opened is not None
        )
        if allowed
        else decide.Reason.NO_GRANT
    )  # fmt: skip
    if grant is decide.Reason.NO_CONSENT:
        raise await refuse("consent-required", "no_consent")
    if grant is decide.Reason.NO_EMERGENCY:
        raise await refuse("emergency-not-open", "no_emergency")
    if opened is not None and opened["told"] >= opened["persons"]:
        raise await refuse("emergency-exhausted", "emergency_exhausted")
    if not isinstance(grant, Grant):
        raise await refuse("purpose-not-granted", "no_grant")
    if lookup is not None and lookup not in grant.lookup:
        raise await refuse("lookup-not-granted", "lookup_not_granted")
    decisions = decide.tells(grant, attributes)
    told = {name: str(d.effect) for name, d in decisions.items() if d.reason is decide.Reason.GRANTED}
    refused = {name: str(d.reason) for name, d in decisions.items() if d.reason is not decide.Reason.GRANTED}
    granted = tuple(q for q in dict.fromkeys(questions) if q in grant.questions)
    refused |= {q: "not_named" for q in questions if q not in grant.questions}
    if not told and not granted:
        raise await refuse("nothing-granted", "nothing_granted")
    return Question(
        service,
        moment,
        who,
        grant,
        kind,
        request_id,
        began,
        consent,
        told,
        refused,
        granted,
        asked_of(moment, grant, told, granted),
        emergency=None if opened is None else opened["emergency_id"],
    )


def asked_of(moment: Moment, grant: Grant, told: dict[str, str], questions: tuple[str, ...]) -> Asked:
    """What may be told under a grant, in the warehouse's terms."""
    known = catalogue()

    attributes = [(known[name], effect) for name, effect in told.items()]
    sources: dict[str, list[tuple[str, str, Form | None]]] = {}
    for attribute, effect in attributes:
        # A source that never delivered has no table; what it would know is told as not known.
        if attribute.stem is not None and attribute.stem in moment.stems:
            sources.setdefault(attribute.stem, []).append((attribute.name, attribute.column, form_of(effect)))
    by_source: dict[str, list[str]] = {}
    for code in questions:
        stem = moment.policy.questions[code].source
        if stem in moment.stems:
            by_source.setdefault(stem, []).append(code)
    return Asked(
        role=grant.name,
        person=tuple((a.name, a.column, form_of(e)) for a, e in attributes if a.room is Room.PERSON),
        sources=tuple((stem, tuple(columns)) for stem, columns in sorted(sources.items())),
        questions=tuple((stem, tuple(codes)) for stem, codes in sorted(by_source.items())),
        households="household.members" in told,
    )


async def refuse(code: str, question: Question, reason: str, **more: Any) -> Problem:
    """Write down that an admitted question is refused after all; the problem to raise, with ``more`` of it."""
    await commit(question.service, [question.entry(reason, None, dict.fromkeys(question.effects, "refused"))], question.caller)
    return Problem(code, **more)


async def commit(service: Service, entries: Sequence[Entry], who: Caller | None) -> list[Receipt]:
    """Write entries down.

    Raises:
        Problem: the client is revoked, or the log cannot be written.
    """
    try:
        return await service.ledger.commit(entries, who)
    except ClientGone:
        raise Problem("client-revoked") from None
    except HubError as error:
        log.error("ledger", state="failed", kind=type(error).__name__)
        raise Problem("log-unavailable", retry_after_s=5) from None


async def read(found: Awaitable[T]) -> T:
    """Await what is read from the pool.

    Raises:
        Problem: the pool does not answer, or policy and database disagree: then nothing is told.
    """
    try:
        return await found
    except Refused as error:
        log.error("pool", state="refused", kind=str(error))
        raise Problem("pool-unavailable", retry_after_s=5) from None
    except HubError:
        raise Problem("pool-unavailable", retry_after_s=5) from None


async def miss(question: Question, named: str) -> Problem:
    """Write down that a subject is not told of, and wait for the beat; the problem to raise."""
    question.service.misses.take(question.caller.client_id)
    await commit(question.service, [question.entry("not_available", named)], question.caller)
    await beat(question)
    return Problem("subject-not-available")


async def beat(question: Question) -> None:
    """Wait until the next beat since the request came, so that how long it took tells nothing."""
    passed = time.monotonic() - question.began
    await asyncio.sleep(math.ceil(passed / _BEAT_S) * _BEAT_S - passed)


def _label(attribute: Attribute, effect: str, value: Any) -> dict[str, str] | None:
    if attribute.code_set is None or value is None or effect not in ("clear", "derived"):
        return None
    entry = load_code_set(attribute.code_set).get(str(value))
    return None if entry is None else {"zh": entry.zh, "en": entry.en}


def _marks(row: Any) -> dict[tuple[str | None, str], dict[str, str]]:
    """Open disputes of a row by record and attribute; of a golden value, and of an attribute in any record, by None and the attribute."""
    found: dict[tuple[str | None, str], dict[str, str]] = {}
    if row["disputed"] is not None:
        for record, attribute, since, due in orjson.loads(row["disputed"]):  # the oldest first, and it counts
            mark = {"since": since, "due": due}
            found.setdefault((record, attribute), mark)
            found.setdefault((None, attribute), mark)
    return found


def told(question: Question, row: Any) -> dict[str, Any]:
    """What is told of one person, out of a row of the warehouse."""
    known, effects, moment = catalogue(), question.told, question.moment
    as_of, marks = row["as_of_date"], _marks(row)
    values: list[dict[str, Any]] = []
    for name, value in orjson.loads(row["person"]).items():
        values.append(
            {
                "attribute": name, "effect": effects[name], "value": value, "label": _label(known[name], effects[name], value),
                "source": "pool", "as_of_date": as_of, "is_stale": False,
            }
        )  # fmt: skip
        if marks and (None, name) in marks:
            values[-1]["disputed"] = marks[None, name]
    records = orjson.loads(row["records"])
    verdicts: dict[str, tuple[bool, str]] = {}
    for stem, found in records.items():
        is_stale = stem in moment.stale
        for record in found or ():
            for name, value in record["told"].items():
                if name[0] == "?":
                    held = verdicts.get(name[1:])
                    verdicts[name[1:]] = (
                        value or (held is not None and held[0]),
                        max(record["as_of_date"], held[1] if held is not None else ""),
                    )
                    continue
                values.append(
                    {
                        "attribute": name, "effect": effects[name], "value": value, "label": _label(known[name], effects[name], value),
                        "source": stem, "as_of_date": record["as_of_date"], "is_stale": is_stale,
                    }
                )  # fmt: skip
                if marks and (record["record_id"], name) in marks:
                    values[-1]["disputed"] = marks[record["record_id"], name]
    answers: list[dict[str, Any]] = []
    for code in question.questions:
        asked = moment.policy.questions[code]
        verdict = verdicts.get(code)
        is_stale = asked.source in moment.stale
        if verdict is not None:
            said = "yes" if verdict[0] else "no"
        else:
            # What silence means is known of a register that is complete and that came.
            said = asked.silence if asked.source in moment.stems and not is_stale else "unknown"
        as_of_date = None if verdict is None else verdict[1]
        answers.append({"question": code, "answer": said, "source": asked.source, "as_of_date": as_of_date, "is_stale": is_stale})
        if marks:
            rests_on = [marks[None, name] for c in asked.all_of if (None, name := f"{asked.source}.{c.field}") in marks]
            if rests_on:
                answers[-1]["disputed"] = min(rests_on, key=lambda mark: mark["since"])
    answer: dict[str, Any] = {"person_id": row["person_id"], "values": values, "answers": answers}
    if question.asked.households:
        answer["households"] = orjson.loads(row["households"] or "[]")
    return answer


def note(receipt: Receipt) -> dict[str, Any]:
    """A receipt as it is handed out."""
    return {"receipt_id": receipt.receipt_id, "leaf_index": receipt.leaf_index}
