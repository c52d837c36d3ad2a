"""A disputed value from the day a department is told it to the recall of what it was told."""

import pytest

from pipeline import rulings
from tests.conftest import Hub
from tests.sharing.conftest import Pool
from tests.sharing.test_answers import REVIEW
from tests.sharing.test_disputes import CONSENT, disputed, marks
from tests.sharing.test_recall import a_change, looked_back, recalls_of, served

pytestmark = pytest.mark.slow
__all__ = ["served"]


def test_a_value_is_told_disputed_marked_for_others_answered_by_its_agency_and_recalled(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    civil, town = pool.asker("civil-desk", "civil_affairs"), pool.asker("second-desk", "civil_affairs")
    person, attribute, delivery = a_change(pool)
    told = civil.person(person, REVIEW, attribute, **CONSENT).json()
    assert marks(told, attribute).count(None) == len(told["values"])
    opened = disputed(civil, told, attribute, kind="recheck", details="以病历为准", **CONSENT)
    assert opened.status_code == 201, opened.text
    made = opened.json()["disputes"]
    assert {(d["state"], d["source"], d["opened_by"], d["is_overdue"]) for d in made} == {
        ("open", attribute.split(".")[0], "civil-desk", False)
    }
    assert len(made) == len(told["values"]), "one a record of the agency"
    before = pool.rows("SELECT max(published_at) FROM ops.published")[0][0].isoformat()
    since = {"since": made[0]["opened_date"], "due": made[0]["due_date"]}
    assert all(mark == since for mark in marks(town.person(person, REVIEW, attribute, **CONSENT).json(), attribute))
    compared = town.post(
        "/v1/persons/compare", purpose=REVIEW, **CONSENT, attributes=[attribute], applicants=[{"person_id": person}]
    ).json()
    assert all(mark == since for mark in marks(compared["results"][0], attribute))
    dated = town.person(person, REVIEW, attribute, as_of="2026-03-05", **CONSENT).json()
    assert all(mark == since for mark in marks(dated, attribute)), "what is true of a day is disputed now"
    assert None in marks(town.person(person, REVIEW, attribute, known_at=before, **CONSENT).json(), attribute), (
        "nobody had disputed it by then"
    )
    assert disputed(town, told, attribute, **CONSENT).json()["code"] == "already-disputed"

    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    assert civil.get(f"/v1/disputes/{made[0]['dispute_id']}").json()["state"] == "open", "what is only tried answers nothing"
    rulings.withdraw(hub.settings, delivery, reason="the agency sent a wrong file", by="engineer", confirm=tried.confirm)
    states = [civil.get(f"/v1/disputes/{d['dispute_id']}").json()["state"] for d in made]
    assert "answered_by_delivery" in states
    after = town.person(person, REVIEW, attribute, **CONSENT).json()
    assert sum(mark is not None for mark in marks(after, attribute)) == states.count("open")
    looked_back(pool)
    (mine,) = [r for r in recalls_of(civil) if r["receipt_id"] == told["receipt"]["receipt_id"]]
    assert mine["changed"] == [attribute]
    values = civil.get(mine["values"], **CONSENT).json()
    assert all(mark is None for mark in marks(values["told"], attribute)), "it was not disputed yet when it was told"
