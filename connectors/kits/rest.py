"""REST with OAuth 2.0 client credentials (RFC 6749 §4.4) and cursor pages."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import orjson

from connectors.delivery import FetchRequest, Manifest, Part
from connectors.kits.http import Client
from hub.errors import SourceChanged, SourceError, SourceRefused


class RestPull:
    """One pull through cursor pages; the token is renewed whenever the agency says it has expired.

    Args:
        request: what to pull.
        records_url: path of the pages.
        token_url: path of the token.
        is_success: whether a page's body says that the call succeeded: HTTP 200 alone says little.
    """

    def __init__(self, request: FetchRequest, *, records_url: str, token_url: str, is_success: Callable[[dict[str, Any]], bool]) -> None:
        self._request = request
        self._records_url = request.endpoint.url.rstrip("/") + records_url
        self._token_url = request.endpoint.url.rstrip("/") + token_url
        self._is_success = is_success
        self._client = Client(request.contract)
        self._token: str | None = None
        self._rows = 0
        self._total: int | None = None
        self._as_of: date | None = None

    def _where(self, page: int) -> str:
        return f"{self._request.contract.stem} page {page}"

    def _renew(self) -> None:
        secret = self._request.endpoint.secret
        answer = self._client.call(
            "POST", self._token_url, "token", data={"grant_type": "client_credentials"},
            auth=(self._request.endpoint.username or "", secret.get_secret_value() if secret else ""),
        )  # fmt: skip
        if answer.status_code != 200:
            raise SourceRefused(
                "the agency does not accept our credentials", where=f"{self._request.contract.stem} token",
                next_step=f"renew the secret in sources/{self._request.contract.stem}.json",
            )  # fmt: skip
        try:
            self._token = orjson.loads(answer.content)["access_token"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise SourceChanged("the token answer holds no token", where=f"{self._request.contract.stem} token") from None

    def _page(self, number: int, parameters: dict[str, Any]) -> bytes:
        for _ in range(3):
            if self._token is None:
                self._renew()
            answer = self._client.call(
                "GET", self._records_url, f"page {number}", params=parameters, headers={"Authorization": f"Bearer {self._token}"}
            )
            if answer.status_code != 401:
                return answer.content
            self._token = None
        raise SourceRefused("fresh tokens are refused", where=self._where(number), next_step="check our rights with the agency")

    def _judged(self, number: int, body: bytes) -> dict[str, Any]:
        """The page's data; anything that is not a successful page is an error, never zero rows."""
        if not body:
            raise SourceChanged("an empty answer", where=self._where(number), next_step="ask the agency")
        if body.lstrip()[:1] == b"<":
            raise SourceChanged("HTML instead of JSON, perhaps a log-in page", where=self._where(number), next_step="check the endpoint")
        try:
            page = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise SourceChanged("not whole JSON", where=self._where(number), next_step="fetch again; if it lasts, ask the agency") from None
        if not isinstance(page, dict) or not self._is_success(page):
            code = page.get("code") if isinstance(page, dict) else None
            code = code if isinstance(code, int) else "?"
            raise SourceRefused(f"HTTP 200 with error code {code} in the body", where=self._where(number), next_step="ask the agency")
        data = page.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("records"), list):
            raise SourceChanged("a page without rows and cursor", where=self._where(number), next_step="ask the agency")
        return data

    def parts(self) -> Iterator[Part]:
        """Every page as sent.

        Raises:
            SourceError: see the members of that family.
        """
        parameters: dict[str, Any] = {"limit": self._request.contract.delivery.page_size}
        if self._request.since is not None:
            parameters["since"] = self._request.since.isoformat()
        seen, key, number = set(), self._request.contract.key.physical_name, 0
        last_key: Any = None
        while True:
            number += 1
            body = self._page(number, parameters)
            data = self._judged(number, body)
            self._declared(number, data)
            rows = data["records"]
            first = rows[0].get(key) if rows and isinstance(rows[0], dict) else None
            if rows and last_key is not None and isinstance(first, str) and first < last_key:
                raise SourceChanged("the page repeats or overlaps the one before", where=self._where(number), next_step="fetch again")
            last_key = rows[-1].get(key) if rows and isinstance(rows[-1], dict) else last_key
            self._rows += len(rows)
            yield Part(f"page-{number:05d}.json", iter((body,)))
            cursor = data.get("cursor")
            if cursor is None:
                return
            if cursor in seen or not rows:
                raise SourceChanged("the cursor goes in a circle", where=self._where(number), next_step="ask the agency")
            seen.add(cursor)
            parameters["cursor"] = cursor

    def _declared(self, number: int, data: dict[str, Any]) -> None:
        try:
            total, as_of = int(data["total"]), date.fromisoformat(data["asOf"])
        except (KeyError, TypeError, ValueError):
            raise SourceChanged("a page without total and as-of date", where=self._where(number)) from None
        if self._total is not None and (total, as_of) != (self._total, self._as_of):
            raise SourceError("the stock changed while it was read", where=self._where(number), next_step="fetch again")
        self._total, self._as_of = total, as_of

    def manifest(self) -> Manifest:
        """What the agency declared, checked against what came."""
        if self._as_of is None or self._rows != self._total:
            raise SourceChanged(
                f"{self._total} rows were declared and {self._rows} came", where=f"{self._request.contract.stem} total",
                next_step="fetch again; if it lasts, ask the agency",
            )  # fmt: skip
        return Manifest(self._request.scope, self._as_of, self._total, None)
