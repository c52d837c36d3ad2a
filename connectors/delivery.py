"""A delivery on its way in: what is asked of an agency, and the agency's own bytes as they come."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import date

from hub.errors import SourceUnavailable
from hub.progress import Progress
from hub.settings import Endpoint
from schemas.contract import Contract, Scope


@dataclass(frozen=True)
class FetchRequest:
    """What is asked of an agency.

    Attributes:
        business_date: the night the delivery is for, in the agency's calendar (Asia/Shanghai).
        since: as-of date of the last good delivery; a delta holds what changed after it. None = nothing is held yet.
    """

    contract: Contract
    endpoint: Endpoint
    business_date: date
    scope: Scope
    since: date | None

    @property
    def wanted(self) -> Scope:
        """The scope to ask for: a delta needs something to be a delta of."""
        return self.scope if self.since is not None else Scope.FULL

    @property
    def page_size(self) -> int:
        """Rows asked for per page: as agreed, or fewer where the endpoint's extra ``page_size`` says so."""
        agreed = self.contract.delivery.page_size
        return max(1, min(agreed, int(self.endpoint.extra.get("page_size") or agreed)))

    @property
    def where(self) -> str:
        """Pointer for error messages."""
        return f"source {self.contract.stem}, {self.business_date.isoformat()}"


@dataclass(frozen=True)
class Part:
    """One file, page or result of a delivery.

    Attributes:
        name: the agency's name for it, or its number; unique in the delivery.
        chunks: its bytes, to be read once and to the end before the next part.
        progress: says at any time how far the whole delivery has come; None when the kit cannot tell.
    """

    name: str
    chunks: Iterator[bytes]
    progress: Callable[[], Progress] | None = None


@dataclass(frozen=True)
class Manifest:
    """What the agency states about its delivery.

    Attributes:
        scope: what came; may be full where a delta was asked for.
        as_of_date: the day whose stock this is, by the agency's own statement.
        declared_rows: None when the agency states no number.
        declared_sha256: lower-case hex of the single part's bytes; None when the agency states none.
    """

    scope: Scope
    as_of_date: date
    declared_rows: int | None
    declared_sha256: str | None


PartStream = Generator[Part, None, Manifest]


class Fetched:
    """A delivery that is read once, part by part; the manifest is known when the last part has been read.

    A source that breaks half-way raises a :class:`hub.errors.SourceError` out of :meth:`parts` or of a part's chunks:
    what was read until then is not a delivery and must not be kept as one.
    """

    def __init__(self, stream: PartStream) -> None:
        """Wrap a kit's generator, which yields parts and returns the manifest."""
        self._stream = stream
        self._manifest: Manifest | None = None

    def parts(self) -> Iterator[Part]:
        """The parts in order.

        Raises:
            SourceError: the agency cannot be read, refuses, or answers with something else than agreed.
        """
        self._manifest = yield from self._stream

    def manifest(self) -> Manifest:
        """What the agency states about the delivery.

        Raises:
            SourceUnavailable: the parts were not read to the end.
        """
        if self._manifest is None:
            raise SourceUnavailable("the delivery was not read to its end", next_step="fetch it again")
        return self._manifest
