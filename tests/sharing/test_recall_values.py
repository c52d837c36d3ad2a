"""A recall leads to what was told and what is true now: a disclosure of its own, under the policy of today, written down before it leaves."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from hub.crypto_suite import chosen
from hub.settings import CHECKOUT
from pipeline import erasure, review, rulings
from sharing import checkpoint, keys, merkle, recall
from sharing.recalled import lesser
from sharing.receipts import commitment
from tests.conftest import Hub
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_answers import NOBODY, REVIEW, WATCH
from tests.sharing.test_recall import _STRANGERS, CONSENT, a_change, looked_back, person_of, recalls_of, served
from warehouse import clients

pytestmark = pytest.mark.slow
__all__ = ["served"]


def values_of(asker: Asker, recall_id: str, **more: Any) -> Any:
    return asker.get(f"/v1/recalls/{recall_id}/values", **more)


def of_receipt(asker: Asker, answer: Any) -> dict[str, Any]:
    """The newest recall of an answer."""
    receipt = answer.json()["receipt"]["receipt_id"]
    return [r for r in recalls_of(asker, limit=500) if r["receipt_id"] == receipt][-1]


def shown(side: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    """How an attribute or question is told on one side, and what."""
    values = [(v["effect"], v["value"]) for v in side["values"] if v["attribute"] == name]
    return values + [("question", a["answer"]) for a in side["answers"] if a["question"] == name]


def is_verified(pool: Pool, asker: Asker, receipt_id: str) -> dict[str, Any]:
    """What the entry of a receipt says, once its proof holds."""
    held = asker.get(f"/v1/receipts/{receipt_id}").json()
    tree = merkle.Tree(chosen(pool.settings).digest)
    head = checkpoint.read(held["checkpoint"], keys.head_key(pool.settings, chosen(pool.settings)).public_key())
    leaf = tree.leaf_hash(commitment(held["body"], bytes.fromhex(held["salt"]), tree.digest))
    assert tree.includes(held["leaf_index"], head.size, leaf, [bytes.fromhex(h) for h in held["inclusion"]], head.root)
    body: dict[str, Any] = orjson.loads(held["body"])
    return body


class Wrongly:
    """Three departments were told, each in its own way, of two strangers that were taken for one; they are parted again."""

    def __init__(self, hub: Hub, pool: Pool) -> None:
        one, other = next((r.one, r.other) for r in pool.rows(_STRANGERS) if not review.is_in_sample(hub.settings, r.one, r.other))
        self.person = person_of(pool, one)
        judged = review.judge(hub.settings, one, other, "must", reviewer="reviewer one", reason="the same file number")
        hub.night(5)
        self.civil, self.housing, self.fund = (
            pool.asker(name, department)
            for name, department in (("civil-desk", "civil_affairs"), ("housing-desk", "housing_bureau"), ("fund-desk", "insurance_bureau"))
        )
        self.asked = {
            "civil": (self.civil, WATCH, "disability.grade"),
            "housing": (self.housing, "housing_aid", "disability.grade"),
            "fund": (self.fund, "certificate_check", "certificate_valid"),
            "masked": (self.civil, REVIEW, "disability.certificate_no"),
        }
        self.told = {key: asker.person(self.person, purpose, name, **CONSENT) for key, (asker, purpose, name) in self.asked.items()}
        self.numbers = {purpose: self.civil.person(self.person, purpose, "person.resident_id", **CONSENT) for purpose in (WATCH, REVIEW)}
        self.homes = self.civil.person(self.person, REVIEW, "household.members", "household.size", "household.relation", **CONSENT)
        assert {a.status_code for a in (*self.told.values(), *self.numbers.values())} == {200}
        review.retract(hub.settings, judged.judgement_id, reviewer="reviewer one", reason="two persons share it")
        hub.night(5)
        looked_back(pool)
        self.persons = sorted({person_of(pool, one), person_of(pool, other)})
        self.other = next(p for p in self.persons if p != self.person)

    def recall(self, key: str) -> dict[str, Any]:
        return of_receipt(self.asked[key][0], self.told[key])


def test_each_department_reads_what_it_was_told_and_what_is_true_now_in_its_own_form(borrowed: Hub, served: Pool) -> None:
    pool, wrongly = served, Wrongly(borrowed, served)
    forms = {"civil": "clear", "housing": "yes_no", "fund": "question", "masked": "masked"}
    for key, (asker, purpose, name) in wrongly.asked.items():
        mine = wrongly.recall(key)
        listed = "?certificate_valid" if key == "fund" else name
        assert {"name": listed, "effect": forms[key]} in mine["told_as"] and [t["name"] for t in mine["told_as"]] == mine["changed"]
        before = pool.entries()
        found = asker.get(mine["values"], **CONSENT)
        assert found.status_code == 200, found.text
        body = found.json()
        assert (body["recall_id"], body["cause"], body["purpose"], body["as_of"]) == (mine["recall_id"], "parted", purpose, "2026-03-05")
        told = shown(wrongly.told[key].json(), name)
        assert told and shown(body["told"], name) == told and {form for form, _ in told} == {forms[key]}, "the very values of then"
        assert body["told"]["known_at"] == mine["told_at"]
        assert [p["person_id"] for p in body["now"]] == wrongly.persons and {p["status"] for p in body["now"]} == {"told"}
        now = {p["person_id"]: shown(p, name) for p in body["now"]}
        assert now[wrongly.person] != told and now[wrongly.other] == told, "what was told of one is the other's"
        # What is true now is what the person's own question says.
        for person in wrongly.persons:
            assert shown(asker.person(person, purpose, name, **CONSENT).json(), name) == now[person]
        assert pool.entries() == before + 4 + 2, "two told of then, two of now, and the two that were just asked about"
        entries = [is_verified(pool, asker, side["receipt"]["receipt_id"]) for side in (body["told"], *body["now"])]
        assert {e["asked"] for e in entries} == {"recall"} and {e["decision"] for e in entries} == {"told"}
        assert [e.get("known_at", "")[:19] for e in entries] == [mine["told_at"][:19], "", ""] and entries[1]["as_of"] == "2026-03-05"
        assert all(e["told"] == {listed: "yes_no" if key == "fund" else forms[key]} for e in entries)
        acknowledged = asker.post(f"/v1/recalls/{mine['recall_id']}/acknowledge").json()
        assert acknowledged["acknowledged_by"] == asker.client_id and acknowledged["values"] == mine["values"]
    assert recall.scan(pool.settings) == 0
    looked_back(pool)
    left = {r["receipt_id"] for a in (wrongly.civil, wrongly.housing, wrongly.fund) for r in recalls_of(a)}
    assert left == {a.json()["receipt"]["receipt_id"] for a in (*wrongly.numbers.values(), wrongly.homes)}, "reading it recalls nothing"


def test_households_are_told_as_they_were_and_as_they_are(borrowed: Hub, served: Pool) -> None:
    wrongly = Wrongly(borrowed, served)
    mine = of_receipt(wrongly.civil, wrongly.homes)
    assert {"household.members", "household.size"} <= set(mine["changed"])
    body = wrongly.civil.get(mine["values"], **CONSENT).json()
    then = {h["household_id"] for h in body["told"]["households"]}
    assert then == {h["household_id"] for h in wrongly.homes.json()["households"]}
    homes = {p["person_id"]: p["households"] for p in body["now"]}
    assert homes.keys() == set(wrongly.persons) and any({h["household_id"] for h in now} != then for now in homes.values())
    asked = {"purpose": REVIEW, "attributes": ["household.size", "household.members", "household.relation"], **CONSENT}
    for person, told in homes.items():
        for home in told:
            whole = wrongly.civil.get(f"/v1/households/{home['household_id']}", **asked).json()
            relations = {m["person_id"]: m["relation"] for m in whole["members"]}
            assert (whole["kind"], whole["size"], relations[person]) == (home["kind"], home["size"], home["relation"])


def test_no_recall_tells_what_the_policy_of_today_does_not(borrowed: Hub, served: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's recall, a revoked client, no consent, a grant or attribute that is gone, a lesser form, somebody who moved away, a log that cannot be written."""
    pool, wrongly = served, Wrongly(borrowed, served)
    civil, mine, housing = wrongly.civil, wrongly.recall("civil"), wrongly.recall("housing")
    secret = shown(wrongly.told["masked"].json(), "disability.certificate_no")[0][1]

    def refused(answer: Any, status: int, code: str) -> None:
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert wrongly.other not in answer.text and "values" not in answer.json() and secret not in answer.text

    for asker in (wrongly.fund, wrongly.housing):
        refused(values_of(asker, mine["recall_id"], **CONSENT), 404, "not-found")
    unknown = values_of(civil, NOBODY)
    strange = values_of(wrongly.fund, mine["recall_id"])
    kept = ("code", "title", "status", "next_step")
    assert [unknown.json()[n] for n in kept] == [strange.json()[n] for n in kept], "another's and nobody's look alike"
    before = pool.entries()
    refused(values_of(wrongly.housing, housing["recall_id"]), 400, "consent-required")
    assert pool.entries() == before + 1, "a refusal is written down"
    bound = pool.asker("review-desk", "civil_affairs", REVIEW)
    refused(values_of(bound, mine["recall_id"]), 403, "purpose-not-granted")

    service = pool.http.app.state.service  # type: ignore[attr-defined]
    grant = next(g for g in service.moment.policy.grants if (g.department, g.purpose) == ("civil_affairs", WATCH))
    full = dict(grant.attributes)
    with monkeypatch.context() as patch:  # the attribute is named no more, in either form
        for attributes in ({n: e for n, e in full.items() if n != "disability.grade"}, {**full, "disability.grade": "refused"}):
            patch.setitem(grant.__dict__, "attributes", attributes)
            patch.setitem(grant.__dict__, "questions", ())
            refused(values_of(civil, mine["recall_id"]), 403, "nothing-granted")
    # One purpose tells the number in clear and the other masks it, as two policies would: masked it is, whichever was first.
    for purpose, by_now in ((WATCH, REVIEW), (REVIEW, WATCH)):
        numbers = of_receipt(civil, wrongly.numbers[purpose])
        pool.run("UPDATE share.recall SET purpose = :p WHERE recall_id = CAST(:r AS uuid)", p=by_now, r=numbers["recall_id"])
        body = values_of(civil, numbers["recall_id"], **CONSENT).json()
        found = [n for side in (body["told"], *body["now"]) for n in shown(side, "person.resident_id")]
        assert len(found) == 3 and {form for form, _ in found} == {"masked"} and all("*" in number for _, number in found)
    with monkeypatch.context() as patch:  # the grant ended
        patch.setitem(grant.__dict__, "valid_to", grant.valid_from or service.moment.night.replace(year=2020))
        refused(values_of(civil, mine["recall_id"]), 403, "purpose-not-granted")

    pool.run("UPDATE share.recall SET purpose = 'emergency_rescue' WHERE recall_id = CAST(:r AS uuid)", r=mine["recall_id"])
    refused(values_of(civil, mine["recall_id"]), 403, "emergency-not-open")
    pool.run("UPDATE share.recall SET purpose = :p WHERE recall_id = CAST(:r AS uuid)", p=WATCH, r=mine["recall_id"])

    # One of the two moved out of the grant: what was told is partly a stranger's by now, so only the other's present is told.
    pool.run("UPDATE core.person SET area_code = '110101' WHERE person_id = CAST(:p AS uuid)", p=wrongly.other)
    body = values_of(civil, mine["recall_id"]).json()
    assert body["told"] is None and {p["person_id"]: p["status"] for p in body["now"]} == {
        wrongly.person: "told",
        wrongly.other: "not_available",
    }
    assert all(not p["values"] and not p["answers"] for p in body["now"] if p["status"] == "not_available")
    pool.run("UPDATE core.person SET area_code = '110101' WHERE person_id = CAST(:p AS uuid)", p=wrongly.person)
    before, misses = pool.entries(), service.misses.wait_s(civil.client_id)
    gone = values_of(civil, mine["recall_id"])
    assert (gone.status_code, gone.json()["code"]) == (404, "subject-not-available") and pool.entries() == before + 2
    assert service.misses.wait_s(civil.client_id) == misses == 0, "whoever reads what it was sent is not guessing"
    pool.run("UPDATE core.person SET area_code = '421022100' WHERE person_id = ANY(CAST(:p AS uuid[]))", p=wrongly.persons)
    assert values_of(civil, mine["recall_id"]).status_code == 200

    before = pool.entries()
    login = f"{pool.engine.url.database}_sharing"
    pool.run(f'REVOKE EXECUTE ON FUNCTION audit.append FROM "{login}"')
    try:
        refused(values_of(civil, mine["recall_id"]), 503, "log-unavailable")
    finally:
        pool.run(f'GRANT EXECUTE ON FUNCTION audit.append TO "{login}"')
    assert pool.entries() == before and values_of(civil, mine["recall_id"]).status_code == 200

    with pool.engine.begin() as connection:
        clients.revoke(connection, civil.client_id)
    refused(values_of(civil, mine["recall_id"]), 401, "client-revoked")


def test_the_operator_sees_how_it_was_told_and_no_value(borrowed: Hub, served: Pool) -> None:
    pool, wrongly = served, Wrongly(borrowed, served)
    address: Any = pool.settings.database_url
    environment = {**os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": address.get_secret_value(), "COLUMNS": "400"}

    def listed(*options: str) -> str:
        command = [str(Path(sys.executable).with_name("hub")), "recall", "list", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout

    text, rows = listed(), listed("--json")
    assert {"disability.grade (clear)", "disability.grade (yes_no)", "?certificate_valid (question)"} <= {
        t.strip() for line in text.splitlines() for cell in line.split("│") for t in cell.split(",")
    }
    (mine,) = [r for r in orjson.loads(rows) if r["recall_id"] == wrongly.recall("civil")["recall_id"]]
    assert dict(zip(mine["changed"], mine["effects"], strict=True))["disability.grade"] == "clear"
    number = shown(wrongly.numbers[REVIEW].json(), "person.resident_id")[0][1]
    assert number not in text + rows


def test_a_withdrawal_and_its_release_tell_both_values_and_an_erasure_neither(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    civil = pool.asker("civil-desk", "civil_affairs")
    person, attribute, delivery = a_change(pool)
    answer = civil.person(person, REVIEW, attribute, **CONSENT)
    dated = civil.person(person, REVIEW, attribute, as_of="2026-03-05", **CONSENT)
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    rulings.withdraw(hub.settings, delivery, reason="another county's file", by="engineer", confirm=tried.confirm)
    looked_back(pool)
    now = civil.person(person, REVIEW, attribute, **CONSENT)
    for told in (answer, dated):
        mine = of_receipt(civil, told)
        body = civil.get(mine["values"], **CONSENT).json()
        assert body["cause"] == "withdrawn" and not body["stands"] and not body["refused"]
        assert shown(body["told"], attribute) == shown(told.json(), attribute)
        assert [shown(p, attribute) for p in body["now"]] == [shown(now.json(), attribute)] != [shown(body["told"], attribute)]
    rulings.release(hub.settings, delivery, reason="it was right after all", by="engineer")
    hub.night(5)
    looked_back(pool)
    stands = civil.get(of_receipt(civil, answer)["values"], **CONSENT).json()
    assert stands["stands"] and [shown(p, attribute) for p in stands["now"]] == [shown(stands["told"], attribute)]

    first = of_receipt(civil, answer)
    with hub.landing_kept():
        erasure.carry_out(
            hub.settings, person, basis="law", reason="decision", by="one", confirmed_by="other",
            confirm=erasure.plan(hub.settings, person).confirm,
        )  # fmt: skip
    looked_back(pool)
    last = of_receipt(civil, answer)
    assert last["cause"] == "erased" != first["cause"]
    before = pool.entries()
    for recalled in (first, last):
        gone = civil.get(recalled["values"], **CONSENT)
        assert (gone.status_code, gone.json()["code"]) == (410, "erased-by-law")
    assert pool.entries() == before + 2
    assert civil.post(f"/v1/recalls/{last['recall_id']}/acknowledge").status_code == 200


def test_where_one_of_two_was_erased_the_others_present_alone_is_told(borrowed: Hub, served: Pool) -> None:
    """What was told mixed both, and half of it is nobody's to tell any more."""
    hub, wrongly = borrowed, Wrongly(borrowed, served)
    mine = wrongly.recall("civil")
    with hub.landing_kept():
        erasure.carry_out(
            hub.settings, wrongly.other, basis="law", reason="decision", by="one", confirmed_by="other",
            confirm=erasure.plan(hub.settings, wrongly.other).confirm,
        )  # fmt: skip
    looked_back(served)
    body = wrongly.civil.get(mine["values"]).json()
    assert body["told"] is None and [(p["person_id"], p["status"]) for p in body["now"]] == [(wrongly.person, "told")]
    now = wrongly.civil.person(wrongly.person, WATCH, "disability.grade").json()
    assert shown(body["now"][0], "disability.grade") == shown(now, "disability.grade")


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        ("clear", "clear", "clear"), ("clear", "masked", "masked"), ("derived", "clear", "derived"), ("masked", "yes_no", "yes_no"),
        ("yes_no", "clear", "yes_no"), ("masked", "derived", "refused"), ("clear", "refused", "refused"), ("refused", "refused", "refused"),
    ],
)  # fmt: skip
def test_a_value_is_told_again_in_a_form_that_tells_no_more_than_either(one: str, other: str, least: str) -> None:
    assert lesser(one, other) == lesser(other, one) == least
