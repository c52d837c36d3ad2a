"""Policies of every shape, and a second opinion on what they mean: written from the rules in words, apart from the product's code."""

import calendar
from datetime import date
from typing import Any

from hypothesis import strategies as st

from sharing.attributes import catalogue
from sharing.decide import Subject
from sharing.policy import Policy

DEPARTMENTS = ("alpha", "beta")
PURPOSES = ("review", "watch")
QUESTIONS = {
    "is_insured": {"title": {"zh": "参保", "en": "insured"}, "source": "medical_insurance", "silence": "no", "all_of": [{"field": "enrolment_status", "equals": "1"}]},
    "is_certified": {"title": {"zh": "持证", "en": "certified"}, "source": "disability", "silence": "no", "all_of": [{"field": "certificate_status", "equals": "1"}]},
}  # fmt: skip
AREAS = ("421022", "421022100", "421022101", "420000")
_TITLE = {"zh": "名", "en": "name"}
_FORMS = {name: ["clear", "refused", *sorted(a.forms)] for name, a in catalogue().items() if a.name.split(".")[0] != "household"}


@st.composite
def grants(draw: st.DrawFn, department: str, purpose: str, names: list[str]) -> dict[str, Any]:
    """A grant over some attributes."""
    told = draw(st.lists(st.sampled_from(names), unique=True, max_size=len(names)))
    rows: dict[str, Any] = {}
    if draw(st.booleans()):
        rows["territory"] = draw(st.lists(st.sampled_from(AREAS), unique=True, min_size=1, max_size=2))
    if draw(st.booleans()):
        rows["min_age"] = draw(st.sampled_from([0, 14, 18, 60]))
    if draw(st.booleans()):
        rows["max_age"] = draw(st.sampled_from([5, 17, 59, 100]))
    if draw(st.booleans()):
        rows["known_to"] = draw(st.lists(st.sampled_from(["education", "disability"]), unique=True, min_size=1, max_size=2))
    if draw(st.booleans()):
        rows["programs"] = draw(st.lists(st.sampled_from([*QUESTIONS]), unique=True, min_size=1, max_size=2))
    if draw(st.booleans()):
        rows["consent"] = "registered"
    return {
        "department": department, "purpose": purpose, "rows": rows, "minors": _TITLE,
        "attributes": {name: draw(st.sampled_from(_FORMS[name])) for name in told},
    }  # fmt: skip


@st.composite
def policies(draw: st.DrawFn, names: list[str] | None = None) -> Policy:
    """A policy over two departments and two purposes."""
    names = names or sorted(_FORMS)
    pairs = draw(st.lists(st.sampled_from([(d, p) for d in DEPARTMENTS for p in PURPOSES]), unique=True))
    return Policy.model_validate(
        {
            "valid_from": date(2026, 1, 1),
            "departments": dict.fromkeys(DEPARTMENTS, _TITLE),
            "purposes": {p: {"title": _TITLE, "legal_basis": ["x"], "retention_days": 1} for p in PURPOSES},
            "questions": QUESTIONS,
            "grants": [draw(grants(d, p, names)) for d, p in pairs],
        }
    )


def birthdays(born: date, day: date) -> int:
    """How many birthdays somebody has had: counted, not computed. Born on 29 February, it is on 1 March in other years."""
    had = 0
    for year in range(born.year + 1, day.year + 1):
        month, at = (3, 1) if (born.month, born.day) == (2, 29) and not calendar.isleap(year) else (born.month, born.day)
        had += date(year, month, at) <= day
    return had


def lives_in(area: str | None, territory: str) -> bool:
    """Whether an area is a territory or lies in it; codes of provinces and cities end in zeros that stand for all below."""
    if area is None:
        return False
    significant = territory
    while len(significant) in (4, 6) and len(territory) == 6 and significant.endswith("00"):
        significant = significant[:-2]
    return area[: len(significant)] == significant


def effect(policy: Policy, department: str, purpose: str, attribute: str, who: Subject, day: date) -> str:
    """How an attribute may be told of a person: the second opinion."""
    for grant in policy.grants:
        if grant.department != department or grant.purpose != purpose:
            continue
        rows = grant.rows
        if rows.territory and not any(lives_in(who.area_code, t) for t in rows.territory):
            return "refused"
        for limit, is_met in ((rows.min_age, lambda n, m: n >= m), (rows.max_age, lambda n, m: n <= m)):
            if limit is not None and (who.birth_date is None or not is_met(birthdays(who.birth_date, day), limit)):
                return "refused"
        for named, held in ((rows.known_to, who.sources), (rows.programs, who.programs)):
            if named and not any(n in held for n in named):
                return "refused"
        if rows.consent == "registered" and not who.is_consenting:
            return "refused"
        return grant.attributes.get(attribute, "refused")
    return "refused"
