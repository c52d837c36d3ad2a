"""The standard's own files, where somebody has them: `DCI_SCHEMAS` names the folder of OpenAPI files. Nothing of them is part of the hub.

The files contradict themselves in places, so that what they mean cannot be valid by them; `REPAIRS` names those places, as docs/dci.md does.
A message is held against the files as they are published, and where they refuse it against the repaired ones.
"""

import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.protocols import Validator
from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

from tests.sharing.dci_messages import ASKED, CALLBACK, Kind, node_at, told
from tests.sharing.dci_wrongs import Wrong, broken

FOLDER = os.environ.get("DCI_SCHEMAS") or None
_VERSION = "_v1.0.0.yaml"
_SOCIAL, _CORE = "social_api", "registry_core_api"
# An address is of the first file that has it.
_FILES = (_SOCIAL, _CORE, "dr_api", "authz_core_api", "jwks_core_api", "locations_core_api")
_SCHEMAS = "components/schemas"


@dataclass(frozen=True)
class Repair:
    """A place where a published file contradicts itself.

    Attributes:
        place: of an object or a list in the file; None = wherever alternatives stand.
        was, means: name or entry that is read as another; None = it is missing.
    """

    name: str
    file: str | None
    place: str | None
    was: str | None
    means: str


REPAIRS = (
    Repair("overlapping alternatives", None, None, "oneOf", "anyOf"),
    Repair("subscibe", _SOCIAL, f"{_SCHEMAS}/TxnStatusRequest/properties/txnstatus_request/properties/txn_type/enum", None, "subscribe"),
    Repair("subscibe", _SOCIAL, f"{_SCHEMAS}/TxnStatusResponse/properties/txnstatus_response/properties/txn_type/enum", None, "subscribe"),
    Repair("sunscription_codes", _CORE, f"{_SCHEMAS}/UnSubscribeRequest/required", "sunscription_codes", "subscription_codes"),
    Repair("timesstamp", _CORE, f"{_SCHEMAS}/UnSubscribeRequest/properties", "timesstamp", "timestamp"),
    Repair("timesatmp", _CORE, f"{_SCHEMAS}/UnSubscribeResponse/properties", "timesatmp", "timestamp"),
)
NAMES = frozenset(r.name for r in REPAIRS)


def _one_at_least(validator: Validator, parts: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    yield from Draft202012Validator.VALIDATORS["anyOf"](validator, parts, instance, schema)


_Loose = validators.extend(Draft202012Validator, {"oneOf": _one_at_least})  # type: ignore[no-untyped-call]


def _straight(document: Any, place: str) -> str:
    """A place of a file on a way that leads through no reference; the files' own references do."""
    at: list[str] = []
    node = document
    for step in place.split("/"):
        while isinstance(node, dict) and "$ref" in node:
            at = _straight(document, node["$ref"].removeprefix("#/")).split("/")
            node = node_at(document, "/".join(at))
        node = node[int(step) if isinstance(node, list) else step.replace("~1", "/")]
        at.append(step)
    return "/".join(at)


def _straighten(document: Any, node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            node["$ref"] = f"#/{_straight(document, node['$ref'].removeprefix('#/'))}"
        for inner in node.values():
            _straighten(document, inner)
    elif isinstance(node, list):
        for inner in node:
            _straighten(document, inner)


@cache
def _file(name: str) -> Any:
    """A file, None where the folder has it not."""
    path = Path(FOLDER or "") / f"{name}{_VERSION}"
    if not path.is_file():
        return None
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    _straighten(found, found)
    return found


@cache
def _repaired(name: str, repairs: frozenset[str]) -> Any:
    found = deepcopy(_file(name))
    for repair in REPAIRS:
        if repair.file == name and repair.place is not None and repair.name in repairs:
            node = node_at(found, repair.place)
            if isinstance(node, list) and repair.means not in node:
                node[:] = [*(n for n in node if n != repair.was), repair.means]
            elif isinstance(node, dict) and repair.was in node:
                node[repair.means] = node.pop(repair.was)
    return found


def _place(kind: Kind, status: int) -> tuple[str, str] | None:
    """File and place of what a message has to be; None where the files say nothing of it.

    Raises:
        FileNotFoundError: there is no file of the standard in the folder.
    """
    if not any(_file(name) for name in _FILES):
        raise FileNotFoundError(f"no *{_VERSION} of the standard in {FOLDER}")
    method, path = kind.address.split(" ")
    verb = "get" if method == "GET" else "post"
    name = next((n for n in _FILES if path in (_file(n) or {}).get("paths", ())), None)
    if name is None:
        return None
    at = f"paths/{path.replace('/', '~1')}/{verb}"
    operation = node_at(_file(name), at)
    if kind.way == ASKED or method == CALLBACK:
        (form,) = [f for f in operation["requestBody"]["content"] if f != "multipart/form-data"]
        return name, f"{at}/requestBody/content/{form.replace('/', '~1')}/schema"
    chosen = next((s for s in (str(status), "default") if s in operation["responses"]), None)
    return None if chosen is None else (name, _straight(_file(name), f"{at}/responses/{chosen}/content/application~1json/schema"))


@cache
def _validator(name: str, place: str, repairs: frozenset[str]) -> Validator:
    registry = EMPTY_REGISTRY.with_resource("urn:published", DRAFT202012.create_resource(_repaired(name, repairs)))
    kind = _Loose if "overlapping alternatives" in repairs else Draft202012Validator
    checked: Validator = kind(
        {"$ref": f"urn:published#/{place}"}, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )  # fmt: skip
    return checked


def faults(kind: Kind, status: int, message: Any, repairs: frozenset[str] = frozenset()) -> list[str]:
    """What the files, with some repairs, find wrong with a message: places and rules.

    Args:
        kind: of the message.
        status: of HTTP, of the answer it is or was answered by.
        message: its body.
        repairs: names of those made; none = as they are published.
    """
    found = _place(kind, status)
    return [] if found is None else [told(inner) for e in _validator(*found, repairs).iter_errors(message) for inner in _inmost(e)]


def _inmost(error: ValidationError) -> Iterator[ValidationError]:
    """A fault and what lies under it where alternatives were tried."""
    yield error
    for inner in error.context or ():
        yield from _inmost(inner)


def needed(kind: Kind, status: int, message: Any) -> frozenset[str]:
    """Repairs without which the files refuse a message they take with all of them."""
    return frozenset(name for name in NAMES if faults(kind, status, message, NAMES - {name}))


def says(kind: Kind, status: int) -> bool:
    """Whether the files say anything of a message."""
    return _place(kind, status) is not None


def wronged(kind: Kind, status: int, message: Any) -> Iterator[Wrong]:
    """A sound message, each time with one rule of the repaired files broken."""
    found = _place(kind, status)
    if found is not None:
        document = _repaired(found[0], NAMES)
        yield from broken(document, node_at(document, found[1]), message)
