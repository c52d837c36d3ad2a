"""What can be asked of a person or household: the catalogue of attributes.

An agency's attributes come from its contract, with the sensitivity class written there; nothing is listed twice.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Literal

from schemas.concepts import load_concepts
from schemas.contract import BOOKKEEPING, Contract, load_contracts
from warehouse.forms import PERSON_COLUMNS, Form, forms_of_type

Classification = Literal["public", "internal", "personal", "sensitive"]


class Room(StrEnum):
    """Where an attribute lives."""

    PERSON = "person"  # the golden value, decided among the agencies
    HOUSEHOLD = "household"
    SOURCE = "source"  # one agency's record, as it said it


@dataclass(frozen=True)
class Attribute:
    """One thing that can be asked.

    Attributes:
        name: ``person.name``, ``household.members``, or stem and field, ``STEM.FIELD``.
        stem: the agency; None for golden values.
        column: of the table it is read from; empty for a household's.
        forms: the forms beside the clear one in which it may be told.
        code_set: of its values; None when free.
    """

    name: str
    room: Room
    stem: str | None
    column: str
    title_zh: str
    title_en: str
    classification: Classification
    forms: frozenset[Form]
    code_set: str | None = None


_PERSON_CODES = {"sex": "sex", "area_code": "area"}
_HOUSEHOLD = (
    Attribute("household.size", Room.HOUSEHOLD, None, "", "家庭人数", "Number of members", "personal", frozenset()),
    Attribute("household.members", Room.HOUSEHOLD, None, "", "家庭成员", "Members", "personal", frozenset()),
    Attribute(
        "household.relation", Room.HOUSEHOLD, None, "", "与户主关系", "Relation to head", "personal", frozenset(), "relation_to_head"
    ),
)


def _of_contract(contract: Contract) -> list[Attribute]:
    return [
        Attribute(
            f"{contract.stem}.{f.name}", Room.SOURCE, contract.stem, f.name, f.title_zh, f.title_en,
            f.classification, forms_of_type(f.physical_type), f.code_set,  # type: ignore[arg-type]
        )
        for f in contract.fields
        if f.concept not in BOOKKEEPING
    ]  # fmt: skip


@cache
def catalogue() -> dict[str, Attribute]:
    """Every attribute by name, in a fixed order."""
    # A golden value is as sensitive as the agencies' own: personal, every one.
    concepts = load_concepts()
    person = [
        Attribute(
            f"person.{column}", Room.PERSON, None, column, concepts[f"person.{column}"].zh, concepts[f"person.{column}"].en, "personal",
            frozenset(forms), _PERSON_CODES.get(column),
        )
        for column, forms in PERSON_COLUMNS.items()
    ]  # fmt: skip
    sources = [a for contract in load_contracts().values() for a in _of_contract(contract)]
    return {a.name: a for a in (*person, *_HOUSEHOLD, *sources)}
