"""What the standard's disability registry is asked and answers at once: whether somebody is disabled, in which way, and what support is needed.

Its requests name one person and have no reference of their own, so the answer refers to the transaction. Whoever is not there, not the grant's
or not told, and of whom it is not known, is answered by an empty list alike: a ``no`` would be a statement about them.

Source: Digital Convergence Initiative, Disability Registry API 1.0.0 (OpenAPI).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sharing import asking
from sharing.asking import Question
from sharing.dci import query, record, search
from sharing.dci.codes import Rejected
from sharing.dci.mapping import Cell, mapping
from sharing.dci.models import DisabledCriteria, Entity, QueryType, TypedQuery
from sharing.dci.search import Asker
from sharing.problems import Problem
from sharing.service import Service

_BY_MEMBER = "member.member_identifier"  # as the standard's own example names a person


class Asked(StrEnum):
    """The three questions."""

    STATUS = "status"
    DETAILS = "details"
    SUPPORT = "support"


@dataclass(frozen=True)
class Told:
    """What is told of one person.

    Attributes:
        is_disabled: None = it is not known, or was not asked.
        records: what was asked for, with the receipt.
        receipt_id: of the entry in the log.
    """

    is_disabled: bool | None
    records: list[dict[str, Any]]
    receipt_id: str


async def told(service: Service, asker: Asker, criteria: DisabledCriteria, asked: Asked) -> Told | None:
    """The answer; None = nobody is told of.

    Raises:
        Rejected: it cannot be asked in this way.
        NotTaken: the service cannot answer now, or the client may not ask any more.
    """
    try:
        return await _told(service, asker, criteria, asked)
    except Problem as problem:
        raise search.refusal(problem) from None


async def _told(service: Service, asker: Asker, criteria: DisabledCriteria, asked: Asked) -> Told | None:
    known = mapping().disabled
    cells = {Asked.STATUS: (), Asked.DETAILS: (*known.details, *known.person), Asked.SUPPORT: known.support}[asked]
    named = query.understood(*_named(criteria))
    if named.by == "household_id" or named.narrowing:
        raise Rejected("search", "rjct.filter.invalid")
    question = await asking.admitted(
        service, asker.caller, asker.request_id, asker.began, f"dci_disability_{asked}",
        purpose=search.purpose(asker, criteria.authorize, criteria.consent), consent=search.reference(criteria.consent),
        attributes=list(dict.fromkeys(c.attribute for c in cells)), questions=[known.question] if asked is Asked.STATUS else [], lookup=named.by,
    )  # fmt: skip
    row, name = await search.person(question, named)
    if row is None:
        await asking.miss(question, name)
        return None
    (receipt,) = await asking.commit(service, [question.entry("told", row["person_id"], question.effects)], question.caller)
    answers = {a["question"]: a["answer"] for a in asking.told(question, row)["answers"]}
    is_disabled = {"yes": True, "no": False}.get(answers.get(known.question, ""))
    records = {Asked.STATUS: [], Asked.DETAILS: _details(question, row), Asked.SUPPORT: _support(question, row)}[asked]
    for found in records:
        found["additional_attributes"] = [{"name": "receipt_id", "value": receipt.receipt_id}]
    return Told(is_disabled, records, receipt.receipt_id)


def _named(criteria: DisabledCriteria) -> tuple[QueryType, Any, Entity]:
    """A query in the terms of a search; the standard's example names a member and compares with ``eq``."""
    asked = criteria.query
    if isinstance(asked, dict) and set(asked) == {"type", "value"}:
        return "idtype-value", TypedQuery.model_validate(asked), "Member"
    if isinstance(asked, dict) and set(asked) == {_BY_MEMBER}:
        compared = asked[_BY_MEMBER]
        value = next(iter(compared.values())) if isinstance(compared, dict) and set(compared) <= {"eq", "$eq"} and compared else compared
        if not isinstance(value, str):
            raise Rejected("search", "rjct.filter.invalid")
        try:
            UUID(value)
        except ValueError:
            return "idtype-value", TypedQuery(type=record.NUMBER, value=value), "Member"
        return "idtype-value", TypedQuery(type=record.PERSON_ID, value=value), "Member"
    if isinstance(asked, dict):
        return "expression", TypedQuery(type="expression", value={"query": asked}), "Member"
    return "predicate", asked, "Member"


def _rows(question: Question, row: Any, cells: tuple[Cell, ...]) -> list[dict[str, Any]]:
    """Records of the source, each with the cells that are told in clear and have a code of the standard."""
    return record.listed(question, row, cells, lambda _, value, codes: mapping().code(codes, value))


def _details(question: Question, row: Any) -> list[dict[str, Any]]:
    known = mapping().disabled
    details, person = _rows(question, row, known.details), _rows(question, row, known.person)
    return [{**(person[0] if person else {}), "disability_details": details}] if details or person else []


def _support(question: Question, row: Any) -> list[dict[str, Any]]:
    return [
        {name: [{"support_status": status}] for name, status in made.items()} for made in _rows(question, row, mapping().disabled.support)
    ]
