"""The DCI interface, answered later: what was acknowledged is answered once at least, to the registered address and no other, whatever happens."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from sharing import compare_job
from tests.conftest import Hub
from tests.sharing.conftest import Pool, turned_by_hand
from tests.sharing.senders import Sender, by_id, is_the_hubs, register, searches
from tests.sharing.test_answers import REVIEW, WATCH, a_person
from tests.sharing.test_subscriptions import Receiver, served
from warehouse import clients, database

pytestmark = pytest.mark.slow
NOBODY = by_id("UIN", "110101199003070003")
CONSENT = {"@id": "SQ-2026-0001", "purpose": {"code": REVIEW}}


@dataclass
class Desk:
    """A sender with a receiver, and the clock of the service."""

    pool: Pool
    sender: Sender
    receiver: Receiver
    now: list[datetime] = field(default_factory=lambda: [datetime.now(UTC)])

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}"

    def turn(self, **later: float) -> int:
        """Let time pass, then work off once; how many answers were taken."""
        self.now[0] += timedelta(**later)
        taken: int = self.pool.http.portal.call(self.pool.http.app.state.callbacks.turn)  # type: ignore[union-attr, attr-defined]
        return taken

    def ask(self, *criteria: dict[str, Any], **how: Any) -> str:
        """Search and be acknowledged; the correlation id."""
        answer = self.sender.search(*criteria, path="/registry/search", **how)
        assert answer.json()["message"]["ack_status"] == "ACK", answer.text
        correlation_id: str = answer.json()["message"]["correlation_id"]
        return correlation_id

    def status(self, kind: str, value: Any, txn_type: str = "search") -> dict[str, Any]:
        query = {"reference_id": "s", "txn_type": txn_type, "attribute_type": kind, "attribute_value": value}
        answer = self.sender.ask("/registry/sync/txn/status", "txn-status", {"transaction_id": "t-1", "txnstatus_request": query})
        assert answer.status_code == 200 and is_the_hubs(self.pool.http, answer.content), answer.text
        found: dict[str, Any] = answer.json()["message"]["txnstatus_response"]["txn_status"]
        return found

    def kept(self, correlation_id: str) -> Any:
        (row,) = self.pool.rows("SELECT * FROM share.dci_transaction WHERE correlation_id = CAST(:id AS uuid)", id=correlation_id)
        return row


@pytest.fixture(scope="module")
def pool(borrowed: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with turned_by_hand(borrowed, tmp_path_factory.mktemp("dci")) as pool:
        yield pool


def a_desk(pool: Pool) -> Desk:
    """A sender of one test alone."""
    number = len(pool.rows("SELECT client_id FROM share.client"))
    made = Desk(pool, pool.asker(f"desk-{number}", "civil_affairs"), Receiver())  # type: ignore[arg-type]
    made.sender = register(pool, made.sender, f"desk-{number}.example", address=made.base, purpose=WATCH)  # type: ignore[arg-type]
    pool.http.app.state.callbacks.clock = lambda: made.now[0]  # type: ignore[attr-defined]
    return made


@pytest.fixture
def desk(pool: Pool) -> Desk:
    return a_desk(pool)


def test_a_search_is_acknowledged_and_answered_at_the_senders_address_signed_and_in_the_log(desk):
    row = a_person(desk.pool)
    correlation_id = desk.ask(by_id("UIN", row.resident_id, consent=CONSENT), NOBODY)
    with desk.receiver.up():
        assert desk.turn() == 1
    ((headers, body),) = desk.receiver.got
    assert headers["Content-Type"] == "application/json" and is_the_hubs(desk.pool.http, body)
    found = json.loads(body)
    assert (found["header"]["action"], found["header"]["status"]) == ("on-search", "succ")
    assert (found["header"]["total_count"], found["header"]["completed_count"]) == (2, 2)
    assert found["message"]["correlation_id"] == correlation_id
    first, second = found["message"]["search_response"]
    assert first["data"]["reg_records"][0]["demographic_info"]["name"]["given_name"] == row.name
    assert second["data"]["reg_records"] == []
    receipt = next(a["value"] for a in first["data"]["reg_records"][0]["additional_attributes"] if a["name"] == "receipt_id")
    entry = json.loads(desk.sender.asker.get(f"/v1/receipts/{receipt}").json()["body"])
    assert (entry["decision"], entry["asked"]) == ("told", "dci_member")
    assert desk.turn(hours=1) == 0, "taken once is taken"


def test_what_waits_is_sealed_and_what_is_done_is_forgotten(desk):
    row = a_person(desk.pool)
    correlation_id = desk.ask(by_id("UIN", row.resident_id, consent=CONSENT))

    def written() -> str:
        kept = desk.kept(correlation_id)
        return repr([bytes(v) if isinstance(v, memoryview) else v for v in kept])

    assert row.resident_id not in written() and desk.kept(correlation_id).request is not None
    assert desk.turn() == 0, "nobody is there"
    assert desk.kept(correlation_id).answer is not None and row.name not in written() and row.resident_id not in written()
    with desk.receiver.up():
        assert desk.turn(hours=1) == 1
    kept = desk.kept(correlation_id)
    assert (kept.state, kept.request, kept.answer) == ("done", None, None)


def test_statuses_say_what_became_of_a_search_and_hold_no_record(desk):
    row = a_person(desk.pool)
    message = searches(by_id("UIN", row.resident_id), by_id("BRN", "1"))
    answer = desk.sender.ask("/registry/search", "search", message, 2).json()
    correlation_id = answer["message"]["correlation_id"]

    def statuses(kind: str, value: Any) -> list[tuple[str, str | None]]:
        return [(s["status"], s.get("status_reason_code")) for s in desk.status(kind, value)["search_response"]]

    assert statuses("transaction_id", message["transaction_id"]) == [("rcvd", None)] * 2
    desk.turn()
    assert statuses("correlation_id", correlation_id) == [("pdng", None)] * 2
    with desk.receiver.up():
        desk.turn(hours=1)
    ended = [("succ", None), ("rjct", "rjct.search_criteria.invalid")]
    assert statuses("correlation_id", correlation_id) == ended
    assert statuses("reference_id_list", ["row-1"]) == ended[1:]
    assert row.id not in json.dumps(desk.status("correlation_id", correlation_id))


def test_a_search_answered_at_once_has_its_status_too(desk):
    message = searches(NOBODY)
    desk.sender.ask("/registry/sync/search", "search", message)
    assert [s["status"] for s in desk.status("transaction_id", message["transaction_id"])["search_response"]] == ["succ"]


def test_a_transaction_that_is_not_there_and_one_of_another_sender_look_alike(desk):
    other = register(
        desk.pool, desk.pool.asker(f"other-{desk.receiver.port}", "civil_affairs"), f"other-{desk.receiver.port}", purpose=WATCH
    )
    message = searches(NOBODY)
    assert other.ask("/registry/sync/search", "search", message).status_code == 200
    theirs, nobodys = desk.status("transaction_id", message["transaction_id"]), desk.status("transaction_id", "never")
    assert theirs["search_response"] == nobodys["search_response"] == []
    assert {theirs["transaction_id"], nobodys["transaction_id"]} == {"t-1"}


def test_a_status_is_sent_to_the_senders_address_where_that_was_asked(desk):
    query = {"reference_id": "s", "txn_type": "search", "attribute_type": "transaction_id", "attribute_value": "never"}
    answer = desk.sender.ask("/registry/txn/status", "txn-status", {"transaction_id": "t-2", "txnstatus_request": query}).json()
    with desk.receiver.up():
        assert desk.turn() == 1
    (found,) = desk.receiver.notices()
    assert found["header"]["action"] == "txn-on-status" and found["message"]["transaction_id"] == "t-2"
    assert found["message"]["correlation_id"] == answer["message"]["correlation_id"]


def test_receipts_of_benefits_are_not_kept_here(desk):
    query = {"reference_id": "s", "txn_type": "receipt", "attribute_type": "transaction_id", "attribute_value": "never"}
    answer = desk.sender.ask("/registry/sync/txn/status", "txn-status", {"transaction_id": "t", "txnstatus_request": query}).json()
    assert answer["header"]["status_reason_code"] == "rjct.action.not_supported"


def test_an_answer_that_waited_over_a_publication_is_made_anew(desk, borrowed):
    row = a_person(desk.pool)
    correlation_id = desk.ask(by_id("UIN", row.resident_id, consent=CONSENT))
    assert desk.turn() == 0
    before = bytes(desk.kept(correlation_id).answer)
    desk.pool.run("UPDATE core.person SET phone = '13911112222' WHERE person_id = CAST(:p AS uuid)", p=row.id)
    desk.pool.run(
        "UPDATE share.dci_transaction SET publication = publication - 1 WHERE correlation_id = CAST(:c AS uuid)", c=correlation_id
    )
    with desk.receiver.up():
        assert desk.turn(hours=1) == 1
    (found,) = desk.receiver.notices()
    assert found["message"]["search_response"][0]["data"]["reg_records"][0]["demographic_info"]["phone_number"] == ["13911112222"]
    assert before


def test_a_receiver_that_is_away_is_tried_for_a_week_and_then_the_answer_is_given_up(desk):
    correlation_id = desk.ask(NOBODY)
    assert desk.turn() == 0 and desk.turn() == 0
    assert desk.kept(correlation_id).tries == 1, "it is left alone for a while"
    desk.turn(hours=1)
    assert desk.kept(correlation_id).tries == 2
    desk.turn(days=8)
    kept = desk.kept(correlation_id)
    assert (kept.state, kept.request, kept.answer) == ("dead", None, None) and kept.fault


def test_a_comparison_that_is_under_way_holds_up_no_answer(desk):
    desk.ask(NOBODY)
    with desk.pool.engine.begin() as connection, desk.receiver.up():
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": database.lock_key(compare_job._WORK)})
        assert desk.turn() == 1


def test_nothing_is_sent_for_a_client_that_was_revoked_meanwhile(desk):
    desk.ask(by_id("UIN", a_person(desk.pool).resident_id))
    with desk.pool.engine.begin() as connection:
        clients.revoke(connection, desk.sender.asker.client_id)
    before = desk.pool.entries()
    with desk.receiver.up():
        assert desk.turn() == 0
    assert desk.receiver.got == [] and desk.pool.entries() == before
    assert not desk.pool.rows("SELECT FROM share.dci_transaction WHERE client_id = :c", c=desk.sender.asker.client_id)


def test_a_purpose_that_the_token_did_not_have_is_not_answered_later_either(desk):
    asker = desk.sender.asker
    form = {"grant_type": "client_credentials", "scope": WATCH}
    asker.token = desk.pool.http.post("/oauth2/token", data=form, auth=(asker.client_id, asker.secret)).json()["access_token"]
    desk.ask(by_id("UIN", a_person(desk.pool).resident_id, consent=CONSENT))
    with desk.receiver.up():
        desk.turn()
    (found,) = desk.receiver.notices()
    assert found["message"]["search_response"][0]["status_reason_code"] == "rjct.search_criteria.invalid"


@pytest.mark.parametrize(
    "uri",
    ["https://elsewhere.example", "http://169.254.169.254/latest", "{base}.evil.example", "{base}@evil.example/", "{base}/../x", "{base}/%2e%2e/x", "{base}/a?b=c",
     "http://127.0.0.1:1/", "ftp://127.0.0.1/", "not an address"],
)  # fmt: skip
def test_an_answer_is_sent_to_the_registered_address_and_to_none_the_message_names(desk, uri):
    before = len(desk.pool.rows("SELECT correlation_id FROM share.dci_transaction"))
    answer = desk.sender.search(NOBODY, path="/registry/search", changed={"sender_uri": uri.format(base=desk.base)})
    body = answer.json()
    assert (answer.status_code, body["code"], body["message"]["ack_status"]) == (403, "err.sender_uri.invalid", "ERR")
    assert body["message"]["error"]["code"] == "err.sender_uri.invalid"
    assert len(desk.pool.rows("SELECT correlation_id FROM share.dci_transaction")) == before


def test_an_address_below_the_registered_one_is_used_as_it_is(desk):
    desk.ask(NOBODY, changed={"sender_uri": f"{desk.base}/spmis/registry/on-search"})
    desk.ask(NOBODY, changed={"sender_uri": f"{desk.base}/spmis/"})
    addresses = [
        r[0] for r in desk.pool.rows("SELECT address FROM share.dci_transaction WHERE client_id = :c", c=desk.sender.asker.client_id)
    ]
    assert addresses == [f"{desk.base}/spmis/registry/on-search"] * 2


def test_a_name_that_leads_to_the_machine_itself_is_not_called(desk, monkeypatch):
    settings = desk.pool.http.app.state.service.settings
    correlation_id = desk.ask(NOBODY)
    monkeypatch.setattr(desk.pool.http.app.state.service, "settings", settings.model_copy(update={"sharing_loopback_receivers": False}))
    with desk.receiver.up():
        assert desk.turn() == 0
    assert desk.receiver.got == [] and desk.kept(correlation_id).fault == "address refused"


def test_a_sender_without_an_address_can_only_ask_and_wait(desk):
    plain = register(
        desk.pool, desk.pool.asker(f"plain-{desk.receiver.port}", "civil_affairs"), f"plain-{desk.receiver.port}", purpose=WATCH
    )
    assert plain.search(NOBODY, path="/registry/search").json()["code"] == "err.sender_uri.invalid"
    assert plain.search(NOBODY).status_code == 200


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"total_count": 2}, "rjct.total_count.invalid"), ({"action": "subscribe"}, "rjct.action.invalid"), ({"message_ts": "2020-01-01T00:00:00Z"}, "rjct.message_ts.invalid")],
)  # fmt: skip
def test_a_message_that_does_not_fit_is_not_acknowledged(desk, changed, code):
    answer = desk.sender.search(NOBODY, path="/registry/search", changed=changed)
    message = answer.json()["message"]
    assert (answer.status_code, message["ack_status"], message["error"]["code"]) == (200, "ERR", "err.request.bad")
    assert message["error"]["message"].startswith(f"{code}: ")


def test_what_was_acknowledged_is_answered_though_the_service_was_killed_over_it(desk):
    """The service is killed while its answer is on the way; another one sends it again."""
    arrived, released = threading.Event(), threading.Event()
    desk.receiver.answer = lambda _: (arrived.set(), released.wait(120), 503)[-1]  # type: ignore[func-returns-value]
    correlation_id = desk.ask(by_id("UIN", a_person(desk.pool).resident_id))
    with desk.receiver.up():
        with served(desk.pool.settings) as child:
            assert arrived.wait(120), "nothing was sent"
            child.kill()
            child.wait()
        assert desk.kept(correlation_id).state == "waiting"
        taken = threading.Event()
        desk.receiver.answer = lambda body: (taken.set(), 204)[-1] if body["message"]["correlation_id"] == correlation_id else 204  # type: ignore[func-returns-value]
        released.set()
        with served(desk.pool.settings):
            assert taken.wait(120)
    assert correlation_id in {orjson.loads(body)["message"]["correlation_id"] for _, body in desk.receiver.got}
