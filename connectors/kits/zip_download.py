"""A file behind HTTP basic authentication, landed as received; a broken download goes on where it stopped."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

import requests
from requests.auth import HTTPBasicAuth
from requests.structures import CaseInsensitiveDict

from connectors.delivery import FetchRequest, Manifest, Part, PartStream
from connectors.kits.http import HttpCaller
from connectors.kits.patience import Patience
from hub.errors import SourceChanged, SourceUnavailable
from hub.progress import Progress
from schemas.contract import Scope

_SHANGHAI = ZoneInfo("Asia/Shanghai")
_ZIP = b"PK"


@dataclass(frozen=True)
class Dialect:
    """What differs between such downloads.

    Attributes:
        path: path of the newest file.
        part: name given to it here.
        as_of, rows, sha256: names of reply headers; the date of ``Last-Modified`` counts when there is no as-of header.
    """

    path: str = "/files/latest.zip"
    part: str = "snapshot.zip"
    as_of: str = "X-As-Of"
    rows: str = "X-Row-Count"
    sha256: str = "X-Content-SHA256"


class _Download:
    """One download, resumed by range requests (RFC 9110 §14) as long as the agency's file stays the same."""

    def __init__(self, request: FetchRequest, dialect: Dialect) -> None:
        self.request = request
        self.http = HttpCaller(request, Patience.of(request))
        self.url = self.http.base + dialect.path
        self.head: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        self.digest = hashlib.sha256()
        self.length = 0

    def _ask(self) -> requests.Request:
        endpoint = self.request.endpoint
        secret = endpoint.secret.get_secret_value() if endpoint.secret else ""
        headers = {"Accept-Encoding": "identity"}
        if self.length:
            headers |= {"Range": f"bytes={self.length}-", "If-Range": self.head.get("ETag", "")}
        return requests.Request("GET", self.url, headers=headers, auth=HTTPBasicAuth(endpoint.username or "", secret))

    def _open(self) -> requests.Response:
        response = self.http.open(self._ask)
        if self.length and (response.status_code != requests.codes.partial_content or not self.head.get("ETag")):
            response.close()
            raise SourceUnavailable("the file changed while it was read", where=self.request.where, next_step="fetch it again")
        if not self.length:
            self.head = response.headers
        return response

    def progress(self) -> Progress:
        """Bytes read of those announced."""
        announced = self.head.get("Content-Length", "")
        return Progress(self.length, int(announced) if announced.isdigit() else None, "bytes")

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes."""
        failures = 0
        while True:
            for attempt in self.http.patience.attempts():
                with attempt:
                    response = self._open()
            try:
                for chunk in self.http.chunks(response):
                    if not self.length and not chunk.startswith(_ZIP):
                        raise SourceChanged(
                            "what came is not a ZIP file",
                            where=self.request.where,
                            next_step="ask the agency what changed at this address",
                        )
                    self.length += len(chunk)
                    self.digest.update(chunk)
                    yield chunk
                return
            except SourceUnavailable:
                failures += 1
                if failures > self.http.patience.retries:
                    raise


def stream(request: FetchRequest, dialect: Dialect | None = None) -> PartStream:
    """A delivery as one file, streamed, its SHA-256 held against the stated one.

    Raises:
        SourceUnavailable: the line failed, or the file changed or was cut short.
        SourceRefused: the account is not let in.
        SourceChanged: empty, not a ZIP file, not as stated, or without a date.
    """
    dialect = dialect or Dialect()
    download = _Download(request, dialect)
    try:
        yield Part(dialect.part, download.chunks(), download.progress)
    finally:
        download.http.close()
    if download.length == 0:
        raise SourceChanged("the file is empty", where=request.where, next_step="ask the agency to publish it again")
    stated = download.head.get(dialect.sha256, "").lower() or None
    if stated is not None and stated != download.digest.hexdigest():
        raise SourceChanged(
            f"the SHA-256 of the file's {download.length} bytes is not the stated one; it was cut short or changed",
            where=request.where,
            next_step="fetch it again; if it stays so, ask the agency to publish it again",
        )
    rows = download.head.get(dialect.rows, "")
    return Manifest(Scope.FULL, _as_of(request, download.head, dialect), int(rows) if rows.isdigit() else None, stated)


def _as_of(request: FetchRequest, head: CaseInsensitiveDict[str], dialect: Dialect) -> date:
    try:
        if dialect.as_of in head:
            return date.fromisoformat(head[dialect.as_of])
        return parsedate_to_datetime(head["Last-Modified"]).astimezone(_SHANGHAI).date()
    except (KeyError, ValueError, TypeError):
        raise SourceChanged(
            "the reply states no date of the file",
            where=request.where,
            next_step="ask the agency what changed at this address",
        ) from None
