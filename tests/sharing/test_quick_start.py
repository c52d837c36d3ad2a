"""The pages are true: their own commands, as they stand there and in their order, lead from credentials to answers."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from hub.settings import CHECKOUT
from tests.sharing.test_answers import WATCH, a_person
from tests.sharing.witness import witness

pytestmark = pytest.mark.slow
GUIDE = (CHECKOUT / "docs" / "sharing.md").read_text(encoding="utf-8")
START, _, REST = GUIDE.partition("## Quick start")[2].partition("\n## ")
# What is answered by a problem ends the run, as it does not for somebody who types along.
STRICT = 'curl() { command curl --fail-with-body "$@"; }\n'


def blocks(text, language="sh"):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(script, folder, variables):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", STRICT + script], cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    answers = "\n".join(p.read_text(encoding="utf-8")[:300] for p in sorted(folder.glob("*.json"), key=lambda p: p.stat().st_mtime)[-1:])
    assert done.returncode == 0, f"{done.stderr[-2000:]}\n{answers if 'request_id' in answers else ''}"
    return done.stdout


@pytest.fixture
def pages_client(pool):
    """The client the pages make, which is gone afterwards, as the other one is."""
    yield "my-desk"
    pool.run(
        "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor) SELECT dispute_id, 'withdrawn', current_date, 'test' FROM share.disputed"
    )
    for table in ("consent", "client_secret", "client"):
        pool.run(f"DELETE FROM share.{table} WHERE client_id = 'our-desk'")
    for table in ("recall", "subscription", "export", "compare_job", "emergency", "answered", "client_secret", "client"):
        pool.run(f"DELETE FROM share.{table} WHERE client_id = 'my-desk'")


def test_the_guides_own_commands_lead_from_credentials_to_every_kind_of_answer(pool, address, tmp_path, pages_client):
    url, environment = address
    row = a_person(pool)
    shell, example = "\n".join(blocks(START)), "\n".join(blocks(START, "python"))
    assert shell.count("curl") >= 5 and "requests.post" in example
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    variables = {**environment, "HUB": url, "RESIDENT_ID": row.resident_id, "CHECKOUT": str(CHECKOUT)}
    said = run(
        f"{shell}\nexport ID SECRET\npython3 example.py\ndeclare -p TOKEN PERSON > kept.sh\ndeclare -f of >> kept.sh", tmp_path, variables
    )
    assert "verified" in said and re.search(r"^(yes|no|unknown) [0-9a-f-]{36}$", said, re.MULTILINE)

    def answer(name):
        return json.loads((tmp_path / name).read_text(encoding="utf-8"))

    told = answer("answer.json")
    assert told["person_id"] == row.id and row.resident_id not in str(told) and row.name not in str(told)

    pool.run(
        "INSERT INTO share.recall (leaf_index, receipt_id, told_at, department, client_id, purpose, person_id, persons, changed, cause, stands, publication)"
        " VALUES (:leaf, CAST(:receipt AS uuid), now(), 'civil_affairs', :client, :purpose, CAST(:person AS uuid), ARRAY[CAST(:person AS uuid)], '{?insured}',"
        " 'corrected', false, 1)",
        leaf=told["receipt"]["leaf_index"], receipt=told["receipt"]["receipt_id"], client=pages_client, purpose=WATCH, person=row.id,
    )  # fmt: skip
    asked = [block for block in blocks(REST) if "curl" in block]
    assert len(asked) >= 8 and "curl" not in "".join(re.findall(r"^```\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)), "each is run"
    with pytest.raises(AssertionError, match="not-found"):  # a command that is answered by a problem does not pass
        run('curl -s "$HUB/v1/nothing" > nothing.json', tmp_path, variables)
    run("source kept.sh\n" + "\n".join(asked), tmp_path, variables)
    assert answer("emergency.json")["purpose"] == "emergency_rescue" and answer("found.json")["values"][0]["value"] == row.phone
    assert answer("named.json")["person_id"] == answer("then.json")["person_id"] == row.id
    assert (
        answer("values.json")["told"]["answers"][0]["question"] == "insured" and answer("acknowledged.json")["acknowledged_by"] == "my-desk"
    )
    assert '"type":"person"' in Path(tmp_path / "all.ndjson").read_text() and answer("end.json")["type"] == "end"
    assert answer("dispute.json")["disputes"][0]["state"] == "open" and len(answer("disputes.json")["disputes"]) == 1
    assert "disputed" not in answer("phone.json")["values"][0] and "due" in answer("marked.json")["values"][0]["disputed"]
    assert answer("consent.json")["withdrawn_at"] is None and answer("withdrawn.json")["withdrawn_at"]
    assert answer("job.json")["state"] == "done" and "row-1" in (tmp_path / "answers.csv").read_text(encoding="utf-8")
    assert answer("subscription.json")["kind"] == "person" and answer("notices.json")["notices"] == []


def test_a_dci_program_gets_from_registration_to_an_answer_by_the_pages_own_commands(pool, address, tmp_path):
    url, environment = address
    row = a_person(pool)
    start = (CHECKOUT / "docs" / "dci.md").read_text(encoding="utf-8").split("## Quick start")[1].split("\n## ")[0]
    run("\n".join(blocks(start)), tmp_path, {**environment, "HUB": url, "RESIDENT_ID": row.resident_id})
    answer = (tmp_path / "answer.json").read_text(encoding="utf-8")
    witness.passed("POST", "/registry/sync/search", (tmp_path / "body.json").read_bytes(), 200, answer.encode())
    assert '"status":"succ"' in answer and row.id in answer and row.resident_id not in answer
