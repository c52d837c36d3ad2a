"""A wrong merge is found, undone, and everybody who was told of it is told so."""

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from hub.settings import Settings
from pipeline import erasure, review, rulings, survivorship
from pipeline.status import status
from schemas.contract import load_contracts, stems
from sharing import policy as policies
from sharing import recall
from sharing.app import create
from tests.conftest import Hub
from tests.sharing.conftest import AUDIENCE, Asker, Pool
from tests.sharing.test_answers import REVIEW, WATCH
from warehouse import database, embedded, past, recalls
from warehouse import survivorship as golden

pytestmark = pytest.mark.slow
CONSENT = {"consent": "SQ-2026-0001"}
# Two grown-ups of the county: one known to health alone, the other holds a disability certificate that is valid.
_STRANGERS = """
SELECT h.record_id::text AS one, d.record_id::text AS other
FROM identity.record h JOIN identity.record d ON d.stem = 'disability' AND h.sex <> d.sex AND h.id_key IS NOT NULL AND d.id_key IS NOT NULL
JOIN core.disability c ON c.record_id = d.record_id AND c.certificate_status = '1' AND c.grade IN ('1', '2')
    AND (c.expires_date IS NULL OR c.expires_date > '2027-01-01')
JOIN identity.link hl ON hl.record_id = h.record_id JOIN core.person hp ON hp.person_id = hl.person_id
JOIN identity.link dl ON dl.record_id = d.record_id JOIN core.person dp ON dp.person_id = dl.person_id
WHERE h.stem = 'health' AND hp.area_code LIKE '421022%' AND dp.area_code LIKE '421022%' AND hp.birth_date < '1980-01-01' AND dp.birth_date < '1980-01-01'
    AND NOT EXISTS (SELECT FROM identity.link o JOIN identity.record r USING (record_id) WHERE o.person_id = hp.person_id AND r.stem = 'disability')
ORDER BY 1, 2 LIMIT 50
"""


@pytest.fixture
def served(borrowed: Hub, tmp_path: Path) -> Iterator[Pool]:
    """The service over a hub whose nights go on."""
    borrowed.restore("night_5")
    url = sa.make_url(embedded.cluster(borrowed.settings).url("hub")).render_as_string(hide_password=False)
    settings = Settings(home=tmp_path, database_url=url)  # type: ignore[call-arg, arg-type]
    database.migrate(settings)
    with TestClient(create(settings, AUDIENCE)) as http:
        yield Pool(settings, http)
    database.engine(settings).dispose()


def recalls_of(asker: Asker, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asker.get("/v1/recalls", **parameters).json()["recalls"]
    return found


def person_of(pool: Pool, record: str) -> str:
    (row,) = pool.rows("SELECT person_id::text FROM identity.link WHERE record_id = CAST(:r AS uuid)", r=record)
    return str(row[0])


def test_three_departments_that_were_told_of_a_wrong_merge_are_told_so_and_acknowledge(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    one, other = next((r.one, r.other) for r in pool.rows(_STRANGERS) if not review.is_in_sample(hub.settings, r.one, r.other))
    apart = person_of(pool, one)
    judged = review.judge(hub.settings, one, other, "must", reviewer="reviewer one", reason="the same file number")
    hub.night(5)
    merged = person_of(pool, one)
    assert merged == person_of(pool, other)

    civil, housing, insurance = (
        pool.asker(name, department)
        for name, department in (("civil-desk", "civil_affairs"), ("housing-desk", "housing_bureau"), ("fund-desk", "insurance_bureau"))
    )
    said = {
        "civil": civil.person(apart, WATCH, "severely_disabled", "disability.grade"),
        "housing": housing.person(apart, "housing_aid", "severely_disabled", "disability.grade", **CONSENT),
        "insurance": insurance.person(apart, "certificate_check", "certificate_valid"),
    }
    assert {answer.json()["answers"][0]["answer"] for answer in said.values()} == {"yes"}
    untouched = civil.person(merged, WATCH, "insured").json()  # a question whose answer does not change
    assert recall.scan(pool.settings) == 0, "nothing has turned out otherwise yet"

    merged_at = pool.rows("SELECT max(published_at) FROM ops.published")[0][0].isoformat()
    review.retract(hub.settings, judged.judgement_id, reviewer="reviewer one", reason="two persons share it")
    hub.night(5)
    assert person_of(pool, one) != person_of(pool, other)
    looked_back(pool)
    (found,) = pool.rows("SELECT count(*) FROM share.recall")[0]
    assert found >= 3 and recall.scan(pool.settings) == 0, "looking again finds nothing new"
    waiting = open_in_status(pool)
    assert waiting.keys() == {"civil_affairs", "housing_bureau", "insurance_bureau"} and sum(waiting.values()) == found

    for asker, name, changed in (
        (civil, "civil", "disability.grade"),
        (housing, "housing", "disability.grade"),
        (insurance, "insurance", "?certificate_valid"),
    ):
        receipt = said[name].json()["receipt"]["receipt_id"]
        (mine,) = [r for r in recalls_of(asker) if r["receipt_id"] == receipt]
        assert changed in mine["changed"] and mine["cause"] == "parted" and not mine["stands"]
        assert sorted(mine["persons"]) == sorted({person_of(pool, one), person_of(pool, other)})
        now = [
            asker.person(p, mine["purpose"], "certificate_valid" if name == "insurance" else "severely_disabled", **CONSENT)
            for p in mine["persons"]
        ]
        assert sorted(a.json()["answers"][0]["answer"] for a in now) == ["no", "yes"]
        assert asker.post(f"/v1/recalls/{mine['recall_id']}/acknowledge").json()["acknowledged_by"] == asker.client_id
        assert receipt not in [r["receipt_id"] for r in recalls_of(asker)]
        for stranger in [a for a in (civil, housing, insurance) if a is not asker]:
            assert stranger.get(f"/v1/recalls/{mine['recall_id']}").status_code == 404
            assert stranger.post(f"/v1/recalls/{mine['recall_id']}/acknowledge").status_code == 404
    assert sum(open_in_status(pool).values()) == found - 3
    # What the hub took for one person then is told of that time, and written down under each whom it was of.
    entries = pool.entries()
    then = civil.person(apart, REVIEW, "severely_disabled", known_at=merged_at, **CONSENT).json()
    assert then["answers"][0]["answer"] == "yes" and pool.entries() == entries + 2
    pool.run("UPDATE core.person SET area_code = '110101' WHERE person_id = CAST(:p AS uuid)", p=person_of(pool, other))
    hidden = civil.person(apart, REVIEW, "severely_disabled", known_at=merged_at, **CONSENT)
    assert hidden.status_code == 404, "the records are a stranger's by now, who is not the grant's"
    assert untouched["receipt"]["receipt_id"] not in [r["receipt_id"] for r in recalls_of(civil, open=False)]


def looked_back(pool: Pool) -> None:
    """Look back now, or wait for the service, which may be at it by itself."""
    recall.scan(pool.settings)
    ends_at = time.monotonic() + 60
    while not pool.rows(
        "SELECT coalesce(max(s.publication), 0) = max(p.number) FROM ops.publication p LEFT JOIN share.recall_scan s ON true"
    )[0][0]:
        assert time.monotonic() < ends_at, "nobody looked back"
        time.sleep(0.05)


def open_in_status(pool: Pool) -> dict[str, int]:
    """Recalls that wait, by department, as `hub status` counts them."""
    return {r.department: r.recalls for r in status(pool.settings).recalls}


def a_change(pool: Pool) -> tuple[str, str, str]:
    """A person, an agency's attribute that civil affairs are told in clear, and the delivery that brought its present value."""
    (grant,) = [g for g in policies.in_force(date(2026, 3, 5)).grants if (g.department, g.purpose) == ("civil_affairs", REVIEW)]
    for stem in stems():
        for row in pool.rows(
            "SELECT l.person_id::text, m.delivery_id::text, h.row AS was, to_jsonb(m) AS now"
            f' FROM core."{stem}" m JOIN history.record h ON h.record_id = m.record_id AND upper(h.valid_during) = m.as_of_date'
            " JOIN identity.link l ON l.record_id = m.record_id JOIN core.person p USING (person_id)"
            " WHERE m.withdrawn_date IS NULL AND p.area_code LIKE '421022%' AND p.birth_date < '2005-01-01' ORDER BY m.record_id"
        ):
            for name in row.was.keys() & row.now.keys():
                if grant.attributes.get(f"{stem}.{name}") == "clear" and row.was[name] != row.now[name]:
                    return row.person_id, f"{stem}.{name}", row.delivery_id
    raise AssertionError("no delivery of five nights changed anything that is told in clear")


def test_a_withdrawn_delivery_recalls_what_it_said_and_its_release_says_it_stands(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    civil = pool.asker("civil-desk", "civil_affairs")
    person, attribute, delivery = a_change(pool)
    answer = civil.person(person, REVIEW, attribute, **CONSENT).json()
    assert answer["values"]
    dated = civil.person(person, REVIEW, attribute, as_of="2026-03-05", **CONSENT).json()
    instant = pool.rows("SELECT max(published_at) FROM ops.published")[0][0].isoformat()
    fixed = civil.person(person, REVIEW, attribute, known_at=instant, **CONSENT).json()
    assert dated["values"] == fixed["values"] == answer["values"]
    tried = rulings.withdraw(hub.settings, delivery, dry_run=True)
    rulings.withdraw(hub.settings, delivery, reason="another county's file", by="engineer", confirm=tried.confirm)
    looked_back(pool)
    mine = [r for r in recalls_of(civil) if r["receipt_id"] == answer["receipt"]["receipt_id"]]
    assert [(r["cause"], r["changed"], r["stands"]) for r in mine] == [("withdrawn", [attribute], False)]
    recalled = {r["receipt_id"] for r in recalls_of(civil)}
    assert dated["receipt"]["receipt_id"] in recalled, "what was told of a day is not true of it"
    assert fixed["receipt"]["receipt_id"] not in recalled, "what the hub knew at an instant it knew"
    rulings.release(hub.settings, delivery, reason="it was right after all", by="engineer")
    hub.night(5)
    looked_back(pool)
    (last,) = [r for r in recalls_of(civil) if r["receipt_id"] == answer["receipt"]["receipt_id"]][1:]
    assert last["stands"], "the second recall takes the first back"


def test_everybody_who_was_told_of_an_erased_person_is_asked_to_erase_it_as_well_and_the_receipts_hold(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    civil, insurance = pool.asker("civil-desk", "civil_affairs"), pool.asker("fund-desk", "insurance_bureau")
    person, attribute, _ = a_change(pool)
    answers = [
        (civil, civil.person(person, REVIEW, attribute, **CONSENT)),
        (insurance, insurance.person(person, "certificate_check", "certificate_valid")),
    ]
    assert {a.status_code for _, a in answers} == {200}
    job = civil.post("/v1/compare-jobs", purpose=WATCH, questions=["insured"], output="csv")
    assert job.status_code == 201, job.text
    pool.run("UPDATE share.compare_job SET state = 'done'")
    with hub.landing_kept():
        erasure.carry_out(
            hub.settings, person, basis="law", reason="decision", by="one", confirmed_by="other",
            confirm=erasure.plan(hub.settings, person).confirm,
        )  # fmt: skip
    looked_back(pool)
    assert recall.scan(pool.settings) == 0, "nobody is told twice"
    for asker, answer in answers:
        receipt = answer.json()["receipt"]["receipt_id"]
        (mine,) = [r for r in recalls_of(asker) if r["receipt_id"] == receipt]
        assert (mine["cause"], mine["persons"], mine["stands"]) == ("erased", [], False) and mine["changed"]
        assert asker.get(f"/v1/receipts/{receipt}").json()["receipt_id"] == receipt, "the log stays, and proves it"
        assert asker.post(f"/v1/recalls/{mine['recall_id']}/acknowledge").status_code == 200
    gone = civil.person(person, REVIEW, attribute, **CONSENT)
    assert gone.status_code == 404, "an erased person looks like one who never was"
    assert pool.rows("SELECT count(*) FROM share.compare_job")[0][0] == 0, "nor is it in the files of a comparison"


def test_life_that_goes_on_recalls_nothing(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    civil = pool.asker("civil-desk", "civil_affairs")
    everybody = [r.id for r in pool.rows("SELECT person_id::text AS id FROM core.person WHERE area_code LIKE '421022%' LIMIT 400")]
    body = {"purpose": WATCH, "attributes": ["person.name", "person.area_code", "person.phone", "medical_insurance.enrolment_status"]}
    told = civil.post("/v1/persons/compare", **body, applicants=[{"person_id": p} for p in everybody]).json()["results"]
    assert sum(r["status"] == "told" for r in told) > 100
    for number in (6, 7):
        hub.night(number)
    looked_back(pool)
    causes = {r["cause"] for r in recalls_of(civil, limit=500)}
    assert causes <= {"parted", "joined"}, "a person's new address or sum is no error of yesterday"
    assert len(recalls_of(civil, limit=500)) <= 5


def test_the_service_looks_back_by_itself_after_a_publication(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    hub.night(6)
    is_level = "SELECT s.publication = p.number AND p.number > 5 FROM share.recall_scan s, ops.publication p"
    ends_at = time.monotonic() + 60
    while not pool.rows(is_level)[0][0]:
        assert time.monotonic() < ends_at, "nobody looked back"
        time.sleep(0.1)


def test_another_survivorship_policy_makes_nothing_untrue(borrowed: Hub, served: Pool, tmp_path: Path) -> None:
    hub, pool = borrowed, served
    civil = pool.asker("civil-desk", "civil_affairs")
    everybody = [r.id for r in pool.rows("SELECT person_id::text AS id FROM core.person WHERE area_code LIKE '421022%' LIMIT 400")]
    body = {"purpose": WATCH, "attributes": ["person.name", "person.area_code", "person.phone"]}
    told = civil.post("/v1/persons/compare", **body, applicants=[{"person_id": p} for p in everybody]).json()["results"]
    assert sum(r["status"] == "told" for r in told) > 100
    file = tmp_path / "recent.yml"
    file.write_text("version: 3\ndecided_date: 2026-03-01\ncriteria: [recency]\n", encoding="utf-8")
    changed = [e.person_id for e in survivorship.adopt(hub.settings, file, reason="tried").effect.examples["address"]]
    looked_back(pool)
    assert recalls_of(civil, open=False) == []
    with database.engine(hub.settings).connect() as connection:
        rule = recall.homes_rule(hub.settings)
        policy, moments = golden.in_force(connection), [past.Moment(n, None, date(2026, 3, 5), n) for n in (5, 6)]
        for person in changed:
            then, now = (recalls.known(connection, load_contracts(), person, at, rule) for at in moments)
            assert then.person != now.person, "each by the policy of its time"
            then, now = (recalls.known(connection, load_contracts(), person, at, rule, by=policy) for at in moments)
            assert then == now and now.person is not None, "a recall sees both sides by one policy"
