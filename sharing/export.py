"""Everybody a grant covers, as a stream of lines: told whole at first, then what changed since a former round.

Each page is written into the log before its lines leave. A stream that breaks off has no last line: asked for again it gives what is missing.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from sharing import asking, watermark
from sharing.asking import Question
from sharing.problems import Language, Problem
from sharing.subscription import Watch, mark
from warehouse import answers, exports

_PAGE = 1_000


@dataclass(frozen=True)
class Place:
    """Where a stream begins.

    Attributes:
        round: the round it belongs to.
        after: person behind whom it goes on; None = at the first.
    """

    round: int
    after: str | None


async def lines(question: Question, export: Any, since: int, place: Place, language: Language) -> AsyncIterator[bytes]:
    """The stream: a head, persons and those who are gone, a cursor behind each page, an end.

    Args:
        question: admitted, under the grant that exports.
        export: its row.
        since: round of which the reader has everything; 0 = it has nothing.
        place: where to begin.
        language: of a problem that ends the stream.
    """
    head = {
        "type": "export",
        "export_id": export["export_id"],
        "client_id": question.caller.client_id,
        "since": str(since),
        **question.header(),
    }
    yield _line(head)
    told = gone = 0
    after = place.after
    try:
        while True:
            page, until = await _page(question, export, since, Place(place.round, after))
            told += sum(line["type"] == "person" for line in page)
            gone += sum(line["type"] == "deleted" for line in page)
            yield b"".join(map(_line, page))
            if until is None:
                break
            after = until
            yield _line({"type": "cursor", "cursor": f"{place.round}.{after}"})
    except Problem as problem:  # the status has left already
        yield _line({"type": "problem", "problem": problem.body(language, question.request_id)})
        return
    yield _line({"type": "end", "since": str(place.round), "persons": told, "deleted": gone})


def _line(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content) + b"\n"


async def _page(question: Question, export: Any, since: int, place: Place) -> tuple[list[dict[str, Any]], str | None]:
    """One page's lines, written into the log, and the person it ends with; None = it is the last."""
    service, role = question.service, question.grant.name
    ids = await asking.read(answers.covered(service.asking, role, place.after, _PAGE))
    until = ids[-1] if len(ids) == _PAGE else None
    rows = {r["person_id"]: r for r in await asking.read(answers.persons(service.asking, question.asked, ids))}
    watch = Watch("person", question.grant, question.told, question.questions, question.asked)
    marks = [mark(service, question.moment, watch, [row]) for row in rows.values()]
    await asking.read(exports.note(service.asking, export["export_id"], place.round, list(rows), marks, place.after, until))
    moved = await asking.read(exports.moved(service.asking, export["export_id"], since, place.after, until))
    # Who is gone matters to a reader who has something; in the first round there is nothing to take back.
    gone = [p for p, is_told in moved.items() if not is_told and since > 0]
    leads = await asking.read(answers.leads(service.asking, role, gone)) if gone else {}
    own = watermark.ordered(service.settings, question.caller.client_id, [p for p, is_told in moved.items() if is_told and p in rows])
    found: list[dict[str, Any]] = [{"type": "person", **asking.told(question, rows[p])} for p in own]
    entries = [question.entry("told", p, question.effects) for p in own]
    for person in gone:
        found.append({"type": "deleted", "person_id": person, "leads_to": leads.get(person)})
        entries.append(question.entry("notified", person))
    if entries:
        receipts = await asking.commit(service, entries, question.caller)
        for line, receipt in zip(found, receipts, strict=True):
            line["receipt"] = asking.note(receipt)
    return found, until
