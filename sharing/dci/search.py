"""One search, answered as any question is: under a grant, written into the log before it leaves.

Whoever is not there, not the grant's, not told or not as the search narrows it down is answered alike: ``succ`` with no record. The standard
has no code for it, and an empty answer is what its readers take for nobody.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sharing import asking, named
from sharing.asking import Question
from sharing.dci import query, record
from sharing.dci.codes import NotTaken, Rejected
from sharing.dci.mapping import mapping
from sharing.dci.models import Page, Pagination, SearchAnswer, SearchCriteria, SearchData, SearchItem, SearchResponse, Statement, now
from sharing.dci.query import Search
from sharing.problems import Problem
from sharing.service import Service
from sharing.tokens import Caller
from warehouse import answers

_PURPOSE = re.compile(r"[a-z][a-z0-9_]{1,29}")
_CONSENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,63}")


@dataclass(frozen=True)
class Asker:
    """Who asks, and how it is known in the log.

    Attributes:
        purpose: of questions that name none; None = they are not answered.
        began: when the message came, by the monotonic clock.
    """

    caller: Caller
    purpose: str | None
    request_id: str
    began: float


@dataclass(frozen=True)
class _Found:
    """A record, and what it may be sorted by."""

    record: dict[str, Any]
    values: dict[str, Any]


async def all_answered(service: Service, asker: Asker, items: Sequence[SearchItem]) -> list[SearchAnswer]:
    """The answers to the searches of a message, in their order.

    Raises:
        NotTaken: the service cannot answer now, or the client may not ask any more.
    """
    found, seen = [], set()
    for item in items:
        is_again = item.reference_id in seen
        seen.add(item.reference_id)
        again = Rejected("search", "rjct.reference_id.duplicate")
        found.append(rejected(item, again) if is_again else await answered(service, asker, item))
    return found


def response(transaction_id: str, correlation_id: str, answers: list[SearchAnswer]) -> SearchResponse:
    """The message of an answer."""
    return SearchResponse(transaction_id=transaction_id, correlation_id=correlation_id, search_response=answers)


async def answered(service: Service, asker: Asker, item: SearchItem) -> SearchAnswer:
    """The answer to one search.

    Raises:
        NotTaken: the service cannot answer now, or the client may not ask any more.
    """
    criteria = item.search_criteria
    try:
        search = query.understood(criteria.query_type, criteria.query, criteria.response_entity)
        for sort in criteria.sort or ():
            if sort.attribute_name not in mapping().search:
                raise Rejected("search", "rjct.sort.invalid")
        found = await _found(service, asker, search, criteria)
    except Rejected as error:
        return rejected(item, error)
    except Problem as problem:
        refused = refusal(problem)
        if isinstance(refused, Rejected):
            return rejected(item, refused)
        raise refused from None
    found, page = _paged(_sorted(found, criteria), criteria.pagination or item.pagination)
    data = SearchData(reg_record_type=search.entity, reg_records=[f.record for f in found])
    return SearchAnswer(
        reference_id=item.reference_id, timestamp=now(), status="succ", data=data, pagination=page, locale=item.locale,
    )  # fmt: skip


def refusal(
    problem: Problem, kind: str = "search", *, invalid: str = "rjct.search_criteria.invalid", ambiguous: str = "rjct.search.too_many_records_found"
) -> Rejected | NotTaken:  # fmt: skip
    """A problem in the standard's words: a request is rejected for what lies in it, for asking again would not help; what the service cannot do now is not.

    Args:
        problem: that was met.
        kind: of the request.
        invalid: code of what was asked wrongly, or may not be.
        ambiguous: code of what names several persons.
    """
    if problem.kind.status in (400, 403):
        return Rejected(kind, invalid, problem)
    if problem.kind.code == "subject-ambiguous":
        return Rejected(kind, ambiguous, problem)
    return NotTaken.of(problem)


def rejected(item: SearchItem, error: Rejected) -> SearchAnswer:
    """The answer to a search that is rejected."""
    return SearchAnswer(
        reference_id=item.reference_id, timestamp=now(), status="rjct", status_reason_code=error.code, status_reason_message=error.words,
        locale=item.locale,
    )  # fmt: skip


def purpose(asker: Asker, authorize: Statement | None, consent: Statement | None) -> str:
    """What a request is for: the purpose its authority names, else its consent, else the client's own.

    Raises:
        Rejected: none of them does.
    """
    for statement in (authorize, consent):
        if statement is not None and statement.purpose is not None and statement.purpose.code is not None:
            code = statement.purpose.code
            if not _PURPOSE.fullmatch(code):
                break
            return code
    else:
        if asker.purpose is not None:
            return asker.purpose
    raise Rejected("search", "rjct.search_criteria.invalid")


def reference(consent: Statement | None) -> str | None:
    """Reference of the person's authorisation; None = there is none.

    Raises:
        Rejected: it is no reference.
    """
    given = consent.id if consent is not None else None
    if given is not None and not _CONSENT.fullmatch(given):
        raise Rejected("search", "rjct.search_criteria.invalid")
    return given


async def _found(service: Service, asker: Asker, search: Search, criteria: SearchCriteria) -> list[_Found]:
    """Records of whom a search means; none where nobody is told of. Entries are written.

    Raises:
        Rejected: the grant does not tell in clear what the search narrows down by.
        Problem: the question is not admitted.
    """
    known = mapping()
    names = [*known.attributes, *(known.household if search.entity == "Group" else ())]
    question = await asking.admitted(
        service, asker.caller, asker.request_id, asker.began, f"dci_{search.entity.lower()}", purpose=purpose(asker, criteria.authorize, criteria.consent),
        consent=reference(criteria.consent), attributes=names, questions=[q for q in known.questions if q in service.moment.policy.questions],
        lookup="person_id" if search.by == "household_id" else search.by,
    )  # fmt: skip
    if any(question.told.get(name) != "clear" for part in search.narrowing for name in query.attributes(part)):
        raise Rejected("search", "rjct.filter.invalid")
    if search.by == "household_id":
        household = await _household(question, search.value)
        return household if household else await _nobody(question, search.value)
    row, key = await _persons(question, search)
    if isinstance(row, list):
        return row
    if row is None:
        return await _nobody(question, key)
    day = question.moment.night
    if day is None or not all(query.holds(part, record.clear(question, row), day) for part in search.narrowing):
        # That somebody is not as the search narrows it down tells of the values it depends on.
        depends = {name for part in search.narrowing for name in query.attributes(part)}
        await asking.commit(service, [question.entry("told", row["person_id"], dict.fromkeys(depends, "clear"))], question.caller)
        await asking.beat(question)
        return []
    if search.entity == "Member":
        (receipt,) = await asking.commit(service, [question.entry("told", row["person_id"], question.effects)], question.caller)
        return [_Found(record.member(question, row, receipt.receipt_id), record.clear(question, row))]
    groups = []
    for household in asking.told(question, row).get("households", ()):
        groups += await _household(question, household["household_id"])
    return groups if groups else await _nobody(question, key)


async def person(question: Question, search: Search) -> tuple[Any, str]:
    """The row of the person a search names by an identifier (None = nobody), and how it was named.

    Raises:
        Problem: the number is several persons'.
    """
    if search.by == "name_birth_date":
        raise Rejected("search", "rjct.search_criteria.invalid")
    return await _persons(question, search)


async def _persons(question: Question, search: Search) -> tuple[Any, str]:
    """The row of the person a search names (None = nobody), or records of candidates; and how it was named.

    Raises:
        Problem: it fits too many.
    """
    if search.by == "person_id":
        try:
            return await named.by_id(question, _uuid(search.value)), search.value
        except ValueError:
            return None, search.value
    if search.by == "resident_id":
        return await named.by_number(question, search.value)
    found, key = await named.by_name(question, search.value, search.birth_date)
    if len(found) > 1:
        receipts = await named.offered(question, found)
        records = [record.candidate(r["person_id"], t.receipt_id) for r, t in zip(found, receipts, strict=True)]
        return [_Found(r, {}) for r in records], key
    return (await named.by_id(question, found[0]["person_id"]) if found else None), key


def _uuid(text: str) -> str:
    return str(UUID(text))


async def _household(question: Question, household_id: str) -> list[_Found]:
    """A household's record, with an entry for each of its members; none where the grant tells nothing of it."""
    service, group = question.service, mapping().group
    if not any(name in question.told for name in mapping().household):
        return []
    try:
        rows = await asking.read(
            answers.household(
                service.asking, question.asked, _uuid(household_id), with_size=group.size in question.told,
                with_relation=group.relation in question.told, with_members=group.members in question.told,
            )
        )  # fmt: skip
    except ValueError:
        return []
    if not rows:
        return []
    entries = [question.entry("told", row["person_id"], question.effects) for row in rows]
    receipts = await asking.commit(service, entries, question.caller)
    members = None
    if group.members in question.told:
        members = [
            (row["relation"], record.member(question, row, receipt.receipt_id, row["relation"]))
            for row, receipt in zip(rows, receipts, strict=True)
        ]
    return [_Found(record.group(rows[0], rows[0]["size"], members), {})]


async def _nobody(question: Question, key: str) -> list[_Found]:
    """Write down that nobody is told of, and wait for the beat."""
    await asking.miss(question, key)
    return []


def _sorted(found: list[_Found], criteria: SearchCriteria) -> list[_Found]:
    """In the order asked for; what is not told in clear comes last."""
    for sort in reversed(criteria.sort or ()):
        name = mapping().search[sort.attribute_name].attribute
        has = [f for f in found if f.values.get(name) is not None]
        has.sort(key=lambda f: str(f.values[name]), reverse=sort.sort_order == "desc")
        found = [*has, *(f for f in found if f.values.get(name) is None)]
    return found


def _paged(found: list[_Found], page: Pagination | None) -> tuple[list[_Found], Page | None]:
    if page is None:
        return found, None
    begins = (page.page_number - 1) * page.page_size
    shown = found[begins : begins + page.page_size]
    return shown, Page(page_size=page.page_size, page_number=page.page_number, total_count=len(found))
