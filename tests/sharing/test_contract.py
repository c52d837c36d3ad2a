"""The service keeps to its own OpenAPI page, whatever is sent: no server error, no answer it does not document."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from hub.settings import Settings
from sharing.app import create
from tests.examples import examples
from tests.sharing.conftest import AUDIENCE, Pool
from tests.sharing.senders import Sender, by_id, now, register, searches
from tests.sharing.test_answers import REVIEW, WATCH, a_person
from tests.sharing.test_compare_jobs import begun, put, until

pytestmark = pytest.mark.slow
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PAGE = create(Settings(home=Path("/nonexistent")), AUDIENCE).openapi()  # type: ignore[call-arg]
OPERATIONS = {f"{o.method.upper()} {o.path}": o for o in (r.ok() for r in schemathesis.openapi.from_dict(PAGE).get_all_operations())}  # type: ignore[union-attr]
# Nothing can be sent to these but their address, so nothing wrong either.
PLAIN = {
    "GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server", "GET /.well-known/locations.json",
    "GET /problems", "GET /healthz", "GET /v1/compare-jobs", "GET /v1/exports", "GET /v1/subscriptions", "GET /v1/emergencies",
    "GET /v1/log/checkpoint", "GET /v1/log/key",
}  # fmt: skip
# Whatever else is made up, these are answered well at least once. What support somebody needs no grant of the policy tells.
ANSWERED = PLAIN | {
    "GET /v1/catalogue", "GET /v1/persons/{person_id}", "POST /v1/persons/lookup", "POST /v1/persons/compare", "GET /v1/households/{household_id}", "POST /v1/households/lookup",
    "POST /oauth2/token", "POST /oauth2/client/token", "GET /problems/{code}",
    "POST /v1/compare-jobs", "GET /v1/compare-jobs/{job_id}", "DELETE /v1/compare-jobs/{job_id}", "PUT /v1/compare-jobs/{job_id}/input",
    "GET /v1/compare-jobs/{job_id}/output",
    "POST /v1/exports", "DELETE /v1/exports/{export_id}", "GET /v1/exports/{export_id}/rows",
    "POST /v1/subscriptions", "GET /v1/subscriptions/{subscription_id}", "DELETE /v1/subscriptions/{subscription_id}",
    "POST /v1/subscriptions/{subscription_id}/pause", "POST /v1/subscriptions/{subscription_id}/resume",
    "POST /v1/subscriptions/{subscription_id}/replay", "POST /v1/subscriptions/{subscription_id}/secret",
    "POST /v1/subscriptions/{subscription_id}/test", "GET /v1/subscriptions/{subscription_id}/notices",
    "POST /v1/emergencies", "DELETE /v1/emergencies/{emergency_id}",
    "POST /v1/consents", "GET /v1/consents", "GET /v1/consents/{consent_id}", "DELETE /v1/consents/{consent_id}",
    "POST /v1/disputes", "GET /v1/disputes", "GET /v1/disputes/{dispute_id}", "DELETE /v1/disputes/{dispute_id}",
    "GET /v1/recalls", "GET /v1/recalls/{recall_id}", "GET /v1/recalls/{recall_id}/values", "POST /v1/recalls/{recall_id}/acknowledge",
    "GET /v1/receipts", "GET /v1/receipts/{receipt_id}", "GET /v1/log/consistency",
    "POST /registry/sync/search", "POST /registry/search", "POST /registry/subscribe", "POST /registry/unsubscribe",
    "POST /registry/txn/status", "POST /registry/sync/txn/status", "POST /registry/sync/disabled",
    "POST /registry/sync/get-disability-details",
}  # fmt: skip
CONSENT = "SQ-2026-0001"
GRANTED: dict[str, dict[str, Any]] = {
    REVIEW: {
        "purpose": REVIEW, "consent": CONSENT, "questions": ["insured", "at_school"],
        "attributes": ["person.name", "person.birth_date", "household.size", "household.members", "medical_insurance.enrolment_status"],
    },
    WATCH: {"purpose": WATCH, "questions": ["insured", "seriously_ill"], "attributes": ["person.name", "household.size", "person.phone"]},
}  # fmt: skip
SUBSCRIBED_TO = {"reg_event_type": "REGISTER", "notify_record_type": "Member"}
RESCUE = {"purpose": "emergency_rescue", "operator": "王工", "reason": "landslide in town 1, looking for the missing"}


@dataclass
class Desk:
    """A client that is a registered sender as well, and one thing of its own of each kind.

    Attributes:
        things: name in an address → id.
    """

    pool: Pool
    sender: Sender
    number: str
    things: dict[str, str] = field(default_factory=dict)

    def thing(self, name: str, operation: str) -> str:
        """The id of one; where the operation uses it up, of a new one."""
        kept = f"{name}, done" if operation.endswith("/output") else name
        if kept not in self.things:
            self.things[kept] = self.made(name, operation)
        is_used_up = operation.startswith("DELETE") or operation.endswith("/input")
        return self.things.pop(kept) if is_used_up else self.things[kept]

    def made(self, name: str, operation: str) -> str:
        """A new one in the place of the former."""
        asker = self.sender.asker
        if name == "job_id":
            self.forget("compare_job")
            job = begun(asker)
            if operation.endswith("/output"):  # of nothing but a job that is done
                assert put(asker, job, f"resident_id\r\n{self.number}\r\n".encode(), "text/csv").status_code == 202
                assert until(asker, job, "done")["told"] == 1
            return job
        if name == "export_id":
            self.forget("export")
            return str(asker.post("/v1/exports", **GRANTED[WATCH]).json()["export_id"])
        if name == "subscription_id":
            self.forget("subscription")
            subject = [{"id": self.things["person_id"]}]
            wanted = {**GRANTED[REVIEW], "kind": "person", "subjects": subject, "address": "https://127.0.0.1/hook"}  # never called
            return str(asker.post("/v1/subscriptions", **wanted).json()["subscription_id"])
        if name == "dispute_id":
            return str(asker.post("/v1/disputes", **self.disputed()).json()["disputes"][0]["dispute_id"])
        if name == "consent_id":
            return str(
                asker.post("/v1/consents", purpose=REVIEW, resident_id=self.number, reference=CONSENT, valid_to="2099-12-31").json()[
                    "consent_id"
                ]
            )
        self.forget("emergency")
        return str(asker.post("/v1/emergencies", **RESCUE).json()["emergency_id"])

    def disputed(self) -> dict[str, str]:
        """A dispute that can be opened: nothing is disputed any more."""
        self.pool.run(
            "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor) SELECT dispute_id, 'withdrawn', current_date, 'test' FROM share.disputed"
        )
        named = {"receipt_id": self.things["named_receipt_id"], "person_id": self.things["person_id"]}
        return {**named, "attribute": "person.name", "kind": "correction", "reason": "wrong"}

    def forget(self, table: str) -> None:
        self.pool.run(f"DELETE FROM share.{table} WHERE client_id = :c", c=self.sender.asker.client_id)


@pytest.fixture(scope="module")
def desk(pool: Pool) -> Iterator[Desk]:
    asker = pool.asker("contract-desk", "civil_affairs")
    sender = register(pool, asker, "contract.example", address="https://127.0.0.1/dci", purpose=WATCH, may_leave_unsigned=True)
    row = a_person(pool, "EXISTS (SELECT FROM core.household_member m WHERE m.person_id = p.person_id)")  # type: ignore[no-untyped-call]
    (home,) = pool.rows("SELECT household_id::text FROM core.household_member WHERE person_id = CAST(:p AS uuid) LIMIT 1", p=row.id)
    made = Desk(pool, sender, row.resident_id, {"person_id": row.id, "household_id": home[0], "code": "not-found"})
    told = asker.person(row.id, WATCH, "insured").json()["receipt"]
    (recall,) = pool.rows(
        "INSERT INTO share.recall (leaf_index, receipt_id, told_at, department, client_id, purpose, person_id, persons, changed, cause, stands, publication)"
        " VALUES (:leaf, CAST(:receipt AS uuid), now(), 'civil_affairs', :client, :purpose, CAST(:person AS uuid), ARRAY[CAST(:person AS uuid)], '{?insured}',"
        " 'corrected', false, 1) RETURNING recall_id::text",
        leaf=told["leaf_index"], receipt=told["receipt_id"], client=asker.client_id, purpose=WATCH, person=row.id,
    )  # fmt: skip
    name = asker.person(row.id, WATCH, "person.name").json()["receipt"]["receipt_id"]
    made.things |= {"receipt_id": told["receipt_id"], "recall_id": recall[0], "named_receipt_id": name}
    service = pool.http.app.state.service  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "settings", service.settings.model_copy(update={"dci_is_lenient": True}))
        yield made
    made.disputed()
    for table in ("compare_job", "export", "subscription", "emergency", "consent", "recall", "dci_transaction"):
        made.forget(table)


def message_of(desk: Desk, path: str, message: Any) -> tuple[str, dict[str, Any], int]:
    """Action, message and count of requests: as it was made up, of somebody who is there, for a purpose that is granted."""
    person = {"type": "UIN", "value": desk.number}
    why = {"authorize": {"purpose": {"code": REVIEW}}, "consent": {"@id": CONSENT, "purpose": {"code": REVIEW}}}
    made_up = message.get("transaction_id") if isinstance(message, dict) else None
    kept = {"transaction_id": made_up} if isinstance(made_up, str) else {}  # a number is let pass, and not the standard's
    if path.endswith("search"):
        return "search", {**searches(by_id(kind="UIN", value=desk.number, **why)), **kept}, 1
    if path.endswith("/subscribe"):
        item = {"reference_id": "row-1", "timestamp": now(), "subscribe_criteria": {**SUBSCRIBED_TO, "filter": person, **why}}
        return "subscribe", {"transaction_id": "t-1", "subscribe_request": [item], **kept}, 1
    if path.endswith("/unsubscribe"):
        return (
            "unsubscribe",
            {"transaction_id": "t-1", "timestamp": now(), "subscription_codes": [desk.thing("subscription_id", "")], **kept},
            1,
        )
    if path.endswith("/status"):
        query = {"reference_id": "row-1", "txn_type": "search", "attribute_type": "transaction_id", "attribute_value": "t-1"}
        return "txn-status", {"transaction_id": "t-1", "txnstatus_request": query, **kept}, 1
    return "search", {"transaction_id": "t-1", "disabled_criteria": {"query": person, **why}, **kept}, 1


def body_of(desk: Desk, name: str, body: dict[str, Any], purpose: str) -> dict[str, Any]:
    """The body, of what is there and granted; what it says besides stays as it was made up."""
    path, named = name.split(" ")[1], {"resident_id": desk.number}

    def without(*names: str) -> dict[str, Any]:
        return {k: v for k, v in body.items() if k not in names}

    if path.startswith("/registry"):
        action, message, count = message_of(desk, path, body.get("message"))
        header = body["header"] if isinstance(body.get("header"), dict) else {}
        loose = {k: v for k, v in header.items() if k not in ("sender_uri", "is_msg_encrypted")}
        return {**body, "signature": "unsigned", "header": {**loose, **desk.sender.header(action, count)}, "message": message}
    if path.startswith("/oauth2"):
        own = {"grant_type": "client_credentials", "client_id": desk.sender.asker.client_id, "client_secret": desk.sender.asker.secret}
        return {**without("scope", "client_assertion", "client_assertion_type"), **own}
    if path in ("/v1/persons/lookup", "/v1/households/lookup"):
        return {**without("name", "birth_date", "consent"), **GRANTED[purpose], **named}
    if path == "/v1/persons/compare":
        return {**without("consent"), **GRANTED[purpose], "applicants": [named, {"ref": "row-2", **named}]}
    if path == "/v1/compare-jobs":
        return {**without("consent"), **GRANTED[purpose]}
    if path == "/v1/exports":
        return {**body, **GRANTED[WATCH]}
    if path == "/v1/subscriptions" and body.get("kind") == "condition":
        return {**without("consent", "address", "subjects"), "purpose": WATCH, "attributes": [], "questions": ["severely_disabled"]}
    if path == "/v1/subscriptions":
        subject = desk.things["household_id" if body.get("kind") == "household" else "person_id"]
        return {**without("consent", "address"), **GRANTED[purpose], "subjects": [{"id": subject}]}
    if path == "/v1/consents":
        return {**without("valid_from"), "purpose": REVIEW, "resident_id": desk.number, "valid_to": "2099-12-31"}
    if path == "/v1/disputes":
        return {**without("resident_id", "consent"), **desk.disputed()}
    return {**body, "purpose": RESCUE["purpose"]} if path == "/v1/emergencies" else body


def fill(desk: Desk, name: str, case: Any, purpose: str) -> None:
    """Put what is there and granted in the place of what was made up."""
    if name == "POST /v1/emergencies":
        desk.forget("emergency")
    if name.startswith("POST /registry"):
        desk.forget("dci_transaction")  # else all of them are tried to be answered meanwhile
    if case.path_parameters:
        case.path_parameters = {key: desk.thing(key, name) for key in case.path_parameters}
    query = {k: v for k, v in (case.query or {}).items() if k not in ("as_of", "known_at", "cursor", "consent")}
    if name.endswith(("{person_id}", "{household_id}")):
        case.query = {**query, **GRANTED[purpose]}
    elif name.endswith("/consistency"):
        case.query = {"old": 1, "new": desk.pool.entries()}
    elif case.query:
        case.query = {**query, "_since": "1"} if name.endswith("/rows") else query
    if name.endswith("/rows") and "drawn" not in desk.things:  # from there on it holds what changed since, which is nothing
        assert desk.sender.asker.get(f"/v1/exports/{desk.thing('export_id', name)}/rows", _since="0").status_code == 200
        desk.things["drawn"] = "drawn"
    if name.endswith("/input"):
        case.headers = {}
        case.media_type, case.body = "text/csv", f"resident_id\r\n{desk.number}\r\n"
    elif isinstance(case.body, dict):
        case.body = body_of(desk, name, case.body, purpose)


def is_good(found: Any) -> bool:
    """Whether it is an answer; of the registry also, that its message was not rejected as a whole."""
    if not found.is_success:
        return False
    if not found.request.url.path.startswith("/registry"):
        return True
    body = found.json()
    return bool(body["message"]["ack_status"] == "ACK" if "header" not in body else body["header"]["status"] == "succ")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_one_the_page_documents(name: str, pool: Pool, desk: Desk) -> None:
    """Sound and unsound requests as the page describes them, made up by schemathesis; most name what is there and granted."""
    operation = OPERATIONS[name]
    made_up = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
    if name not in PLAIN:
        made_up |= operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    asker, seen = desk.sender.asker.renew(), set()

    @examples(30, suppress_health_check=list(HealthCheck))
    @given(case=made_up, purpose=st.sampled_from([REVIEW, WATCH, None]))
    def tried(case: Any, purpose: str | None) -> None:
        if purpose is not None:
            fill(desk, name, case, purpose)
        wire = case.as_transport_kwargs(base_url=str(pool.http.base_url), headers={} if case.path == "/oauth2/token" else asker.headers)
        try:
            found = pool.http.request(**{k: v for k, v in wire.items() if v is not None and k != "cookies"})
        except (UnicodeEncodeError, ValueError):  # what no client can put on the wire
            return
        seen.add((found.status_code, is_good(found)))
        case.validate_response(schemathesis.Response.from_any(found), checks=CHECKS)

    tried()
    assert (name in ANSWERED) <= any(good for _, good in seen), f"{name} never had an answer: {sorted(seen)}"


def test_what_is_answered_and_what_cannot_be_asked_wrongly_are_the_pages_own() -> None:
    silent = {name for name, o in OPERATIONS.items() if not ({"parameters", "requestBody"} & PAGE["paths"][o.path][o.method].keys())}
    assert silent == PLAIN and OPERATIONS.keys() >= ANSWERED


def texts(schema: dict[str, Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every text a schema lets in: where, and its schema."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        yield from texts(PAGE["components"]["schemas"][name], at)
    for inner in [i for kind in ("anyOf", "oneOf", "allOf") for i in schema.get(kind, ())]:
        yield from texts(inner, at)
    for name, inner in schema.get("properties", {}).items():
        yield from texts(inner, f"{at}.{name}")
    if "items" in schema:
        yield from texts(schema["items"], f"{at}[]")
    if schema.get("type") == "string" and not {"enum", "const", "format"} & schema.keys():
        yield at, schema


def test_no_text_of_a_question_may_hold_a_control_character() -> None:
    """What a text is to hold is said with each; the token's, the lists' and DCI's are read by readers that have tests of their own."""
    found = []
    for name, operation in OPERATIONS.items():
        node = PAGE["paths"][operation.path][operation.method]
        if name.split(" ")[1].startswith(("/v1/", "/problems")) and not name.endswith("/input"):
            found += [t for p in node.get("parameters", ()) if p["in"] != "header" for t in texts(p["schema"], f"{name} {p['name']}")]
            found += [t for c in node.get("requestBody", {"content": {}})["content"].values() for t in texts(c["schema"], name)]
    assert len(found) > 30
    for where, schema in found:
        text = ("a\0b" * 20)[: schema.get("maxLength", 60)]
        assert "pattern" in schema and not re.search(schema["pattern"], text), where


@pytest.mark.parametrize(
    "address", ["/v1/emergencies?a=%00", "/problems/%00", "/v1/persons/%00", "/v1/recalls?cursor=%00", "/v1/receipts?cursor=%00"]
)
def test_a_nul_in_an_address_is_a_problem_like_any_other(address: str, desk: Desk) -> None:
    assert desk.pool.http.get(address, headers=desk.sender.asker.headers).status_code in (200, 400, 404)


def test_the_page_is_openapi_3_1_and_documents_every_route(pool: Pool) -> None:
    page = pool.http.get("/openapi.json").json()
    assert page == PAGE and page["openapi"].startswith("3.1")
    for path, methods in page["paths"].items():
        for operation in methods.values():
            assert operation["summary"] and operation["responses"], path
            has_key = "idempotency-key" in [p["name"] for p in operation.get("parameters", ())]
            assert ("422" in operation["responses"]) is has_key, "malformed requests are 400"


# Answers whose schema is any object at all.
UNTYPED = ["/v1/catalogue", "/problems", "/healthz", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/locations.json"]  # fmt: skip


def members(answer):
    """Names of an answer's members, and of those of the first object of each of its lists."""
    if isinstance(answer, list):
        return members(answer[0]) if answer and isinstance(answer[0], dict) else set()
    return set(answer) | {f"{name}.{m}" for name, value in answer.items() if isinstance(value, list) for m in members(value)}


@pytest.mark.parametrize("path", UNTYPED)
def test_the_example_of_an_answer_without_a_schema_has_the_members_of_a_real_one(path, pool, civil):
    shown = PAGE["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    example = shown["example"] if "example" in shown else next(iter(shown["examples"].values()))["value"]
    assert members(example) == members(pool.http.get(path, headers=civil.headers).json())
