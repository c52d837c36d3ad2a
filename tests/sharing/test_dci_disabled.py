"""The DCI disability registry: one person at a time, answered at once, under the purpose of who asks."""

import json

import pytest

from tests.sharing.senders import is_the_hubs, register
from tests.sharing.witness import lenient_in

pytestmark = pytest.mark.slow
ALLOWANCE = "disability_allowance"


@pytest.fixture(scope="module")
def desk(pool):
    return register(pool, pool.asker("dci-federation", "disabled_federation"), "federation.example", purpose=ALLOWANCE)


@pytest.fixture(scope="module")
def holder(pool):
    """Somebody with a valid certificate of one kind."""
    (row,) = pool.rows(
        "SELECT p.person_id::text AS id, p.resident_id, d.category, d.grade FROM core.disability d JOIN identity.link l USING (record_id) JOIN core.person p USING (person_id)"
        " WHERE d.withdrawn_date IS NULL AND d.certificate_status = '1' AND (d.expires_date IS NULL OR d.expires_date > '2027-01-01') AND d.category <> '7'"
        " AND p.area_code LIKE '421022%' AND p.resident_id IS NOT NULL AND (SELECT count(*) FROM core.person q WHERE q.resident_id = p.resident_id) = 1"
        " AND (SELECT count(*) FROM identity.link o JOIN core.disability e USING (record_id) WHERE o.person_id = p.person_id) = 1 ORDER BY 1 LIMIT 1"
    )
    return row


def ask(desk, what, query, **more):
    message = {"transaction_id": "t-1", "disabled_criteria": {"query": query, **more}}
    return desk.ask(f"/registry/sync/{what}", "search", message)


def test_whether_somebody_is_disabled_is_told_by_number_or_by_the_hubs_id(desk, holder):
    for query in (
        {"member.member_identifier": {"eq": holder.resident_id}}, {"member.member_identifier": {"eq": holder.id}},
        {"type": "UIN", "value": holder.resident_id}, {"UIN": {"eq": holder.resident_id}},
    ):  # fmt: skip
        answer = ask(desk, "disabled", query)
        assert answer.status_code == 200 and is_the_hubs(desk.asker.http, answer.content), answer.text
        (said,) = answer.json()["message"]["disabled_response"]
        assert (said["status"], said["disabled_status"], said["reference_id"]) == ("succ", "yes", "t-1")


def test_whom_a_question_means_may_be_said_by_predicates_as_in_a_search(desk, holder):
    named = {"expression1": {"attribute_name": "UIN", "operator": "eq", "attribute_value": holder.resident_id}}
    with lenient_in("a list in the place of an object"):
        (said,) = ask(desk, "disabled", [named]).json()["message"]["disabled_response"]
    assert said["disabled_status"] == "yes"


def test_how_somebody_is_disabled_is_told_in_the_standards_codes_with_a_receipt(desk, holder, pool):
    before = pool.entries()
    (said,) = ask(desk, "get-disability-details", {"type": "UIN", "value": holder.resident_id}).json()["message"]["search_response"]
    (record,) = said["data"]["reg_records"]
    kind = {"1": "1", "2": "2", "3": "5", "4": "3", "5": "4", "6": "6"}[holder.category]
    assert record["disability_details"] == [{"impairment_type": kind, "impairment_level": str(5 - int(holder.grade))}]
    assert (record["disability_level"], record["disability_status"]) == (holder.grade, "0")
    (receipt,) = [a["value"] for a in record["additional_attributes"] if a["name"] == "receipt_id"]
    entry = json.loads(desk.asker.get(f"/v1/receipts/{receipt}").json()["body"])
    assert pool.entries() == before + 1 and (entry["asked"], entry["decision"]) == ("dci_disability_details", "told")
    assert set(entry["told"]) == {"disability.category", "disability.grade", "disability.certificate_status"}


def test_not_there_not_yours_and_not_a_number_leave_the_answer_empty_alike(desk, pool):
    (stranger,) = pool.rows(
        "SELECT p.resident_id FROM core.person p WHERE p.resident_id IS NOT NULL AND NOT 'disability' = ANY(p.sources) ORDER BY person_id LIMIT 1"
    )
    for what, name in (("disabled", "disabled_response"), ("get-disability-details", "search_response")):
        answers = [ask(desk, what, {"type": "UIN", "value": n}).json() for n in ("110101199003070003", stranger.resident_id, "TEST-001")]
        said = [a["message"][name] for a in answers]
        for found in said:
            for one in found:
                one.pop("timestamp")
        assert said[0] == said[1] == said[2]
        assert said[0] == [] if what == "disabled" else said[0][0]["data"]["reg_records"] == []


def test_what_the_purpose_does_not_tell_is_not_told(desk, holder, pool):
    answer = ask(desk, "get-disability-support", {"type": "UIN", "value": holder.resident_id}).json()
    assert answer["header"]["status"] == "rjct" and "nothing-granted" in answer["header"]["status_reason_message"]
    housing = register(pool, pool.asker("dci-housing", "housing_bureau"), "housing.example", purpose="housing_aid")
    consent = {"@id": "SQ-2026-0001"}
    told = ask(
        housing, "get-disability-details", {"type": "UIN", "value": holder.resident_id}, consent=consent
    )  # only whether there is a grade
    records = told.json().get("message", {}).get("search_response", [{}])[0].get("data", {}).get("reg_records", [])
    assert all("disability_details" not in r for r in records)


@pytest.mark.parametrize(
    ("query", "code"),
    [({"type": "BRN", "value": "1"}, "rjct.search_criteria.invalid"), ({"disability_status": {"$eq": "Approved"}}, "rjct.filter.invalid"),
     ({"sex": "male"}, "rjct.search.too_many_records_found"), ({"member.member_identifier": {"eq": 5}}, "rjct.filter.invalid")],
)  # fmt: skip
def test_a_list_is_not_to_be_had_and_what_cannot_be_asked_is_rejected(desk, query, code):
    answer = ask(desk, "disabled", query).json()
    assert answer["header"]["status"] == "rjct" and answer["header"]["status_reason_message"].startswith(f"{code}: ")


def test_it_is_held_to_signature_and_sender_like_the_other_registry(desk, holder):
    message = {"transaction_id": "t-1", "disabled_criteria": {"query": {"type": "UIN", "value": holder.resident_id}}}
    body = desk.body(desk.header("search"), message)
    assert desk.send("/registry/sync/disabled", body.replace(b"t-1", b"t-2")).json()["code"] == "err.signature.invalid"
    assert desk.send("/registry/sync/disabled", body).status_code == 200
    assert desk.send("/registry/sync/disabled", body).json()["header"]["status_reason_code"] == "rjct.message_id.duplicate"
