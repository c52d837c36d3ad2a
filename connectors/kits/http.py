"""An HTTP session with time-outs by phase, retries with backoff and jitter, and errors of the hub's own tree."""

import time
from collections.abc import Iterator
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from hub.errors import SourceError, SourceRefused, SourceUnavailable
from schemas.contract import Contract

_BODY_LIMIT = 256 << 20


class Client:
    """One agency's HTTP side."""

    def __init__(self, contract: Contract, *, backoff_s: float = 0.5) -> None:
        self._contract = contract
        limits = contract.delivery.timeouts
        self._ends_at = time.monotonic() + limits.total_s
        self._timeout = (limits.connect_s, min(limits.first_byte_s, limits.idle_s))
        retry = urllib3.Retry(
            total=contract.delivery.retries, connect=contract.delivery.retries, read=contract.delivery.retries,
            status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None, backoff_factor=backoff_s, backoff_jitter=backoff_s,
            backoff_max=30, respect_retry_after_header=True, raise_on_status=False,
        )  # fmt: skip
        self._session = requests.Session()
        self._session.trust_env = False  # an agency is reached directly, never through a proxy of the environment
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def call(self, method: str, url: str, what: str, **options: Any) -> requests.Response:
        """One call, its body read whole.

        Args:
            what: the call in words, for errors.

        Raises:
            SourceUnavailable: no answer in time, or 429 and 5xx to the last retry.
            SourceRefused: another status of the 400s than 401, which the caller judges.
        """
        where = f"{self._contract.stem} {what}"
        if time.monotonic() > self._ends_at:
            raise SourceUnavailable("the pull took longer than its contract allows", where=where, next_step="run it again later")
        try:
            answer = self._session.request(method, url, timeout=self._timeout, stream=True, allow_redirects=False, **options)
            body = b"".join(self._bounded(answer.iter_content(1 << 20), where))
        except requests.exceptions.ConnectTimeout:
            raise self._silent("no connection in time", where) from None
        except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            cause = "no answer in time" if "timed out" in str(error).lower() else "the connection failed or broke off"
            raise self._silent(cause, where) from None
        except requests.exceptions.RequestException:
            raise self._silent("the call failed", where) from None
        answer._content = body
        if answer.status_code == 429 or answer.status_code >= 500:
            raise self._silent(f"it answers {answer.status_code} again and again", where)
        if answer.status_code >= 300 and answer.status_code != 401:
            raise SourceRefused(f"it answers {answer.status_code}", where=where, next_step="check endpoint and rights with the agency")
        return answer

    def _bounded(self, chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > _BODY_LIMIT or time.monotonic() > self._ends_at:
                raise SourceUnavailable("the answer never ends", where=where, next_step="ask the agency")
            yield chunk

    @staticmethod
    def _silent(message: str, where: str) -> SourceError:
        return SourceUnavailable(message, where=where, next_step="it is tried again; if it lasts, ring the agency's contact")
