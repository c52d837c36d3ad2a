"""The envelope of a message: signature, header, message. What is signed are header and message as they were received, byte for byte."""

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

_SPACE = re.compile(r"[ \t\r\n]*")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # escaped, as a text of JSON can hold it alone; PostgreSQL cannot keep it
_SIGNED = '{{"header":{},"message":{}}}'


class Malformed(Exception):
    """The body is not one JSON object, could be read in two ways, or cannot be kept."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the body; a name that stands in it twice would be read by one program so and by another otherwise."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


@dataclass(frozen=True)
class Envelope:
    """A body taken apart.

    Attributes:
        signature: as given; None = there is none, or it is empty.
        header: the header's text as received.
        message: the message's text as received; None = there is none.
    """

    signature: str | None
    header: str
    message: str | None

    @property
    def signed(self) -> bytes:
        """What a signature covers: one JSON object of header and message, both exactly as they stand in the body."""
        return _SIGNED.format(self.header, self.message).encode()


def opened(body: bytes) -> Envelope:
    """Take a body apart.

    Raises:
        Malformed: it is no JSON object with a header, a name stands twice in one object of it, or a text holds NUL.
    """
    try:
        orjson.loads(body)  # strict where the standard library is not: bytes that are no UTF-8, lone surrogates, NaN, depth
        text = body.decode()
        if _NUL.search(text):
            raise Malformed("a text holds NUL")
        found = _members(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(type(error).__name__) from None
    if "header" not in found:
        raise Malformed("there is no header")
    signature = json.loads(found["signature"]) if "signature" in found else None
    if signature is not None and not isinstance(signature, str):
        raise Malformed("the signature is no text")
    return Envelope(signature or None, found["header"], found.get("message"))


def _members(text: str) -> dict[str, str]:
    """Members of the outermost object: name → text of the value, without space around it."""

    def space(at: int) -> int:
        match = _SPACE.match(text, at)
        return match.end() if match else at

    found: dict[str, str] = {}
    at = space(0)
    if text[at] != "{":
        raise Malformed("the body is no object")
    at = space(at + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begins = space(space(at) + 1)  # behind the colon
        _, ends = _DECODER.raw_decode(text, begins)
        if name in found:
            raise Malformed("a name stands twice in one object")
        found[name] = text[begins:ends]
        at = space(ends)
        if text[at] == ",":
            at = space(at + 1)
    return found


def closed(header: bytes, message: bytes | None, signature: str) -> bytes:
    """A body out of its signed parts."""
    parts = [b'{"signature":', orjson.dumps(signature), b',"header":', header]
    if message is not None:
        parts += [b',"message":', message]
    return b"".join([*parts, b"}"])
