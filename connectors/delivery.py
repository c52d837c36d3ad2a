"""What is asked of an agency, and what comes back: its own bytes, part by part, and what it says about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from hub.settings import Endpoint
from schemas.contract import Contract, Scope


@dataclass(frozen=True)
class FetchRequest:
    """One pull.

    Attributes:
        since: as-of date of the last good delivery; rows changed after it are asked for. None for a full snapshot.
    """

    contract: Contract
    endpoint: Endpoint
    business_date: date
    scope: Scope
    since: date | None


@dataclass(frozen=True)
class Part:
    """One page or file, exactly as sent; `chunks` must be read to the end before the next part."""

    name: str
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class Manifest:
    """What the agency says of its delivery; None = it does not say."""

    scope: Scope
    as_of_date: date
    declared_rows: int | None
    declared_sha256: str | None


class Fetched(Protocol):
    """A delivery under way."""

    def parts(self) -> Iterator[Part]:
        """The parts, in order, once."""
        ...

    def manifest(self) -> Manifest:
        """Known when the parts are read to the end.

        Raises:
            SourceChanged: the parts contradict what the agency declared.
        """
        ...
