"""The standard's codes for what is not answered: of a message that is not taken in, of one that is rejected, of one request in it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sharing.problems import Problem

_OF_STATUS = {
    400: "err.request.bad", 401: "err.request.unauthorized", 403: "err.request.forbidden", 404: "err.request.not_found",
    413: "err.request.bad", 415: "err.request.bad", 429: "err.request.too_many_requests", 503: "err.service.unavailable",
}  # fmt: skip


@dataclass(frozen=True)
class Code:
    """One code; ``status`` of HTTP, None = it travels in an answer."""

    code: str
    status: int | None
    zh: str
    en: str

    @property
    def words(self) -> str:
        """What it means, in both languages."""
        return f"{self.zh} / {self.en}"


@cache
def codes(layer: str) -> dict[str, Code]:
    """Codes of a layer (``transport``, ``header``, ``search``, ``subscribe``, ``unsubscribe``), in the standard's order."""
    document: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "codes.yml").read_text(encoding="utf-8"))
    return {code: Code(code, node.get("status"), node["zh"], node["en"]) for code, node in document[layer].items()}


class NotTaken(Exception):
    """A message that is not taken in.

    Attributes:
        status: of HTTP.
        pointers: places in the message and what is wrong there; never a value.
        retry_after_s: seconds after which trying again makes sense; None = it does not depend on time.
    """

    def __init__(
        self, code: str, *, status: int | None = None, pointers: list[dict[str, str]] | None = None, retry_after_s: int | None = None, words: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(code)
        self.code = codes("transport")[code]
        self.status = status or self.code.status or 400
        self.pointers = pointers or []
        self.retry_after_s = retry_after_s
        self.words = words or self.code.words

    @classmethod
    def of(cls, problem: Problem) -> "NotTaken":
        """A problem of the service in the standard's terms."""
        kind = problem.kind
        words = f"{kind.title['zh']} / {kind.title['en']} ({kind.code})"
        return cls(
            _OF_STATUS.get(kind.status, "err.request.bad"), status=kind.status, retry_after_s=problem.retry_after_s, words=words,
            pointers=problem.errors,
        )  # fmt: skip


class Rejected(Exception):
    """A message that was taken in and is rejected as a whole, or one request of it.

    Attributes:
        words: what it means, or which problem of the service it comes from.
    """

    def __init__(self, layer: str, code: str, problem: Problem | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.words = codes(layer)[code].words
        if problem is not None:
            self.words = f"{problem.kind.title['zh']} / {problem.kind.title['en']} ({problem.kind.code})"
