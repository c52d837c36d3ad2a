"""What the service says when it does not answer: problems after RFC 9457, in Chinese or English."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

Language = Literal["zh", "en"]
MEDIA = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """One kind of problem; ``next`` is what the caller should do."""

    code: str
    status: int
    title: dict[str, str]
    next: dict[str, str]


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by code."""
    found = yaml.safe_load((Path(__file__).parent / "problems.yml").read_text(encoding="utf-8"))
    return {code: Kind(code, node["status"], node["title"], node["next"]) for code, node in found.items()}


class Problem(Exception):
    """A request that is not answered.

    Attributes:
        kind: which.
        errors: places in the request and what is wrong there; never a value.
        retry_after_s: seconds after which trying again makes sense; None = it does not depend on time.
    """

    def __init__(self, code: str, *, errors: list[dict[str, str]] | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(code)
        self.kind = kinds()[code]
        self.errors = errors
        self.retry_after_s = retry_after_s

    def body(self, language: Language, request_id: str) -> dict[str, Any]:
        """The problem's document."""
        found: dict[str, Any] = {
            "type": f"/problems/{self.kind.code}", "title": self.kind.title[language], "status": self.kind.status, "code": self.kind.code,
            "next_step": self.kind.next[language], "request_id": request_id,
        }  # fmt: skip
        if self.errors:
            found["errors"] = self.errors
        return found


def language(accept: str | None) -> Language:
    """The language a caller reads best (RFC 9110 section 12.5.4); Chinese when it does not say."""
    best: tuple[float, Language] = (0.0, "zh")
    for part in (accept or "")[:200].split(","):
        tag, _, parameters = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=(0(\.\d{1,3})?|1(\.0{1,3})?)\s*", parameters)
        value = float(weight[1]) if weight else 1.0
        for known in ("zh", "en"):
            if tag.lower().split("-")[0] == known and value > best[0]:
                best = (value, known)
    return best[1]
