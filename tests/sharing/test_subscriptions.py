"""Departments are told that something changed: each change once at least, in order for each subject, whatever becomes of the receiver."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson
import pytest

from hub.postgres import free_port
from hub.settings import CHECKOUT, Settings
from sharing import dispatch, subscription
from sharing.client import Hub as Desk
from sharing.client import NotFromTheHub, verified
from sharing.policy import Policy
from tests.conftest import Hub
from tests.sharing.conftest import Asker, Pool, turned_by_hand
from tests.sharing.test_answers import NOBODY, REVIEW, WATCH
from tests.sharing.witness import witness
from warehouse import clients, subscriptions

pytestmark = pytest.mark.slow
CONSENT = {"consent": "SQ-2026-0001"}
NAMES = [
    "person.name",
    "person.phone",
    "person.address",
    "health.medical_cost_yuan",
    "medical_insurance.person_paid_yuan",
    "education.stage",
    "housing.monthly_rent_yuan",
    "disability.living_allowance_yuan",
]
QUESTIONS = ["insured", "severely_disabled", "housing_assisted"]
# A subscription to the same persons for each story; all are paused until their story begins.
STORIES = ("fetched", "down", "dead", "revoked", "suspended", "killed", "poison")


class Receiver:
    """A department's receiver at a fixed address, that can be away."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/hook"
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 204

    @contextmanager
    def up(self) -> Iterator[None]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                witness.sent(self.path, body)
                status = outer.answer(orjson.loads(body))
                if status < 300:
                    outer.got.append((dict(self.headers), body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", self.port), Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            yield
            server.shutdown()

    def notices(self) -> list[dict[str, Any]]:
        return [orjson.loads(body) for _, body in self.got]


@dataclass
class Told:
    """The pool after two changes, a night and a correction by hand, and who subscribed before them.

    Attributes:
        changed: of whom something else is told since each.
        now: what the dispatcher takes for the time.
    """

    pool: Pool
    civil: Asker
    made: dict[str, dict[str, Any]]
    receivers: dict[str, Receiver]
    changed: list[set[str]]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def turn(self, **later: float) -> int:
        """Let time pass, then look and deliver once; how many notices were taken."""
        self.now += timedelta(**later)
        taken: int = self.pool.http.portal.call(self.pool.http.app.state.dispatcher.turn)  # type: ignore[union-attr, attr-defined]
        return taken

    def begin(self, story: str) -> tuple[str, Receiver]:
        answer = self.civil.post(f"/v1/subscriptions/{self.made[story]['subscription_id']}/resume")
        assert answer.json()["state"] == "active"
        return self.made[story]["subscription_id"], self.receivers[story]

    def states(self, subscription_id: str) -> dict[str, int]:
        query = "SELECT state, count(*) FROM share.notice WHERE subscription_id = CAST(:id AS uuid) GROUP BY state"
        return {r[0]: r[1] for r in self.pool.rows(query, id=subscription_id)}


def look_again(told: Told, *subscriptions: str) -> None:
    """Look whether anything changed, as after a publication."""
    told.pool.run(
        "UPDATE share.subscription SET publication = publication - 1 WHERE subscription_id = ANY(CAST(:i AS uuid[]))", i=list(subscriptions)
    )
    told.pool.http.portal.call(subscription.look, told.pool.http.app.state.service, told.now)  # type: ignore[union-attr, attr-defined]


def asked(civil: Asker, people: list[str]) -> dict[str, Any]:
    """What is told of each, apart from days: the second opinion on what changed."""
    body = {"purpose": REVIEW, **CONSENT, "attributes": NAMES, "questions": QUESTIONS, "applicants": [{"person_id": p} for p in people]}
    results = civil.post("/v1/persons/compare", **body).json()["results"]
    return {
        p: (
            r["status"],
            sorted((v["attribute"], str(v["value"])) for v in r["values"]),
            [(a["question"], a["answer"]) for a in r["answers"]],
        )
        for p, r in zip(people, results, strict=True)
    }


@pytest.fixture(scope="module")
def told(borrowed: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with turned_by_hand(borrowed, tmp_path_factory.mktemp("subscriptions")) as pool:
        http = pool.http
        civil = pool.asker("civil-desk", "civil_affairs")
        people = [r.id for r in pool.rows("SELECT person_id::text AS id FROM core.person WHERE area_code LIKE '421022%' ORDER BY 1")]
        receivers = {story: Receiver() for story in STORIES}
        made = {}
        for story in STORIES:
            address = {} if story == "fetched" else {"address": receivers[story].address}
            asker = pool.asker("revoked-desk", "civil_affairs") if story == "revoked" else civil
            subjects = [{"id": p, "ref": f"row-{n}"} for n, p in enumerate(people)]
            answer = asker.post(
                "/v1/subscriptions",
                purpose=REVIEW,
                **CONSENT,
                kind="person",
                attributes=NAMES,
                questions=QUESTIONS,
                subjects=subjects,
                **address,
            )
            assert answer.status_code == 201, answer.text
            made[story] = answer.json()
            asker.post(f"/v1/subscriptions/{made[story]['subscription_id']}/pause")
        found = Told(pool, civil, made, receivers, [])
        http.app.state.dispatcher.clock = lambda: found.now  # type: ignore[attr-defined]
        before = asked(civil, people)
        borrowed.night(6)
        http.portal.call(http.app.state.service.refresh)  # type: ignore[union-attr, attr-defined]
        found.turn()
        after = asked(civil, people)
        found.changed.append({p for p in people if before[p] != after[p]})
        moved = [p for p in people if after[p][0] == "told"][:20] + sorted(found.changed[0])
        pool.run("UPDATE core.person SET phone = '13900000000' WHERE person_id = ANY(CAST(:p AS uuid[]))", p=moved)
        look_again(found, *(m["subscription_id"] for m in made.values()))
        last = asked(civil, people)
        found.changed.append({p for p in people if after[p] != last[p]})
        yield found


def test_exactly_those_are_told_of_whose_answer_changed(told: Told) -> None:
    subscription_id = told.made["fetched"]["subscription_id"]
    found = told.civil.get(f"/v1/subscriptions/{subscription_id}/notices", limit=500).json()
    assert not found["has_more"] and len(told.changed[0]) > 3 and told.changed[0] < told.changed[1]
    of = [n["data"]["subject_id"] for n in found["notices"]]
    assert (set(of[: len(told.changed[0])]), set(of[len(told.changed[0]) :])) == (told.changed[0], told.changed[1])
    assert len(of) == len(told.changed[0]) + len(told.changed[1])


def test_a_notice_holds_no_value_and_is_in_the_log_before_it_leaves(told: Told) -> None:
    subscription_id = told.made["fetched"]["subscription_id"]
    notice = told.civil.get(f"/v1/subscriptions/{subscription_id}/notices", limit=1).json()["notices"][0]
    assert set(notice["data"]) == {
        "notice_id", "cursor", "subscription_id", "purpose", "subject_id", "ref", "question", "night", "receipt_id"
    }  # fmt: skip
    receipt = told.civil.get(f"/v1/receipts/{notice['data']['receipt_id']}").json()
    body = orjson.loads(receipt["body"])
    assert (body["decision"], body["client_id"], body["purpose"], body["told"]) == ("notified", "civil-desk", REVIEW, {})
    again = told.civil.get(f"/v1/subscriptions/{subscription_id}/notices", limit=1).json()["notices"][0]
    assert again == notice, "fetched again it is the same, under the same receipt"


def test_a_feed_is_read_on_from_a_cursor(told: Told) -> None:
    desk = Desk("http://unused", "", "")
    desk._asked = lambda method, path, body=None: told.civil.http.request(method, path, headers=told.civil.headers).json()  # type: ignore[method-assign]
    subscription_id = told.made["fetched"]["subscription_id"]
    whole = list(desk.notices(subscription_id))
    half = len(whole) // 2
    assert list(desk.notices(subscription_id, whole[half]["data"]["cursor"])) == whole[half + 1 :]
    assert [int(n["data"]["cursor"]) for n in whole] == sorted(int(n["data"]["cursor"]) for n in whole)


def test_a_receiver_that_is_down_for_three_days_then_gets_everything_in_order_for_each_subject(told: Told) -> None:
    subscription_id, receiver = told.begin("down")
    everything = told.states(subscription_id)["waiting"]
    for _ in range(12):
        assert told.turn(hours=6) == 0
    assert told.states(subscription_id) == {"waiting": everything}
    answer = told.civil.get("/v1/subscriptions")
    assert answer.status_code == 200, answer.text
    (shown,) = [s for s in answer.json()["subscriptions"] if s["subscription_id"] == subscription_id]
    assert shown["tries"] == 12 and shown["next_try_at"]
    with receiver.up():
        while told.turn(hours=1):
            pass
    found = receiver.notices()
    assert told.states(subscription_id) == {"delivered": everything} and len(found) == everything
    order: dict[str, list[int]] = {}
    for notice in found:
        order.setdefault(notice["data"]["subject_id"], []).append(int(notice["data"]["cursor"]))
    assert set(order) == told.changed[0] | told.changed[1] and max(map(len, order.values())) == 2
    assert all(cursors == sorted(cursors) for cursors in order.values())
    secret = told.made["down"]["secret"]
    assert [verified(secret, headers, body) for headers, body in receiver.got] == found


def test_what_is_not_taken_within_the_policys_days_is_a_dead_letter_and_can_be_replayed(told: Told, borrowed: Hub) -> None:
    subscription_id, receiver = told.begin("dead")
    everything = told.states(subscription_id)["waiting"]
    assert told.turn(days=6, hours=23) == 0 and told.states(subscription_id) == {"waiting": everything}
    assert told.turn(hours=2) == 0 and told.states(subscription_id) == {"dead": everything}
    letters = told.civil.get(f"/v1/subscriptions/{subscription_id}/notices", state="dead", limit=500).json()["notices"]
    assert len(letters) == everything
    with told.pool.engine.connect() as connection:
        (away,) = subscriptions.troubled(connection)
    assert away.client_id == "civil-desk" and away.dead >= everything, "the morning says so"
    environment = {"HUB_HOME": str(told.pool.settings.home), "HUB_DATABASE_URL": told.pool.settings.database_url.get_secret_value()}  # type: ignore[union-attr]
    operator = replace_environment(borrowed, environment)
    shown = operator.invoked("subscription", "dead-letter", "--json")
    assert {r["fault"] for r in orjson.loads(shown.stdout) if r["subscription_id"] == subscription_id} == {"not reached"}
    assert operator.invoked("subscription", "replay", subscription_id, "--dead").returncode == 0
    assert told.states(subscription_id) == {"waiting": everything}
    with receiver.up():
        while told.turn(hours=1):
            pass
    assert [n["data"]["notice_id"] for n in receiver.notices()] == [n["data"]["notice_id"] for n in letters]
    listed = {r["subscription_id"]: r for r in orjson.loads(operator.invoked("subscription", "list", "--json").stdout)}
    assert (listed[subscription_id]["delivered"], listed[subscription_id]["dead"]) == (everything, 0)
    assert told.civil.post(f"/v1/subscriptions/{subscription_id}/replay", cursor=letters[-2]["data"]["cursor"]).json() == {"replayed": 1}
    for command, is_paused in (("pause", True), ("resume", False), ("pause", True)):
        assert operator.invoked("subscription", command, subscription_id).returncode == 0
        assert (
            told.pool.rows("SELECT is_paused FROM share.subscription WHERE subscription_id = CAST(:i AS uuid)", i=subscription_id)[0][0]
            is is_paused
        )


def test_a_new_secret_verifies_from_now_on_and_the_former_for_as_long_as_was_said(told: Told, borrowed: Hub) -> None:
    asker = told.pool.asker("rotating-desk", "civil_affairs")
    receiver = Receiver()
    made = asker.post(
        "/v1/subscriptions", purpose=REVIEW, **CONSENT, kind="person", attributes=["person.phone"], subjects=[{"id": min(told.changed[0])}],
        address=receiver.address,
    ).json()  # fmt: skip
    path, secrets = f"/v1/subscriptions/{made['subscription_id']}", [made["secret"]]

    def holding() -> list[int]:
        """Which of the secrets verify what is sent now."""
        with receiver.up():
            assert asker.post(f"{path}/test").json()["is_taken"]
        headers, body = receiver.got[-1]
        good = []
        for number, secret in enumerate(secrets):
            with contextlib.suppress(NotFromTheHub):
                verified(secret, headers, body)
                good.append(number)
        return good

    assert holding() == [0]
    answer = asker.post(f"{path}/secret", keep_hours=48)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "private, no-store"
    secrets.append(answer.json()["secret"])
    assert answer.json()["former_secret_until"] == (told.now + timedelta(hours=48)).isoformat()
    assert holding() == [0, 1]
    told.now += timedelta(hours=47)
    assert holding() == [0, 1]
    told.now += timedelta(hours=2)
    assert holding() == [1]
    desk = Desk("http://unused", "", "")
    desk._answer = lambda method, path, body=None: _as_requests(asker.http.request(method, path, json=body, headers=asker.headers))  # type: ignore[method-assign, assignment]
    secrets.append(desk.new_secret(made["subscription_id"], keep_hours=0))
    assert holding() == [2], "one that somebody else may know ends at once"
    environment = {"HUB_HOME": str(told.pool.settings.home), "HUB_DATABASE_URL": told.pool.settings.database_url.get_secret_value()}  # type: ignore[union-attr]
    operator = replace_environment(borrowed, environment)
    secrets.append(orjson.loads(operator.invoked("subscription", "rotate", made["subscription_id"], "--json").stdout)["secret"])
    far, told.now = told.now, datetime.now(UTC)  # the operator's hours begin by the machine's clock
    assert holding() == [2, 3]
    told.now = far
    assert holding() == [3]
    assert told.civil.post(f"{path}/secret", keep_hours=1).status_code == 404, "another client's is not there"
    assert asker.post(f"{path}/secret", keep_hours=721).status_code == 400
    rows = told.pool.rows(
        "SELECT to_jsonb(s)::text FROM share.subscription s WHERE subscription_id = CAST(:i AS uuid)", i=made["subscription_id"]
    )
    assert not any(secret.removeprefix("whsec_") in rows[0][0] for secret in secrets), "none is kept"


def _as_requests(answer: httpx.Response) -> httpx.Response:
    answer.ok = answer.is_success  # type: ignore[attr-defined]
    return answer


def replace_environment(hub: Hub, environment: dict[str, str]) -> Hub:
    """The same command line over another home and database."""
    other = object.__new__(Hub)
    other.environment = {**hub.environment, **environment}
    return other


def test_a_notice_the_receiver_chokes_on_holds_up_its_own_subject_alone(told: Told) -> None:
    subscription_id, receiver = told.begin("poison")
    twice = told.changed[0] & told.changed[1]
    victim = min(twice)
    receiver.answer = lambda notice: 400 if notice["data"]["subject_id"] == victim else 204
    with receiver.up():
        while told.turn(minutes=1):
            pass
        assert victim not in {n["data"]["subject_id"] for n in receiver.notices()}
        assert {n["data"]["subject_id"] for n in receiver.notices()} == (told.changed[0] | told.changed[1]) - {victim}
        assert told.states(subscription_id)["waiting"] == 2
        receiver.answer = lambda _: 410
        told.turn(hours=2)
        shown = told.civil.get(f"/v1/subscriptions/{subscription_id}").json()
    assert shown["state"] == "paused", "a receiver that is gone for good is left alone"


def test_whatever_one_receiver_does_to_the_sender_the_others_are_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    asker, receivers, made = told.pool.asker("apart-desk", "civil_affairs"), (Receiver(), Receiver()), []
    for receiver in receivers:
        subject = {"id": min(told.changed[0])}
        made.append(
            asker.post(
                "/v1/subscriptions", purpose=REVIEW, **CONSENT, kind="person", attributes=["person.phone"], subjects=[subject], address=receiver.address
            ).json()["subscription_id"]
        )  # fmt: skip
    told.pool.run("UPDATE share.watched SET mark = NULL WHERE subscription_id = ANY(CAST(:i AS uuid[]))", i=made)
    look_again(told, *made)
    send = dispatch.webhook.send

    async def unforeseen(settings: Settings, address: str, *rest: Any) -> Any:
        if address == receivers[0].address:
            raise RuntimeError
        return await send(settings, address, *rest)

    with monkeypatch.context() as patch, receivers[0].up(), receivers[1].up():
        patch.setattr(dispatch.webhook, "send", unforeseen)
        told.turn(hours=1)
        assert [len(r.got) for r in receivers] == [0, 1]
        patch.undo()
        told.turn(hours=2)
        assert [len(r.got) for r in receivers] == [1, 1], "and it is told later itself"


def test_a_revoked_client_is_sent_nothing_any_more(told: Told) -> None:
    subscription_id, receiver = told.made["revoked"]["subscription_id"], told.receivers["revoked"]
    told.pool.run("UPDATE share.subscription SET is_paused = false WHERE subscription_id = CAST(:id AS uuid)", id=subscription_id)
    with told.pool.engine.begin() as connection:
        clients.revoke(connection, "revoked-desk")
    entries = told.pool.entries()
    with receiver.up():
        assert told.turn(hours=1) == 0
    assert receiver.got == [] and told.pool.entries() == entries


def test_a_client_revoked_between_two_tries_is_not_sent_what_was_written_down_before(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    asker = told.pool.asker("late-desk", "civil_affairs")
    receiver = Receiver()
    person = min(told.changed[0])
    made = asker.post(
        "/v1/subscriptions", purpose=REVIEW, **CONSENT, kind="person", attributes=["person.phone"], subjects=[{"id": person}], address=receiver.address
    ).json()  # fmt: skip
    told.pool.run("UPDATE share.watched SET mark = NULL WHERE subscription_id = CAST(:i AS uuid)", i=made["subscription_id"])
    look_again(told, made["subscription_id"])
    assert told.turn(hours=1) == 0 and told.states(made["subscription_id"]) == {"waiting": 1}
    due = dispatch.subscriptions.due

    async def revoked_meanwhile(*arguments: Any) -> Any:
        rows = await due(*arguments)
        with told.pool.engine.begin() as connection:
            clients.revoke(connection, "late-desk")
        return rows

    monkeypatch.setattr(dispatch.subscriptions, "due", revoked_meanwhile)
    entries = told.pool.entries()
    with receiver.up():
        assert told.turn(hours=2) == 0
    assert receiver.got == [] and told.pool.entries() == entries


def test_a_subscription_the_policy_does_not_grant_any_more_says_nothing_in_any_way(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    subscription_id, receiver = told.begin("suspended")
    service = told.pool.http.app.state.service  # type: ignore[attr-defined]
    narrower = service.moment.policy.model_dump()
    for grant in narrower["grants"]:
        grant["subscribe"] = ()
    monkeypatch.setattr(service, "moment", replace(service.moment, policy=Policy.model_validate(narrower)))
    entries = told.pool.entries()
    with receiver.up():
        assert told.turn(hours=1) == 0
    assert receiver.got == [] and told.pool.entries() == entries
    assert told.civil.get(f"/v1/subscriptions/{subscription_id}").json()["state"] == "suspended"
    assert told.civil.get(f"/v1/subscriptions/{subscription_id}/notices").json()["code"] == "purpose-not-granted"


def test_nothing_leaves_while_the_log_cannot_be_written(told: Told) -> None:
    subscription_id, receiver = told.begin("suspended")
    told.pool.run("UPDATE share.notice SET receipt_id = NULL WHERE subscription_id = CAST(:id AS uuid)", id=subscription_id)
    told.pool.run("ALTER TABLE audit.log RENAME TO log_away")
    try:
        with receiver.up(), pytest.raises(Exception):  # noqa: B017 - whatever the database says
            told.turn(hours=1)
        assert receiver.got == []
        answer = told.civil.get(f"/v1/subscriptions/{subscription_id}/notices")
        assert answer.json()["code"] == "log-unavailable"
    finally:
        told.pool.run("ALTER TABLE audit.log_away RENAME TO log")
    told.civil.post(f"/v1/subscriptions/{subscription_id}/pause")


def test_a_condition_tells_for_whom_it_begins_and_ends_and_says_so_in_the_log(told: Told) -> None:
    pool, civil = told.pool, told.civil
    answer = civil.post("/v1/subscriptions", purpose=WATCH, kind="condition", questions=["severely_disabled"])
    assert answer.status_code == 201, answer.text
    subscription_id = answer.json()["subscription_id"]
    holding = {
        r[0] for r in pool.rows("SELECT subject_id::text FROM share.watched WHERE subscription_id = CAST(:i AS uuid)", i=subscription_id)
    }
    rows = pool.rows(
        "SELECT l.person_id::text AS id, d.record_id::text AS record, d.grade FROM core.disability d JOIN identity.link l USING (record_id)"
        " JOIN core.person p USING (person_id) WHERE p.area_code LIKE '421022%' AND p.birth_date < '2005-01-01' AND d.withdrawn_date IS NULL"
        " AND d.certificate_status = '1' AND (SELECT count(*) FROM identity.link o JOIN core.disability USING (record_id)"
        " WHERE o.person_id = l.person_id) = 1 ORDER BY 1"
    )
    assert {r.id for r in rows if r.grade in "12"} <= holding
    ends, begins = next(r for r in rows if r.grade in "12"), next(r for r in rows if r.grade in "34")

    def graded(*changes: tuple[str, str]) -> list[dict[str, Any]]:
        for record, grade in changes:
            pool.run("UPDATE core.disability SET grade = :g WHERE record_id = CAST(:r AS uuid)", g=grade, r=record)
        look_again(told, subscription_id)
        found: list[dict[str, Any]] = civil.get(f"/v1/subscriptions/{subscription_id}/notices").json()["notices"]
        return found

    found = graded((begins.record, "1"), (ends.record, "4"))
    assert {(n["type"], n["data"]["subject_id"], n["data"]["question"]) for n in found} == {
        ("condition.began", begins.id, "severely_disabled"), ("condition.ended", ends.id, "severely_disabled"),
    }  # fmt: skip
    told_of = {n["type"]: orjson.loads(civil.get(f"/v1/receipts/{n['data']['receipt_id']}").json()["body"])["told"] for n in found}
    assert told_of == {"condition.began": {"?severely_disabled": "yes_no"}, "condition.ended": {}}
    assert graded() == found, "looking again finds nothing new"
    pool.run("UPDATE core.disability SET grade = '2' WHERE record_id = CAST(:r AS uuid)", r=ends.record)
    look_again(told, subscription_id)
    assert graded((ends.record, "4")) == found, "what began and ended before it was told is not told"
    graded((begins.record, begins.grade), (ends.record, ends.grade))


def test_a_household_is_watched_like_a_person(told: Told) -> None:
    pool, civil = told.pool, told.civil
    homes = pool.rows(
        "SELECT household_id::text AS id, min(m.person_id::text) AS member FROM core.household_member m JOIN core.person p USING (person_id)"
        " WHERE p.area_code LIKE '421022%' AND p.birth_date < '2000-01-01' GROUP BY household_id HAVING count(*) > 1 ORDER BY 1 LIMIT 3"
    )
    answer = civil.post(
        "/v1/subscriptions", purpose=REVIEW, **CONSENT, kind="household", attributes=["household.members", "household.size", "person.phone"],
        subjects=[{"id": h.id} for h in homes] + [{"id": NOBODY}],
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    subscription_id = answer.json()["subscription_id"]
    (was,) = pool.rows("SELECT phone FROM core.person WHERE person_id = CAST(:p AS uuid)", p=homes[1].member)
    for phone in ("13900000000", was.phone):
        pool.run("UPDATE core.person SET phone = :t WHERE person_id = CAST(:p AS uuid)", t=phone, p=homes[1].member)
        look_again(told, subscription_id)
    found = civil.get(f"/v1/subscriptions/{subscription_id}/notices").json()["notices"]
    assert [(n["type"], n["data"]["subject_id"]) for n in found] == [("household.changed", homes[1].id)] * 2


def test_a_dispatcher_that_is_killed_while_it_sends_loses_nothing(told: Told) -> None:
    subscription_id, receiver = told.begin("killed")
    everything = told.states(subscription_id)["waiting"]
    arrived, released = threading.Event(), threading.Event()

    def slow(_: dict[str, Any]) -> int:
        arrived.set()
        released.wait(120)
        return 503  # the connection is dead by then: nobody hears it

    receiver.answer = slow
    with receiver.up():
        with served(told.pool.settings) as child:
            assert arrived.wait(120), "nothing was sent"
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert told.states(subscription_id) == {"waiting": everything}
        done = threading.Event()

        def counted(notice: dict[str, Any]) -> int:
            arrivals.add(notice["data"]["notice_id"])
            if len(arrivals) == everything:
                done.set()
            return 204

        arrivals: set[str] = set()
        receiver.answer = counted
        released.set()
        with served(told.pool.settings):
            assert done.wait(120), told.states(subscription_id)
    query = "SELECT notice_id::text FROM share.notice WHERE subscription_id = CAST(:id AS uuid)"
    assert arrivals == {r[0] for r in told.pool.rows(query, id=subscription_id)}


@contextmanager
def served(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The service in a process of its own, as `hub serve` starts it."""
    environment = {
        **os.environ, "HUB_HOME": str(settings.home), "HUB_DATABASE_URL": settings.database_url.get_secret_value(),  # type: ignore[union-attr]
        "HUB_SHARING_PORT": str(free_port()), "HUB_SHARING_LOOPBACK_RECEIVERS": "true",
    }  # fmt: skip
    child = subprocess.Popen([sys.executable, "-m", "sharing"], cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


def test_a_test_notice_is_signed_sent_at_once_and_about_nobody(told: Told) -> None:
    made = told.made["poison"]
    receiver = told.receivers["poison"]
    receiver.answer, before = (lambda _: 204), len(receiver.got)
    with receiver.up():
        answer = told.civil.post(f"/v1/subscriptions/{made['subscription_id']}/test").json()
    assert answer == {"is_taken": True, "status": 204, "fault": None}
    headers, body = receiver.got[before]
    assert verified(made["secret"], headers, body)["type"] == "subscription.test"
    away = told.civil.post(f"/v1/subscriptions/{made['subscription_id']}/test").json()
    assert away == {"is_taken": False, "status": None, "fault": "not reached"}


def test_another_clients_subscription_is_not_there(told: Told) -> None:
    stranger = told.pool.asker("other-desk", "civil_affairs")
    path = f"/v1/subscriptions/{told.made['fetched']['subscription_id']}"
    for answer in (
        stranger.get(path),
        stranger.get(f"{path}/notices"),
        *(stranger.post(f"{path}/{verb}") for verb in ("pause", "resume", "test", "replay")),
        stranger.http.delete(path, headers=stranger.headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert stranger.get("/v1/subscriptions").json() == {"subscriptions": []}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"purpose": WATCH, "kind": "person", "questions": ["insured"], "address": "http://desk.example/x"}, "receiver-refused"),
        ({"purpose": WATCH, "kind": "person", "questions": ["insured"], "address": "https://169.254.169.254"}, None),
        ({"purpose": "child_protection", "kind": "person", "questions": ["insured"]}, "subscription-not-granted"),
        ({"purpose": REVIEW, "kind": "condition", "questions": ["insured"], **CONSENT}, "subscription-not-granted"),
        ({"purpose": REVIEW, "kind": "person", "questions": ["insured"]}, "consent-required"),
        ({"purpose": "housing_aid", "kind": "person", "questions": ["insured"]}, "purpose-not-granted"),
        ({"purpose": WATCH, "kind": "person", "attributes": ["person.sex"]}, "nothing-granted"),
        ({"purpose": WATCH, "kind": "person", "questions": []}, "nothing-asked"),
        ({"purpose": WATCH, "kind": "condition", "questions": ["insured", "certificate_valid"]}, "bad-request"),
    ],
)
def test_what_cannot_be_subscribed_to_has_its_own_problem(told: Told, body: dict[str, Any], code: str | None) -> None:
    subjects = {} if body["kind"] == "condition" else {"subjects": [{"id": NOBODY}]}
    answer = told.civil.post("/v1/subscriptions", **body, **subjects)
    assert answer.json().get("code") == code
    if code is None:  # it is told to nobody what answers there: such an address is refused when something would be sent
        found = told.civil.post(f"/v1/subscriptions/{answer.json()['subscription_id']}/test").json()
        assert found == {"is_taken": False, "status": None, "fault": "address refused"}
        path = f"/v1/subscriptions/{answer.json()['subscription_id']}"
        assert told.civil.http.delete(path, headers=told.civil.headers).status_code == 204
        assert told.civil.get(path).status_code == 404
