"""Comparisons as jobs: in whatever format they come and go, answered as the native comparison answers; durable, fair, written down, forgotten."""

import asyncio
import csv
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import polars as pl
import pytest
from cryptography.exceptions import InvalidTag

from hub.dates import CHINA
from hub.postgres import free_port
from hub.settings import CHECKOUT
from sharing import answer_file, compare_job, unusual
from sharing.applicants import Format
from sharing.limits import Limit
from sharing.sealed_parts import PartSeal
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_answers import NOBODY, REVIEW
from warehouse import clients, compare_jobs

pytestmark = pytest.mark.slow
NAMES = {"attributes": ["person.name", "person.area_code", "medical_insurance.enrolment_status"], "questions": ["insured", "at_school"]}
ASKED: dict[str, Any] = {"purpose": REVIEW, "consent": "SQ-2026-0001", **NAMES}
CSV, NDJSON, PARQUET = "text/csv", "application/x-ndjson", "application/vnd.apache.parquet"
COVERED = "area_code LIKE '421022%' AND birth_date <= (SELECT share.today()) - interval '14 years'"


@pytest.fixture
def desk(pool: Pool) -> Iterator[Asker]:
    """A client of its own, whose jobs are gone afterwards."""
    name = f"jobs-{uuid4().hex[:12]}"
    yield pool.asker(name, "civil_affairs")
    pool.run("DELETE FROM share.compare_job WHERE client_id = :c", c=name)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches small enough that a list of the test county has many."""
    monkeypatch.setattr(compare_job, "_BATCH", 50)


@pytest.fixture(scope="module")
def applicants(pool: Pool) -> list[dict[str, str]]:
    """Persons named in each way, some who are not there, some who are not the grant's."""
    rows = pool.rows(
        f"SELECT person_id::text AS id, resident_id, name, birth_date::text AS born FROM core.person WHERE {COVERED}"
        " AND resident_id IS NOT NULL AND name IS NOT NULL ORDER BY person_id LIMIT 240"
    )
    away = pool.rows("SELECT resident_id FROM core.person WHERE resident_id IS NOT NULL AND area_code NOT LIKE '421022%' LIMIT 5")
    named = [{"ref": f"n-{n}", "resident_id": r.resident_id} for n, r in enumerate(rows[:120])]
    named += [{"ref": f"i-{n}", "person_id": r.id} for n, r in enumerate(rows[120:200])]
    named += [{"ref": f"b-{n}", "name": r.name, "birth_date": r.born} for n, r in enumerate(rows[200:])]
    named += [{"ref": f"a-{n}", "resident_id": r.resident_id} for n, r in enumerate(away)]
    return [*named, {"ref": "x-1", "person_id": NOBODY}, {"ref": "x-2", "resident_id": "110101199003070003"}]


def begun(asker: Asker, **more: Any) -> str:
    answer = asker.post("/v1/compare-jobs", **{**ASKED, **more})
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "waiting_for_input"
    return str(answer.json()["job_id"])


def put(asker: Asker, job_id: str, body: bytes, media: str = NDJSON, **headers: str) -> Any:
    sent = {**asker.headers, "Content-Type": media, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return asker.http.put(f"/v1/compare-jobs/{job_id}/input", content=body, headers=sent)


def state(asker: Asker, job_id: str) -> dict[str, Any]:
    answer = asker.get(f"/v1/compare-jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def output(asker: Asker, job_id: str, **headers: str) -> Any:
    return asker.http.get(f"/v1/compare-jobs/{job_id}/output", headers={**asker.headers, **headers})


def until(asker: Asker, job_id: str, met: str | Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The job, once the service has brought it to a state by itself."""
    ends = time.monotonic() + 200
    while True:
        job = state(asker, job_id)
        if job["state"] == met if isinstance(met, str) else met(job):
            return job
        assert time.monotonic() < ends, job


def ended(job: dict[str, Any]) -> bool:
    return job["state"] in ("done", "failed", "cancelled")


def done(asker: Asker, rows: bytes, media: str = NDJSON, **more: Any) -> tuple[dict[str, Any], bytes]:
    """A job from its list to its answers."""
    job_id = begun(asker, **more)
    answer = put(asker, job_id, rows, media)
    assert answer.status_code == 202, answer.text
    job = until(asker, job_id, ended)
    assert job["state"] == "done", job
    found = output(asker, job_id)
    assert found.status_code == 200, found.text
    return job, found.content


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(r) + b"\n" for r in rows)


def table(rows: list[dict[str, Any]], charset: str = "utf-8") -> bytes:
    held = io.StringIO()
    writer = csv.DictWriter(held, ["ref", "resident_id", "name", "birth_date", "person_id"])
    writer.writeheader()
    writer.writerows(rows)
    return held.getvalue().encode(charset)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    held = io.BytesIO()
    frame = pl.DataFrame(rows, schema=dict.fromkeys(["ref", "resident_id", "name", "birth_date", "person_id"], pl.String))
    frame.with_columns(pl.col("birth_date").str.to_date()).write_parquet(held, row_group_size=64)
    return held.getvalue()


def native(asker: Asker, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the native questions answer of the same rows, by ref."""
    found = {}
    for way in ("resident_id", "person_id"):
        asked = [{k: r[k] for k in ("ref", way)} for r in rows if way in r]
        answer = asker.post("/v1/persons/compare", **ASKED, applicants=asked).json()
        found |= {r["ref"]: r for r in answer["results"]}
    for row in rows:
        if "name" in row:
            one = asker.post("/v1/persons/lookup", **ASKED, name=row["name"], birth_date=row["birth_date"])
            is_told = one.status_code == 200 and one.json()["person_id"] is not None
            status = "told" if is_told else "not_available" if one.status_code == 404 else "ambiguous"
            body = one.json() if is_told else {"person_id": None, "values": [], "answers": []}
            found[row["ref"]] = {"status": status, **{k: body[k] for k in ("person_id", "values", "answers")}}
    return found


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return {k: answer[k] for k in ("status", "person_id", "values", "answers")}


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def flat(answer: dict[str, Any]) -> dict[str, Any]:
    """What a table says of a native answer: the texts of each attribute and question."""
    values = {
        a: [as_text(v["value"]) for v in answer["values"] if v["attribute"] == a and v["value"] is not None] for a in NAMES["attributes"]
    }
    return {
        "status": answer["status"],
        "person_id": answer["person_id"],
        **values,
        **{v["question"]: [v["answer"]] for v in answer["answers"]},
    }


@pytest.mark.parametrize(("media", "written"), [(CSV, table), (NDJSON, lines), (PARQUET, parquet)])
@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_every_format_gives_the_answers_of_the_native_comparison(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], media: str, written: Callable[..., bytes], form: str
) -> None:
    expected = native(desk, applicants)
    assert {"told", "not_available"} <= {a["status"] for a in expected.values()}
    job, body = done(desk, written(applicants), media, output=form)
    counts = {s: sum(a["status"] == s for a in expected.values()) for s in ("told", "not_available", "ambiguous")}
    assert {s: job[s] for s in counts} == counts and (job["malformed"], job["rows"], job["rows_done"]) == (0, len(expected), len(expected))
    if form == "ndjson":
        found = [orjson.loads(line) for line in body.splitlines()]
        assert {a["ref"]: told(a) for a in found} == {ref: told(a) for ref, a in expected.items()}
    else:
        if form == "csv":
            assert body.startswith(b"\xef\xbb\xbf")
            found = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
            read: Callable[[Any], list[str]] = lambda cell: cell.split("; ") if cell else []
        else:
            found = pl.read_parquet(io.BytesIO(body)).to_dicts()
            read = lambda cell: cell or []
        for row in found:
            wanted = flat(expected[row["ref"]])
            assert (row["status"], row["person_id"] or None) == (wanted["status"], wanted["person_id"])
            for name in (*NAMES["attributes"], *NAMES["questions"]):
                assert read(row[name]) == wanted.get(name, []), name
    assert [int(a["row"]) for a in found] == list(range(1, len(applicants) + 1)), "the order of the list"
    assert [a["ref"] for a in found] == [a["ref"] for a in applicants]
    assert {str(a["night"]) for a in found} == {str(pool.rows("SELECT share.today()")[0][0])}


def test_a_row_that_cannot_be_read_keeps_its_place_and_stops_nobody(pool: Pool, desk: Asker, applicants: list[dict[str, str]]) -> None:
    sound = applicants[0]["resident_id"].encode()
    rows = [
        b'{"ref":"a","resident_id":"' + sound + b'"}', b"{not json", b'["a"]', b'{"resident_id":"x"}', b'{"person_id":"7"}',
        b'{"name":"\\u738b","birth_date":"2001-02-30"}', b'{"ref":"a b","resident_id":"' + sound + b'"}', b"{}",
        b'{"resident_id":"' + sound + b'","person_id":"' + NOBODY.encode() + b'"}', b'{"resident_id":"' + sound + b'","phone":"1"}',
        b'{"resident_id":' + sound[:17] + b"}", b'{"ref":"' + b"x" * 100_000 + b'"}', b'{"resident_id":"\\u0000\\u0000\\u0000\\u0000"}', b"\xff\xfe{}",
        b"[" * 5000, b'{"ref":"z","resident_id":"' + sound + b'"}',
    ]  # fmt: skip
    before = pool.entries()
    job, body = done(desk, b"\n\n".join(rows))
    found = [orjson.loads(line) for line in body.splitlines()]
    assert [a["status"] for a in found] == ["told", *["malformed"] * 14, "told"]
    assert [a["fault"] for a in found[1:-1]] == [
        "json", "json", "resident_id", "person_id", "birth_date", "ref", "not_named_once", "not_named_once", "columns", "resident_id", "too_long",
        "resident_id", "json", "json",
    ]  # fmt: skip
    assert (job["malformed"], job["rows_done"]) == (14, 16) and [a["row"] for a in found] == list(range(1, 17))
    assert pool.entries() == before + 2, "nobody was named, nothing is written down"
    assert all(a["receipt"] is None and a["person_id"] is None for a in found[1:-1])


def test_a_table_may_be_of_another_charset_and_its_bad_rows_keep_their_places(desk: Asker, applicants: list[dict[str, str]]) -> None:
    named = [a for a in applicants if "name" in a][:3]
    number = applicants[0]["resident_id"]
    for body, media in (
        (table(named, "gb18030"), "text/csv; charset=GB18030"), (table(named, "gbk"), 'text/csv;charset="gb2312"'),
        (table(named, "utf-8-sig"), CSV), (table(named).replace(b"\r\n", b"\n"), "text/csv; charset=utf-8; header=present"),
    ):  # fmt: skip
        answers = [orjson.loads(line) for line in done(desk, body, media)[1].splitlines()]
        assert [a["ref"] for a in answers] == [a["ref"] for a in named] and all(a["status"] != "malformed" for a in answers)
    bad = (
        f'Ref , RESIDENT_ID\na,{number}\n\nb\nc,{number},d\n"e,{number}\nf'.encode()
        + b'",'
        + number.encode()
        + b"\n\xff,1234\n"
        + b"g,"
        + b"9" * 200_000
        + b"\n=h,1\n"
    )
    answers = [orjson.loads(line) for line in done(desk, bad, CSV)[1].splitlines()]
    assert [(a["status"], a["fault"]) for a in answers] == [
        ("told", None), ("malformed", "columns"), ("malformed", "columns"), ("malformed", "ref"), ("malformed", "encoding"), ("malformed", "columns"),
        ("malformed", "ref"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "media", "pointer"),
    [
        (b"ref,resident_id,phone\na,1234,5\n", CSV, "input/column/3"), (b"421022199003070003\n421022199003070011\n", CSV, "input/column/1"),
        (b"ref,name\na,b\n", CSV, "input/column"), (b"resident_id,resident_id\n", CSV, "input/column/2"), (b"", CSV, "input/column"),
        (b"PAR1 is not enough PAR1", PARQUET, "input"),
    ],
)  # fmt: skip
def test_a_list_with_other_columns_is_refused_with_the_place_and_no_value(desk: Asker, body: bytes, media: str, pointer: str) -> None:
    job_id = begun(desk)
    answer = put(desk, job_id, body, media)
    assert (answer.status_code, answer.json()["code"]) == (400, "input-unreadable")
    assert answer.json()["errors"][0]["pointer"] == pointer and b"4210221990" not in answer.content
    assert put(desk, job_id, b"resident_id\n1234567\n", CSV).status_code == 202, "a better one is taken"
    assert until(desk, job_id, "done")["not_available"] == 1


def test_what_is_none_of_the_three_is_not_taken(desk: Asker) -> None:
    for media in ("application/json", "text/csv; charset=latin-1", "application/x-ndjson; charset=gbk", ""):
        answer = put(desk, begun(desk), b"x", media)
        assert (answer.status_code, answer.json()["code"]) == (415, "media-not-supported")
        desk.http.delete(f"/v1/compare-jobs/{desk.get('/v1/compare-jobs').json()['jobs'][-1]['job_id']}", headers=desk.headers)


def test_an_upload_that_broke_off_goes_on_where_it_stands(desk: Asker, applicants: list[dict[str, str]]) -> None:
    body = table(applicants)
    digest = f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"
    job_id = begun(desk)
    for start, end in ((0, 100), (100, 1_500), (1_500, 1_501)):
        answer = put(desk, job_id, body[start:end], CSV, Upload_Offset=str(start), Upload_Complete="?0")
        assert (answer.status_code, answer.json()["input_bytes"], answer.json()["state"]) == (202, end, "waiting_for_input")
    for offset in ("0", "1500", "9999"):
        assert put(desk, job_id, body[1_501:], CSV, Upload_Offset=offset).json()["code"] == "upload-offset"
    assert put(desk, job_id, body[1_501:], NDJSON, Upload_Offset="1501").json()["code"] == "upload-offset"
    assert put(desk, job_id, body[1_502:], CSV, Upload_Offset="1501", Repr_Digest=digest).json()["code"] == "digest-mismatch"
    assert put(desk, job_id, body, CSV, Repr_Digest=digest).status_code == 202, "without an offset it begins anew"
    assert until(desk, job_id, "done")["rows_done"] == len(applicants)
    assert put(desk, job_id, body, CSV).json()["code"] == "job-not-waiting"


def test_its_output_cannot_be_read_before_its_entries_are_written_down(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, before, seen = begun(desk), pool.entries(), []
    real = compare_job.compare_jobs.advance

    async def watched(connection: Any, *arguments: Any) -> bool:
        moved = await real(connection, *arguments)
        # In the midst of the transaction: neither entries nor answers are there for anybody else.
        seen.append(
            await asyncio.to_thread(
                lambda: (pool.entries() - before, state(desk, job_id)["rows_done"], output(desk, job_id).json()["code"])
            )
        )
        return moved

    monkeypatch.setattr(compare_job.compare_jobs, "advance", watched)
    assert put(desk, job_id, lines(applicants)).status_code == 202
    assert until(desk, job_id, "done")["rows_done"] == len(applicants)
    assert seen == [(n, n, "job-not-done") for n in range(0, len(applicants), 50)]
    answers = [orjson.loads(line) for line in output(desk, job_id).content.splitlines()]
    assert pool.entries() == before + len(answers)
    receipt = desk.get(f"/v1/receipts/{answers[0]['receipt']['receipt_id']}").json()
    body = orjson.loads(receipt["body"])
    assert (body["decision"], body["asked"], body["purpose"], body["told"]["person.name"]) == ("told", "compare_job", REVIEW, "clear")
    assert {a["receipt"]["receipt_id"] for a in answers} == {
        str(r[0]) for r in pool.rows("SELECT entry_id FROM audit.entry WHERE leaf_index >= :b", b=before)
    }


def test_while_the_log_cannot_be_written_the_job_waits_and_tells_nothing(
    pool: Pool, desk: Asker, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = begun(desk)
    monkeypatch.setattr(compare_job, "_AWAY_S", 1)
    pool.run("ALTER TABLE audit.entry ADD CONSTRAINT closed CHECK (leaf_index < 0) NOT VALID")
    try:
        assert put(desk, job_id, lines(applicants)).status_code == 202
        until(desk, job_id, lambda job: job["paused_until"] is not None)
        assert state(desk, job_id)["rows_done"] == 0 and output(desk, job_id).json()["code"] == "job-not-done"
    finally:
        pool.run("ALTER TABLE audit.entry DROP CONSTRAINT closed")
    assert until(desk, job_id, "done")["rows_done"] == len(applicants)


_UNHURRIED = """
import asyncio
from sharing import compare_job
from sharing.__main__ import main

advance, compare_job._BATCH = compare_job.compare_jobs.advance, 60

async def unhurried(*arguments):
    moved = await advance(*arguments)
    await asyncio.sleep(0.3)  # the killer finds it between two batches or in the midst of one
    return moved

compare_job.compare_jobs.advance = unhurried
main()
"""


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_a_service_that_is_killed_again_and_again_goes_on_and_answers_no_row_twice(
    pool: Pool, desk: Asker, applicants: list[dict[str, str]], form: str
) -> None:
    """The service of the tests works it off undisturbed; then services of their own processes, each killed after some batches."""
    many = [{**a, "ref": f"{a['ref']}-{n}"} for n in range(6) for a in applicants]
    job, undisturbed = done(desk, lines(many), output=form)
    environment = {**os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": pool.settings.database_url.get_secret_value()}  # type: ignore[union-attr]
    before = pool.entries()
    with held_back():
        job_id = begun(desk, output=form)
        assert put(desk, job_id, lines(many)).status_code == 202
        kills = reached = 0
        while not ended(state(desk, job_id)):
            port = free_port()
            child = subprocess.Popen([sys.executable, "-c", _UNHURRIED], env={**environment, "HUB_SHARING_PORT": str(port)}, cwd=CHECKOUT)
            ends = time.monotonic() + 200
            while not ended(found := state(desk, job_id)) and not (kills < 4 and found["rows_done"] > reached):
                assert time.monotonic() < ends, found
            child.send_signal(signal.SIGKILL)
            child.wait(20)
            kills, reached = kills + 1, int(found["rows_done"])
    assert kills >= 3 and state(desk, job_id)["state"] == "done"

    def read(body: bytes) -> list[dict[str, Any]]:
        rows = [orjson.loads(line) for line in body.splitlines()] if form == "ndjson" else pl.read_parquet(io.BytesIO(body)).to_dicts()
        return [{k: v for k, v in r.items() if k not in ("receipt", "receipt_id")} for r in rows]

    assert read(output(desk, job_id).content) == read(undisturbed)
    assert pool.entries() == before + len(many), "each row is in the log once"


@contextmanager
def held_back() -> Iterator[None]:
    """The tests' own service finds no job to work on meanwhile; those of other processes do."""

    async def none(_asking: Any) -> list[Any]:
        return []

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compare_job.compare_jobs, "due", none)
        yield


def test_a_client_revoked_in_the_midst_is_told_nothing_more(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, _ = done(desk, lines(applicants[:10]))
    job_id, before = begun(desk), pool.entries()
    ledger, batches = pool.http.app.state.service.ledger, []  # type: ignore[attr-defined]
    real = ledger.commit_with

    async def revoking(*arguments: Any) -> Any:
        batches.append(1)
        if len(batches) == 3:
            await asyncio.to_thread(revoke, pool, desk.client_id)
        return await real(*arguments)

    monkeypatch.setattr(ledger, "commit_with", revoking)
    assert put(desk, job_id, lines(applicants)).status_code == 202
    job = until(desk, job_id, ended)
    assert (job["state"], job["problem"]["code"], job["rows_done"]) == ("failed", "client-revoked", 100)
    assert pool.entries() == before + 100
    assert output(desk, job_id).json()["code"] == "job-not-done"
    assert pool.rows("SELECT count(*) FROM share.compare_part WHERE job_id = CAST(:j AS uuid)", j=job_id)[0][0] == 0
    assert output(desk, finished["job_id"]).json()["code"] == "client-revoked", "nor what was answered before"
    assert desk.post("/v1/compare-jobs", **ASKED).json()["code"] == "client-revoked"


def revoke(pool: Pool, client_id: str) -> None:
    with pool.engine.begin() as connection:
        clients.revoke(connection, client_id)


def test_a_job_ends_where_the_policy_tells_otherwise_than_when_it_was_handed_in(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, _ = done(desk, lines(applicants[:10]))
    job_id = begun(desk)
    (grant,) = [g for g in pool.http.app.state.service.moment.policy.grants if g.name == f"civil_affairs__{REVIEW}"]  # type: ignore[attr-defined]
    real, batches = compare_job._found, []

    async def changing(*arguments: Any) -> Any:
        batches.append(1)
        if len(batches) == 2:
            monkeypatch.setitem(grant.attributes, "person.name", "refused")
        return await real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(compare_job, "_found", changing)
        assert put(desk, job_id, lines(applicants)).status_code == 202
        job = until(desk, job_id, ended)
    assert (job["state"], job["problem"]["code"]) == ("failed", "policy-changed") and job["rows_done"] <= 100
    assert output(desk, finished["job_id"]).json()["code"] == "policy-changed"
    (last,) = pool.rows("SELECT decision, subject FROM audit.entry ORDER BY leaf_index DESC LIMIT 1")
    assert (last.decision, last.subject) == ("policy_changed", None)


def test_it_needs_a_right_of_its_own_and_stays_within_its_bound(
    pool: Pool, desk: Asker, town: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = town.post("/v1/compare-jobs", purpose="certificate_check", questions=["insured"])
    assert (refused.status_code, refused.json()["code"]) == (403, "compare-job-not-granted")
    (grant,) = [g for g in pool.http.app.state.service.moment.policy.grants if g.name == f"civil_affairs__{REVIEW}"]  # type: ignore[attr-defined]
    shown = {p["purpose"]: p["compare_job"] for p in desk.get("/v1/catalogue").json()["purposes"]}
    assert shown[REVIEW] == grant.compare_job
    job_id = begun(desk)
    monkeypatch.setitem(grant.__dict__, "compare_job", 3)
    assert put(desk, job_id, b"resident_id\n1234567\n1234568\n1234569\n1234567\n", CSV).json()["code"] == "too-large"
    assert put(desk, job_id, b"resident_id\r1234567\r1234568\r1234569\r1234567\r", CSV).status_code == 202, "its lines do not show how many"
    assert until(desk, job_id, ended)["problem"]["code"] == "too-large"
    monkeypatch.setitem(grant.__dict__, "lookup", ("person_id",))
    job_id = begun(desk)
    assert put(desk, job_id, b"resident_id\n1234567\n", CSV).status_code == 202
    assert until(desk, job_id, ended)["problem"]["code"] == "lookup-not-granted"


def test_only_a_list_may_be_larger_than_other_bodies_and_it_is_bounded_too(
    pool: Pool, desk: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = b'{"ref":"' + b"x" * 60 + b'","resident_id":"1234567"}\n'
    body = row * (5_000_000 // len(row))
    job_id = begun(desk)
    assert put(desk, job_id, body, NDJSON, Upload_Complete="?0").json()["input_bytes"] == len(body) > 4 << 20
    assert pool.rows("SELECT count(*) FROM share.compare_part WHERE job_id = CAST(:j AS uuid)", j=job_id)[0][0] == 5
    monkeypatch.setitem(pool.settings.__dict__, "sharing_job_megabytes", 4)
    answer = put(desk, job_id, body)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    for path in (f"/v1/compare-jobs/{job_id}", "/v1/compare-jobs"):
        assert desk.http.post(path, content=body, headers=desk.headers).status_code in (405, 413)


def test_lists_and_answers_are_kept_sealed(pool: Pool, desk: Asker, applicants: list[dict[str, str]]) -> None:
    job_id = begun(desk)
    with held_back():
        put(desk, job_id, lines(applicants))
        kept = pool.rows("SELECT kind, sealed FROM share.compare_part WHERE job_id = CAST(:j AS uuid)", j=job_id)
    assert until(desk, job_id, "done")
    kept += pool.rows("SELECT kind, sealed FROM share.compare_part WHERE job_id = CAST(:j AS uuid)", j=job_id)
    assert {k.kind for k in kept} == {"input", "answers"}
    for part in kept:
        assert not any(a["resident_id"].encode() in bytes(part.sealed) for a in applicants if "resident_id" in a)
    with pytest.raises(InvalidTag):
        PartSeal(pool.settings).open(job_id, "answers", 1, bytes(kept[-1].sealed))
    assert PartSeal(pool.settings).open(job_id, "answers", 0, bytes(kept[-1].sealed)) == output(desk, job_id).content
    assert [
        k for k in pool.rows("SELECT kind FROM share.compare_part WHERE job_id = CAST(:j AS uuid)", j=job_id) if k.kind == "input"
    ] == []


def test_a_job_is_its_clients_alone_and_there_are_few(pool: Pool, desk: Asker, civil: Asker) -> None:
    job_id = begun(desk)
    for answer in (
        civil.get(f"/v1/compare-jobs/{job_id}"), put(civil, job_id, b"x"), output(civil, job_id),
        civil.http.delete(f"/v1/compare-jobs/{job_id}", headers=civil.headers), civil.get(f"/v1/compare-jobs/{NOBODY}"),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert job_id not in [j["job_id"] for j in civil.get("/v1/compare-jobs").json()["jobs"]]
    for _ in range(9):
        begun(desk)
    assert desk.post("/v1/compare-jobs", **ASKED).json()["code"] == "too-large"
    assert desk.http.delete(f"/v1/compare-jobs/{job_id}", headers=desk.headers).status_code == 204
    assert desk.get(f"/v1/compare-jobs/{job_id}").status_code == 404 and len(desk.get("/v1/compare-jobs").json()["jobs"]) == 9


def test_a_job_that_is_deleted_or_cancelled_in_the_midst_stops(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compare_job._found

    def cancelled(job_id: str) -> None:
        with pool.engine.begin() as connection:
            compare_jobs.cancel(connection, job_id)

    def deleted(job_id: str) -> None:
        assert desk.http.delete(f"/v1/compare-jobs/{job_id}", headers=desk.headers).status_code == 204

    def stopping(stop: Callable[[str], None], job_id: str) -> Callable[..., Any]:
        batches: list[int] = []

        async def found(*arguments: Any) -> Any:
            batches.append(1)
            if len(batches) == 3:
                await asyncio.to_thread(stop, job_id)
            return await real(*arguments)

        return found

    for stop in (cancelled, deleted):
        job_id, before = begun(desk), pool.entries()
        monkeypatch.setattr(compare_job, "_found", stopping(stop, job_id))
        assert put(desk, job_id, lines(applicants)).status_code == 202
        if stop is cancelled:
            job = until(desk, job_id, ended)
            assert job["state"] == "cancelled" and output(desk, job_id).json()["code"] == "job-not-done"
        _, body = done(desk, lines(applicants[:3]))  # the same client's next waits for the end of this one
        assert len(body.splitlines()) == 3 and pool.entries() <= before + 100 + 3
        assert pool.rows("SELECT count(*) FROM share.compare_part WHERE job_id = CAST(:j AS uuid)", j=job_id)[0][0] == 0


def test_what_is_over_is_forgotten(pool: Pool, desk: Asker, applicants: list[dict[str, str]]) -> None:
    job, _ = done(desk, lines(applicants[:3]))
    waiting = begun(desk)
    pool.run("UPDATE share.compare_job SET expires_at = now() - interval '1 second' WHERE client_id = :c", c=desk.client_id)
    for job_id in (job["job_id"], waiting):
        assert desk.get(f"/v1/compare-jobs/{job_id}").status_code == output(desk, job_id).status_code == 404
    worker = pool.http.app.state.worker  # type: ignore[attr-defined]
    pool.http.portal.call(worker.turn)  # type: ignore[union-attr]
    for found in ("share.compare_job", "share.compare_part JOIN share.compare_job USING (job_id)"):
        assert pool.rows(f"SELECT count(*) FROM {found} WHERE client_id = :c", c=desk.client_id)[0][0] == 0


def test_answers_are_fetched_from_any_byte_on(desk: Asker, patience: None, applicants: list[dict[str, str]]) -> None:
    job, body = done(desk, lines(applicants))
    size, whole = len(body), output(desk, job["job_id"])
    assert (whole.headers["content-length"], whole.headers["accept-ranges"], job["output_bytes"]) == (str(size), "bytes", size)
    mark = whole.headers["etag"]
    assert output(desk, job["job_id"], **{"If-None-Match": mark}).status_code == 304
    for asked, first, last in (
        ("bytes=0-0", 0, 0),
        (f"bytes={size // 2}-", size // 2, size - 1),
        ("bytes=-7", size - 7, size - 1),
        ("bytes=5-99999999", 5, size - 1),
    ):
        part = output(desk, job["job_id"], Range=asked)
        assert (part.status_code, part.headers["content-range"]) == (206, f"bytes {first}-{last}/{size}") and part.content == body[
            first : last + 1
        ]
    assert output(desk, job["job_id"], Range=f"bytes={size}-").json()["code"] == "range-not-satisfiable"
    for asked in ("bytes=-", "lines=1-2", "bytes=1-2,4-5"):
        assert output(desk, job["job_id"], Range=asked).status_code == 200
    assert output(desk, job["job_id"], **{"Range": "bytes=5-", "If-Range": '"another"'}).content == body


def test_the_same_request_again_makes_no_second_job(desk: Asker) -> None:
    key = {**desk.headers, "Idempotency-Key": f'"{uuid4()}"'}
    first, second = (desk.http.post("/v1/compare-jobs", json=ASKED, headers=key) for _ in range(2))
    assert first.json() == second.json() and len(desk.get("/v1/compare-jobs").json()["jobs"]) == 1


def test_a_list_of_nobody_is_let_wait_and_one_with_some_who_are_not_there_is_not(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = pool.http.app.state.service  # type: ignore[attr-defined]
    monkeypatch.setattr(service, "misses", Limit(1, 3600))
    nobody = [{"resident_id": f"{n:07d}"} for n in range(200)]
    done(desk, lines([*applicants, *nobody[:40]]))
    job_id = begun(desk)
    assert put(desk, job_id, lines(nobody)).status_code == 202
    job = until(desk, job_id, lambda j: j["paused_until"] is not None)
    assert job["state"] == "running" and 0 < job["rows_done"] < 200
    person = next(a["person_id"] for a in applicants if "person_id" in a)
    assert desk.person(person, REVIEW, "insured", consent=ASKED["consent"]).json()["code"] == "too-many-misses", (
        "guessing by a job is guessing"
    )


def test_a_days_fishing_is_held_up_for_somebody_to_look_at(pool: Pool, desk: Asker, applicants: list[dict[str, str]]) -> None:
    done(desk, lines([{"resident_id": f"{n:07d}"} for n in range(60)]))
    with pool.engine.connect() as connection:
        met = {u.rule for u in unusual.found(connection, pool.settings, datetime.now(CHINA).date()) if u.client_id == desk.client_id}
    assert "misses" in met


def test_jobs_of_several_clients_take_turns(
    pool: Pool, desk: Asker, civil: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_job, "_TURN_S", 0.0)
    order, names, real = [], {}, compare_job.compare_jobs.advance

    async def noted(connection: Any, job_id: str, *rest: Any) -> bool:
        order.append(names[job_id])
        return await real(connection, job_id, *rest)

    monkeypatch.setattr(compare_job.compare_jobs, "advance", noted)
    with held_back():
        for asker, letter in ((desk, "a"), (desk, "b"), (civil, "c")):
            names[begun(asker)] = letter
        for asker, job_id in zip((desk, desk, civil), names, strict=True):
            assert put(asker, job_id, lines(applicants[:150])).status_code == 202
    first, second, other = names
    for asker, job_id in ((civil, other), (desk, second)):
        until(asker, job_id, "done")
    assert "".join(order) == "acacacbbb", "those of one client one after the other, those of several in turn"
    pool.run("DELETE FROM share.compare_job WHERE client_id = :c", c=civil.client_id)


def test_a_batch_over_which_the_pool_was_published_is_read_again(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise some of its rows would be of a later night than they say."""
    real, read = compare_job._found, []

    async def published(question: Any, batch: Any, keys: Any) -> Any:
        found = await real(question, batch, keys)
        read.append(batch[0].row)
        if len(read) == 2:
            await asyncio.to_thread(pool.run, "UPDATE ops.publication SET number = number + 1")
        return found

    monkeypatch.setattr(compare_job, "_found", published)
    job, body = done(desk, lines(applicants[:150]))
    assert read == [1, 51, 51, 101] and job["rows_done"] == 150 == len(body.splitlines())


def test_no_cell_of_a_table_is_a_formula() -> None:
    answer = {
        "row": 1, "ref": "-x", "status": "told", "fault": None, "person_id": NOBODY, "night": "2026-03-05", "receipt": None, "answers": [],
        "values": [{"attribute": "person.name", "value": "=cmd|x", "source": "pool", "as_of_date": "2026-03-05", "is_stale": False}],
    }  # fmt: skip
    names = answer_file.columns(["person.name"], ["pool"])
    (row,) = csv.DictReader(io.StringIO(answer_file.part(Format.CSV, [answer], names, is_first=True).decode("utf-8-sig")))
    assert (row["person.name"], row["ref"]) == ("'=cmd|x", "'-x")


def test_a_list_without_rows_has_answers_without_rows(desk: Asker) -> None:
    assert done(desk, b"")[1] == b""
    assert done(desk, b"resident_id\n", CSV, output="csv")[1].decode("utf-8-sig").startswith("row,ref,status")
    assert pl.read_parquet(io.BytesIO(done(desk, parquet([]), PARQUET, output="parquet")[1])).height == 0


def test_the_operator_sees_how_far_jobs_are_and_stops_one(pool: Pool, desk: Asker) -> None:
    job_id = begun(desk)
    environment = {**os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": pool.settings.database_url.get_secret_value()}  # type: ignore[union-attr]

    def hub(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(Path(sys.executable).with_name("hub")), "job", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=CHECKOUT,
        )

    listed = orjson.loads(hub("list", "--json").stdout)
    assert [(j["state"], j["purpose"]) for j in listed if j["job_id"] == job_id] == [("waiting_for_input", REVIEW)]
    assert job_id in hub("list").stdout
    assert hub("cancel", job_id).returncode == 0 and state(desk, job_id)["state"] == "cancelled"
    again = hub("cancel", job_id)
    assert again.returncode != 0 and "cancelled" in again.stderr
    assert put(desk, job_id, b"x").json()["code"] == "job-not-waiting"
    assert hub("cancel", NOBODY).returncode != 0


def test_a_database_that_breaks_off_in_the_midst_lets_the_job_wait_and_go_on(
    pool: Pool, desk: Asker, patience: None, applicants: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, undisturbed = done(desk, lines(applicants), output="csv")
    monkeypatch.setattr(compare_job, "_AWAY_S", 1)
    real, read = compare_job._found, []
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'hub sharing' AND datname = current_database()"

    async def cutting(*arguments: Any) -> Any:
        read.append(1)
        if len(read) in (2, 4):
            await asyncio.to_thread(pool.rows, cut)
        return await real(*arguments)

    monkeypatch.setattr(compare_job, "_found", cutting)
    before, job_id = pool.entries(), begun(desk, output="csv")
    assert put(desk, job_id, lines(applicants)).status_code == 202

    def is_over(job: dict[str, Any]) -> bool:
        return job["state"] in ("done", "failed")

    ends = time.monotonic() + 200
    while not ((answer := desk.get(f"/v1/compare-jobs/{job_id}")).status_code == 200 and is_over(answer.json())):
        assert time.monotonic() < ends, answer.text
    assert (answer.json()["state"], answer.json()["rows_done"]) == ("done", len(applicants)) and len(read) > 4
    assert pool.entries() == before + len(applicants), "each row is in the log once"
    told = [[c for c in row.items() if c[0] != "receipt_id"] for row in csv.DictReader(io.StringIO(output(desk, job_id).text))]
    assert told == [[c for c in row.items() if c[0] != "receipt_id"] for row in csv.DictReader(io.StringIO(undisturbed.decode()))]
