"""Questions over HTTP: the minimum answer, in the form the policy says; what is not told tells nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest

from sharing.limits import Limit
from warehouse import answers

pytestmark = pytest.mark.slow
REVIEW, WATCH, CONSENT = "low_income_review", "roster_monitoring", {"consent": "SQ-2026-0001"}
NOBODY = "019ca6b2-3c00-7d7c-88d5-5d7c0d1a9f00"


def a_person(pool, where="true"):
    """Some grown-up of the county, as the tables hold it."""
    (row,) = pool.rows(
        "SELECT p.*, p.person_id::text AS id FROM core.person p WHERE area_code LIKE '421022%' AND birth_date < '1990-01-01' AND resident_id IS NOT NULL"
        f" AND phone IS NOT NULL AND address IS NOT NULL AND {where}"
        " AND (SELECT count(*) FROM core.person q WHERE q.resident_id = p.resident_id) = 1 ORDER BY person_id LIMIT 1"
    )
    return row


def told(body, attribute):
    return [(v["effect"], v["value"]) for v in body["values"] if v["attribute"] == attribute]


def test_values_are_clear_where_the_purpose_says_so(pool, civil):
    row = a_person(pool)
    body = civil.person(row.id, REVIEW, "person.name", "person.resident_id", "person.birth_date", **CONSENT).json()
    assert told(body, "person.name") == [("clear", row.name)]
    assert told(body, "person.resident_id") == [("clear", row.resident_id)]
    assert told(body, "person.birth_date") == [("clear", str(row.birth_date))]
    assert body["night"] == "2026-03-05" and body["receipt"]["receipt_id"]


def test_another_purpose_of_the_same_department_gets_less_of_the_same_person(pool, civil):
    row = a_person(pool)
    answer = civil.person(
        row.id, WATCH, "person.name", "person.resident_id", "person.birth_date", "person.area_code", "person.phone", "person.sex"
    )
    body = answer.json()
    assert told(body, "person.name") == [("masked", row.name[0] + "*" * (len(row.name) - 1))]
    assert told(body, "person.resident_id") == [("masked", f"{row.resident_id[:4]}{'*' * 12}{row.resident_id[-2:]}")]
    assert told(body, "person.birth_date") == [("derived", row.birth_date.year)]
    assert told(body, "person.area_code") == [("derived", row.area_code[:6])]
    assert told(body, "person.phone") == [("yes_no", True)]
    assert body["refused"] == [{"name": "person.sex", "reason": "not_named"}]
    for hidden in (row.name, row.resident_id, str(row.birth_date), row.phone, row.address):
        assert hidden not in answer.text and hidden not in str(answer.headers)


def test_an_agencys_value_comes_with_its_source_its_day_and_its_meaning(pool, civil):
    (row,) = pool.rows(
        "SELECT l.person_id::text AS id, h.illness_class, h.as_of_date FROM core.health h JOIN identity.link l USING (record_id)"
        " JOIN core.person p USING (person_id) WHERE p.birth_date < '1990-01-01' AND p.area_code LIKE '421022%' AND h.withdrawn_date IS NULL"
        " AND h.illness_class = '2' AND (SELECT count(*) FROM identity.link o JOIN core.health g USING (record_id) WHERE o.person_id = l.person_id) = 1 LIMIT 1"
    )
    (value,) = civil.person(row.id, REVIEW, "health.illness_class", **CONSENT).json()["values"]
    assert (value["value"], value["source"], value["as_of_date"]) == ("2", "health", str(row.as_of_date))
    assert value["label"] == {"zh": "大病重病", "en": "major"} and value["is_stale"] is False


def test_questions_are_answered_by_yes_no_and_unknown_out_of_the_records(pool, civil):
    truth = {
        "yes": "EXISTS (SELECT FROM core.medical_insurance m JOIN identity.link l USING (record_id) WHERE l.person_id = p.person_id AND withdrawn_date IS NULL"
        " AND enrolment_status = '1' AND (ended_date IS NULL OR ended_date >= m.as_of_date))",
        "no": "NOT EXISTS (SELECT FROM core.medical_insurance m JOIN identity.link l USING (record_id) WHERE l.person_id = p.person_id)",
    }
    for answer, where in truth.items():
        (verdict,) = civil.person(a_person(pool, where).id, WATCH, "insured").json()["answers"]
        assert (verdict["answer"], verdict["source"]) == (answer, "medical_insurance")
    unknown = a_person(pool, "NOT sources && ARRAY['health']")
    (verdict,) = civil.person(unknown.id, WATCH, "seriously_ill").json()["answers"]
    assert (verdict["answer"], verdict["as_of_date"]) == ("unknown", None)


def test_a_desk_that_may_not_see_a_number_may_still_ask_by_it(pool, town):
    row = a_person(pool, "area_code LIKE '421022100%'")
    body = town.post(
        "/v1/persons/lookup", purpose="certificate_check", resident_id=row.resident_id.lower(), questions=["insured", "certificate_valid"]
    ).json()
    assert body["person_id"] == row.id and body["values"] == [] and len(body["answers"]) == 2
    refused = town.person(row.id, "certificate_check", "insured")
    assert refused.json()["code"] == "lookup-not-granted"


def test_a_name_and_birth_date_lead_to_one_person_or_to_a_few_candidates_without_values(pool, civil):
    row = a_person(pool)
    found = civil.post(
        "/v1/persons/lookup", purpose=REVIEW, **CONSENT, name=f" {row.name} ", birth_date=str(row.birth_date), attributes=["person.name"]
    )
    body = found.json()
    assert sum(c["confidence"] for c in body["candidates"]) == pytest.approx(1, abs=0.01)
    if body["person_id"] is not None:
        assert body["person_id"] == row.id and told(body, "person.name")
    else:
        assert body["values"] == [] and row.id in [c["person_id"] for c in body["candidates"]]


def test_namesakes_born_on_one_day_give_candidates_and_no_value(pool, civil):
    two = pool.rows(
        "SELECT person_id, area_code FROM core.person WHERE area_code LIKE '421022%' AND birth_date < '1990-01-01' ORDER BY person_id LIMIT 2"
    )
    records = pool.rows(
        "SELECT record_id, name_key, birth_date FROM identity.record JOIN identity.link USING (record_id) WHERE person_id = ANY(:ids)",
        ids=[r.person_id for r in two],
    )
    renamed = "UPDATE identity.record SET name_key = :name, birth_date = :born WHERE record_id = :id"
    for r in records:
        pool.run(renamed, name="同名人", born=date(1970, 1, 1), id=r.record_id)
    try:
        body = civil.post(
            "/v1/persons/lookup", purpose=REVIEW, **CONSENT, name="同名人", birth_date="1970-01-01", attributes=["person.name"]
        ).json()
    finally:  # others look for them by their own names
        for r in records:
            pool.run(renamed, name=r.name_key, born=r.birth_date, id=r.record_id)
    assert body["person_id"] is None and body["values"] == [] and body["answers"] == []
    assert {c["person_id"] for c in body["candidates"]} == {str(r.person_id) for r in two}
    entries = pool.rows("SELECT decision FROM audit.entry ORDER BY leaf_index DESC LIMIT 2")
    assert [e.decision for e in entries] == ["candidate", "candidate"]


def test_a_households_amounts_are_added_up_over_the_members_it_names(pool, civil):
    row = pool.rows(
        "SELECT m.household_id::text AS id, sum(i.medical_fee_yuan) AS fee, count(DISTINCT m.person_id) FILTER (WHERE i.medical_fee_yuan IS NOT NULL) AS n"
        " FROM core.household_member m JOIN core.person p USING (person_id) JOIN identity.link l USING (person_id)"
        " LEFT JOIN core.medical_insurance i ON i.record_id = l.record_id AND i.withdrawn_date IS NULL"
        " WHERE m.kind = 'living' GROUP BY 1 HAVING count(DISTINCT m.person_id) > 2 AND count(i.medical_fee_yuan) > 1 AND sum(i.medical_fee_yuan) > 0"
        " AND bool_and(p.area_code LIKE '421022%' AND p.birth_date < '2008-01-01') LIMIT 1"
    )[0]
    asked = ["household.members", "medical_insurance.medical_fee_yuan", "health.illness_class"]
    told = civil.get(f"/v1/households/{row.id}", purpose=REVIEW, attributes=asked, consent="SQ-1").json()
    (fee,) = told["sums"]
    assert (fee["attribute"], Decimal(fee["total_yuan"]), fee["members"]) == ("medical_insurance.medical_fee_yuan", row.fee, row.n)
    values = [v["value"] for m in told["members"] for v in m["values"] if v["attribute"] == fee["attribute"] and v["value"] is not None]
    assert sum(Decimal(str(v)) for v in values) == row.fee, "nothing is told that is not in the members' values"


def test_a_household_shows_the_members_the_grant_covers_and_no_other(pool, civil):
    (row,) = pool.rows(
        "SELECT h.household_id::text AS id, h.members FROM core.household h JOIN core.household_member m USING (household_id) JOIN core.person p USING (person_id)"
        " WHERE h.kind = 'registered' GROUP BY 1, 2 HAVING bool_and(area_code LIKE '421022%') AND count(*) FILTER (WHERE p.birth_date > '2013-01-01') > 0"
        " AND count(*) FILTER (WHERE p.birth_date < '2000-01-01') > 1 LIMIT 1"
    )
    grown = pool.rows(
        "SELECT p.person_id::text, m.relation FROM core.household_member m JOIN core.person p USING (person_id) WHERE m.household_id = CAST(:id AS uuid)"
        " AND p.birth_date <= date '2026-03-05' - interval '14 years' ORDER BY 1", id=row.id,
    )  # fmt: skip
    answer = civil.get(
        f"/v1/households/{row.id}",
        purpose=REVIEW,
        **CONSENT,
        attributes=["household.size", "household.members", "household.relation", "person.name"],
    ).json()
    assert answer["size"] == row.members > len(answer["members"])
    assert [(m["person_id"], m["relation"]) for m in answer["members"]] == [tuple(g) for g in grown]
    assert len({m["receipt"]["receipt_id"] for m in answer["members"]}) == len(grown)


def without_receipts(household):
    return {**household, "members": [{k: v for k, v in m.items() if k != "receipt"} for m in household["members"]]}


@pytest.mark.parametrize("kind", ["living", "registered"])
def test_a_household_is_found_by_the_number_or_name_of_one_of_its_members(pool, civil, kind):
    row = a_person(pool, f"EXISTS (SELECT FROM core.household_member m JOIN core.household h USING (household_id) WHERE m.person_id = p.person_id"
                         f" AND m.kind = '{kind}' AND h.members > 2)")  # fmt: skip
    (home,) = pool.rows(
        "SELECT household_id::text AS id FROM core.household_member WHERE person_id = CAST(:p AS uuid) AND kind = :k", p=row.id, k=kind
    )  # fmt: skip
    asked = {"purpose": REVIEW, "attributes": ["household.size", "household.members", "household.relation", "person.name"], **CONSENT}
    by_id = civil.get(f"/v1/households/{home.id}", **asked).json()
    entries = pool.entries()
    found = [
        civil.post("/v1/households/lookup", **asked, kind=kind, **who).json()
        for who in ({"resident_id": row.resident_id}, {"name": row.name, "birth_date": str(row.birth_date)})
    ]
    assert by_id["kind"] == kind and by_id["size"] > 2
    assert [without_receipts(f) for f in found] == [without_receipts(by_id)] * 2
    assert pool.entries() == entries + 2 * len(by_id["members"]), "each member is written down"


def test_a_household_of_nobody_and_of_somebody_not_yours_look_the_same(pool, town):
    (theirs,) = pool.rows(
        "SELECT resident_id FROM core.person p WHERE area_code NOT LIKE '421022100%' AND resident_id IS NOT NULL AND birth_date < '1990-01-01'"
        " AND EXISTS (SELECT FROM core.household_member m WHERE m.person_id = p.person_id) ORDER BY person_id LIMIT 1"
    )
    asked = {"purpose": REVIEW, "attributes": ["household.members", "person.name"], **CONSENT}
    (mine,) = pool.rows(
        "SELECT resident_id FROM core.person p WHERE area_code LIKE '421022100%' AND resident_id IS NOT NULL AND birth_date < '1990-01-01'"
        " AND (SELECT count(*) FROM core.person q WHERE q.resident_id = p.resident_id) = 1"
        " AND EXISTS (SELECT FROM core.household_member m WHERE m.person_id = p.person_id AND m.kind = 'living') ORDER BY person_id LIMIT 1"
    )
    assert town.post("/v1/households/lookup", **asked, resident_id=mine.resident_id).status_code == 200
    told = [town.post("/v1/households/lookup", **asked, resident_id=n) for n in (theirs.resident_id, "110101199003070003", "0000000")]
    assert {t.status_code for t in told} == {404}
    assert len({json.dumps({k: v for k, v in t.json().items() if k != "request_id"}, sort_keys=True) for t in told}) == 1
    by_name = town.post("/v1/households/lookup", **asked, name="王伟", birth_date="1990-03-07")
    assert by_name.json()["code"] == "lookup-not-granted"


def test_many_are_answered_in_their_places_and_the_missing_tell_nothing(pool, civil):
    rows = pool.rows(
        "SELECT person_id::text AS id, resident_id FROM core.person p WHERE resident_id IS NOT NULL AND birth_date < '1990-01-01' AND area_code LIKE '421022%'"
        " AND (SELECT count(*) FROM core.person q WHERE q.resident_id = p.resident_id) = 1 ORDER BY person_id LIMIT 40"
    )
    before = pool.entries()
    applicants = [{"ref": f"r{n}", "resident_id": r.resident_id} for n, r in enumerate(rows)]
    applicants[7:7] = [{"ref": "nobody", "resident_id": "110101199003070003"}, {"ref": "nonsense", "resident_id": "abcd"}]
    body = civil.post("/v1/persons/compare", purpose=WATCH, questions=["insured"], attributes=["person.name"], applicants=applicants).json()
    assert [r["ref"] for r in body["results"]] == [a["ref"] for a in applicants]
    assert [r["person_id"] for r in body["results"] if r["status"] == "told"] == [r.id for r in rows]
    nobody, nonsense = ({k: v for k, v in r.items() if k not in ("ref", "receipt")} for r in body["results"] if r["ref"].startswith("no"))
    assert nobody == nonsense == {"status": "not_available", "person_id": None, "values": [], "answers": []}
    assert pool.entries() == before + len(applicants)


def test_one_at_a_time_and_many_at_once_say_the_same(pool, civil):
    row = a_person(pool)
    one = civil.person(row.id, WATCH, "person.name", "insured", "disability.grade").json()
    many = civil.post(
        "/v1/persons/compare",
        purpose=WATCH,
        attributes=["person.name", "disability.grade"],
        questions=["insured"],
        applicants=[{"person_id": row.id}],
    ).json()["results"][0]
    assert {k: one[k] for k in ("values", "answers")} == {k: many[k] for k in ("values", "answers")}


def test_not_there_not_yours_and_not_told_look_the_same_and_are_all_written_down(pool, town, civil):
    elsewhere = a_person(pool, "area_code LIKE '421022101%'")
    (child,) = pool.rows(
        "SELECT person_id::text AS id FROM core.person WHERE birth_date > '2013-01-01' AND area_code LIKE '421022%' LIMIT 1"
    )
    before = pool.entries()
    seen = []
    for person_id in (NOBODY, child.id):
        answer = civil.person(person_id, REVIEW, "person.name", **CONSENT)
        body = answer.json()
        headers = {k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date")}
        seen.append((answer.status_code, {k: v for k, v in body.items() if k != "request_id"}, headers))
    for number in ("110101199003070003", elsewhere.resident_id):
        answer = town.post("/v1/persons/lookup", purpose=REVIEW, **CONSENT, resident_id=number, attributes=["person.name"])
        headers = {k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date")}
        seen.append((answer.status_code, {k: v for k, v in answer.json().items() if k != "request_id"}, headers))
    assert seen[0][0] == 404 and all(s == seen[0] for s in seen)
    assert pool.entries() == before + 4
    kinds = pool.rows("SELECT decision, subject IS NOT NULL AS named FROM audit.entry ORDER BY leaf_index DESC LIMIT 4")
    assert {tuple(k) for k in kinds} == {("not_available", True)}


def test_an_id_that_was_merged_into_another_is_followed(pool, civil):
    row, former = a_person(pool), "019ca6b2-3c00-7d7c-88d5-5d7c0d1a9f01"
    pool.run("INSERT INTO identity.redirect VALUES (CAST(:old AS uuid), CAST(:id AS uuid))", old=former, id=row.id)
    assert civil.person(former, WATCH, "insured").json()["person_id"] == row.id


def test_what_the_caller_holds_already_is_not_sent_again_and_still_leaves_a_receipt(pool, civil):
    row = a_person(pool)
    first = civil.person(row.id, WATCH, "person.name")
    before = pool.entries()
    again = civil.http.get(
        f"/v1/persons/{row.id}",
        params={"purpose": WATCH, "attributes": "person.name"},
        headers={**civil.headers, "If-None-Match": first.headers["etag"]},
    )
    assert (again.status_code, again.text) == (304, "") and again.headers["hub-receipt"]
    assert pool.entries() == before + 1


def test_a_household_and_the_catalogue_that_the_caller_holds_are_not_sent_again(pool, civil):
    (home,) = pool.rows(
        "SELECT household_id::text AS id FROM core.household_member m JOIN core.person p USING (person_id) WHERE p.area_code LIKE '421022%'"
        " AND p.birth_date < '2000-01-01' GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
    )

    def asked(mark=None, **more):
        params = {"purpose": REVIEW, "attributes": ["household.size", "household.members", "person.phone"], **CONSENT, **more}
        held = {"If-None-Match": f'"other", W/{mark}'} if mark else {}
        return civil.http.get(f"/v1/households/{home.id}", params=params, headers={**civil.headers, **held})

    first = asked()
    members, before = len(first.json()["members"]), pool.entries()
    again = asked(first.headers["etag"])
    assert (again.status_code, again.text, again.headers["etag"]) == (304, "", first.headers["etag"])
    receipts = again.headers["hub-receipt"].split(", ")
    assert pool.entries() == before + members == before + len(receipts)
    written = pool.rows("SELECT decision FROM audit.entry WHERE entry_id = ANY(CAST(:ids AS uuid[]))", ids=receipts)
    assert [w.decision for w in written] == ["unchanged"] * members
    assert asked(first.headers["etag"], attributes=["household.size"]).status_code == 200, "another answer has another mark"
    then = asked(as_of="2026-03-05")
    assert asked(then.headers["etag"], as_of="2026-03-05").status_code == 304
    person = first.json()["members"][0]["person_id"]
    (phone,) = pool.rows("SELECT phone FROM core.person WHERE person_id = CAST(:p AS uuid)", p=person)
    pool.run("UPDATE core.person SET phone = '13900000000' WHERE person_id = CAST(:p AS uuid)", p=person)
    try:
        assert asked(first.headers["etag"]).status_code == 200
        assert asked(attributes=["household.size"]).headers["etag"] == asked(attributes=["household.size"]).headers["etag"]
    finally:
        pool.run("UPDATE core.person SET phone = :n WHERE person_id = CAST(:p AS uuid)", n=phone.phone, p=person)

    seen = civil.get("/v1/catalogue")
    same = civil.http.get("/v1/catalogue", headers={**civil.headers, "If-None-Match": seen.headers["etag"]})
    assert (same.status_code, same.text) == (304, "")


def test_the_mark_of_an_answer_depends_on_nothing_that_is_masked(pool, civil):
    row = a_person(pool)
    first = civil.person(row.id, WATCH, "person.name").headers["etag"]
    pool.run("UPDATE core.person SET phone = '13900000000', resident_id = NULL WHERE person_id = CAST(:id AS uuid)", id=row.id)
    try:
        assert civil.person(row.id, WATCH, "person.name").headers["etag"] == first
    finally:
        pool.run(
            "UPDATE core.person SET phone = :phone, resident_id = :number WHERE person_id = CAST(:id AS uuid)",
            id=row.id,
            phone=row.phone,
            number=row.resident_id,
        )


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"purpose": WATCH}, "nothing-asked"),
        ({"purpose": WATCH, "attributes": "person.shoe_size"}, "unknown-attribute"),
        ({"purpose": WATCH, "questions": "happy"}, "unknown-attribute"),
        ({"purpose": WATCH, "attributes": "name; DROP TABLE core.person"}, "bad-request"),
        ({"attributes": "person.name"}, "bad-request"),
        ({"purpose": REVIEW, "attributes": "person.name"}, "consent-required"),
        ({"purpose": REVIEW, "attributes": "person.name", "consent": "a b"}, "bad-request"),
        ({"purpose": "housing_aid", "attributes": "person.name", **CONSENT}, "purpose-not-granted"),
        ({"purpose": "no_such", "attributes": "person.name"}, "purpose-not-granted"),
        ({"purpose": WATCH, "attributes": "person.sex"}, "nothing-granted"),
    ],
)
def test_what_cannot_be_answered_has_its_own_problem_whoever_it_is_about(pool, civil, parameters, code):
    answers = [civil.get(f"/v1/persons/{person_id}", **parameters) for person_id in (NOBODY, a_person(pool).id)]
    assert [a.json()["code"] for a in answers] == [code, code]
    assert all(a.headers["content-type"] == "application/problem+json" for a in answers)


def test_a_problem_speaks_the_callers_language_and_never_quotes_the_question(civil):
    for accept, spoken in (("en", "malformed"), ("zh-CN", "格式")):
        answer = civil.http.post(
            "/v1/persons/lookup", headers={**civil.headers, "Accept-Language": accept},
            json={"purpose": WATCH, "resident_id": "4210221990\u00000307123", "extra": "秘密"},
        )  # fmt: skip
        assert answer.status_code == 400 and spoken in answer.json()["title"]
        assert "秘密" not in answer.text and "4210221990" not in answer.text


def test_the_catalogue_lists_what_may_be_asked_and_nothing_refused(civil):
    body = civil.get("/v1/catalogue").json()
    purposes = {p["purpose"]: p for p in body["purposes"]}
    assert set(purposes) == {"low_income_review", "roster_monitoring", "child_protection", "emergency_rescue"}
    assert [p for p, of in purposes.items() if of["emergency"]] == ["emergency_rescue"], "which is said to be for emergencies alone"
    listed = [a["attribute"] for a in purposes["low_income_review"]["attributes"]]
    assert "person.name" in listed and "health.mental_risk_level" not in listed
    assert purposes["low_income_review"]["legal_basis"] and purposes["low_income_review"]["consent"] == "required"


def test_a_request_id_is_given_back_if_it_is_one(civil):
    headers = {**civil.headers, "X-Request-Id": "ticket-2026-03"}
    assert civil.http.get("/v1/catalogue", headers=headers).headers["x-request-id"] == "ticket-2026-03"
    odd = civil.http.get("/v1/catalogue", headers={**civil.headers, "X-Request-Id": "<script>"}).headers["x-request-id"]
    assert "<" not in odd and len(odd) == 36


def test_a_source_whose_night_did_not_come_is_stale_and_its_silence_means_nothing(pool, civil):
    person = a_person(pool, "NOT sources && ARRAY['medical_insurance']")
    assert civil.person(person.id, WATCH, "insured").json()["answers"][0]["answer"] == "no"
    pool.run(
        "UPDATE ops.intake SET state = 'failed' WHERE stem = 'medical_insurance' AND business_date = '2026-03-05'; UPDATE ops.publication SET number = number + 1"
    )
    try:
        pool.http.get("/healthz")
        (verdict,) = civil.person(person.id, WATCH, "insured").json()["answers"]
        assert (verdict["answer"], verdict["is_stale"]) == ("unknown", True)
    finally:
        pool.run(
            "UPDATE ops.intake SET state = 'merged' WHERE stem = 'medical_insurance' AND business_date = '2026-03-05'; UPDATE ops.publication SET number = number + 1"
        )
        pool.http.get("/healthz")


def test_too_many_misses_pause_a_client_alone_and_say_for_how_long(pool, civil):
    guesser = pool.asker("guesser", "civil_affairs")
    service = pool.http.app.state.service
    assert guesser.person(NOBODY, WATCH, "insured").status_code == 404
    service.misses.take("guesser", 1_000_000)
    paused = guesser.person(NOBODY, WATCH, "insured")
    assert (paused.status_code, paused.json()["code"]) == (429, "too-many-misses") and int(paused.headers["retry-after"]) >= 1
    (entry,) = pool.rows("SELECT decision, subject FROM audit.entry WHERE client_id = 'guesser' ORDER BY leaf_index DESC LIMIT 1")
    assert tuple(entry) == ("paused", None)
    assert civil.person(NOBODY, WATCH, "insured").status_code == 404


@pytest.mark.parametrize("rows", [1, 99])
def test_guessing_by_short_lists_is_guessing(pool, civil, monkeypatch, rows):
    """A list that finds nobody costs as many tries as it has rows, seven tenths of them; one of the usual kind costs none."""
    lister, service = pool.asker(f"lister-{rows}", "civil_affairs"), pool.http.app.state.service
    monkeypatch.setattr(service, "misses", Limit(100, 3600))
    known = [r.resident_id for r in pool.rows("SELECT resident_id FROM core.person WHERE area_code LIKE '421022%' AND birth_date < '1990-01-01'"
             " AND resident_id ~ '^[0-9]{17}[0-9X]$' ORDER BY person_id LIMIT 75")]  # fmt: skip

    def compare(numbers):
        return lister.post(
            "/v1/persons/compare", purpose=WATCH, questions=["insured"], applicants=[{"resident_id": n} for n in numbers]
        )  # fmt: skip

    usual = [*known, *(f"{n:07d}" for n in range(25))]
    assert all(compare(usual).status_code == 200 for _ in range(10))
    tries = 0
    while (answer := compare([f"{n:07d}" for n in range(rows)])).status_code == 200:
        tries += 1
    assert answer.json()["code"] == "too-many-misses" and tries * rows <= 199
    assert lister.person(NOBODY, WATCH, "insured").json()["code"] == "too-many-misses"


def test_a_list_longer_than_the_purpose_allows_is_refused_and_written_down(pool, civil, monkeypatch):
    policy = pool.http.app.state.service.moment.policy
    monkeypatch.setitem(policy.purposes, WATCH, policy.purposes[WATCH].model_copy(update={"bulk": 1}))
    answer = civil.post("/v1/persons/compare", purpose=WATCH, questions=["insured"], applicants=[{"resident_id": "0000001"}] * 2)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    (entry,) = pool.rows("SELECT decision FROM audit.entry ORDER BY leaf_index DESC LIMIT 1")
    assert entry.decision == "too_large"


def test_a_body_that_is_too_large_or_no_json_is_refused(civil):
    huge = civil.http.post("/v1/persons/compare", content=b"[" * (5 << 20), headers={**civil.headers, "Content-Type": "application/json"})
    assert (huge.status_code, huge.json()["code"]) == (413, "too-large")
    for content in (b"{", b"\xff", json.dumps([]).encode(), b""):
        answer = civil.http.post("/v1/persons/lookup", content=content, headers={**civil.headers, "Content-Type": "application/json"})
        assert answer.json()["code"] == "bad-request"


def test_more_applicants_than_the_purpose_allows_are_refused(pool):
    insurer = pool.asker("insurer", "insurance_bureau")
    answer = insurer.post(
        "/v1/persons/compare", purpose="certificate_check", questions=["certificate_valid"], applicants=[{"person_id": NOBODY}] * 2
    )
    assert answer.json()["code"] == "too-large"


def test_who_ask_at_one_time_are_each_told_their_own(pool, civil, town, monkeypatch):
    """Look-ups that come together are read together: departments, purposes and persons stay apart."""
    persons = [
        r.id for r in pool.rows("SELECT person_id::text AS id FROM core.person WHERE birth_date < '1990-01-01' ORDER BY person_id LIMIT 60")
    ]
    asked = [
        (asker, person, purpose, names)
        for person in [*persons, NOBODY]
        for asker, purpose, names in (
            (civil, WATCH, ("person.name", "insured")),
            (civil, REVIEW, ("person.name",)),
            (town, REVIEW, ("person.name",)),
        )
    ]  # fmt: skip

    def ask(one):
        asker, person, purpose, names = one
        answer = asker.person(person, purpose, *names, **CONSENT)
        body = answer.json()
        for changing in ("receipt", "request_id"):
            body.pop(changing, None)
        return answer.status_code, body

    alone = [ask(one) for one in asked]
    read, real = [], answers.persons

    async def noted(asking, what, ids):
        read.append(len(ids))
        return await real(asking, what, ids)

    monkeypatch.setattr(answers, "persons", noted)
    with ThreadPoolExecutor(24) as callers:
        together = list(callers.map(ask, asked))
    statuses = [status for status, _ in alone]
    assert together == alone and {*statuses} == {200, 403, 404}
    assert sum(read) == len(asked) - statuses.count(403) and max(read) > 1
