"""How registry records are made of what a grant tells, as `mapping.yml` says; held against the catalogue when it is read."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hub.errors import ConfigError
from sharing.attributes import Room, catalogue
from sharing.dci.models import Entity

_FILE = Path(__file__).parent / "mapping.yml"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Identifier(_Frozen):
    """A kind of identifier a search may name: of whom, and by which way of looking up."""

    entity: Entity
    by: Literal["resident_id", "person_id", "household_id"]


class Searchable(_Frozen):
    """An attribute a search may name; an age is counted from a birth date on the day of the night."""

    attribute: str
    kind: Literal["text", "date", "age", "code"]
    codes: str | None = None


class Placed(_Frozen):
    """Where in a record something stands, and what tells it: attributes, or a question."""

    place: str
    attributes: tuple[str, ...] = ()
    question: str | None = None
    codes: str | None = None

    @model_validator(mode="after")
    def _is_told_by_one(self) -> "Placed":
        if bool(self.attributes) == (self.question is not None):
            raise ValueError("a place is told by attributes or by a question")
        return self


class Cell(_Frozen):
    """A member of a row."""

    name: str
    attribute: str
    codes: str | None = None


class Rows(_Frozen):
    """A list of a record: a row each record of one source."""

    place: str
    rows: tuple[Cell, ...] = Field(min_length=1)


class GroupPlaces(_Frozen):
    """What tells a household, and the local codes of its head's relation."""

    size: str
    members: str
    relation: str
    types: dict[str, str]
    head_relations: tuple[str, ...]


class DisabledPlaces(_Frozen):
    """What tells the disability registry's answers: each part from one source."""

    question: str
    details: tuple[Cell, ...]
    person: tuple[Cell, ...]
    support: tuple[Cell, ...]


class Mapping(_Frozen):
    """The whole mapping.

    Attributes:
        context, types: of JSON-LD; a type belongs to a place.
    """

    identifiers: dict[str, Identifier]
    search: dict[str, Searchable]
    context: dict[str, str]
    types: dict[str, str]
    member: tuple[Placed, ...]
    member_lists: tuple[Rows, ...]
    group: GroupPlaces
    disabled: DisabledPlaces
    codes: dict[str, dict[str, str]]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes a record of a person is made of."""
        found = [a for p in self.member for a in p.attributes]
        found += [c.attribute for r in self.member_lists for c in r.rows]
        found += [s.attribute for s in self.search.values()]
        return tuple(dict.fromkeys(found))

    @property
    def household(self) -> tuple[str, ...]:
        """Attributes a record of a household needs beside those of its members."""
        return (self.group.size, self.group.members, self.group.relation)

    @property
    def questions(self) -> tuple[str, ...]:
        """Questions a record of a person asks."""
        return tuple(p.question for p in self.member if p.question is not None)

    def code(self, codes: str | None, value: object) -> object | None:
        """A value in the standard's code; None = it has none there."""
        return value if codes is None else self.codes[codes].get(str(value))


def parse(text: str) -> Mapping:
    """A mapping out of YAML text.

    Raises:
        ConfigError: it is none, or names what the catalogue has not.
    """
    try:
        found = Mapping.model_validate(yaml.safe_load(text))
    except yaml.YAMLError:
        raise ConfigError("not YAML", where=_FILE.name) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(first["msg"], where=f"{_FILE.name} {'.'.join(map(str, first['loc']))}") from None
    known, parts = catalogue(), (found.disabled.details, found.disabled.person, found.disabled.support)
    for name in (*found.attributes, *found.household, *(c.attribute for part in parts for c in part)):
        if name not in known:
            raise ConfigError(f"there is no attribute {name!r}", where=_FILE.name, next_step="see `hub policy attributes`")
    for cells in (*(r.rows for r in found.member_lists), *parts):
        if len({known[c.attribute].stem for c in cells}) != 1 or known[cells[0].attribute].room is not Room.SOURCE:
            raise ConfigError("the rows of a list come from one source", where=f"{_FILE.name} {cells[0].attribute}")
    named = (
        [c.codes for part in parts for c in part]
        + [p.codes for p in found.member]
        + [c.codes for r in found.member_lists for c in r.rows]
        + [s.codes for s in found.search.values()]
    )
    for codes in named:
        if codes is not None and codes not in found.codes:
            raise ConfigError(f"there are no codes {codes!r}", where=_FILE.name)
    return found


@cache
def mapping() -> Mapping:
    """The mapping of this installation."""
    return parse(_FILE.read_text(encoding="utf-8"))
