"""What is to leave the interface: said by every answer of it (RFC 9745, RFC 8594) and on the OpenAPI page, a year ahead at least."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError, model_validator

from hub.dates import CHINA
from hub.errors import ConfigError
from sharing.policy import Title

LEAST = timedelta(days=365)
FILE = Path(__file__).parent / "deprecations.yml"
_PAGE = b'</openapi.json>; rel="deprecation"; type="application/json"'


class Deprecation(BaseModel):
    """One thing that is to leave the interface.

    Attributes:
        what: an operation (``GET /v1/things``), or a member of a schema (``Recall.changed``).
        since: first day on which it is not to be used any more.
        until: day from which it may be gone; a year later at the earliest.
        instead: what to use.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: Annotated[str, StringConstraints(pattern=r"^((GET|POST|PUT|DELETE) /\S+|[A-Z]\w+\.\w+)$")]
    since: date
    until: date
    instead: Title

    @model_validator(mode="after")
    def _stays_as_promised(self) -> Self:
        if self.until - self.since < LEAST:
            raise ValueError(f"stays {LEAST.days} days at least, as docs/changelog.md promises")
        return self

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What answers of an operation say."""
        since, until = (datetime.combine(day, time(), CHINA) for day in (self.since, self.until))
        return [
            (b"deprecation", f"@{int(since.timestamp())}".encode()),
            (b"sunset", format_datetime(until.astimezone(UTC), usegmt=True).encode()),
            (b"link", _PAGE),
        ]

    @property
    def words(self) -> str:
        """The same for readers."""
        return f"自 {self.since} 起不再建议使用，{self.until} 起可能停用；{self.instead.zh}。 Deprecated since {self.since}, may be gone from {self.until} on; {self.instead.en}."


@cache
def table(file: Path = FILE) -> tuple[Deprecation, ...]:
    """What the file says.

    Raises:
        ConfigError: it cannot be meant; the place is named.
    """
    try:
        return TypeAdapter(tuple[Deprecation, ...]).validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = f"{file.name} {'.'.join(map(str, first['loc']))}"
        raise ConfigError(first["msg"], where=where, next_step="correct the file") from None


def mark(page: dict[str, Any], deprecations: Iterable[Deprecation]) -> None:
    """Mark on an OpenAPI page what is to leave the interface.

    Raises:
        ConfigError: there is no such operation or member.
    """
    for deprecation in deprecations:
        method, _, path = deprecation.what.partition(" ")
        schema, _, member = deprecation.what.partition(".")
        found = (
            page["paths"].get(path, {}).get(method.lower())
            if path
            else page["components"]["schemas"].get(schema, {}).get("properties", {}).get(member)
        )
        if found is None:
            raise ConfigError("there is no such operation or member", where=f"{FILE.name} {deprecation.what}", next_step="correct the file")
        found["deprecated"] = True
        found["description"] = f"{deprecation.words}\n\n{found.get('description', '')}".strip()
        if path:
            for response in found["responses"].values():
                told = {name: {"$ref": f"#/components/headers/{name}"} for name in ("Deprecation", "Sunset")}
                response["headers"] = {**response.get("headers", {}), **told}
