"""Idempotency keys: what is sent again with its key is answered as it was, and done once."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sharing.routes import subscriptions as routes
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_answers import NOBODY, WATCH

pytestmark = pytest.mark.slow
BODY = {"purpose": WATCH, "kind": "person", "questions": ["insured"], "subjects": [{"id": NOBODY}]}


@pytest.fixture
def asker(pool: Pool, civil: Asker) -> Iterator[Asker]:
    def forget() -> None:
        pool.run("DELETE FROM share.answered")
        pool.run("DELETE FROM share.subscription WHERE client_id = :c", c=civil.client_id)

    forget()  # other tests ask in this client's name too
    yield civil
    forget()


def sent(asker: Asker, key: str, body: dict[str, Any] = BODY, path: str = "/v1/subscriptions") -> Any:
    return asker.http.post(path, json=body, headers={**asker.headers, "Idempotency-Key": key})


def made(asker: Asker) -> int:
    return len(asker.get("/v1/subscriptions").json()["subscriptions"])


def test_the_same_again_is_answered_as_it_was_and_done_once(asker: Asker) -> None:
    first, second, quoted = sent(asker, "key-1"), sent(asker, "key-1"), sent(asker, '"key-1"')
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json() == quoted.json() and made(asker) == 1
    assert sent(asker, "key-2").json()["subscription_id"] != first.json()["subscription_id"] and made(asker) == 2


def test_another_request_with_the_same_key_is_refused(asker: Asker) -> None:
    path = f"/v1/subscriptions/{sent(asker, 'key-3').json()['subscription_id']}/pause"
    for answer in (sent(asker, "key-3", {**BODY, "questions": ["certificate_valid"]}), sent(asker, "key-3", BODY, path)):
        assert (answer.status_code, answer.json()["code"]) == (422, "key-reused")
    assert made(asker) == 1


def test_while_the_first_is_at_work_the_second_is_told_so(asker: Asker, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = routes.subscriptions.add

    async def slow(*arguments: Any, **named: Any) -> str:
        seen.append(await asyncio.to_thread(sent, asker, "key-4"))
        return await real(*arguments, **named)

    monkeypatch.setattr(routes.subscriptions, "add", slow)
    assert sent(asker, "key-4").status_code == 201
    assert [(a.status_code, a.json()["code"], a.headers["retry-after"]) for a in seen] == [(409, "in-progress", "1")]
    assert made(asker) == 1


def test_what_was_refused_changed_nothing_and_is_judged_anew(asker: Asker) -> None:
    assert sent(asker, "key-5", {**BODY, "purpose": "child_protection"}).status_code == 403
    assert sent(asker, "key-5", {**BODY, "kind": "what"}).status_code == 400
    assert sent(asker, "key-5").status_code == 201


def test_a_request_that_broke_off_in_the_midst_keeps_its_key_taken(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it was done, so it is not done a second time."""

    async def broken(*_: Any, **__: Any) -> str:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(routes.subscriptions, "add", broken)
        assert sent(asker, "key-6").status_code == 500
    assert sent(asker, "key-6").json()["code"] == "in-progress"


def test_a_key_is_its_clients_own_and_lasts_a_day(asker: Asker, town: Asker, pool: Pool) -> None:
    first = sent(asker, "key-7").json()
    assert sent(town, "key-7").json()["code"] != "key-reused"
    pool.run("UPDATE share.answered SET began_at = now() - interval '25 hours'")
    assert sent(asker, "key-7").json()["subscription_id"] != first["subscription_id"]


def test_a_kept_answer_is_sealed(asker: Asker, pool: Pool) -> None:
    secret = sent(asker, "key-8").json()["secret"]
    rows = pool.rows("SELECT answer FROM share.answered")
    assert rows and all(secret.encode() not in bytes(r.answer) and b"subscription_id" not in bytes(r.answer) for r in rows)


@pytest.mark.parametrize("key", ["", "two words", "a" * 300, '"open'])
def test_a_malformed_key_is_refused(asker: Asker, key: str) -> None:
    assert (sent(asker, key).status_code, made(asker)) == (400, 0)


def test_without_a_valid_token_no_key_is_looked_at(asker: Asker, pool: Pool) -> None:
    assert asker.http.post("/v1/subscriptions", json=BODY, headers={"Idempotency-Key": "key-9"}).status_code == 401
    assert pool.rows("SELECT count(*) FROM share.answered")[0][0] == 0
