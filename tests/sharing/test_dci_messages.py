"""Every kind of message the DCI interface knows passes once, and each is the standard's: the oracle has no part that nothing is held against."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sharing import enforcement
from sharing.policy import Policy
from tests.conftest import Hub
from tests.sharing.conftest import Pool, turned_by_hand
from tests.sharing.dci_messages import kinds
from tests.sharing.senders import by_id, now, searches
from tests.sharing.test_answers import REVIEW
from tests.sharing.test_dci_async import CONSENT, Desk, a_desk
from tests.sharing.test_dci_subscriptions import changed, wanted
from tests.sharing.witness import witness

pytestmark = pytest.mark.slow
# Somebody with one certificate who needs rehabilitation.
_HOLDER = (
    "SELECT p.person_id::text AS id, p.resident_id FROM core.disability d JOIN identity.link l USING (record_id) JOIN core.person p USING (person_id)"
    " WHERE d.withdrawn_date IS NULL AND d.needs_rehabilitation AND d.certificate_status = '1' AND d.category <> '7' AND p.area_code LIKE '421022%'"
    " AND p.birth_date < '2000-01-01' AND (SELECT count(*) FROM core.person q WHERE q.resident_id = p.resident_id) = 1 ORDER BY 1 LIMIT 1"
)


@pytest.fixture(scope="module")
def pool(borrowed: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """The service, under a policy that tells what support somebody needs as well."""
    with turned_by_hand(borrowed, tmp_path_factory.mktemp("dci")) as pool:
        service = pool.http.app.state.service  # type: ignore[attr-defined]
        wider = service.moment.policy.model_dump()
        for grant in wider["grants"]:
            if (grant["department"], grant["purpose"]) == ("civil_affairs", REVIEW):
                grant["attributes"]["disability.needs_rehabilitation"] = "clear"
        policy = Policy.model_validate(wider)
        assert enforcement.ensure(pool.settings, policy, service.moment.night)
        service.moment = replace(service.moment, policy=policy)
        yield pool


@pytest.fixture
def desk(pool: Pool) -> Desk:
    return a_desk(pool)


def messages(number: str, code: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """A message for each address, with its action."""
    search = ("search", searches(by_id("UIN", number, consent=CONSENT)))
    disabled = ("search", {"transaction_id": "t-5", "disabled_criteria": {"query": {"type": "UIN", "value": number}, "consent": CONSENT}})
    query = {"reference_id": "s", "txn_type": "search", "attribute_type": "transaction_id", "attribute_value": search[1]["transaction_id"]}
    status = ("txn-status", {"transaction_id": "t-2", "txnstatus_request": query})
    item = {"reference_id": "row-0", "timestamp": now(), "subscribe_criteria": wanted("UIN", number, consent=CONSENT)}
    return {
        "/registry/sync/search": search, "/registry/search": search, "/registry/sync/txn/status": status, "/registry/txn/status": status,
        "/registry/subscribe": ("subscribe", {"transaction_id": "t-3", "subscribe_request": [item]}),
        "/registry/unsubscribe": ("unsubscribe", {"transaction_id": "t-4", "timestamp": now(), "subscription_codes": [code]}),
        "/registry/sync/disabled": disabled, "/registry/sync/get-disability-details": disabled, "/registry/sync/get-disability-support": disabled,
    }  # fmt: skip


def test_every_kind_of_message_passes(pool: Pool, desk: Desk) -> None:
    before, (holder,) = witness.seen.copy(), pool.rows(_HOLDER)
    sent = messages(holder.resident_id, "none")
    for path, (action, message) in sent.items():
        answer = desk.sender.ask(path, action, message)
        assert answer.status_code == 200 and "rjct" not in answer.json().get("header", {}).values(), answer.text
        assert desk.sender.ask(path, "nonsense", message).status_code == 200
        assert desk.sender.send(path, b"{}").status_code == 400
    support = desk.sender.ask("/registry/sync/get-disability-support", *sent["/registry/sync/get-disability-support"]).json()
    assert support["message"]["search_response"][0]["data"]["reg_records"][0][0]["medical_care"] == [{"support_status": "Needed"}]
    action, receipts = sent["/registry/txn/status"]
    desk.sender.ask(
        "/registry/txn/status", action, {**receipts, "txnstatus_request": {**receipts["txnstatus_request"], "txn_type": "receipt"}}
    )
    with desk.receiver.up():
        assert desk.turn() == 5
    assert len(changed(desk, holder.id)) == 1
    form = {"grant_type": "client_credentials", "client_id": desk.sender.asker.client_id, "client_secret": desk.sender.asker.secret}
    assert pool.http.post("/oauth2/client/token", data=form).status_code == 200
    assert pool.http.post("/oauth2/client/token", data={**form, "client_secret": "x"}).status_code == 401
    assert pool.http.get("/.well-known/jwks.json").status_code == pool.http.get("/.well-known/locations.json").status_code == 200
    assert {str(kind) for kind in kinds().keys() - (witness.seen - before).keys()} == set()
