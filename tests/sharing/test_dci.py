"""The DCI interface, sync search: messages of the standard, answered under the policy of the department, with a receipt and no more."""

import json
import time

import pytest

from sharing import signing_keys
from sharing.signing_keys import Use
from tests.sharing.senders import authorised, by_id, is_the_hubs, now, register, searches
from tests.sharing.test_answers import NOBODY, REVIEW, WATCH, a_person
from tests.sharing.witness import lenient_in
from warehouse import clients

pytestmark = pytest.mark.slow
CONSENT = {"@id": "SQ-2026-0001", "purpose": {"code": REVIEW}}


@pytest.fixture(scope="module")
def desk(pool):
    """Civil affairs, for reviewing, with a consent by default."""
    return register(pool, pool.asker("dci-desk", "civil_affairs"), "spmis.civil.example", purpose=WATCH)


@pytest.fixture(scope="module")
def town_desk(pool):
    return register(pool, pool.asker("dci-town", "town_office"), "spmis.town.example", purpose="low_income_review")


def log_of(pool, client_id):
    """Entries of a client, oldest first."""
    rows = pool.rows("SELECT body FROM audit.entry WHERE body::jsonb ->> 'client_id' = :id ORDER BY leaf_index", id=client_id)
    return [json.loads(r[0]) if isinstance(r[0], str) else r[0] for r in rows]


def beside(record):
    return {(a["name"], a.get("effect")): a["value"] for a in record["additional_attributes"]}


def test_while_the_hubs_key_changes_former_and_new_messages_verify_by_what_it_publishes(pool, desk):
    search = by_id("UIN", a_person(pool).resident_id, consent=CONSENT)
    published = lambda: [k["kid"] for k in pool.http.get("/.well-known/jwks.json").json()["keys"]]  # noqa: E731
    signer = lambda answer: answer.json()["signature"].split('kidId="')[1].split("|")[1]  # noqa: E731
    before = desk.search(search)
    following = signing_keys.rotate(pool.settings, Use.DCI, time.time(), 3600.0)
    assert signer(desk.search(search)) == signer(before) == published()[-1], (
        "the new key waits until whoever keeps the set for a minute has it"
    )
    assert following.key_id in published()
    signing_keys.rotate(pool.settings, Use.DCI, time.time() - signing_keys.PUBLISHED_S - 1, 3600.0)
    after = desk.search(search)
    assert signer(after) not in (signer(before), following.key_id) and published()[-1] == signer(after)
    assert is_the_hubs(pool.http, before.content) and is_the_hubs(pool.http, after.content)
    leaked = signing_keys.rotate(pool.settings, Use.DCI, time.time(), 0.0)
    assert published()[-1] == leaked.key_id and not {signer(before), signer(after), following.key_id} & set(published())
    assert is_the_hubs(pool.http, desk.search(search).content)


def test_a_person_is_told_by_number_in_the_standards_places_and_codes(pool, desk):
    row = a_person(pool, "sex IN ('1', '2')")
    answer = desk.search(by_id("UIN", row.resident_id, consent=CONSENT))
    body = answer.json()
    assert answer.status_code == 200 and is_the_hubs(desk.asker.http, answer.content)
    assert (body["header"]["action"], body["header"]["status"], body["header"]["receiver_id"]) == ("on-search", "succ", desk.sender_id)
    (found,) = body["message"]["search_response"]
    assert found["status"] == "succ" and found["data"]["reg_record_type"] == "Member"
    (record,) = found["data"]["reg_records"]
    person = record["demographic_info"]
    assert record["@type"] == "Member" and person["@type"] == "SRPerson"
    assert person["name"] == {"@type": "Name", "given_name": row.name}
    assert person["sex"] == {"1": "male", "2": "female"}[row.sex] and person["birth_date"] == str(row.birth_date)
    assert person["identifier"] == [{"@type": "Identifier", "identifier_type": "UIN", "identifier_value": row.resident_id}]
    assert record["member_identifier"][0]["identifier_value"] == row.id


def test_another_purpose_gets_less_and_nothing_that_is_not_clear_stands_in_a_place_of_the_standard(pool, desk):
    row = a_person(pool)
    ((record,),) = desk.records(by_id("UIN", row.resident_id))  # by the client's own purpose: monitoring
    assert "demographic_info" not in record
    told = beside(record)
    assert told["person.name", "masked"] == row.name[0] + "*" * (len(row.name) - 1)
    assert told["person.birth_date", "derived"] == row.birth_date.year and told["person.area_code", "derived"] == row.area_code[:6]
    text = json.dumps(record, ensure_ascii=False)
    for hidden in (row.name, row.resident_id, str(row.birth_date), row.phone, row.address):
        assert hidden not in text


def test_the_purpose_of_the_authority_comes_before_the_clients_own(pool, desk):
    row = a_person(pool)
    ((record,),) = desk.records(by_id("UIN", row.resident_id, authorize=authorised(REVIEW), consent=CONSENT))
    assert record["demographic_info"]["name"]["given_name"] == row.name


def test_every_answer_has_its_entry_in_the_log_and_names_its_receipt(pool, desk):
    row = a_person(pool)
    before = pool.entries()
    ((record,),) = desk.records(by_id("UIN", row.resident_id, consent=CONSENT))
    assert pool.entries() == before + 1
    receipt = desk.asker.get(f"/v1/receipts/{beside(record)['receipt_id', None]}").json()
    entry = json.loads(receipt["body"])
    assert (entry["asked"], entry["decision"], entry["purpose"], entry["consent"]) == ("dci_member", "told", REVIEW, "SQ-2026-0001")
    assert entry["told"]["person.name"] == "clear" and row.resident_id not in receipt["body"]


def test_not_there_not_yours_and_not_told_leave_an_empty_answer_alike(pool, town_desk):
    (elsewhere,) = pool.rows(
        "SELECT resident_id FROM core.person WHERE area_code LIKE '421022%' AND NOT area_code LIKE '421022100%' AND birth_date < '1990-01-01'"
        " AND resident_id IS NOT NULL ORDER BY person_id LIMIT 1"
    )
    before = pool.entries()
    answers = [
        town_desk.search(by_id("UIN", number, consent=CONSENT)).json()
        for number in ("110101199003070003", elsewhere.resident_id, "TEST-001")
    ]
    shapes = []
    for body in answers:
        (found,) = body["message"]["search_response"]
        assert found.pop("timestamp")
        shapes.append((found, {k: v for k, v in body["header"].items() if k not in ("message_id", "message_ts")}))
    assert shapes[0] == shapes[1] == shapes[2]
    assert shapes[0][0]["status"] == "succ" and shapes[0][0]["data"]["reg_records"] == []
    entries = log_of(pool, "dci-town")[-3:]
    assert pool.entries() == before + 3
    assert {e["decision"] for e in entries} == {"not_available"} and len({tuple(e["told"]) for e in entries}) == 1


@pytest.mark.parametrize(
    ("criteria", "code"),
    [
        (by_id("UIN", "110101199003070003", authorize=authorised("nonsense")), "rjct.search_criteria.invalid"),
        (by_id("UIN", "110101199003070003", authorize=authorised("Not A Code")), "rjct.search_criteria.invalid"),
        (by_id("UIN", "110101199003070003", authorize=authorised(REVIEW)), "rjct.search_criteria.invalid"),  # without a consent
        (by_id("BRN", "1"), "rjct.search_criteria.invalid"),
        (by_id("UIN", "1" * 61), "rjct.filter.invalid"),
        ({"query_type": "predicate", "query": [{"expression1": {"attribute_name": "poverty_score", "operator": "lt", "attribute_value": "2"}}]}, "rjct.filter.invalid"),
        ({"query_type": "predicate", "query": [{"expression1": {"attribute_name": "age", "operator": "lt", "attribute_value": "25"}}]}, "rjct.search.too_many_records_found"),
        ({"query_type": "expression", "query": {"type": "t", "value": {"expression": {"query": {"$or": [{"UIN": {"$eq": "1"}}, {"sex": "male"}]}}}}}, "rjct.search.too_many_records_found"),
        ({"query_type": "expression", "query": {"type": "t", "value": {"expression": {"query": {"UIN": {"$regex": "1"}}}}}}, "rjct.filter.invalid"),
        ({"query_type": "expression", "query": {"type": "t", "value": {"expression": {"query": {"$and": [{"UIN": "1"}, {"sex": "male"}]}}}}}, "rjct.filter.invalid"),  # not told in clear
        (by_id("UIN", "110101199003070003", sort=[{"attribute_name": "poverty_score"}]), "rjct.sort.invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_rejected_with_the_standards_code_whoever_it_is_about(desk, criteria, code):
    (found,) = desk.search(criteria).json()["message"]["search_response"]
    assert (found["status"], found["status_reason_code"]) == ("rjct", code) and "data" not in found


def test_a_department_without_a_default_purpose_is_told_nothing_by_a_search_that_names_none(pool):
    sender = register(pool, pool.asker("dci-plain", "insurance_bureau"), "plain.example")
    (found,) = sender.search(by_id("UIN", a_person(pool).resident_id)).json()["message"]["search_response"]
    assert found["status_reason_code"] == "rjct.search_criteria.invalid"


def expression(*parts):
    return {"query_type": "expression", "query": {"type": "ns:org:QueryType:NoSql", "value": {"expression": {"collection": "Member", "query": {"$and": [*parts]}}}}}  # fmt: skip


def test_an_expression_or_predicate_names_somebody_and_narrows_down_by_what_is_told_in_clear(pool, desk):
    row = a_person(pool, "sex = '2'")
    named = [{"name": {"$eq": row.name}}, {"birth_date": {"$eq": str(row.birth_date)}}]
    uin = {"UIN": {"$eq": row.resident_id}}
    review = {"consent": CONSENT}
    said = desk.records(
        {**expression(uin, {"sex": "female"}), **review}, {**expression(uin, {"sex": "male"}), **review},
        {**expression(uin, {"age": {"$ge": 30}}, {"$not": {"age": {"$gt": 120}}}), **review},
        {**expression(uin, {"$or": [{"sex": "male"}, {"birth_date": {"$lt": "1990-01-01"}}]}), **review},
        {**expression(*named), **review},
        {"query_type": "predicate", **review, "query": [{"seq_num": 1, "expression1": {"attribute_name": "UIN", "operator": "eq", "attribute_value": row.resident_id},
          "condition": "and", "expression2": {"attribute_name": "area_code", "operator": "in", "attribute_value": row.area_code}}]},
    )  # fmt: skip
    assert [len(s) for s in said] == [1, 0, 1, 1, 1, 1]
    assert all(s[0]["@id"] == f"urn:uuid:{row.id}" for n, s in enumerate(said) if n not in (1, 4))
    assert {e["decision"] for e in log_of(pool, "dci-desk")[-6:]} <= {"told", "candidate"}


def test_a_household_is_told_with_its_members_by_a_persons_number_or_the_hubs_id(pool, desk):
    (row,) = pool.rows(
        "SELECT p.resident_id, m.household_id::text AS id, h.members FROM core.person p JOIN core.household_member m USING (person_id)"
        " JOIN core.household h USING (household_id) WHERE p.area_code LIKE '421022%' AND p.birth_date < '1980-01-01' AND p.resident_id IS NOT NULL"
        " AND h.kind = 'registered' AND h.members > 2 AND (SELECT count(*) FROM core.person q WHERE q.resident_id = p.resident_id) = 1 ORDER BY m.person_id LIMIT 1"
    )
    before = pool.entries()
    groups, (same,) = desk.records(
        by_id("UIN", row.resident_id, response_entity="Group", consent=CONSENT), by_id("HUB_HOUSEHOLD_ID", row.id, consent=CONSENT)
    )
    (group,) = (g for g in groups if g["@id"] == f"urn:uuid:{row.id}")
    assert group["@type"] == "Group" and group["group_size"] == row.members and group["group_type"] == "household"
    assert [m["@id"] for m in group["member_list"]] == [m["@id"] for m in same["member_list"]]
    assert pool.entries() - before == sum(len(g["member_list"]) for g in [*groups, same])
    assert any(m.get("relationship_to_head") == "SELF" for m in group["member_list"])


def test_a_household_is_not_told_under_a_purpose_that_does_not_grant_its_members(pool, desk):
    assert desk.records(by_id("UIN", a_person(pool).resident_id, response_entity="Group")) == [[]]


def test_pages_count_from_one_and_say_how_many_there_are(pool, desk):
    row = a_person(pool)
    answer = desk.search(
        by_id("UIN", row.resident_id, pagination={"page_size": 1, "page_number": 1}),
        by_id("UIN", row.resident_id, pagination={"page_size": 10, "page_number": 2}),
    ).json()
    first, second = answer["message"]["search_response"]
    assert first["pagination"] == {"page_size": 1, "page_number": 1, "total_count": 1} and len(first["data"]["reg_records"]) == 1
    assert second["pagination"]["total_count"] == 1 and second["data"]["reg_records"] == []
    beside_the_criteria = searches(by_id("UIN", row.resident_id))
    beside_the_criteria["search_request"][0]["pagination"] = {"page_size": 1, "page_number": 2}
    (third,) = desk.ask("/registry/sync/search", "search", beside_the_criteria).json()["message"]["search_response"]
    assert third["pagination"]["page_number"] == 2 and third["data"]["reg_records"] == []


def test_two_searches_of_one_reference_are_one_too_many(pool, desk):
    row = a_person(pool)
    message = searches(by_id("UIN", row.resident_id), by_id("UIN", row.resident_id))
    message["search_request"][1]["reference_id"] = message["search_request"][0]["reference_id"]
    found = desk.ask("/registry/sync/search", "search", message, 2).json()["message"]["search_response"]
    assert [f.get("status_reason_code") for f in found] == [None, "rjct.reference_id.duplicate"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"total_count": 2}, "rjct.total_count.invalid"),
        ({"action": "subscribe"}, "rjct.action.invalid"),
        ({"message_ts": "2020-01-01T00:00:00+08:00"}, "rjct.message_ts.invalid"),
    ],
)
def test_a_message_that_does_not_fit_is_rejected_in_the_header(desk, changed, code):
    answer = desk.search(by_id("UIN", "110101199003070003"), changed=changed)
    header = answer.json()["header"]
    assert (answer.status_code, header["status"], header["status_reason_code"]) == (200, "rjct", code)
    assert "message" not in answer.json()


def test_a_message_is_good_once(desk):
    body = desk.body(desk.header("search"), searches(by_id("UIN", "110101199003070003")))
    assert desk.send("/registry/sync/search", body).json()["header"]["status"] == "succ"
    again = desk.send("/registry/sync/search", body).json()
    assert again["header"]["status_reason_code"] == "rjct.message_id.duplicate"


def test_more_searches_than_are_taken_are_rejected_before_anybody_is_looked_for(pool, desk):
    before = pool.entries()
    answer = desk.search(*[by_id("UIN", "110101199003070003")] * 101).json()
    assert answer["header"]["status_reason_code"] == "rjct.total_count.limit_exceeded" and pool.entries() == before


def refused(answer):
    body = answer.json()
    assert body["errors"][0]["code"] == body["code"] and body["header"]["status"] == "rjct"
    return answer.status_code, body["code"]


ENCRYPTED = {
    "header": {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "k"},
    "ciphertext": "AA",
    "encrypted_key": "AA",
    "tag": "AA",
    "iv": "AA",
}


@pytest.mark.parametrize(
    "path", ["/registry/sync/search", "/registry/search", "/registry/subscribe", "/registry/sync/disabled", "/registry/sync/txn/status"]
)
@pytest.mark.parametrize("said", [True, False])
def test_an_encrypted_message_and_a_file_are_refused_with_the_standards_codes(desk, path, said):
    """An encrypted message holds none of the fields of a search: it must not be taken for a bad one."""
    answer = desk.send(path, desk.body(desk.header("search", is_msg_encrypted=said), ENCRYPTED))
    assert (answer.status_code, answer.json()["code"]) == (400, "err.encryption.invalid"), answer.text
    file = desk.asker.http.post(path, files={"file": b"x"}, data={"action": "search"}, headers=desk.asker.headers)
    assert (file.status_code, file.json()["code"]) == (415, "err.request.bad")


def test_who_is_no_sender_or_another_one_is_not_taken_in(pool, desk, civil):
    stranger = by_id("UIN", "110101199003070003")
    assert refused(desk.search(stranger, changed={"sender_id": "spmis.town.example"})) == (403, "err.sender_id.invalid")
    assert refused(desk.search(stranger, changed={"receiver_id": "another"})) == (400, "err.receiver_id.invalid")
    assert refused(desk.search(stranger, changed={"version": "9.9.9"})) == (400, "err.version.not_supported")
    assert refused(desk.search(stranger, changed={"is_msg_encrypted": True})) == (400, "err.encryption.invalid")
    body = desk.body(desk.header("search"), searches(stranger))
    path = "/registry/sync/search"
    plain = civil.http.post(path, content=body, headers={**civil.headers, "Content-Type": "application/json"})
    assert refused(plain) == (403, "err.sender_id.invalid")
    assert refused(civil.http.post(path, content=body, headers={"Content-Type": "application/json"})) == (401, "err.request.unauthorized")
    assert refused(desk.send(path, body, **{"Content-Type": "text/plain"}))[1] == "err.request.bad"
    assert refused(desk.send(path, b'{"header": {"x": "' + b"y" * (5 << 20) + b'"}}'))[0] == 413


def test_a_revoked_client_is_told_nothing(pool):
    sender = register(pool, pool.asker("dci-gone", "civil_affairs"), "gone.example", purpose=WATCH)
    with pool.engine.begin() as connection:
        clients.revoke(connection, "dci-gone")
    status, code = refused(sender.search(by_id("UIN", a_person(pool).resident_id)))
    assert status in (401, 403) and code in ("err.request.unauthorized", "err.sender_id.invalid")


@pytest.mark.parametrize("how", [{"at": 1_600_000_000}, {"lifetime_s": 86_400}, {"kidId": "spmis.town.example|k1|ed25519"}, {"kidId": "spmis.civil.example|k2|ed25519"},
                                 {"headers": "(created) digest"}, {"algorithm": "hs2019"}, {"signature": "AAAA"}, {"expires": "9999999999"}])  # fmt: skip
def test_a_signature_of_another_time_key_or_form_does_not_hold(desk, how):
    assert refused(desk.search(by_id("UIN", "110101199003070003"), **how)) == (401, "err.signature.invalid")


def test_a_byte_that_was_changed_breaks_the_signature_and_space_is_a_byte(desk):
    body = desk.body(desk.header("search"), searches(by_id("UIN", "110101199003070003")))
    path = "/registry/sync/search"
    assert refused(desk.send(path, body.replace(b"110101199003070003", b"110101199003070011"))) == (401, "err.signature.invalid")
    assert refused(desk.send(path, body.replace(b'"query_type": ', b'"query_type":  '))) == (401, "err.signature.invalid")
    unsigned = json.dumps({"header": desk.header("search"), "message": searches(by_id("UIN", "1234"))}).encode()
    assert refused(desk.send(path, unsigned)) == (401, "err.signature.missing")
    stub = json.dumps({"signature": "unsigned-stub", **json.loads(unsigned)}).encode()
    assert refused(desk.send(path, stub)) == (401, "err.signature.missing")
    assert desk.search(by_id("UIN", "110101199003070003"), indent=2).status_code == 200


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b'"x"', b'{"header": 1}', b"\xff\xfe", b'{"header":{"a":"\\ud800"},"message":{}}', b'{"header":{},"message":{"x":NaN}}',
    b'{"signature":5,"header":{},"message":{}}', b'{"header":' + b"[" * 3000 + b"]" * 3000 + b"}",
])  # fmt: skip
def test_a_body_that_is_no_message_is_refused(desk, body):
    assert refused(desk.send("/registry/sync/search", body)) == (400, "err.request.bad")


def test_a_name_that_stands_twice_is_refused_though_the_signature_holds(desk):
    top, inner = json.dumps(desk.header("search")), json.dumps(searches(by_id("UIN", "110101199003070003")))
    twice = inner[:-1] + ', "transaction_id": "other"}'
    body = f'{{"signature": {json.dumps(desk.signature(top, twice))}, "header": {top}, "message": {twice}}}'.encode()
    assert refused(desk.send("/registry/sync/search", body)) == (400, "err.request.bad")
    body = f'{{"signature": {json.dumps(desk.signature(top, inner))}, "header": {top}, "message": {inner}, "header": {top}}}'.encode()
    assert refused(desk.send("/registry/sync/search", body)) == (400, "err.request.bad")


@pytest.mark.parametrize(
    ("place", "value"),
    [("transaction_id", "t" * 100), ("transaction_id", ""), ("timestamp", "2024-01-15T10:30:00"), ("timestamp", "not-a-timestamp"), ("locale", "en"), ("locale", "ENG"),
     ("page_size", 0), ("page_size", -1), ("page_number", 0), ("message_ts", "2024-01-15T10:30:00")],
)  # fmt: skip
def test_what_the_standard_bounds_is_held_to_its_bounds(desk, place, value):
    message, header = searches(by_id("UIN", "110101199003070003")), desk.header("search")
    item = message["search_request"][0]
    if place.startswith("page"):
        item["search_criteria"]["pagination"] = {"page_size": 1, "page_number": 1, place: value}
    else:
        {"transaction_id": message, "message_ts": header}.get(place, item)[place] = value
    assert refused(desk.send("/registry/sync/search", desk.body(header, message))) == (400, "err.request.bad")


def test_what_senders_write_loosely_is_read(pool, desk):
    row = a_person(pool)
    message = searches({**by_id("UIN", row.resident_id, consent="", authorize="", sort=[], unheard_of={"x": 1}), "response_entity": ""})
    message["search_request"][0] |= {"locale": "", "timestamp": now()}
    header = desk.header("search", total_count="1", meta="", sender_uri="", receiver_id="")
    with lenient_in("empty texts, counts as texts"):
        (found,) = desk.send("/registry/sync/search", desk.body(header, message)).json()["message"]["search_response"]
    assert found["status"] == "succ" and len(found["data"]["reg_records"]) == 1


@pytest.mark.parametrize(
    ("place", "value"),
    [("header total_count", "1"), ("header meta", ""), ("header sender_uri", ""), ("header message_ts", "{now}"), ("message search_request 0 timestamp", "{now}"),
     ("message search_request 0 locale", ""), ("message transaction_id", 5), ("message search_request 0 reference_id", 7),
     ("message search_request 0 search_criteria reg_event_type", "MARRIAGE"), ("message search_request 0 search_criteria consent", ""),
     ("message search_request 0 search_criteria", {"query_type": "predicate", "query": [{"expression1": {"attribute_name": "UIN", "operator": "in", "attribute_value": ["1234"]}}]}),
     ("message search_request 0 search_criteria sort", ""), ("message search_request 0 search_criteria pagination", {"page_size": "1"})],
)  # fmt: skip
def test_one_thing_that_the_standard_does_not_have_so_is_let_pass_alone(pool, desk, place, value):
    found = {"header": desk.header("search"), "message": searches(by_id("UIN", a_person(pool).resident_id))}
    node, (*way, last) = found, place.split(" ")
    for step in way:
        node = node[int(step) if isinstance(node, list) else step]
    node[last] = time.strftime("%Y-%m-%dT%H:%M+0000", time.gmtime()) if value == "{now}" else value
    with lenient_in(place):
        assert desk.send("/registry/sync/search", desk.body(found["header"], found["message"])).json()["header"]["status"] == "succ"


def test_an_unsigned_message_is_taken_where_hub_and_registration_both_let_it(pool, desk, monkeypatch):
    trial = register(pool, pool.asker("dci-trial", "civil_affairs"), "trial.example", purpose=WATCH, may_leave_unsigned=True)
    path = "/registry/sync/search"

    def stub(sender):
        return json.dumps(
            {"signature": "unsigned-stub", "header": sender.header("search"), "message": searches(by_id("UIN", "1234"))}
        ).encode()

    assert refused(trial.send(path, stub(trial))) == (401, "err.signature.missing")
    settings = pool.http.app.state.service.settings
    monkeypatch.setattr(pool.http.app.state.service, "settings", settings.model_copy(update={"dci_is_lenient": True}))
    assert trial.send(path, stub(trial)).json()["header"]["status"] == "succ"
    assert refused(desk.send(path, stub(desk))) == (401, "err.signature.missing")
    other = json.loads(stub(trial)) | {"signature": "invalid-signature"}
    assert refused(trial.send(path, json.dumps(other).encode())) == (401, "err.signature.invalid")


def test_while_the_log_cannot_be_written_nothing_is_told(pool, desk):
    row = a_person(pool)
    pool.run("ALTER FUNCTION audit.append RENAME TO append_away")
    try:
        answer = desk.search(by_id("UIN", row.resident_id, consent=CONSENT))
    finally:
        pool.run("ALTER FUNCTION audit.append_away RENAME TO append")
    assert refused(answer) == (503, "err.service.unavailable") and row.name not in answer.text


def test_the_token_of_the_standard_is_the_services_own(pool, desk):
    asker = desk.asker
    form = {"grant_type": "client_credentials", "client_id": asker.client_id, "client_secret": asker.secret}
    given = pool.http.post("/oauth2/client/token", data=form).json()
    assert given["expires_in"] == "300" and given["token_type"] == "Bearer"
    asker.token = given["access_token"]
    assert desk.search(by_id("UIN", "110101199003070003")).status_code == 200
    assert pool.http.post("/oauth2/client/token", data={**form, "client_secret": "x"}).status_code == 401


def test_areas_are_a_tree(pool):
    places = pool.http.get("/.well-known/locations.json").json()["locations"]
    ids = {p["id"] for p in places}
    assert len(ids) == len(places) > 300 and all(p["contained_in_place"] in ids | {None} for p in places)
    assert NOBODY not in ids


def test_a_grant_that_speaks_in_emergencies_alone_is_held_to_them_here_as_well(pool):
    sender = register(pool, pool.asker("dci-rescue", "civil_affairs"), "rescue.example", purpose="emergency_rescue")
    number = a_person(pool).resident_id
    (refused_answer,) = sender.search(by_id("UIN", number)).json()["message"]["search_response"]
    assert refused_answer["status"] == "rjct" and "emergency-not-open" in refused_answer["status_reason_message"]
    opened = sender.asker.post(
        "/v1/emergencies", purpose="emergency_rescue", operator="Wang", reason="a landslide at the sixth village of town 1"
    )
    assert opened.status_code == 201, opened.text
    (found,) = sender.records(by_id("UIN", number))
    assert len(found) == 1
    assert log_of(pool, "dci-rescue")[-1]["emergency"] == opened.json()["emergency_id"]
