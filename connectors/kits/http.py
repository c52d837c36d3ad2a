"""HTTP calls to an agency: phases timed, failures named, nothing of a reply's text in an error."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from connectors.delivery import FetchRequest
from connectors.kits.patience import Busy, Patience
from hub.errors import SourceChanged, SourceRefused, SourceUnavailable

Build = Callable[[], requests.Request]

_CHUNK_BYTES = 1 << 18
_PAGE_BYTES = 256 << 20


class Unauthorized(SourceRefused):
    """HTTP 401: the credential or token is not, or no longer, accepted."""


@dataclass(frozen=True)
class Answer:
    """A reply read to its end."""

    body: bytes
    headers: CaseInsensitiveDict[str]


class _TimedAdapter(HTTPAdapter):
    """An adapter whose connections hold the wait for the first byte, and later each wait for more, to the contract."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        patience = self._patience

        def timed(plain: Any) -> Any:
            def getresponse(connection: Any) -> Any:
                with patience.cut_off(connection.sock.fileno(), "the wait for the first byte", patience.timeouts.first_byte_s):
                    response = plain.getresponse(connection)
                if connection.sock is not None:
                    connection.sock.settimeout(patience.timeouts.idle_s)
                return response

            return type("TimedConnection", (plain,), {"getresponse": getresponse})

        pools: dict[str, Any] = {
            "http": type("TimedPool", (HTTPConnectionPool,), {"ConnectionCls": timed(HTTPConnection)}),
            "https": type("TimedPool", (HTTPSConnectionPool,), {"ConnectionCls": timed(HTTPSConnection)}),
        }
        self.poolmanager.pool_classes_by_scheme = pools


class HttpCaller:
    """One agency's HTTP interface during one fetch.

    Redirects are not followed, proxies of the environment not used: an agency that answers from elsewhere changed.
    """

    def __init__(self, request: FetchRequest, patience: Patience) -> None:
        self.base = request.endpoint.url.rstrip("/")
        self.where = request.where
        self.patience = patience
        self._session = requests.Session()
        self._session.trust_env = False
        if "ca_file" in request.endpoint.extra:
            self._session.verify = str(request.endpoint.extra["ca_file"])
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _TimedAdapter(patience))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def open(self, build: Build) -> requests.Response:
        """Send one request and read the head of the reply; the body is left to :meth:`chunks`. Tries once.

        Raises:
            SourceUnavailable: no connection, too slow, or a status that says "later".
            SourceRefused: a status that says "no"; :class:`Unauthorized` for 401.
            SourceChanged: a redirect, or an interface that is not there.
        """
        timeouts = self.patience.timeouts
        left = self.patience.remaining_s()
        prepared = self._session.prepare_request(build())
        try:
            response = self._session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=(min(timeouts.connect_s, left), min(timeouts.first_byte_s, left)),
            )
        except requests.ConnectTimeout:
            raise self.patience.too_slow("connecting", timeouts.connect_s) from None
        except requests.ReadTimeout:
            raise self.patience.too_slow("the wait for the first byte", timeouts.first_byte_s) from None
        except requests.RequestException as error:
            raise self._broken("the agency cannot be reached or closed the connection", error) from None
        try:
            self._judge(response)
        except Exception:
            response.close()
            raise
        return response

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The body of a reply as it arrives.

        Raises:
            SourceUnavailable: it stops coming, takes too long, or ends before its stated length.
        """
        timeouts = self.patience.timeouts
        stated = response.headers.get("Content-Length")
        plain = "Content-Encoding" not in response.headers
        length = 0
        try:
            # read1 returns with what is there; read would wait for a full buffer and let a trickle pass every time-out.
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                self.patience.remaining_s()
                length += len(chunk)
                yield chunk
        except TimeoutError:
            raise self.patience.too_slow("the wait for more of a reply", timeouts.idle_s) from None
        except (HTTPError, OSError) as error:
            if "timed out" in str(error):
                raise self.patience.too_slow("the wait for more of a reply", timeouts.idle_s) from None
            raise self._broken("the reply broke off", error) from None
        finally:
            response.raw.release_conn()
        if plain and stated is not None and stated.isdigit() and length != int(stated):
            raise SourceUnavailable(f"the reply broke off after {length} of {stated} bytes", where=self.where, next_step="fetch it again")

    def read(self, build: Build) -> Answer:
        """Send one request and read the whole reply: for pages, not for files. Tries once.

        Raises:
            SourceError: as :meth:`open` and :meth:`chunks`; SourceChanged too for a reply larger than any honest page.
        """
        response = self.open(build)
        body = bytearray()
        for chunk in self.chunks(response):
            body += chunk
            if len(body) > _PAGE_BYTES:
                response.close()
                raise SourceChanged(
                    f"a page is larger than {_PAGE_BYTES >> 20} MiB",
                    where=self.where,
                    next_step="ask the agency; lower pageSize",
                )
        return Answer(bytes(body), response.headers)

    def _broken(self, message: str, error: Exception) -> SourceUnavailable:
        return SourceUnavailable(
            f"{message} ({type(error).__name__})",
            where=self.where,
            next_step="fetch again; if it persists, call the agency",
        )

    def _judge(self, response: requests.Response) -> None:
        status = response.status_code
        html = "html" in response.headers.get("Content-Type", "").lower()
        if status < 300 and html:
            raise SourceChanged(
                "an HTML page came instead of data, probably a login or maintenance page",
                where=self.where,
                next_step="open the interface's address in a browser and ask the agency what changed",
            )
        if status < 300:
            return
        name = f"HTTP {status} {HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ''}".strip()
        if status == HTTPStatus.UNAUTHORIZED:
            raise Unauthorized(
                f"{name}: the credential is not accepted",
                where=self.where,
                next_step="check username and secret in the source's endpoint file with the agency",
            )
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            raise Busy(f"{name}: the agency asks to wait", where=self.where, pause_s=_retry_after_s(response))
        if status >= 500 or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.GONE):
            raise SourceUnavailable(name, where=self.where, next_step="fetch again; if it persists, call the agency")
        if status < 400 or status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            raise SourceChanged(
                f"{name}: the interface is not where it was agreed",
                where=self.where,
                next_step="ask the agency for its new address",
            )
        raise SourceRefused(name, where=self.where, next_step="ask the agency which right or parameter is missing")


def ahead_s(headers: Mapping[str, str]) -> float:
    """How far the clock of who answers is ahead of ours, by the second, from its Date (RFC 9110 §6.6.1); 0 where it says nothing."""
    try:
        return (parsedate_to_datetime(headers.get("Date", "")) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _retry_after_s(response: requests.Response) -> float | None:
    """RFC 9110 §10.2.3: seconds, or an instant, by the clock of who says it."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds() - ahead_s(response.headers))
    except (ValueError, TypeError):
        return None
