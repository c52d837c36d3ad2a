"""The decision: what a department is told of a person, for a purpose. A pure function of policy, question and subject."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from sharing.policy import Effect, Grant, Policy, Rows


class Reason(StrEnum):
    """Why the answer is what it is."""

    GRANTED = "granted"
    NO_GRANT = "no_grant"  # the policy says nothing of this department and purpose, or not on this day
    NO_CONSENT = "no_consent"  # the purpose needs the person's authorisation and none was named
    NO_EMERGENCY = "no_emergency"  # the grant speaks in emergencies alone, and none is open
    NOT_NAMED = "not_named"  # the grant does not name the attribute
    REFUSED = "refused"  # the grant names the attribute and refuses it
    OUTSIDE = "outside"  # the person is not among those the grant speaks of


@dataclass(frozen=True)
class Subject:
    """What decides whether a person is among those a grant speaks of; None = unknown.

    Attributes:
        programs: questions that are answered yes.
        is_consenting: whether a consent for the department and purpose is registered.
    """

    area_code: str | None
    birth_date: date | None
    sources: frozenset[str]
    programs: frozenset[str] = frozenset()
    is_consenting: bool = False


@dataclass(frozen=True)
class Decision:
    """How one attribute may be told."""

    effect: Effect
    reason: Reason


REFUSED = {reason: Decision("refused", reason) for reason in Reason}


def age(birth_date: date, day: date) -> int:
    """Whole years on a day. Born on 29 February, a year is full on 1 March where there is no such day."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def covers(rows: Rows, subject: Subject, day: date) -> bool:
    """Whether a person is among those a grant speaks of."""
    if rows.territory and not (subject.area_code and subject.area_code.startswith(rows.prefixes)):
        return False
    if rows.min_age is not None or rows.max_age is not None:
        if subject.birth_date is None:
            return False
        years = age(subject.birth_date, day)
        if (rows.min_age is not None and years < rows.min_age) or (rows.max_age is not None and years > rows.max_age):
            return False
    if rows.known_to and subject.sources.isdisjoint(rows.known_to):
        return False
    if rows.programs and subject.programs.isdisjoint(rows.programs):
        return False
    return rows.consent is None or subject.is_consenting


def admits(policy: Policy, department: str, purpose: str, day: date, *, has_consent: bool, has_emergency: bool = False) -> Grant | Reason:
    """The grant under which a question is put; or why there is none. Nothing about any person decides this."""
    grant = policy.grant(department, purpose, day)
    if grant is None:
        return Reason.NO_GRANT
    if policy.needs_reference(grant) and not has_consent:
        return Reason.NO_CONSENT
    if grant.emergency is not None and not has_emergency:
        return Reason.NO_EMERGENCY
    return grant


def tells(grant: Grant, attributes: Iterable[str]) -> dict[str, Decision]:
    """How each attribute may be told of persons the grant covers."""
    found = {}
    for name in attributes:
        effect = grant.attributes.get(name)
        if effect is None:
            found[name] = REFUSED[Reason.NOT_NAMED]
        elif effect == "refused":
            found[name] = REFUSED[Reason.REFUSED]
        else:
            found[name] = Decision(effect, Reason.GRANTED)
    return found


def decide(
    policy: Policy,
    department: str,
    purpose: str,
    attributes: Iterable[str],
    subject: Subject,
    day: date,
    *,
    has_consent: bool,
    has_emergency: bool = False,
) -> dict[str, Decision]:
    """What a department is told of a person: attribute → decision.

    Args:
        policy: in force.
        department: who asks.
        purpose: what for.
        attributes: asked for.
        subject: about whom.
        day: of the night the answer speaks of.
        has_consent: whether a reference of the person's authorisation came with the question.
        has_emergency: whether the asking client has broken the glass for this purpose.
    """
    attributes = list(attributes)
    grant = admits(policy, department, purpose, day, has_consent=has_consent, has_emergency=has_emergency)
    if isinstance(grant, Reason):
        return dict.fromkeys(attributes, REFUSED[grant])
    if not covers(grant.rows, subject, day):
        return dict.fromkeys(attributes, REFUSED[Reason.OUTSIDE])
    return tells(grant, attributes)
