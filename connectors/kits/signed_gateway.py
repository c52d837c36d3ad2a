"""A signed gateway in the style of the national data-sharing exchange: POST, four headers, HMAC-SHA256.

Source of header names and signature: 数据直达接口规范 v0.55 (2024-06-28),
``sign = base64(HMAC-SHA256(sid + rid + rtime))``.
HTTP 200 says nothing; the code in the body does.
"""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import requests

from connectors.delivery import FetchRequest, Manifest, Part, PartStream
from connectors.kits.http import HttpCaller, ahead_s
from connectors.kits.pages import Envelope, Expired, Overlap, Page, PageBook
from connectors.kits.patience import Patience
from hub.errors import ConfigError, SourceChanged, SourceRefused
from schemas.contract import Scope

ENVELOPE = Envelope(
    success=frozenset({"200"}),
    busy=frozenset({"api-429", "api-503", "db-500"}),
    expired=frozenset({"api-402", "api-408"}),
    total="total",
    as_of="asof",
    position="pageno",
)

# Clocks that differ by less are not why a time is refused.
_OF_ONE_TIME_S = 30.0


@dataclass(frozen=True)
class Dialect:
    """What differs between such gateways.

    Attributes:
        path: path of the interface; ``{sid}`` is the service id.
        signed: the order in which service id, requester id and time are joined and signed.
        header: prefix of the header names.
        page, size, scope, since: names in the body, lower case.
    """

    path: str = "/sysapi/{sid}"
    signed: tuple[str, ...] = ("sid", "rid", "rtime")
    header: str = "gjzwfwpt_"
    page: str = "pageno"
    size: str = "pagesize"
    scope: str = "scope"
    since: str = "since"
    envelope: Envelope = field(default_factory=lambda: replace(ENVELOPE))


def signature(secret: str, *parts: str) -> str:
    """Base64 of the HMAC-SHA256 of the joined parts."""
    digest = hmac.new(secret.encode(), "".join(parts).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


class _Reader:
    """One paged read."""

    def __init__(self, request: FetchRequest, dialect: Dialect) -> None:
        endpoint = request.endpoint
        if not (endpoint.username and endpoint.secret and endpoint.extra.get("sid")):
            raise ConfigError(
                "the endpoint needs username (requester id), secret and extra.sid (service id)",
                where=f"sources/{request.contract.stem}.json",
            )
        self.request = request
        self.dialect = dialect
        self.rid = endpoint.username
        self.sid = str(endpoint.extra["sid"])
        self.secret = endpoint.secret.get_secret_value()
        self.http = HttpCaller(request, Patience.of(request))
        self.book = PageBook(request, dialect.envelope)
        self._last_rtime = 0
        # How far the gateway's clock is ahead of ours: as it says, and as we sign, which is not at all until it refuses our time.
        self._told_ahead_s = self._ahead_s = 0.0

    def page(self, number: int) -> tuple[bytes, Page]:
        """One page, tried again while that may help, entered into the books."""
        try:
            return self._tried(number)
        except Expired:
            if abs(self._told_ahead_s - self._ahead_s) < _OF_ONE_TIME_S:
                raise
            self._ahead_s = self._told_ahead_s
            return self._tried(number)

    def _tried(self, number: int) -> tuple[bytes, Page]:
        try:
            for attempt in self.http.patience.attempts():
                with attempt:
                    answer = self.http.read(lambda: self._signed(number))
                    body, self._told_ahead_s = answer.body, ahead_s(answer.headers)
                    page = self.book.open(body)
                    self.book.take(page, number)
        except Overlap as error:
            raise SourceChanged(error.message, where=error.where, next_step=error.next_step) from None
        return body, page

    def _signed(self, number: int) -> requests.Request:
        """A request whose time, by the gateway's clock, is later than any before it: a gateway refuses a signature it has seen."""
        dialect, wanted = self.dialect, self.request.wanted
        self._last_rtime = max(self._last_rtime + 1, time.time_ns() // 1_000_000 + int(self._ahead_s * 1000))
        stated = {"sid": self.sid, "rid": self.rid, "rtime": str(self._last_rtime)}
        headers = {dialect.header + name: value for name, value in stated.items()}
        headers[dialect.header + "sign"] = signature(self.secret, *(stated[name] for name in dialect.signed))
        headers["Content-Type"] = "application/json; charset=utf-8"
        query: dict[str, Any] = {
            dialect.page: number,
            dialect.size: self.request.page_size,
            dialect.scope: wanted.value,
        }
        if wanted is Scope.DELTA and self.request.since is not None:
            query[dialect.since] = self.request.since.isoformat()
        url = self.http.base + dialect.path.format(sid=self.sid)
        return requests.Request("POST", url, headers=headers, data=orjson.dumps(query))


def stream(request: FetchRequest, dialect: Dialect | None = None) -> PartStream:
    """A delivery as JSON pages by number, each part one reply exactly as received.

    Raises:
        SourceError: while it is read, as :class:`~connectors.kits.http.HttpCaller` and
            :class:`~connectors.kits.pages.PageBook` say.
        ConfigError: the endpoint lacks a part of the credential.
    """
    reader = _Reader(request, dialect or Dialect())
    try:
        while True:
            body, page = reader.page(reader.book.pages + 1)
            yield Part(f"page-{reader.book.pages:06d}.json", iter((body,)), reader.book.progress)
            if reader.book.rows == reader.book.total:
                break
            if not page.rows:
                break  # fewer rows than declared: the books say so
    finally:
        reader.http.close()
    rows, as_of = reader.book.close()
    if rows == 0 and request.wanted is Scope.FULL:
        raise SourceRefused(
            "the agency says that it holds nothing at all",
            where=request.where,
            next_step="ask which data the account may see",
        )
    return Manifest(request.wanted, as_of, rows, None)
