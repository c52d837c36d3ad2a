"""REST with JSON pages behind OAuth 2.0 client credentials (RFC 6749 §4.4)."""

import time
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests
from requests.auth import HTTPBasicAuth

from connectors.delivery import FetchRequest, Manifest, Part, PartStream
from connectors.kits.http import HttpCaller, Unauthorized
from connectors.kits.pages import Envelope, Expired, Overlap, Page, PageBook
from connectors.kits.patience import Patience
from hub.errors import SourceChanged, SourceRefused
from schemas.contract import Scope

# A token is renewed when this share of its life is left.
_RENEWAL_SHARE = 0.1


@dataclass(frozen=True)
class Dialect:
    """What differs between such interfaces.

    Attributes:
        token_path: path of the token endpoint; records_path: path of the records.
        cursor, limit, scope, since: names of the query parameters.
    """

    token_path: str = "/oauth2/token"
    records_path: str = "/api/v1/records"
    cursor: str = "cursor"
    limit: str = "limit"
    scope: str = "scope"
    since: str = "since"
    envelope: Envelope = field(default_factory=Envelope)


class _Token:
    """The access token of one fetch, renewed before it ends and whenever it is refused."""

    def __init__(self, http: HttpCaller, request: FetchRequest, path: str) -> None:
        self._http = http
        self._request = request
        self._path = path
        self._value = ""
        self._renew_at = 0.0

    def header(self) -> dict[str, str]:
        if time.monotonic() >= self._renew_at:
            self._renew()
        return {"Authorization": f"Bearer {self._value}"}

    def drop(self) -> None:
        self._renew_at = 0.0

    def _renew(self) -> None:
        endpoint = self._request.endpoint
        secret = endpoint.secret.get_secret_value() if endpoint.secret else ""
        ask = requests.Request(
            "POST",
            self._http.base + self._path,
            data={"grant_type": "client_credentials"},
            auth=HTTPBasicAuth(endpoint.username or "", secret),
        )
        answer = self._http.read(lambda: ask)
        try:
            document = orjson.loads(answer.body)
            self._value = str(document["access_token"])
            life_s = float(document.get("expires_in") or 0)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            raise SourceChanged(
                "the token endpoint does not answer with a token",
                where=self._http.where,
                next_step="ask the agency what changed",
            ) from None
        self._renew_at = time.monotonic() + life_s * (1 - _RENEWAL_SHARE)


class _Reader:
    """One paged read."""

    def __init__(self, request: FetchRequest, dialect: Dialect) -> None:
        self.request = request
        self.dialect = dialect
        self.http = HttpCaller(request, Patience.of(request))
        self.token = _Token(self.http, request, dialect.token_path)
        self.book = PageBook(request, dialect.envelope)

    def page(self, cursor: str | None) -> tuple[bytes, Page]:
        """One page, tried again while that may help, entered into the books."""
        try:
            for attempt in self.http.patience.attempts():
                with attempt:
                    body, page = self._authorized(cursor)
                    self.book.take(page, cursor)
        except Overlap as error:
            raise SourceChanged(error.message, where=error.where, next_step=error.next_step) from None
        return body, page

    def _authorized(self, cursor: str | None) -> tuple[bytes, Page]:
        """The page with the token in hand, and once more with a new one when that has ended."""
        try:
            return self._once(cursor)
        except (Unauthorized, Expired):
            self.token.drop()
            return self._once(cursor)

    def _once(self, cursor: str | None) -> tuple[bytes, Page]:
        dialect, wanted = self.dialect, self.request.wanted
        params: dict[str, Any] = {dialect.limit: self.request.page_size, dialect.scope: wanted.value}
        if wanted is Scope.DELTA and self.request.since is not None:
            params[dialect.since] = self.request.since.isoformat()
        if cursor is not None:
            params[dialect.cursor] = cursor
        headers = self.token.header()
        url = self.http.base + dialect.records_path
        body = self.http.read(lambda: requests.Request("GET", url, params=params, headers=headers)).body
        return body, self.book.open(body)


def stream(request: FetchRequest, dialect: Dialect | None = None) -> PartStream:
    """A delivery as JSON pages, each part one reply exactly as received.

    Raises:
        SourceError: while it is read, as :class:`~connectors.kits.http.HttpCaller` and
            :class:`~connectors.kits.pages.PageBook` say.
    """
    reader = _Reader(request, dialect or Dialect())
    cursor: str | None = None
    try:
        while True:
            body, page = reader.page(cursor)
            yield Part(f"page-{reader.book.pages:06d}.json", iter((body,)), reader.book.progress)
            following = page.beside.get(reader.dialect.envelope.next_position)
            if following in (None, ""):
                break
            if not page.rows or str(following) == cursor:
                raise SourceChanged("the pages go round in a circle", where=reader.book.where, next_step="ask the agency")
            cursor = str(following)
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
