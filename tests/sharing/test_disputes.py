"""A department disputes what it was told; everybody who may know the value sees that it is disputed, until its agency answers."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from pipeline import disputes
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_answers import NOBODY, REVIEW, WATCH, a_person
from warehouse import database, disclosure

pytestmark = pytest.mark.slow
CONSENT = {"consent": "SQ-2026-0001"}
WRONG = {"kind": "correction", "reason": "wrong"}


@pytest.fixture
def settled(pool: Pool) -> Iterator[Pool]:
    """The pool, in which nothing is disputed afterwards."""
    yield pool
    pool.run(
        "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor) SELECT dispute_id, 'withdrawn', current_date, 'test' FROM share.disputed"
    )


def disputed(asker: Asker, told: Any, attribute: str, **more: Any) -> Any:
    """Dispute what an answer told."""
    body = {"receipt_id": told["receipt"]["receipt_id"], "person_id": told.get("person_id"), "attribute": attribute, **WRONG, **more}
    return asker.post("/v1/disputes", **{k: v for k, v in body.items() if v is not None})


def marks(answer: Any, attribute: str) -> list[Any]:
    return [v.get("disputed") for v in answer["values"] if v["attribute"] == attribute]


def test_a_refusal_is_told_to_who_disputed_with_the_agencys_reason_and_ends_the_mark(settled: Pool, civil: Asker) -> None:
    row = a_person(settled)  # type: ignore[no-untyped-call]
    told = civil.person(row.id, WATCH, "person.name", "insured").json()
    (made,) = disputed(civil, told, "person.name").json()["disputes"]
    assert civil.get("/v1/disputes", open=True).json()["disputes"][-1] == made
    shown = civil.person(row.id, WATCH, "person.name")
    assert marks(shown.json(), "person.name") == [{"since": made["opened_date"], "due": made["due_date"]}]
    disputes.end(settled.settings, made["dispute_id"], "refused", actor="公安", words="与户籍一致")
    ended = civil.get(f"/v1/disputes/{made['dispute_id']}").json()
    assert (ended["state"], ended["refusal"], ended["ended_date"] is None) == ("refused", "与户籍一致", False)
    assert marks(civil.person(row.id, WATCH, "person.name").json(), "person.name") == [None]
    other = settled.asker("housing-disputes", "housing_bureau")
    assert other.get(f"/v1/disputes/{made['dispute_id']}").status_code == 404 and other.get("/v1/disputes").json()["disputes"] == []


def test_a_department_takes_its_dispute_back_once_and_nobody_elses(settled: Pool, civil: Asker) -> None:
    row = a_person(settled)  # type: ignore[no-untyped-call]
    told = civil.person(row.id, WATCH, "person.name").json()
    (made,) = disputed(civil, told, "person.name").json()["disputes"]
    where = f"/v1/disputes/{made['dispute_id']}"
    stranger = settled.asker("housing-stranger", "housing_bureau")
    assert settled.http.delete(where, headers=stranger.headers).status_code == 404
    assert marks(civil.person(row.id, WATCH, "person.name").json(), "person.name") != [None]
    first, again = (settled.http.delete(where, headers=civil.headers) for _ in range(2))
    assert first.status_code == 200 and first.json()["state"] == "withdrawn" and first.json() == again.json()
    assert marks(civil.person(row.id, WATCH, "person.name").json(), "person.name") == [None]
    (again,) = disputed(civil, told, "person.name").json()["disputes"]
    disputes.end(settled.settings, again["dispute_id"], "refused", actor="公安", words="与户籍一致")
    ended = settled.http.delete(f"/v1/disputes/{again['dispute_id']}", headers=civil.headers).json()
    assert ended["state"] == "refused", "what the agency said stays"
    events = settled.rows(
        "SELECT event, actor FROM ops.dispute_event WHERE dispute_id = CAST(:d AS uuid) ORDER BY event_no", d=made["dispute_id"]
    )
    assert [e[0] for e in events] == ["open", "withdrawn"] and events[0][1] == events[1][1]


def test_an_answer_to_a_question_is_marked_where_a_field_it_rests_on_is_disputed(settled: Pool, civil: Asker) -> None:
    where = "EXISTS (SELECT FROM identity.link l JOIN core.medical_insurance m USING (record_id) WHERE l.person_id = p.person_id AND m.withdrawn_date IS NULL)"
    row = a_person(settled, where)  # type: ignore[no-untyped-call]
    told = civil.person(row.id, WATCH, "medical_insurance.enrolment_status", "insured", "seriously_ill").json()
    opened = disputed(civil, told, "medical_insurance.enrolment_status")
    assert opened.status_code == 201, opened.text
    asked = civil.person(row.id, WATCH, "insured", "seriously_ill").json()
    assert [("disputed" in a) for a in sorted(asked["answers"], key=lambda a: a["question"])] == [True, False]
    home = settled.rows("SELECT household_id::text FROM core.household_member WHERE person_id = CAST(:p AS uuid) LIMIT 1", p=row.id)
    if home:
        names = {"attributes": ["household.members", "medical_insurance.enrolment_status"], "purpose": REVIEW, **CONSENT}
        members = civil.get(f"/v1/households/{home[0][0]}", **names).json()["members"]
        found = {m["person_id"]: any(marks(m, "medical_insurance.enrolment_status")) for m in members}
        assert found.pop(row.id) and not any(found.values())


def test_only_what_the_department_was_told_of_that_person_can_be_disputed(settled: Pool, civil: Asker) -> None:
    row = a_person(settled)  # type: ignore[no-untyped-call]
    other = a_person(settled, f"person_id <> '{row.id}'")  # type: ignore[no-untyped-call]
    told = civil.person(row.id, WATCH, "person.name").json()
    before = settled.rows("SELECT count(*) FROM ops.dispute")[0][0]
    stranger = settled.asker("insurance-disputes", "insurance_bureau")
    tries = {
        "another department's receipt": disputed(stranger, told, "person.name"),
        "an attribute it did not tell": disputed(civil, told, "person.phone"),
        "another person": disputed(civil, told, "person.name", person_id=other.id),
        "nobody": disputed(civil, told, "person.name", person_id=NOBODY),
        "no receipt": civil.post("/v1/disputes", receipt_id=NOBODY, person_id=row.id, attribute="person.name", **WRONG),
    }
    assert {why: (a.status_code, a.json()["code"]) for why, a in tries.items()} == dict.fromkeys(tries, (404, "not-found"))
    for wrong in ({"attribute": "household.size"}, {"details": "a\u0007b"}, {"reason": "no"}, {"resident_id": row.resident_id}):
        answer = disputed(civil, told, wrong.pop("attribute", "person.name"), **wrong)
        assert answer.status_code == 400, answer.text
    assert settled.rows("SELECT count(*) FROM ops.dispute")[0][0] == before
    by_number = civil.post("/v1/persons/lookup", purpose=REVIEW, **CONSENT, resident_id=row.resident_id, attributes=["person.name"]).json()
    once = {**civil.headers, "Idempotency-Key": '"dispute-once"'}
    body = {
        "receipt_id": by_number["receipt"]["receipt_id"],
        "resident_id": row.resident_id,
        "attribute": "person.name",
        **WRONG,
        **CONSENT,
    }
    first, again = (civil.http.post("/v1/disputes", json=body, headers=once) for _ in range(2))
    assert first.status_code == 201 and first.json() == again.json()
    (entry,) = settled.rows("SELECT body FROM audit.entry WHERE decision = 'disputed' ORDER BY leaf_index DESC LIMIT 1")
    assert row.resident_id not in entry[0] and row.id not in entry[0]


def test_a_role_sees_no_dispute_about_persons_outside_its_grant_nor_of_what_it_is_not_told(settled: Pool, civil: Asker) -> None:
    row = a_person(settled, "area_code NOT LIKE '421022100%'")  # type: ignore[no-untyped-call]
    told = civil.person(row.id, REVIEW, "person.name", "person.phone", **CONSENT).json()
    assert {disputed(civil, told, name, **CONSENT).status_code for name in ("person.name", "person.phone")} == {201}
    seen = {}
    for grant in ("civil_affairs__low_income_review", "civil_affairs__child_protection", "town_office__low_income_review"):
        with database.engine(settled.settings).begin() as connection:
            connection.execute(sa.text(f'SET LOCAL ROLE "{disclosure.role_name(connection, grant)}"'))
            seen[grant] = sorted(connection.scalars(sa.text("SELECT attribute FROM share.disputed")))
    assert seen["civil_affairs__low_income_review"] == ["person.name", "person.phone"]
    assert seen["town_office__low_income_review"] == [] == seen["civil_affairs__child_protection"]
    login = f"{settled.engine.url.database}_sharing"
    for column in ("record_id", "value_ref", "details"):
        with settled.engine.connect() as connection:
            connection.execute(sa.text(f'SET LOCAL ROLE "{login}"'))
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                connection.execute(sa.text(f"SELECT {column} FROM ops.dispute"))
