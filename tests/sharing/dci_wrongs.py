"""Sound messages with one rule broken, made from a schema: a member left out, or of another type, code, form or length."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from tests.sharing.dci_messages import Kind, document, examples, kinds, node_at, pointer

_LEFT_OUT = object()
_OTHERS: tuple[Any, ...] = (5, "x", None, [], True)


@dataclass(frozen=True)
class Wrong:
    """A sound message with one change that makes it unsound.

    Attributes:
        place: JSON pointer.
        how: what was done there.
    """

    place: str
    how: str
    message: Any


def wronged(kind: Kind) -> Iterator[Wrong]:
    """The examples of a kind, each time with one rule of the oracle broken."""
    for example in examples(kind):
        yield from broken(document(), document()["$defs"][kinds()[kind]], example)


def met(kind: Kind) -> set[int]:
    """Rules of the oracle (`id` of their schemas) that the examples of a kind meet."""
    found: set[int] = set()
    for example in examples(kind):
        for _ in _broken(document(), document()["$defs"][kinds()[kind]], example, (), found):
            pass
    return found


def broken(root: Any, schema: Any, example: Any) -> Iterator[Wrong]:
    """A sound message, each time with one rule broken: a member left out, or of another type, code, form or length.

    Args:
        root: the document the schema's references lead into.
        schema: that holds for the message.
        example: the message.
    """
    seen = set()
    for path, how, value in _broken(root, schema, example, ()):
        if (path, how) not in seen:
            seen.add((path, how))
            yield Wrong(pointer(path), how, _put(deepcopy(example), path, value))


def _put(message: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    node = message
    for step in path[:-1]:
        node = node[step]
    if value is not _LEFT_OUT:
        node[path[-1]] = value
    elif path[-1] in node:
        del node[path[-1]]
    return message


def _broken(
    root: Any, schema: Any, value: Any, path: tuple[Any, ...], met: set[int] | None = None
) -> Iterator[tuple[tuple[Any, ...], str, Any]]:
    """Ways to break the rules that hold for a value: where, how, and what to put there; ``met`` gets the rules."""
    if not isinstance(schema, dict):
        return
    if met is not None:
        met.add(id(schema))

    def holds(part: Any, other: Any) -> bool:
        return _under(root, part).is_valid(other)

    if "$ref" in schema:
        yield from _broken(root, node_at(root, schema["$ref"].removeprefix("#/")), value, path, met)
    for part in schema.get("allOf", ()):
        yield from _broken(root, part, value, path, met)
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if holds(part, value):
            yield from _broken(root, part, value, path, met)
            break
    if "if" in schema:
        yield from _broken(root, schema.get("then" if holds(schema["if"], value) else "else"), value, path, met)
    for name in schema.get("required", ()) if isinstance(value, dict) else ():
        yield (*path, name), "left out", _LEFT_OUT
    if "type" in schema:
        yield path, "of another type", next(other for other in _OTHERS if not holds({"type": schema["type"]}, other))
    if "enum" in schema or "const" in schema:
        yield path, "another code", "nonsense"
    if schema.get("format") in Draft202012Validator.FORMAT_CHECKER.checkers:
        yield path, f"no {schema['format']}", "not one"
    if "maxLength" in schema:
        yield path, "too long", "x" * (schema["maxLength"] + 1)
    if "maximum" in schema:
        yield path, "too large", schema["maximum"] + 1
    if "pattern" in schema:
        yield path, "of another form", "?"
    if "minItems" in schema:
        yield path, "empty", []
    if schema.get("additionalProperties") is False:
        yield (*path, "misspelt"), "nobody described it", "x"
    for name, inner in schema.get("properties", {}).items():
        if inner is False:
            yield (*path, name), "must not be there", "x"
        elif isinstance(value, dict) and name in value:
            yield from _broken(root, inner, value[name], (*path, name), met)
    if isinstance(value, list):
        for n, item in enumerate(value):
            yield from _broken(root, schema.get("items"), item, (*path, n), met)


def _under(root: Any, schema: Any) -> Validator:
    """What holds a value against a part of a document."""
    whole = {name: part for name, part in root.items() if name in ("$defs", "components", "paths")}
    return Draft202012Validator({**whole, **schema})
