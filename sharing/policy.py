"""The policy: which department may see what, for which purpose. What is not written is refused.

A policy is a YAML file, dated by its name; the newest that has begun is in force. It is read into frozen values, and every
complaint names the place.
"""

import hashlib
import json
import re
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hub.errors import ConfigError
from schemas.codes import load_code_set
from schemas.contract import load_contracts, stems
from sharing.attributes import Room, catalogue
from warehouse.forms import Form

FOLDER = Path(__file__).parent / "policies"
_CODE = r"^[a-z][a-z0-9_]{1,29}$"
Effect = Literal["clear", "masked", "derived", "yes_no", "refused"]


def form_of(effect: str) -> Form | None:
    """The form of a column that an effect tells; None = the clear one."""
    return None if effect == "clear" else Form(effect)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Title(_Frozen):
    """A title in both languages."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Purpose(_Frozen):
    """What an answer may be used for.

    Attributes:
        legal_basis: law or document and its article.
        retention_days: how long the department may keep an answer.
        consent: whether the law asks for the person's authorisation; its reference then comes with each question, or it is registered before.
        bulk: how many persons one call may ask about, and one subscription name.
        retry_days: how long a notice that a subscriber does not take is tried again; then it is a dead letter.
    """

    title: Title
    legal_basis: tuple[str, ...] = Field(min_length=1)
    retention_days: int = Field(ge=1, le=36500)
    consent: Literal["required", "not_required"] = "not_required"
    bulk: int = Field(1, ge=1, le=10_000)
    retry_days: int = Field(7, ge=1, le=90)


class Condition(_Frozen):
    """One test of one field in an agency's record. An empty field passes no test but ``is_empty_or_after_as_of``."""

    field: str
    equals: str | None = None
    one_of: tuple[str, ...] | None = None
    is_true: Literal[True] | None = None
    more_than: float | None = None
    is_known: Literal[True] | None = None
    is_empty_or_after_as_of: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one_test(self) -> "Condition":
        if sum(getattr(self, name) is not None for name in type(self).model_fields if name != "field") != 1:
            raise ValueError("a condition has a field and exactly one test")
        return self


class Question(_Frozen):
    """A question answered by yes, no or unknown, out of one agency's record: yes when every condition holds.

    Attributes:
        source: the agency.
        silence: what it means that the agency holds no record of a person: ``no`` where its register is complete, else ``unknown``.
    """

    title: Title
    source: str
    all_of: tuple[Condition, ...] = Field(min_length=1)
    silence: Literal["no", "unknown"]


class Rows(_Frozen):
    """About whom a grant speaks; a person of whom the value that decides is unknown is outside.

    Attributes:
        territory: area codes; a person lives in one that begins so. Empty = anywhere.
        min_age, max_age: whole years on the day of the night, both included; None = no limit.
        known_to: agencies of which one at least holds a record of the person. Empty = no such condition.
        programs: questions of which one at least is answered yes, such as who receives housing assistance. Empty = no such condition.
        consent: ``registered`` = a consent of the person for the department and purpose is registered (`/v1/consents`) and holds; None = no such
            condition, and where the purpose needs consent its reference comes with each question.
    """

    territory: tuple[str, ...] = ()
    min_age: int | None = Field(default=None, ge=0, le=150)
    max_age: int | None = Field(default=None, ge=0, le=150)
    known_to: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    consent: Literal["registered"] | None = None

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """What the codes of areas in the territory begin with: the zeros that fill up a code of a province or city are no part of it."""
        return tuple(re.sub(r"(00){1,2}$", "", a) if len(a) == 6 else a for a in self.territory)


class Emergency(_Frozen):
    """What an emergency lasts, and of how many persons may be told in it."""

    minutes: int = Field(ge=5, le=1440)
    persons: int = Field(ge=1, le=1000)


class Grant(_Frozen):
    """What one department may see for one purpose, of which persons.

    Attributes:
        valid_from, valid_to: first and last day; None = open.
        attributes: attribute → how it may be told; what is not named is refused.
        questions: questions it may ask.
        lookup: ways in which it may name a person.
        subscribe: what it may be told the changes of: persons or households it names, or for whom the answer to a question becomes yes.
        past_days: how many days before the last night it may ask back to; 0 = of the present alone.
        export: how many persons it may be told of in bulk without naming them; 0 = it may not.
        compare_job: how many rows a list of applicants may have that it hands in as a job; 0 = it may not.
        emergency: the grant speaks only while somebody has broken the glass; None = at all times.
        minors: why sensitive attributes of persons under 14 are needed, where no age condition leaves them out
            (Personal Information Protection Law art. 28 and 31).
    """

    department: str
    purpose: str
    valid_from: date | None = None
    valid_to: date | None = None
    rows: Rows = Rows()
    attributes: dict[str, Effect] = Field(default_factory=dict)
    questions: tuple[str, ...] = ()
    lookup: tuple[Literal["person_id", "resident_id", "name_birth_date"], ...] = ("person_id", "resident_id")
    subscribe: tuple[Literal["person", "household", "condition"], ...] = ()
    past_days: int = Field(0, ge=0, le=36500)
    export: int = Field(0, ge=0, le=100_000_000)
    compare_job: int = Field(0, ge=0, le=1_000_000)
    emergency: Emergency | None = None
    minors: Title | None = None

    @property
    def name(self) -> str:
        """Department and purpose, as the database's role is named."""
        return f"{self.department}__{self.purpose}"

    def is_valid_on(self, day: date) -> bool:
        """Whether the grant is in force on a day."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


class Policy(_Frozen):
    """A whole policy.

    Attributes:
        valid_from: first day it is in force.
    """

    valid_from: date
    departments: dict[str, Title]
    purposes: dict[str, Purpose]
    questions: dict[str, Question] = Field(default_factory=dict)
    grants: tuple[Grant, ...]

    @cached_property
    def version(self) -> str:
        """First day and 12 hex digits of the content: two policies of one version say the same."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return f"{self.valid_from}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Grant]:
        return {(g.department, g.purpose): g for g in self.grants}

    def grant(self, department: str, purpose: str, day: date) -> Grant | None:
        """The grant of a department for a purpose on a day; None = there is none."""
        found = self._by_name.get((department, purpose))
        return found if found is not None and found.is_valid_on(day) else None

    def needs_reference(self, grant: Grant) -> bool:
        """Whether a reference of the person's authorisation must come with each question under a grant."""
        return self.purposes[grant.purpose].consent == "required" and grant.rows.consent is None


def _is_sensitive(question: Question) -> bool:
    """Whether a question's answer follows from a sensitive field."""
    contract = load_contracts().get(question.source)
    classes = {f.name: f.classification for f in contract.fields} if contract is not None else {}
    return any(classes.get(c.field) == "sensitive" for c in question.all_of)


def _complaints(policy: Policy) -> list[tuple[str, str]]:
    """Place and complaint of everything in a policy that is of the right form but cannot be meant."""
    found: list[tuple[str, str]] = []
    for kind in ("departments", "purposes", "questions"):
        found += [
            (f"{kind}.{code}", "a code is 2–30 lower-case letters, digits and _")
            for code in getattr(policy, kind)
            if not re.match(_CODE, code)
        ]
    known = catalogue()
    for code, question in policy.questions.items():
        where = f"questions.{code}"
        if question.source not in stems():
            found.append((f"{where}.source", "there is no such source"))
            continue
        contract = load_contracts()[question.source]
        fields = {f.name: f for f in contract.fields}
        for condition in question.all_of:
            field = fields.get(condition.field)
            if field is None:
                found.append((f"{where}.{condition.field}", "the source has no such field"))
            elif field.code_set and (codes := [c for c in (condition.equals, *(condition.one_of or ())) if c is not None]):
                found += [
                    (f"{where}.{condition.field}", f"code {c!r} is not in {field.code_set}")
                    for c in codes
                    if c not in load_code_set(field.code_set)
                ]
    seen: set[tuple[str, str]] = set()
    areas = load_code_set("area")
    for n, grant in enumerate(policy.grants):
        where = f"grants[{n}] {grant.department} × {grant.purpose}"
        if (grant.department, grant.purpose) in seen:
            found.append((where, "there are two grants of one department for one purpose"))
        seen.add((grant.department, grant.purpose))
        if grant.department not in policy.departments:
            found.append((where, "there is no such department"))
        if grant.purpose not in policy.purposes:
            found.append((where, "there is no such purpose"))
        found += [(f"{where}.rows.territory", f"there is no area {a!r}") for a in grant.rows.territory if a not in areas]
        found += [(f"{where}.rows.known_to", "there is no such source") for s in grant.rows.known_to if s not in stems()]
        found += [(f"{where}.rows.programs", f"there is no question {q!r}") for q in grant.rows.programs if q not in policy.questions]
        found += [(f"{where}.questions", f"there is no question {q!r}") for q in grant.questions if q not in policy.questions]
        if "condition" in grant.subscribe and not grant.questions:
            found.append((f"{where}.subscribe", "a condition is a question, and the grant has none"))
        known_purpose = policy.purposes.get(grant.purpose)
        if known_purpose is not None and policy.needs_reference(grant) and (grant.export or "condition" in grant.subscribe):
            found.append((where, "tells of persons who are not named, so their authorisation must be registered: rows.consent"))
        if grant.emergency is not None and (
            grant.subscribe
            or grant.export
            or grant.compare_job
            or grant.past_days
            or (known_purpose is not None and known_purpose.bulk > 1)
        ):
            found.append(
                (f"{where}.emergency", "in an emergency one person is asked about at a time: no subscribe, export, past_days or bulk")
            )
        if "household" in grant.subscribe and not any(n.startswith("household.") and e != "refused" for n, e in grant.attributes.items()):
            found.append((f"{where}.subscribe", "the grant tells nothing of households"))
        # Whoever is told of a person at all knows that it is in one of the grant's programs.
        told_sensitive = any(_is_sensitive(policy.questions[q]) for q in (*grant.questions, *grant.rows.programs) if q in policy.questions)
        for name, effect in grant.attributes.items():
            attribute = known.get(name)
            if attribute is None:
                found.append((f"{where}.{name}", "there is no such attribute; see `hub policy attributes`"))
                continue
            if effect not in ("clear", "refused") and Form(effect) not in attribute.forms:
                offered = ", ".join(["clear", *sorted(attribute.forms), "refused"])
                found.append((f"{where}.{name}", f"cannot be told as {effect}; it can be {offered}"))
            told_sensitive |= attribute.classification == "sensitive" and effect != "refused"
            if attribute.room is Room.HOUSEHOLD and effect not in ("clear", "refused"):
                found.append((f"{where}.{name}", "a household's attribute is clear or refused"))
        if told_sensitive and (grant.rows.min_age or 0) < 14 and grant.minors is None:
            found.append((where, "tells sensitive attributes of children under 14: set rows.min_age to 14, or say why in `minors`"))
    return found


def parse(text: str, where: str) -> Policy:
    """A policy out of YAML text.

    Args:
        text: the YAML.
        where: name for the complaints.

    Raises:
        ConfigError: it is not a policy; the place is named.
    """
    try:
        document: Any = yaml.safe_load(text)
        policy = Policy.model_validate(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError("not YAML", where=where if mark is None else f"{where} line {mark.line + 1}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(first["msg"], where=f"{where} {'.'.join(map(str, first['loc']))}", next_step="correct the policy") from None
    for place, complaint in _complaints(policy):
        raise ConfigError(complaint, where=f"{where} {place}", next_step="correct the policy")
    return policy


def load(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        ConfigError: the file is missing or no policy, or its name is not the day it begins.
    """
    try:
        policy = parse(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError):
        raise ConfigError("this policy cannot be read", where=str(path)) from None
    return policy


@cache
def _all(folder: Path) -> tuple[Policy, ...]:
    found = []
    for path in sorted(folder.glob("*.yml")):
        policy = load(path)
        if path.stem != str(policy.valid_from):
            raise ConfigError(f"begins on {policy.valid_from}, but its name says otherwise", where=path.name, next_step="rename the file")
        found.append(policy)
    return tuple(sorted(found, key=lambda p: p.valid_from))


def first_day(folder: Path = FOLDER) -> date:
    """The day on which the first policy begins.

    Raises:
        ConfigError: there is none.
    """
    found = _all(folder)
    if not found:
        raise ConfigError("there is no policy", where=str(folder), next_step="write one; its name is its first day")
    return found[0].valid_from


def in_force(day: date, folder: Path = FOLDER) -> Policy:
    """The policy in force on a day: the newest that has begun.

    Raises:
        ConfigError: none has begun, or one is wrong.
    """
    begun = [p for p in _all(folder) if p.valid_from <= day]
    if not begun:
        raise ConfigError(f"no policy is in force on {day}", where=str(folder), next_step="write one; its name is its first day")
    return begun[-1]
