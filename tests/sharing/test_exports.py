"""Exports: everybody the grant covers, later what changed; a right of its own, receipts before lines, and a copy tells whose it is."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest

from sharing import export, watermark
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_answers import NOBODY, REVIEW, WATCH
from warehouse import clients

pytestmark = pytest.mark.slow
NAMES = {"attributes": ["person.name", "person.phone", "household.size"], "questions": ["insured"]}
COVERED = "area_code LIKE '421022%' AND birth_date <= (SELECT share.today()) - interval '14 years'"


@pytest.fixture
def exporter(pool: Pool) -> Iterator[Asker]:
    """A client of its own, whose exports are gone afterwards."""
    name = f"export-{uuid4().hex[:12]}"
    yield pool.asker(name, "civil_affairs")
    pool.run("DELETE FROM share.export WHERE client_id = :c", c=name)


def begun(asker: Asker) -> str:
    answer = asker.post("/v1/exports", purpose=WATCH, **NAMES)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["export_id"])


def lines(asker: Asker, export_id: str, since: str = "0", **more: str) -> list[dict[str, Any]]:
    answer = asker.get(f"/v1/exports/{export_id}/rows", _since=since, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [orjson.loads(line) for line in answer.text.splitlines()]


def people(found: list[dict[str, Any]], kind: str = "person") -> list[str]:
    return [line["person_id"] for line in found if line["type"] == kind]


def test_it_holds_everybody_the_grant_covers_once_in_the_form_the_grant_says(pool: Pool, exporter: Asker) -> None:
    found = lines(exporter, begun(exporter))
    covered = {r.id: r for r in pool.rows(f"SELECT person_id::text AS id, name FROM core.person WHERE {COVERED}")}
    assert Counter(people(found)) == Counter(covered.keys())
    assert (found[0]["type"], found[0]["client_id"], found[-1]["type"]) == ("export", exporter.client_id, "end")
    assert found[-1]["persons"] == len(covered) and found[-1]["deleted"] == 0
    for line in found[1:-1]:
        if line["type"] == "person":
            (name,) = [v for v in line["values"] if v["attribute"] == "person.name"]
            assert name["effect"] == "masked" and (
                covered[line["person_id"]].name is None or name["value"] != covered[line["person_id"]].name
            )
            assert line["answers"][0]["question"] == "insured"


def test_every_line_was_written_down_before_it_left(pool: Pool, exporter: Asker) -> None:
    before = pool.entries()
    found = [line for line in lines(exporter, begun(exporter)) if line["type"] == "person"]
    assert pool.entries() == before + len(found)
    assert {line["receipt"]["leaf_index"] for line in found} == set(range(before, before + len(found)))
    body = orjson.loads(exporter.get(f"/v1/receipts/{found[0]['receipt']['receipt_id']}").json()["body"])
    assert (body["decision"], body["asked"], body["purpose"]) == ("told", "export", WATCH)


def test_later_it_holds_what_changed_who_is_gone_and_nothing_else(pool: Pool, exporter: Asker) -> None:
    export_id = begun(exporter)
    first = lines(exporter, export_id)
    since = first[-1]["since"]
    assert lines(exporter, export_id, since)[1:-1] == [], "nothing changed, nothing is told"
    moved, hidden, away = people(first)[:3]
    rows = {r.id: r for r in pool.rows("SELECT person_id::text AS id, phone, sex, area_code FROM core.person")}
    try:
        pool.run(
            "UPDATE core.person SET phone = CASE WHEN phone IS NULL THEN '13900000000' END WHERE person_id = CAST(:p AS uuid)", p=moved
        )
        pool.run(
            "UPDATE core.person SET sex = CASE sex WHEN '1' THEN '2' ELSE '1' END WHERE person_id = CAST(:p AS uuid)", p=hidden
        )  # the grant does not tell it
        pool.run("UPDATE core.person SET area_code = '110101' WHERE person_id = CAST(:p AS uuid)", p=away)
        later = lines(exporter, export_id, since)
        assert people(later) == [moved]
        (gone,) = [line for line in later if line["type"] == "deleted"]
        assert (gone["person_id"], gone["leads_to"]) == (away, None) and "values" not in gone
        assert lines(exporter, export_id, since)[1:-1] != [], "asked for again it is told again"
        assert lines(exporter, export_id, later[-1]["since"])[1:-1] == []
    finally:
        for p in (moved, hidden, away):
            pool.run(
                "UPDATE core.person SET phone = :t, sex = :s, area_code = :a WHERE person_id = CAST(:p AS uuid)",
                p=p, t=rows[p].phone, s=rows[p].sex, a=rows[p].area_code,
            )  # fmt: skip
    back = lines(exporter, export_id, later[-1]["since"])
    assert sorted(people(back)) == sorted([moved, away]) and people(back, "deleted") == []
    assert people(lines(exporter, export_id), "deleted") == [], "who has nothing needs nothing taken back"


def test_an_id_that_was_merged_leads_on_where_the_person_is_the_grants(pool: Pool, exporter: Asker) -> None:
    export_id = begun(exporter)
    first = lines(exporter, export_id)
    target, old = people(first)[0], "019ca6b1-0000-7000-8000-000000000001"
    pool.run("INSERT INTO share.exported VALUES (CAST(:x AS uuid), CAST(:p AS uuid), '\\x01', 1)", x=export_id, p=old)
    pool.run("INSERT INTO identity.redirect (old_person_id, person_id) VALUES (CAST(:o AS uuid), CAST(:t AS uuid))", o=old, t=target)
    try:
        later = lines(exporter, export_id, first[-1]["since"])
        assert [(line["person_id"], line["leads_to"]) for line in later if line["type"] == "deleted"] == [(old, target)]
    finally:
        pool.run("DELETE FROM identity.redirect WHERE old_person_id = CAST(:o AS uuid)", o=old)


def test_a_stream_that_breaks_off_goes_on_behind_its_last_cursor(pool: Pool, exporter: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_PAGE", 100)
    export_id = begun(exporter)
    whole = lines(exporter, export_id)
    cursors = [n for n, line in enumerate(whole) if line["type"] == "cursor"]
    assert len(cursors) >= 3
    broken = whole[: cursors[2] + 1]
    rest = lines(exporter, export_id, cursor=broken[-1]["cursor"])
    assert Counter(people(broken) + people(rest)) == Counter(people(whole))
    assert rest[-1]["since"] == whole[-1]["since"], "the round is the one the stream began in"


def test_a_client_revoked_in_the_midst_is_told_no_further_page(pool: Pool, exporter: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_PAGE", 100)
    export_id = begun(exporter)
    read, pages = export.asking.commit, []

    async def revoking(service: Any, entries: Any, who: Any) -> Any:
        pages.append(len(entries))
        if len(pages) == 2:
            with pool.engine.begin() as connection:
                clients.revoke(connection, exporter.client_id)
        return await read(service, entries, who)

    monkeypatch.setattr(export.asking, "commit", revoking)
    found = lines(exporter, export_id)
    assert (found[-1]["type"], found[-1]["problem"]["code"]) == ("problem", "client-revoked")
    assert len(people(found)) == pages[0] and not any(line["type"] == "end" for line in found)


def test_it_needs_a_right_of_its_own_and_stays_within_its_bound(
    pool: Pool, town: Asker, exporter: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = town.post("/v1/exports", purpose="certificate_check", questions=["insured"])
    assert (refused.status_code, refused.json()["code"]) == (403, "export-not-granted")
    assert exporter.post("/v1/exports", purpose=REVIEW, questions=["insured"]).json()["code"] == "consent-required"
    export_id = begun(exporter)
    service = pool.http.app.state.service  # type: ignore[attr-defined]
    (grant,) = [g for g in service.moment.policy.grants if (g.department, g.purpose) == ("civil_affairs", WATCH)]
    monkeypatch.setitem(grant.__dict__, "export", 10)
    answer = exporter.get(f"/v1/exports/{export_id}/rows")
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    monkeypatch.setitem(grant.__dict__, "export", 0)
    assert exporter.get(f"/v1/exports/{export_id}/rows").json()["code"] == "export-not-granted"


def test_an_export_is_its_clients_alone_and_there_are_few(pool: Pool, civil: Asker, exporter: Asker) -> None:
    export_id = begun(exporter)
    assert civil.get(f"/v1/exports/{export_id}/rows").json()["code"] == "not-found"
    assert civil.http.delete(f"/v1/exports/{export_id}", headers=civil.headers).status_code == 404
    for _ in range(4):
        begun(exporter)
    assert exporter.post("/v1/exports", purpose=WATCH, **NAMES).json()["code"] == "too-large"
    assert exporter.http.delete(f"/v1/exports/{export_id}", headers=exporter.headers).status_code == 204
    assert export_id not in [x["export_id"] for x in exporter.get("/v1/exports").json()["exports"]]
    for bad in ({"_since": "7"}, {"cursor": f"9.{NOBODY}"}, {"cursor": "1." + "-" * 36}):
        assert exporter.get(f"/v1/exports/{begun(exporter)}/rows", **bad).json()["code"] == "bad-request"
        pool.run("DELETE FROM share.export WHERE client_id = :c", c=exporter.client_id)


def test_a_copy_tells_whose_export_it_was_made_of_even_where_rows_and_columns_were_taken_out(pool: Pool, exporter: Asker) -> None:
    found = people(lines(exporter, begun(exporter)))
    drawn = random.Random(7)
    copy = [p for p in found if drawn.random() < 0.4]
    settings = pool.settings
    assert watermark.followed(settings, exporter.client_id, copy) > watermark.SURE
    for name, ids in (("civil-desk", copy), (exporter.client_id, sorted(copy)), (exporter.client_id, drawn.sample(copy, len(copy)))):
        assert abs(watermark.followed(settings, name, ids)) < watermark.SURE
    assert watermark.followed(settings, exporter.client_id, copy[:1]) == 0
