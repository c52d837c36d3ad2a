"""The oracle of the DCI interface: what each message has to be by `dci_messages.yml`, apart from the product's code.

Faults are told by place and rule and never by the value that stands there.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator

_FILE = Path(__file__).with_suffix(".yml")
ASKED, ANSWERED, REJECTED, REFUSED, SENT = "asked", "answered", "rejected", "refused", "sent"
CALLBACK = "CALLBACK"


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of message: what passes where.

    Attributes:
        address: method and path, of an address of the hub; or CALLBACK and path, below an address of a sender.
        way: asked, answered, rejected, refused or sent.
    """

    address: str
    way: str

    def __str__(self) -> str:
        return f"{self.address} {self.way}"


@cache
def document() -> dict[str, Any]:
    """The oracle as it is written."""
    found: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return found


@cache
def kinds() -> dict[Kind, str]:
    """Every kind of message → its part of the oracle."""
    return {Kind(address, way): part for address, ways in document()["x-addresses"].items() for way, part in ways.items()}


@cache
def _validator(part: str) -> Validator:
    schema = {key: value for key, value in document().items() if key in ("$schema", "$id", "$defs")}
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{part}"}, format_checker=Draft202012Validator.FORMAT_CHECKER)


def faults(kind: Kind, message: Any) -> list[str]:
    """What is wrong with a message: places and rules, none where it is sound."""
    return [told(e) for e in _validator(kinds()[kind]).iter_errors(message)]


def told(error: ValidationError) -> str:
    """Place and rule of a fault."""
    return f"{pointer(error.absolute_path)}: {error.validator} {error.validator_value}"[:240]


def pointer(path: Iterable[Any]) -> str:
    """A JSON pointer."""
    return "/" + "/".join(str(p) for p in path)


def examples(kind: Kind) -> list[Any]:
    """Sound messages of a kind."""
    found: list[Any] = json.loads(json.dumps(document()["$defs"][kinds()[kind]]["examples"]))  # what YAML shares is apart
    return found


def node_at(document: Any, place: str) -> Any:
    """What stands at a place (a JSON pointer without its first stroke) of a document."""
    for step in place.split("/"):
        document = document[int(step) if isinstance(document, list) else step.replace("~1", "/")]
    return document
