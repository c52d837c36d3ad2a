"""What a subscription watches: what its client would be told now, held as a keyed mark, so that a change is seen and no value is kept.

The mark is made of an answer under the client's own grant, read under the role of that grant. So a notice follows from nothing
a question would not tell: a change of what the grant does not give, or of a person it does not cover, moves no mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from sharing import asking, decide
from sharing.policy import Grant
from sharing.service import Moment, Service
from warehouse import answers, notices, subscriptions
from warehouse.answers import Asked

_CHUNK = 1_000
_WORK = "looking for notices"  # one program at a time, so cursors are given in the order in which they can be read


@dataclass(frozen=True)
class Watch:
    """What a client may be told of the subjects of its subscription.

    Attributes:
        told: attribute → how.
        questions: codes.
    """

    kind: str
    grant: Grant
    told: dict[str, str]
    questions: tuple[str, ...]
    asked: Asked


def entitled(moment: Moment, row: Any) -> Watch | None:
    """What a subscription may tell of by the policy of the moment; None = nothing any more."""
    if moment.night is None or (row["purposes"] is not None and row["purpose"] not in row["purposes"]):
        return None
    grant = decide.admits(moment.policy, row["department"], row["purpose"], moment.night, has_consent=row["consent"] is not None)
    if not isinstance(grant, Grant) or row["kind"] not in grant.subscribe:
        return None
    told = {n: str(d.effect) for n, d in decide.tells(grant, row["attributes"]).items() if d.reason is decide.Reason.GRANTED}
    questions = tuple(q for q in row["questions"] if q in grant.questions)
    if not told and not questions:
        return None
    return Watch(row["kind"], grant, told, questions, asking.asked_of(moment, grant, told, questions))


def _seen(moment: Moment, watch: Watch, row: Any) -> dict[str, Any]:
    """What is told of one person, apart from when it was confirmed."""
    records = orjson.loads(row["records"])
    values = {
        stem: sorted(orjson.dumps({k: v for k, v in r["told"].items() if k[0] != "?"}).decode() for r in found)
        for stem, found in records.items() if found and any(k[0] != "?" for k in found[0]["told"])
    }  # fmt: skip
    verdicts = {}
    for code in watch.questions:
        question = moment.policy.questions[code]
        said = [r["told"][f"?{code}"] for r in records.get(question.source) or ()]
        verdicts[code] = any(said) if said or question.silence == "no" else None
    return {
        "person": orjson.loads(row["person"]),
        "values": values,
        "answers": verdicts,
        "households": row["households"] if watch.asked.households else None,
    }


async def marks(service: Service, moment: Moment, watch: Watch, subjects: Sequence[str]) -> list[bytes | None]:
    """The marks of persons or households as they are now, in their order; None = nothing is told of one."""
    found: list[Any] = []
    if watch.kind == "household":
        for subject in subjects:
            rows = await answers.household(
                service.asking, watch.asked, subject, with_size="household.size" in watch.told,
                with_relation="household.relation" in watch.told, with_members="household.members" in watch.told,
            )  # fmt: skip
            members = "household.members" in watch.told
            seen = [{"id": r["person_id"], "as": r["relation"], **(_seen(moment, watch, _alone(r)) if members else {})} for r in rows]
            found.append({"size": rows[0]["size"], "members": seen if members else None} if rows else None)
    else:
        placed = answers.place_of(await answers.persons(service.asking, watch.asked, list(subjects)))
        found = [[_seen(moment, watch, r) for r in placed[n]] if n in placed else None for n in range(1, len(subjects) + 1)]
    return [None if f is None else _hashed(service, f) for f in found]


def mark(service: Service, moment: Moment, watch: Watch, rows: Sequence[Any]) -> bytes:
    """The mark of one person, out of its rows."""
    return _hashed(service, [_seen(moment, watch, r) for r in rows])


def _hashed(service: Service, seen: Any) -> bytes:
    return service.pseudonyms.of("watched " + orjson.dumps(seen, option=orjson.OPT_SORT_KEYS).decode())


def _alone(row: Any) -> dict[str, Any]:
    """A member without the households it is in, which are asked for through the household itself."""
    return {**dict(row), "households": None}


async def holding(service: Service, moment: Moment, watch: Watch) -> list[str] | None:
    """For whom a condition holds now; None = its source never delivered, so nothing is known."""
    (code,) = watch.questions
    stem = moment.policy.questions[code].source
    return await answers.fulfilling(service.asking, watch.grant.name, stem, code) if stem in moment.stems else None


async def look(service: Service, now: datetime) -> None:
    """Look at every subscription since whose last look there was a publication, and make notices of what changed.

    A program that is killed between two marks leaves the rest to the next look: marks and notices move together.
    """
    async with service.asking.alone(_WORK) as is_mine:
        if not is_mine:
            return
        moment = service.moment
        for row in await subscriptions.behind(service.asking, moment.number):
            watch = entitled(moment, row)
            if watch is None:
                continue
            subscription_id = row["subscription_id"]
            kept_days = moment.policy.purposes[row["purpose"]].retention_days
            await notices.forget(service.asking, subscription_id, now - timedelta(days=kept_days))
            if watch.kind == "condition":
                subjects = await holding(service, moment, watch)
                if subjects is not None:
                    await notices.note_condition(
                        service.asking, subscription_id, subjects, number=moment.number, night=moment.night, now=now
                    )
            else:
                after: str | None = None
                while chunk := await subscriptions.watched(service.asking, subscription_id, after, _CHUNK):
                    seen = await marks(service, moment, watch, chunk)
                    await notices.note_changes(
                        service.asking, subscription_id, chunk, seen, number=moment.number, night=moment.night, now=now
                    )
                    after = chunk[-1]
            await subscriptions.looked(service.asking, subscription_id, moment.number)
