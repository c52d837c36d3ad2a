"""Pages of JSON: opened by the contract's path, and checked so that none is lost or doubled."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from connectors.delivery import FetchRequest
from hub.errors import SourceChanged, SourceRefused, SourceUnavailable
from hub.progress import Progress

# Signs, in orjson's words, that a reply is whole but poisoned: asking again would bring the same.
_POISON = ("depth limit exceeded", "no low surrogate", "unexpected low surrogate", "number is infinity")


@dataclass(frozen=True)
class Envelope:
    """The names an interface gives to what surrounds the rows.

    ``total``, ``as_of``, ``position`` and ``next_position`` stand beside the rows; ``code`` stands at the top.

    Attributes:
        success: codes that mean success; everything else is an error, whatever the HTTP status says.
        busy: codes that mean "later".
        expired: codes that mean the token or signature is not, or no longer, accepted.
    """

    code: str = "code"
    success: frozenset[str] = frozenset({"0", "200"})
    busy: frozenset[str] = frozenset()
    expired: frozenset[str] = frozenset()
    total: str = "total"
    as_of: str = "asOf"
    position: str = "cursor"
    next_position: str = "nextCursor"


class Expired(SourceRefused):
    """The reply's code says that the token or signature is not, or no longer, accepted."""


class Overlap(SourceUnavailable):
    """A page repeats rows of the page before it."""


@dataclass(frozen=True)
class Page:
    """One page, opened.

    Attributes:
        beside: what stands beside the rows.
    """

    rows: list[Any]
    beside: dict[str, Any]


@dataclass
class PageBook:
    """The books of one paged read: what was declared, what came, and whether they agree.

    Attributes:
        rows: rows taken so far.
        total: rows the agency declares; None before the first page.
    """

    request: FetchRequest
    envelope: Envelope
    rows: int = 0
    pages: int = 0
    total: int | None = None
    as_of: date | None = None
    _last_keys: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def where(self) -> str:
        """Pointer to the page in hand."""
        return f"{self.request.where}, page {self.pages + 1}"

    def progress(self) -> Progress:
        """Rows taken of those declared."""
        return Progress(self.rows, self.total)

    def open(self, body: bytes) -> Page:
        """Open a page by the contract's ``recordsPath``.

        Raises:
            SourceRefused: the reply carries an error code; :class:`Expired` when it is about the token or signature.
            SourceUnavailable: the code means "later", or the page is not whole.
            SourceChanged: the reply has no code or no rows where they were agreed.
        """
        if not body.strip():
            raise SourceChanged("the reply is empty", where=self.where, next_step="ask the agency; an empty reply is not zero rows")
        try:
            node: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            self._refuse_poison(error)
            raise SourceUnavailable(
                f"the reply of {len(body)} bytes is not whole JSON",
                where=self.where,
                next_step="fetch again; then ask the agency",
            ) from None
        self._judge(node)
        path = (self.request.contract.delivery.records_path or "data.records").split(".")
        beside: Any = node
        try:
            for step in path:
                beside, node = node, node[step.rstrip("!")]
                if step.endswith("!"):
                    node = orjson.loads(node)
        except orjson.JSONDecodeError as error:
            self._refuse_poison(error)
            node = None
        except (KeyError, TypeError):
            node = None
        if not isinstance(node, list):
            raise SourceChanged(
                f"no list of rows at {'.'.join(path)}",
                where=self.where,
                next_step="ask the agency what changed in its replies",
            )
        return Page(node, beside)

    def _refuse_poison(self, error: orjson.JSONDecodeError) -> None:
        if any(sign in error.msg for sign in _POISON):
            raise SourceChanged(
                f"the reply is no JSON that can be read: nested too deep, half a character or too large a number at byte {error.pos}",
                where=self.where,
                next_step="ask the agency which row it is",
            ) from None

    def _judge(self, node: Any) -> None:
        code = str(node.get(self.envelope.code)) if isinstance(node, dict) and self.envelope.code in node else None
        if code in self.envelope.success:
            return
        if code is None:
            raise SourceChanged(
                f"the reply carries no {self.envelope.code!r}",
                where=self.where,
                next_step="ask the agency what changed in its replies",
            )
        # A code is short and plain; anything else may be a person's value that strayed into it.
        shown = code if len(code) <= 20 and code.isascii() else "(unreadable)"
        if code in self.envelope.busy:
            raise SourceUnavailable(f"the agency answers with code {shown}: later", where=self.where, next_step="fetch later")
        kind = Expired if code in self.envelope.expired else SourceRefused
        raise kind(
            f"the agency answers with error code {shown}",
            where=self.where,
            next_step="look the code up in the interface's document, then check credential and grant with the agency",
        )

    def take(self, page: Page, position: Any) -> None:
        """Enter a page into the books.

        Args:
            page: the page.
            position: the cursor or page number that was asked for; None for a first page without one.

        Raises:
            Overlap: it repeats the page before it; it was not entered and may be asked for again.
            SourceUnavailable: the agency's stock changed while it was read.
            SourceChanged: totals, date or position are not as agreed, or more rows came than were declared.
        """
        total = self._number(page.beside.get(self.envelope.total))
        as_of = self._date(page.beside.get(self.envelope.as_of))
        echoed = page.beside.get(self.envelope.position)
        if echoed is not None and position is not None and str(echoed) != str(position):
            raise self._overlap("is not the page that was asked for")
        name = self.request.contract.key.physical_name
        keys = [str(row.get(name)) for row in page.rows if isinstance(row, dict) and row.get(name) is not None]
        # Two rows, not one: a key the agency holds twice may fall on either side of a page's edge.
        if self._last_keys and len(keys) >= 2 and self._last_keys.issuperset(keys[:2]):
            raise self._overlap("repeats rows of the page before it")
        if self.total is not None and (total, as_of) != (self.total, self.as_of):
            raise SourceUnavailable(
                "the agency's stock changed while it was read",
                where=self.where,
                next_step="fetch it again from the first page",
            )
        if self.rows + len(page.rows) > total:
            raise self._disagree(self.rows + len(page.rows), total)
        self.total, self.as_of = total, as_of
        self.rows += len(page.rows)
        self.pages += 1
        self._last_keys = frozenset(keys)

    def close(self) -> tuple[int, date]:
        """Rows and as-of date of the whole read.

        Raises:
            SourceChanged: fewer rows came than were declared, or a full stock is empty.
        """
        if self.total is None or self.as_of is None or self.rows != self.total:
            raise self._disagree(self.rows, self.total or 0)
        return self.rows, self.as_of

    def _overlap(self, message: str) -> Overlap:
        return Overlap(f"a page {message}", where=self.where, next_step="ask the agency to order its pages by a unique key")

    def _disagree(self, rows: int, total: int) -> SourceChanged:
        return SourceChanged(
            f"{rows} rows came where the agency declares {total}",
            where=self.where,
            next_step="fetch again; then ask the agency",
        )

    def _number(self, value: Any) -> int:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise SourceChanged(f"the page states no {self.envelope.total!r}", where=self.where, next_step="ask the agency what changed")

    def _date(self, value: Any) -> date:
        try:
            return date.fromisoformat(str(value)[:10])
        except ValueError:
            raise SourceChanged(
                f"the page states no date {self.envelope.as_of!r}",
                where=self.where,
                next_step="ask the agency what changed",
            ) from None
