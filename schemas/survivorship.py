"""The policy by which one of several values of a person's attribute becomes the golden one."""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hub.errors import ConfigError

SHIPPED = Path(__file__).resolve().parent / "survivorship.yml"
Attribute = Literal["resident_id", "name", "sex", "birth_date", "phone", "address", "area_code"]


class Criterion(StrEnum):
    """What tells two values apart."""

    VALID_NUMBER = "valid_number"
    """The record has a valid identity number."""
    AUTHORITY = "authority"
    """The authority of the source."""
    RECENCY = "recency"
    """The newer as-of date."""
    AGREEMENT = "agreement"
    """More of the person's records say the same."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Frozen):
    """How one attribute differs from the rest.

    Attributes:
        criteria: asked in turn; None = as for all attributes.
        authority: by source, in place of the contract's; sources not named keep theirs.
    """

    criteria: tuple[Criterion, ...] | None = Field(None, min_length=1)
    authority: dict[str, int] = Field(default_factory=dict)


class Survivorship(_Frozen):
    """A policy.

    Attributes:
        version: its number; another policy has another number.
        decided_date: the day it was decided.
        criteria: asked in turn; values that none tells apart are decided by the oldest record.
        attributes: those that differ.
    """

    version: int = Field(ge=1, le=1_000_000)
    decided_date: date
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    attributes: dict[Attribute, Rule] = Field(default_factory=dict)

    def of(self, attribute: str) -> Rule:
        """The rule of an attribute, criteria filled in."""
        own = {str(name): rule for name, rule in self.attributes.items()}.get(attribute, Rule(criteria=None))
        return Rule(criteria=own.criteria or self.criteria, authority=own.authority)


def _complaint(policy: Survivorship, sources: frozenset[str]) -> tuple[str, str] | None:
    """Place and text of what is of the right form but cannot be meant."""
    asked = {"criteria": policy.criteria, **{f"attributes.{a}.criteria": r.criteria or () for a, r in policy.attributes.items()}}
    for place, criteria in asked.items():
        if len(set(criteria)) < len(criteria):
            return place, "a criterion is asked twice"
    for attribute, rule in policy.attributes.items():
        place = f"attributes.{attribute}.authority"
        for stem in rule.authority:
            if stem not in sources:
                return place, f"there is no source {stem!r}; known sources: {', '.join(sorted(sources))}"
        if rule.authority and Criterion.AUTHORITY not in (policy.of(attribute).criteria or ()):
            return place, "authority is given, but is none of the criteria of this attribute"
    return None


def _misread(error: ErrorDetails) -> str:
    """What is not of the right form, in the words of this house."""
    kind, limits = error["type"], error.get("ctx", {})
    told = {
        "missing": "this is missing",
        "extra_forbidden": "there is no such entry in a policy",
        "int_parsing": "this is not a whole number",
        "greater_than_equal": f"this is below {limits.get('ge')}",
        "less_than_equal": f"this is above {limits.get('le')}",
        "too_short": "at least one is needed",
        "enum": f"there is no such criterion; known: {', '.join(Criterion)}",
        "literal_error": f"there is no such attribute; known: {', '.join(get_args(Attribute))}",
    }
    if kind.startswith("date_"):
        return "this is not a date of the calendar; write it as 2026-03-01"
    return told.get(kind, "this is not of the form that belongs here")


def load(path: Path, sources: Iterable[str]) -> Survivorship:
    """Read a policy.

    Args:
        path: YAML file.
        sources: stems that may be named.

    Raises:
        ConfigError: there is no such file, or it is no policy; the place in it is named.
    """
    step = "correct the policy; the hub's own is schemas/survivorship.yml"
    try:
        # Everything as text: YAML's own types would give up on a date the calendar does not have.
        found = Survivorship.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader))
    except OSError:
        raise ConfigError("this file cannot be read", where=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError("not YAML", where=path.name if mark is None else f"{path.name} line {mark.line + 1}", next_step=step) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise ConfigError(_misread(first), where=f"{path.name} {place}".strip(), next_step=step) from None
    complaint = _complaint(found, frozenset(sources))
    if complaint is not None:
        raise ConfigError(complaint[1], where=f"{path.name} {complaint[0]}", next_step=step)
    return found


@cache
def parsed(text: str) -> Survivorship:
    """A policy that was kept as JSON."""
    return Survivorship.model_validate_json(text)
