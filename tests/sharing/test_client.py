"""The client that departments copy: it asks, renews, goes on where the hub is busy, and says what the hub says."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hub.settings import CHECKOUT
from sharing.client import Hub, HubProblem
from tests.sharing.test_answers import NOBODY, WATCH, a_person
from tests.sharing.test_log import VERIFIER
from warehouse import clients

pytestmark = pytest.mark.slow
FILE = CHECKOUT / "sharing" / "client.py"


@pytest.fixture
def desk(pool, address):
    url, _ = address
    asker = pool.asker("copied-desk", "civil_affairs")
    yield Hub(url, asker.client_id, asker.secret, language="en")
    for table in ("share.subscription", "share.export", "share.compare_job", "share.answered", "share.client_secret"):
        pool.run(f"DELETE FROM {table} WHERE client_id = 'copied-desk'")
    pool.run("DELETE FROM share.client WHERE client_id = 'copied-desk'")


def test_it_is_one_file_that_needs_requests_alone():
    rooms = {n.module.split(".")[0] for n in ast.walk(ast.parse(FILE.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom)}
    assert not rooms & {"hub", "sharing", "warehouse", "schemas", "pipeline", "identity"}


def test_a_person_is_asked_for_by_number_and_by_id_and_the_receipt_verifies(pool, desk, tmp_path: Path):
    row = a_person(pool)
    answer = desk.lookup(WATCH, resident_id=row.resident_id, questions=["insured"])
    assert answer["person_id"] == row.id == desk.person(WATCH, row.id, questions=["insured"])["person_id"]
    (tmp_path / "receipt").write_text(json.dumps(desk.receipt(answer["receipt"]["receipt_id"])), encoding="utf-8")
    (tmp_path / "key").write_text(pool.http.get("/v1/log/key").text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(VERIFIER), "receipt", str(tmp_path / "receipt"), "--key", str(tmp_path / "key")], check=False
    )
    assert done.returncode == 0
    assert answer["receipt"]["receipt_id"] in [r["entry_id"] for r in desk.receipts()]
    assert list(desk.recalls()) == [] and desk.checkpoint().startswith("assistance-hub/")


def test_what_is_wrong_is_disputed_by_the_receipt_of_the_answer(pool, desk):
    row = a_person(pool)
    told = desk.person(WATCH, row.id, attributes=["person.name"])
    wrong = {"kind": "correction", "reason": "wrong", "person_id": row.id, "details": "名字写错"}
    (made,) = desk.dispute(told["receipt"]["receipt_id"], "person.name", **wrong)
    assert made in list(desk.disputes(open_only=True))
    assert desk.person(WATCH, row.id, attributes=["person.name"])["values"][0]["disputed"]["due"] == made["due_date"]
    with pytest.raises(HubProblem, match="already"):
        desk.dispute(told["receipt"]["receipt_id"], "person.name", **wrong)
    assert desk.withdraw_dispute(made["dispute_id"])["state"] == "withdrawn"
    assert "disputed" not in desk.person(WATCH, row.id, attributes=["person.name"])["values"][0]


def test_what_a_recall_is_about_is_one_call(pool, desk):
    row = a_person(pool)
    told = desk.person(WATCH, row.id, questions=["insured"])
    pool.run(
        "INSERT INTO share.recall (leaf_index, receipt_id, told_at, department, client_id, purpose, person_id, persons, changed, cause, stands, publication)"
        " VALUES (:leaf, CAST(:receipt AS uuid), now(), 'civil_affairs', 'copied-desk', :purpose, CAST(:person AS uuid), ARRAY[CAST(:person AS uuid)],"
        " '{?insured}', 'corrected', false, 1)",
        leaf=told["receipt"]["leaf_index"], receipt=told["receipt"]["receipt_id"], purpose=WATCH, person=row.id,
    )  # fmt: skip
    try:
        (recall,) = desk.recalls()
        assert recall["told_as"] == [{"name": "?insured", "effect": "question"}]
        found = desk.recall_values(recall["recall_id"])
        assert found["told"]["answers"] == found["now"][0]["answers"] == told["answers"]
        assert desk.receipt(found["told"]["receipt"]["receipt_id"])["body"]
        pool.run("UPDATE share.recall SET cause = 'erased' WHERE client_id = 'copied-desk'")
        with pytest.raises(HubProblem) as raised:
            desk.recall_values(recall["recall_id"])
        assert (raised.value.code, raised.value.status) == ("erased-by-law", 410)
    finally:
        pool.run("DELETE FROM share.recall WHERE client_id = 'copied-desk'")


def test_any_number_of_applicants_come_back_in_order(pool, desk, monkeypatch):
    monkeypatch.setattr("sharing.client._BATCH", 7)
    ids = [r.id for r in pool.rows("SELECT person_id::text AS id FROM core.person WHERE area_code LIKE '421022%' LIMIT 20")]
    found = list(desk.compare(WATCH, ({"person_id": p, "ref": f"row-{n}"} for n, p in enumerate(ids)), questions=["insured"]))
    assert [r["ref"] for r in found] == [f"row-{n}" for n in range(len(ids))]


def test_a_problem_says_its_code_and_what_to_do(desk):
    with pytest.raises(HubProblem) as raised:
        desk.person(WATCH, NOBODY, questions=["insured"])
    assert (raised.value.code, raised.value.status) == ("subject-not-available", 404)
    assert raised.value.next_step and raised.value.request_id and NOBODY not in str(raised.value)


def test_an_export_is_read_to_its_end_and_then_read_on(desk):
    begun = desk._post("/v1/exports", {"purpose": WATCH, "questions": ["insured"]})
    found, cursors = [], []

    def read(since: str) -> str:
        lines = desk.export(begun["export_id"], since=since, on_cursor=cursors.append)
        while True:
            try:
                found.append(next(lines))
            except StopIteration as end:
                return end.value

    since = read("0")
    assert {line["type"] for line in found} == {"person"} and len(found) > 100
    whole = len(found)
    assert read(since) > since and len(found) == whole, "nothing changed since"
    with pytest.raises(HubProblem) as raised:
        next(desk.export(NOBODY))
    assert raised.value.code == "not-found"


def test_changes_are_subscribed_to_and_fetched(pool, desk):
    made = desk.subscribe(WATCH, "person", [{"id": a_person(pool).id, "ref": "row-1"}], questions=["insured"])
    assert made["secret"].startswith("whsec_") and list(desk.notices(made["subscription_id"])) == []


def test_a_token_that_is_refused_is_renewed_once(pool, desk):
    row = a_person(pool)
    desk.person(WATCH, row.id, questions=["insured"])
    desk._session.headers["Authorization"] = "Bearer run-out"
    assert desk.person(WATCH, row.id, questions=["insured"])["person_id"] == row.id
    with pool.engine.begin() as connection:
        clients.revoke(connection, "copied-desk")
    with pytest.raises(HubProblem):
        desk.person(WATCH, row.id, questions=["insured"])


def test_a_list_is_handed_in_as_a_job_and_goes_on_where_it_broke_off(pool, desk, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sharing.client._PIECE", 500)
    ids = [r.id for r in pool.rows("SELECT person_id::text AS id FROM core.person WHERE area_code LIKE '421022%' LIMIT 40")]
    listed, answers = tmp_path / "list.csv", tmp_path / "answers.ndjson"
    listed.write_text("ref,person_id\n" + "".join(f"row-{n},{p}\n" for n, p in enumerate(ids)), encoding="utf-8")
    seen = []
    begun = desk._post("/v1/compare-jobs", {"purpose": WATCH, "questions": ["insured"], "output": "ndjson"})
    job_id = begun["job_id"]
    piece = {"Content-Type": "text/csv", "Upload-Offset": "0", "Upload-Complete": "?0"}
    assert desk._answer("PUT", f"/v1/compare-jobs/{job_id}/input", data=listed.read_bytes()[:700], headers=piece).status_code == 202
    job = desk.compare_job(WATCH, listed, answers, job_id=job_id, on_state=seen.append)
    assert seen[0]["input_bytes"] == 700 and (job["job_id"], job["state"], job["rows_done"]) == (job_id, "done", len(ids))
    assert [json.loads(line)["ref"] for line in answers.read_text(encoding="utf-8").splitlines()] == [f"row-{n}" for n in range(len(ids))]
    partly = tmp_path / "again.ndjson.part"
    partly.write_bytes(answers.read_bytes()[:1000])
    desk.compare_job(WATCH, listed, tmp_path / "again.ndjson", job_id=job_id)
    assert (tmp_path / "again.ndjson").read_bytes() == answers.read_bytes() and not partly.exists()
    desk.forget(job_id)
    with pytest.raises(HubProblem, match="not-found"):
        desk.compare_job(WATCH, listed, answers, job_id=job_id)
