"""A client for departments: one file that needs `requests` alone, to be copied into a program or imported from here.

    hub = Hub("https://hub.example", "my-desk", secret)
    answer = hub.lookup("roster_monitoring", resident_id="…", questions=["insured"])

Tokens are fetched, kept and renewed; a service that is busy or away is asked again, as long as it says. Questions may be asked again
without harm: each answer has a receipt of its own. What is to leave the hub's interface is told as a DeprecationWarning.
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

_EARLY_S = 30.0  # a token is renewed this long before it runs out
_BATCH = 10_000  # applicants a comparison may hold
_PIECE = 8 << 20  # bytes of a list sent at one time
_FETCHES = 20  # how often answers may break off
_LISTS = {
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
}
_AGAIN = Retry(
    total=5, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=(429, 502, 503, 504), allowed_methods=None, respect_retry_after_header=True,
    raise_on_status=False,
)  # fmt: skip


class HubProblem(Exception):
    """The hub did not answer the question (RFC 9457).

    Attributes:
        code: stable name of the problem, see the table of problems.
        status: HTTP status.
        next_step: what to do.
        request_id: to be named when you call the hub's operators.
        errors: places in the request that are wrong.
    """

    def __init__(self, document: dict[str, Any], status: int) -> None:
        self.code = str(document.get("code") or document.get("error") or "unknown")
        self.status = status
        self.next_step = str(document.get("next_step", ""))
        self.request_id = str(document.get("request_id", ""))
        self.errors: list[dict[str, str]] = document.get("errors") or []
        super().__init__(f"{self.code} ({status}): {document.get('title', '')} — {self.next_step} [{self.request_id}]")


class Hub:
    """The hub's sharing service, asked as one client."""

    def __init__(
        self, address: str, client_id: str, secret: str, *, language: str = "zh", timeout_s: float = 30.0,
        certificate: tuple[str, str] | None = None, authorities: str | None = None, operator: str | None = None,
    ) -> None:  # fmt: skip
        """Prepare; nothing is asked yet.

        Args:
            address: of the service, without a path.
            client_id: as `hub client add` gave it.
            secret: likewise.
            language: of problems, ``zh`` or ``en``.
            timeout_s: seconds an answer may take.
            certificate: PEM files of the client's certificate and key, where it is bound to one.
            authorities: PEM file of those who issued the hub's certificate; None = those the system trusts.
            operator: on whose behalf it is asked; see :attr:`operator`.
        """
        self._address = address.rstrip("/")
        self._credentials = (client_id, secret)
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.headers["Accept-Language"] = language
        self._session.cert = certificate
        # Given with each request: a session's own would give way to the environment's.
        self._verify: str | bool = authorities or True
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_AGAIN))
        self._runs_out = 0.0
        self.operator = operator

    @property
    def operator(self) -> str | None:
        """The person at your department on whose behalf it is asked (经办人); set it anew before you ask for somebody else. None = nobody is named."""
        named = self._session.headers.get("Hub-Operator")
        return None if named is None else unquote(str(named))

    @operator.setter
    def operator(self, name: str | None) -> None:
        self._session.headers.pop("Hub-Operator", None)
        if name is not None:
            self._session.headers["Hub-Operator"] = quote(name)

    def person(
        self, purpose: str, person_id: str, *, attributes: Sequence[str] = (), questions: Sequence[str] = (), consent: str | None = None
    ) -> dict[str, Any]:
        """A person by the hub's id.

        Raises:
            HubProblem: there is no answer; `subject-not-available` whether there is no such person or you may not know.
        """
        return self._get(f"/v1/persons/{person_id}", purpose=purpose, attributes=attributes, questions=questions, consent=consent)

    def lookup(
        self, purpose: str, *, resident_id: str | None = None, name: str | None = None, birth_date: str | None = None,
        attributes: Sequence[str] = (), questions: Sequence[str] = (), consent: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """A person by number, or by name and date of birth (``2001-02-03``)."""
        who = {"resident_id": resident_id, "name": name, "birth_date": birth_date}
        return self._post(
            "/v1/persons/lookup", {"purpose": purpose, "attributes": [*attributes], "questions": [*questions], "consent": consent, **who}
        )

    def household(
        self, purpose: str, household_id: str, *, attributes: Sequence[str] = (), questions: Sequence[str] = (), consent: str | None = None
    ) -> dict[str, Any]:
        """A household with its members."""
        return self._get(f"/v1/households/{household_id}", purpose=purpose, attributes=attributes, questions=questions, consent=consent)

    def household_of(
        self, purpose: str, *, resident_id: str | None = None, name: str | None = None, birth_date: str | None = None, kind: str = "living",
        attributes: Sequence[str] = (), questions: Sequence[str] = (), consent: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """The household of a person, ``living`` together or ``registered``; the person is named as in :meth:`lookup`."""
        who = {"resident_id": resident_id, "name": name, "birth_date": birth_date, "kind": kind}
        return self._post(
            "/v1/households/lookup", {"purpose": purpose, "attributes": [*attributes], "questions": [*questions], "consent": consent, **who}
        )

    def compare(
        self, purpose: str, applicants: Iterable[dict[str, str]], *, attributes: Sequence[str] = (), questions: Sequence[str] = (),
        consent: str | None = None,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Any number of persons, in batches as large as the hub takes; one result each, in order.

        Args:
            purpose: code.
            applicants: ``resident_id`` or ``person_id``, all by the same, and ``ref``, your own mark.
            attributes: asked of each.
            questions: likewise.
            consent: reference of the persons' authorisation.
        """
        batch: list[dict[str, str]] = []

        def ask() -> Iterator[dict[str, Any]]:
            body = {"purpose": purpose, "attributes": [*attributes], "questions": [*questions], "consent": consent, "applicants": batch}
            yield from self._post("/v1/persons/compare", body)["results"]

        for applicant in applicants:
            batch.append(applicant)
            if len(batch) == _BATCH:
                yield from ask()
                batch = []
        if batch:
            yield from ask()

    def compare_job(
        self, purpose: str, listed: Path, answers: Path, *, attributes: Sequence[str] = (), questions: Sequence[str] = (), consent: str | None = None,
        job_id: str | None = None, on_state: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> dict[str, Any]:  # fmt: skip
        """A list of up to a million persons, handed in as a job; returns the job once its answers are in the file.

        Args:
            purpose: code.
            listed: ``.csv`` (UTF-8), ``.ndjson`` or ``.parquet``; columns ``resident_id``, or ``name`` and ``birth_date``, or ``person_id``, and ``ref``.
            answers: file they are written to, in the format its name ends with.
            attributes: asked of each.
            questions: likewise.
            consent: reference of the persons' authorisation.
            job_id: of a job that was handed in before, as ``on_state`` told it: list, waiting and answers go on where they broke off.
            on_state: is told the job whenever it was asked for.

        Raises:
            HubProblem: it was refused, or failed.
        """
        if job_id is None:
            body = {
                "purpose": purpose,
                "attributes": [*attributes],
                "questions": [*questions],
                "consent": consent,
                "output": answers.suffix[1:],
            }
            job_id = str(self._post("/v1/compare-jobs", body)["job_id"])
        path = f"/v1/compare-jobs/{job_id}"
        job = self._get(path)
        on_state(job)
        if job["state"] == "waiting_for_input":
            self._send(path, listed, int(job["input_bytes"]))
        while True:
            answer = self._answer("GET", path)
            job = _document(answer)
            on_state(job)
            if job["state"] not in ("queued", "running"):
                break
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        if job["state"] != "done":
            raise HubProblem(
                job["problem"] or {"code": job["state"], "title": "the job was stopped", "next_step": "ask the operator of the hub"}, 200
            )
        self._fetch(f"{path}/output", answers, int(job["output_bytes"]))
        return job

    def forget(self, job_id: str) -> None:
        """Stop a job, and have list and answers forgotten before their time."""
        answer = self._answer("DELETE", f"/v1/compare-jobs/{job_id}")
        if answer.status_code not in (204, 404):
            _document(answer)

    def _send(self, path: str, listed: Path, offset: int) -> None:
        """Send a file piece by piece, from an offset on."""
        size, media = listed.stat().st_size, _LISTS[listed.suffix]
        with listed.open("rb") as file:
            while True:
                file.seek(offset)
                piece = file.read(_PIECE)
                is_last = offset + len(piece) >= size
                given = {"Content-Type": media, "Upload-Offset": str(offset), "Upload-Complete": "?1" if is_last else "?0"}
                try:
                    _document(self._answer("PUT", f"{path}/input", data=piece, headers=given))
                except HubProblem as problem:
                    job = self._get(path)
                    if problem.code not in ("upload-offset", "job-not-waiting") or (
                        offset == job["input_bytes"] and job["state"] == "waiting_for_input"
                    ):
                        raise
                    if job["state"] != "waiting_for_input":
                        return  # it came, and its answer was lost
                    offset = int(job["input_bytes"])
                    continue
                offset += len(piece)
                if is_last:
                    return

    def _fetch(self, path: str, answers: Path, size: int) -> None:
        """Fetch a file, behind what of it came before."""
        draft = answers.with_name(answers.name + ".part")
        tries = 0
        with draft.open("ab") as file:
            while file.tell() < size:
                found = self._answer("GET", path, stream=True, headers={"Range": f"bytes={file.tell()}-"})
                if not found.ok:
                    _document(found)
                try:
                    for block in found.iter_content(1 << 16):
                        file.write(block)
                except requests.RequestException:
                    tries += 1
                    if tries > _FETCHES:
                        raise
        draft.replace(answers)

    def catalogue(self) -> dict[str, Any]:
        """What your department may ask, for which purposes."""
        return self._get("/v1/catalogue")

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        """A receipt with all it takes to verify it without the hub."""
        return self._get(f"/v1/receipts/{receipt_id}")

    def receipts(self) -> Iterator[dict[str, Any]]:
        """Your department's receipts, newest first."""
        return self._pages("/v1/receipts", "receipts")

    def recalls(self, *, open_only: bool = True) -> Iterator[dict[str, Any]]:
        """What your department was told that turned out otherwise, oldest first; no value, see :meth:`recall_values`."""
        return self._pages("/v1/recalls", "recalls", open="true" if open_only else "false")

    def recall_values(self, recall_id: str, *, consent: str | None = None) -> dict[str, Any]:
        """What you were ``told`` and what is true ``now``, of what a recall is about: an answer with receipts of its own.

        Args:
            recall_id: of your department.
            consent: reference of the person's authorisation, where the purpose needs one.

        Raises:
            HubProblem: there is no answer; `erased-by-law` where what you were told is to be erased.
        """
        return self._get(f"/v1/recalls/{recall_id}/values", consent=consent)

    def acknowledge(self, recall_id: str) -> dict[str, Any]:
        """Say that a recall was dealt with."""
        return self._post(f"/v1/recalls/{recall_id}/acknowledge", {})

    def dispute(
        self, receipt_id: str, attribute: str, *, kind: str, reason: str, person_id: str | None = None, resident_id: str | None = None,
        details: str | None = None, consent: str | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Say that a value you were told is wrong: its agency is asked. One dispute a record the person has there.

        Args:
            receipt_id: of the answer that told it.
            attribute: of that answer.
            kind: ``correction`` (you use it), ``objection`` (the person says so), ``recheck`` (an applicant against the economic check).
            reason: ``wrong``, ``outdated`` or ``not_mine``.
            person_id: whom the answer was about; or ``resident_id``.
            resident_id: likewise.
            details: what the agency is told beside; kept sealed.
            consent: reference of the person's authorisation, where the purpose needs one.

        Raises:
            HubProblem: `not-found` where the receipt is not yours or not about that, `already-disputed`.
        """
        body = {"receipt_id": receipt_id, "attribute": attribute, "kind": kind, "reason": reason, "person_id": person_id}
        found = self._post("/v1/disputes", {**body, "resident_id": resident_id, "details": details, "consent": consent})
        return list(found["disputes"])

    def disputes(self, *, open_only: bool = False) -> Iterator[dict[str, Any]]:
        """Your department's disputes and how they stand, oldest first."""
        return self._pages("/v1/disputes", "disputes", open="true" if open_only else "false")

    def withdraw_dispute(self, dispute_id: str) -> dict[str, Any]:
        """Take a dispute back: the value was right after all. One that has ended stays as it ended."""
        return self._asked("DELETE", f"/v1/disputes/{dispute_id}")

    def register_consent(
        self, purpose: str, resident_id: str, reference: str, *, valid_to: str, valid_from: str | None = None
    ) -> dict[str, Any]:
        """Register what a person authorised you to ask, where the grant speaks of such persons alone; keep its ``consent_id``.

        Args:
            purpose: code.
            resident_id: of the person.
            reference: of the document, which stays with you.
            valid_to: last day, ``2026-12-31``.
            valid_from: first day; None = that of the hub's last night.
        """
        body = {"purpose": purpose, "resident_id": resident_id, "reference": reference, "valid_from": valid_from, "valid_to": valid_to}
        return self._post("/v1/consents", body)

    def withdraw_consent(self, consent_id: str) -> dict[str, Any]:
        """Say that the person took it back."""
        return self._asked("DELETE", f"/v1/consents/{consent_id}")

    def subscribe(
        self, purpose: str, kind: str, subjects: Iterable[dict[str, str]] = (), *, attributes: Sequence[str] = (), questions: Sequence[str] = (),
        consent: str | None = None, address: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Ask to be told of changes; keep the answer's ``secret``, it is shown this once.

        Args:
            purpose: code.
            kind: ``person``, ``household``, or ``condition``: one question, of whoever is answered yes.
            subjects: ``id`` and, if you like, ``ref``, your own mark; none with a condition.
            attributes: whose changes are meant.
            questions: likewise.
            consent: reference of the persons' authorisation.
            address: https address that receives notices, see :func:`verified`; None = you fetch them, see :meth:`notices`.
        """
        body = {"purpose": purpose, "kind": kind, "subjects": [*subjects], "attributes": [*attributes], "questions": [*questions]}
        return self._post("/v1/subscriptions", {**body, "consent": consent, "address": address})

    def new_secret(self, subscription_id: str, *, keep_hours: int = 24) -> str:
        """A new secret of a subscription, shown this once. Until the hours are over notices carry a signature by either, so :func:`verified` takes both.

        Args:
            subscription_id: of yours.
            keep_hours: how long the former secret still signs; 0 = somebody else may know it, and it ends at once.
        """
        answer = _document(self._answer("POST", f"/v1/subscriptions/{subscription_id}/secret", {"keep_hours": keep_hours}))
        return str(answer["secret"])

    def notices(self, subscription_id: str, cursor: str = "0") -> Iterator[dict[str, Any]]:
        """Notices behind a cursor, oldest first; keep the last one's ``data.cursor`` once you have dealt with it, and begin there next time."""
        while True:
            page = self._get(f"/v1/subscriptions/{subscription_id}/notices", cursor=cursor)
            yield from page["notices"]
            cursor = page["cursor"]
            if not page["has_more"]:
                return

    def export(
        self, export_id: str, *, since: str = "0", cursor: str | None = None, on_cursor: Callable[[str], None] = lambda _: None
    ) -> Generator[dict[str, Any], None, str]:
        """Lines of an export (``person``, ``deleted``); what it returns is ``since`` for the next time.

        Args:
            export_id: as ``POST /v1/exports`` gave it.
            since: of the time before; 0 = everybody.
            cursor: to go on behind a page of a stream that broke off.
            on_cursor: is told the cursor behind each page.

        Raises:
            HubProblem: the stream broke off, or there is none.
        """
        query = urlencode({"_since": since, **({"cursor": cursor} if cursor else {})})
        answer = self._answer("GET", f"/v1/exports/{export_id}/rows?{query}", stream=True)
        if not answer.ok:
            _document(answer)
        for text in answer.iter_lines():
            line = json.loads(text)
            if line["type"] == "end":
                return str(line["since"])
            if line["type"] == "problem":
                raise HubProblem(line["problem"], int(line["problem"]["status"]))
            if line["type"] == "cursor":
                on_cursor(line["cursor"])
            elif line["type"] != "export":
                yield line
        raise HubProblem(
            {"code": "broke-off", "title": "the stream ended early", "next_step": "ask again behind the last cursor"}, answer.status_code
        )

    def checkpoint(self) -> str:
        """The signed head of the log: keep it, and nobody can rewrite what you were told."""
        answer = self._session.get(f"{self._address}/v1/log/checkpoint", timeout=self._timeout_s, verify=self._verify)
        answer.raise_for_status()
        return answer.text

    def _pages(self, path: str, name: str, **parameters: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = self._get(path, cursor=cursor, **parameters)
            yield from page[name]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _get(self, path: str, **parameters: Any) -> dict[str, Any]:
        query = urlencode({k: v for k, v in parameters.items() if v}, doseq=True)
        return self._asked("GET", f"{path}?{query}" if query else path)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._asked("POST", path, {k: v for k, v in body.items() if v})

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return _document(self._answer(method, path, body))

    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, stream: bool = False, data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:  # fmt: skip
        once = {"Idempotency-Key": f'"{uuid.uuid4()}"'} if method == "POST" else {}  # what is sent again is done once
        for is_last in (False, True):
            if time.monotonic() > self._runs_out:
                self._renew()
            answer = self._session.request(
                method,
                self._address + path,
                json=body,
                data=data,
                headers={**once, **(headers or {})},
                timeout=self._timeout_s,
                stream=stream,
                verify=self._verify,
            )
            if answer.status_code == 401 and not is_last:
                self._runs_out = 0.0  # revoked or rotated before its time
                continue
            break
        if "Deprecation" in answer.headers:
            until = answer.headers.get("Sunset", "a day that is not said")
            words = f"an operation of the hub that this program uses is to leave its interface and may be gone from {until} on: see {self._address}/openapi.json"
            warnings.warn(words, DeprecationWarning, stacklevel=2)
        return answer

    def _renew(self) -> None:
        form = {"grant_type": "client_credentials"}
        answer = self._session.post(
            f"{self._address}/oauth2/token", data=form, auth=self._credentials, timeout=self._timeout_s, verify=self._verify
        )
        token = _document(answer)
        self._session.headers["Authorization"] = f"Bearer {token['access_token']}"
        self._runs_out = time.monotonic() + float(token["expires_in"]) - _EARLY_S


class NotFromTheHub(Exception):
    """What was received is not signed by the hub, or not now."""


def verified(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance_s: float = 300.0, now: float | None = None
) -> dict[str, Any]:
    """A notice that was received, once its signature holds (Standard Webhooks). The same ``webhook-id`` may come twice: deal with it once.

    Args:
        secret: the subscription's, ``whsec_…``.
        headers: of the request.
        body: its bytes, as they came.
        tolerance_s: how far the sender's clock may be from yours.
        now: seconds since 1970; None = by this machine's clock.

    Raises:
        NotFromTheHub: do not use it; answer with status 401.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        notice_id, stamp = given["webhook-id"], int(given["webhook-timestamp"])
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (KeyError, ValueError):
        raise NotFromTheHub("the headers of a signed notice are missing") from None
    if abs((time.time() if now is None else now) - stamp) > tolerance_s:
        raise NotFromTheHub("it was signed at another time")
    signed = hmac.new(key, f"{notice_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(signed)
    if not any(hmac.compare_digest(expected, s.encode()) for s in given.get("webhook-signature", "").split()):
        raise NotFromTheHub("the signature does not fit")
    found: dict[str, Any] = json.loads(body)
    return found


def _document(answer: requests.Response) -> dict[str, Any]:
    """The answer's document.

    Raises:
        HubProblem: it is a problem.
    """
    try:
        found = answer.json()
    except ValueError:
        found = {"code": "not-the-hub", "title": "the answer is not JSON", "next_step": "check the address"}
        if answer.ok:
            raise HubProblem(found, answer.status_code) from None
    if not answer.ok:
        raise HubProblem(found, answer.status_code)
    document: dict[str, Any] = found
    return document
