"""What the OpenAPI page says of answers besides their schemas: examples, the problems a route may answer with, headers."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sharing.models import ProblemDetail
from sharing.problems import MEDIA, Language, Problem, kinds

_JSON = "application/json"
_REQUEST_ID = "3d9f6f0c-52b1-4a7e-8c0d-6e1f2a3b4c5d"
_LANGUAGES: tuple[Language, ...] = ("zh", "en")
# Problems that say where in the request they lie.
_PLACES = {
    "bad-request": [{"pointer": "body/purpose", "message": "missing"}],
    "input-unreadable": [{"pointer": "input/column/3", "message": "stands twice"}],
    "upload-offset": [{"pointer": "header/Upload-Offset", "message": "4194304 bytes came, as csv"}],
}
_HEADERS: dict[str, dict[str, Any]] = {
    "Retry-After": {"description": "Seconds after which trying again makes sense.", "schema": {"type": "integer", "minimum": 0}, "example": 5},
    "ETag": {
        "description": "Mark of the answer, for If-None-Match.", "schema": {"type": "string"}, "example": '"8c0d6e1f2a3b4c5d9f1c6a5b3e2d4f70"'
    },
    "Hub-Receipt": {
        "description": "Where the log keeps this answer; of a household one for each member, separated by commas.", "schema": {"type": "string"}, "example": _REQUEST_ID,
    },
    "Deprecation": {
        "description": "Since when this is not to be used any more (RFC 9745).", "schema": {"type": "string", "pattern": r"^@-?\d+$"}, "example": "@1798732800",
    },
    "Sunset": {
        "description": "From when on it may be gone (RFC 8594).", "schema": {"type": "string"}, "example": "Fri, 31 Dec 2027 16:00:00 GMT",
    },
    "Content-Range": {"description": "Which bytes of how many these are.", "schema": {"type": "string"}, "example": "bytes 0-1023/24117248"},
}  # fmt: skip
IF_NONE_MATCH = {
    "name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}, "example": _HEADERS["ETag"]["example"],
    "description": "ETag of an answer you hold: 304 where it is still the same.",
}  # fmt: skip


def headers(*names: str) -> dict[str, Any]:
    """Documentation of headers an answer may carry."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def problems(*statuses: int, retried: tuple[int, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """Documentation of the problems of some statuses.

    Args:
        statuses: that the route answers with, besides 500.
        retried: of them, those that say when to come back, besides 429, 503, and 409 where a request with a key may still be at work.
    """
    later = {429, 503, *retried} | ({409} if 422 in statuses else set())
    found: dict[int | str, dict[str, Any]] = {}
    for status in (*statuses, 500):
        codes = [k.code for k in kinds().values() if k.status == status]
        found[status] = {
            "description": " · ".join(codes), "model": ProblemDetail,
            "content": {
                MEDIA: {
                    "schema": {"$ref": "#/components/schemas/ProblemDetail"},
                    "examples": {_named(c, spoken): {"$ref": f"#/components/examples/{_named(c, spoken)}"} for c in codes for spoken in _LANGUAGES},
                }
            },
            **({"headers": headers("Retry-After")} if status in later else {}),
        }  # fmt: skip
    return found


def _named(code: str, spoken: Language) -> str:
    return f"{code}.{spoken}"


def _problem_examples() -> dict[str, Any]:
    return {
        _named(kind.code, spoken): {
            "summary": kind.title[spoken], "value": Problem(kind.code, errors=_PLACES.get(kind.code)).body(spoken, _REQUEST_ID),
        }
        for kind in kinds().values() for spoken in _LANGUAGES
    }  # fmt: skip


@cache
def answers() -> dict[str, dict[str, Any]]:
    """Examples of answers: operation (``GET /healthz``) → name → answer."""
    found = yaml.safe_load((Path(__file__).parent.parent / "examples.yml").read_text(encoding="utf-8"))
    return {operation: examples for operation, examples in found.items() if operation != ".parts"}


def complete(page: dict[str, Any]) -> None:
    """Put the examples beside the answers of an OpenAPI page, and what answers refer to into its components."""
    page["components"] |= {"headers": _HEADERS, "examples": _problem_examples()}
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            examples = answers().get(f"{method.upper()} {path}", {})
            for status, response in operation["responses"].items():
                if status.startswith("2") and examples and _JSON in response.get("content", {}):
                    response["content"][_JSON]["examples"] = {name: {"value": value} for name, value in examples.items()}
