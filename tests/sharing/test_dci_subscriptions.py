"""The DCI interface, subscriptions: told of whom something changed, by the hub's own subscriptions, in the standard's words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Hub
from tests.sharing.conftest import Pool, turned_by_hand
from tests.sharing.senders import authorised, is_the_hubs, now, register
from tests.sharing.test_answers import REVIEW, WATCH, a_person
from tests.sharing.test_dci_async import Desk, a_desk
from tests.sharing.witness import lenient_in
from warehouse import clients

pytestmark = pytest.mark.slow
CONSENT = {"@id": "SQ-2026-0001", "purpose": {"code": REVIEW}}


@pytest.fixture(scope="module")
def pool(borrowed: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with turned_by_hand(borrowed, tmp_path_factory.mktemp("dci")) as pool:
        yield pool


@pytest.fixture
def desk(pool: Pool) -> Desk:
    return a_desk(pool)


def wanted(kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {"reg_event_type": "REGISTER", "filter": {"type": kind, "value": value}, "notify_record_type": "Member", **more}


def subscribed(desk: Desk, *criteria: dict[str, Any]) -> list[dict[str, Any]]:
    """How each request ended, as the receiver is told."""
    items = [{"reference_id": f"row-{n}", "timestamp": now(), "subscribe_criteria": c} for n, c in enumerate(criteria)]
    message = {"transaction_id": f"t-{len(desk.receiver.got)}", "subscribe_request": items}
    ack = desk.sender.ask("/registry/subscribe", "subscribe", message, len(items)).json()["message"]
    assert ack["ack_status"] == "ACK", ack
    with desk.receiver.up():
        assert desk.turn() == 1
    found = desk.receiver.notices()[-1]
    assert is_the_hubs(desk.pool.http, desk.receiver.got[-1][1])
    assert (found["header"]["action"], found["message"]["correlation_id"]) == ("on-subscribe", ack["correlation_id"])
    answers: list[dict[str, Any]] = found["message"]["subscribe_response"]
    return answers


def unsubscribed(desk: Desk, *codes: str) -> dict[str, Any]:
    message = {"transaction_id": "t-end", "timestamp": now(), "subscription_codes": [*codes]}
    assert desk.sender.ask("/registry/unsubscribe", "unsubscribe", message).json()["message"]["ack_status"] == "ACK"
    with desk.receiver.up():
        assert desk.turn() == 1
    found: dict[str, Any] = desk.receiver.notices()[-1]["message"]
    return found


def changed(desk: Desk, person_id: str) -> list[dict[str, Any]]:
    """Somebody's telephone changes; what the receiver is told of it."""
    desk.pool.run(
        "UPDATE core.person SET phone = CASE WHEN phone LIKE '1391%' THEN '15800000000' ELSE '13911112222' END WHERE person_id = CAST(:p AS uuid)",
        p=person_id,
    )
    desk.pool.run("UPDATE share.subscription SET publication = publication - 1")
    before = len(desk.receiver.got)
    with desk.receiver.up():
        desk.pool.http.portal.call(desk.pool.http.app.state.dispatcher.turn)  # type: ignore[union-attr, attr-defined]
    return desk.receiver.notices()[before:]


def test_a_subscriber_is_told_of_whom_something_changed_and_no_value(desk):
    row = a_person(desk.pool)
    (answer,) = subscribed(desk, wanted("UIN", row.resident_id, consent=CONSENT))
    (made,) = answer["subscriptions"]
    assert (answer["status"], made["status"]) == ("succ", "subscribe")
    own = f"/v1/subscriptions/{desk.sender.asker.get('/v1/subscriptions').json()['subscriptions'][-1]['subscription_id']}"
    assert desk.sender.asker.post(f"{own}/secret").status_code == 404, "its notices are signed by the hub's own key: there is no secret"
    (notice,) = changed(desk, row.id)
    ((_, body),) = [g for g in desk.receiver.got if json.loads(g[1]) == notice]
    assert is_the_hubs(desk.pool.http, body)
    assert notice["header"]["action"] == "notify" and notice["header"]["receiver_id"] == desk.sender.sender_id
    (event,) = notice["message"]["notify_event"]
    record = event["data"]["reg_records"]
    beside = {a["name"]: a["value"] for a in record["additional_attributes"]}
    assert event["reference_id"] == "row-0" and record["@id"] == f"urn:uuid:{row.id}"
    assert beside["subscription_code"] == made["code"] and "demographic_info" not in record
    assert row.name not in json.dumps(notice, ensure_ascii=False) and "1391" not in json.dumps(record["member_identifier"])
    entry = json.loads(desk.sender.asker.get(f"/v1/receipts/{beside['receipt_id']}").json()["body"])
    assert (entry["decision"], entry["purpose"], entry["told"]) == ("notified", REVIEW, {})


def test_what_was_subscribed_to_is_told_again_without_purpose_and_consent(desk):
    row = a_person(desk.pool)
    criteria = wanted("UIN", row.resident_id, consent=CONSENT)
    (made,) = subscribed(desk, criteria)[0]["subscriptions"]
    assert made["subscription_code"] == made["code"]
    assert made["subscribe_criteria"] == {name: value for name, value in criteria.items() if name != "consent"}


def test_a_subscription_may_leave_out_what_the_hub_has_one_of(desk):
    row = a_person(desk.pool)
    with lenient_in("kinds of event and record left out"):
        (answer,) = subscribed(desk, {"filter": {"type": "UIN", "value": row.resident_id}})
    assert answer["status"] == "succ" and set(answer["subscriptions"][0]["subscribe_criteria"]) == {"filter"}


def test_what_the_grant_does_not_tell_moves_nothing(desk):
    row = a_person(desk.pool)
    assert subscribed(desk, wanted("UIN", row.resident_id))[0]["status"] == "succ"  # monitoring: whether there is a telephone, not which
    assert changed(desk, row.id) == []


def test_a_subscription_is_ended_by_its_code_and_tells_no_more(desk):
    row = a_person(desk.pool)
    code = subscribed(desk, wanted("HUB_PERSON_ID", row.id, consent=CONSENT))[0]["subscriptions"][0]["code"]
    ended = unsubscribed(desk, code)
    assert ended["status"] == "succ" and ended["subscription_status"] == [{"code": code, "status": "unsubscribe"}]
    assert changed(desk, row.id) == []


def test_a_code_that_is_not_there_and_one_of_another_sender_are_answered_alike(desk):
    other = register(
        desk.pool,
        desk.pool.asker(f"other-{desk.receiver.port}", "civil_affairs"),
        f"other-{desk.receiver.port}",
        address=desk.base,
        purpose=WATCH,
    )
    theirs = Desk(desk.pool, other, desk.receiver, desk.now)
    code = subscribed(theirs, wanted("UIN", a_person(desk.pool).resident_id))[0]["subscriptions"][0]["code"]
    answers = [unsubscribed(desk, c) for c in (code, "sub-test-001", "019ca6b2-3c00-7d7c-88d5-5d7c0d1a9f00")]
    assert {(a["status"], a["status_reason_code"], json.dumps(a["subscription_status"])) for a in answers} == {
        ("rjct", "rjct.subscription_code.invalid", "[]")
    }
    assert desk.pool.rows("SELECT FROM share.subscription WHERE subscription_id = CAST(:c AS uuid)", c=code)


def test_not_there_not_yours_and_not_a_number_cannot_be_subscribed_to_alike(desk):
    pool = desk.pool
    (child,) = pool.rows(
        "SELECT resident_id FROM core.person WHERE birth_date > '2014-01-01' AND resident_id IS NOT NULL ORDER BY person_id LIMIT 1"
    )
    answers = [subscribed(desk, wanted("UIN", n))[0] for n in ("110101199003070003", child.resident_id, "TEST-001")]
    assert {(a["status"], a["status_reason_code"], a["status_reason_message"]) for a in answers} == {
        ("rjct", "rjct.person_id.invalid", answers[0]["status_reason_message"])
    }


def test_what_cannot_be_subscribed_to_is_rejected_with_the_standards_code(desk):
    row = a_person(desk.pool)
    predicate = [{"expression1": {"attribute_name": "age", "operator": "lt", "attribute_value": "25"}}]
    answers = subscribed(
        desk, wanted("UIN", row.resident_id, authorize=authorised("nonsense")), wanted("UIN", row.resident_id, notify_record_type="Group"),
        wanted("BRN", "1"), {**wanted("UIN", "1"), "filter_type": "predicate", "filter": predicate},
        wanted("UIN", row.resident_id, authorize=authorised("child_protection")), wanted("UIN", row.resident_id),
    )  # fmt: skip
    codes = [a.get("status_reason_code") for a in answers]
    assert codes == ["rjct.notify_details.invalid", "rjct.notify_types.invalid", *["rjct.notify_details.invalid"] * 3, None]
    assert subscribed(desk, wanted("UIN", row.resident_id))[0]["status_reason_code"] == "rjct.event.already_subscribed"


def test_a_message_that_is_worked_off_twice_subscribes_once(desk):
    row = a_person(desk.pool)
    item = {"reference_id": "row-0", "timestamp": now(), "subscribe_criteria": wanted("UIN", row.resident_id)}
    ack = desk.sender.ask("/registry/subscribe", "subscribe", {"transaction_id": "t", "subscribe_request": [item]}).json()["message"]
    assert desk.turn() == 0, "nobody is there"
    # As if the service had been stopped between making the subscription and keeping the answer.
    desk.pool.run("UPDATE share.dci_transaction SET answer = NULL WHERE correlation_id = CAST(:c AS uuid)", c=ack["correlation_id"])
    with desk.receiver.up():
        assert desk.turn(hours=1) == 1
    (answer,) = desk.receiver.notices()[-1]["message"]["subscribe_response"]
    client_id = desk.sender.asker.client_id
    held = [r[0] for r in desk.pool.rows("SELECT subscription_id::text FROM share.subscription WHERE client_id = :c", c=client_id)]
    assert held == [answer["subscriptions"][0]["code"]]


def test_nothing_is_told_to_a_client_that_was_revoked(desk):
    row = a_person(desk.pool)
    assert subscribed(desk, wanted("UIN", row.resident_id, consent=CONSENT))[0]["status"] == "succ"
    with desk.pool.engine.begin() as connection:
        clients.revoke(connection, desk.sender.asker.client_id)
    assert changed(desk, row.id) == []


def test_the_status_of_a_subscription_is_asked_for_by_its_transaction(desk):
    subscribed(desk, wanted("UIN", a_person(desk.pool).resident_id), wanted("BRN", "1"))
    for spelling in ("subscribe", "subscibe"):
        found = desk.status("reference_id_list", ["row-0", "row-1"], spelling)["search_response"]
        assert [f["status"] for f in found] == ["succ", "rjct"]
