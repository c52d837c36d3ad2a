"""Questions to the past over HTTP: any pair of times, in the grant's own forms, of persons who are the grant's now and were then."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import orjson
import pytest

from sharing import policy as policies
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_answers import NOBODY, REVIEW, WATCH, a_person

pytestmark = pytest.mark.slow
CONSENT = {"consent": "SQ-2026-0001"}
GRANT = next(g for g in policies.in_force(date(2026, 3, 5)).grants if (g.department, g.purpose) == ("civil_affairs", REVIEW))
NAMES = [n for n, effect in GRANT.attributes.items() if effect != "refused" and not n.startswith("household.")]
TIMES = ("as_of", "known_at", "receipt", "policy_version")


def published(pool: Pool, number: int) -> str:
    return str(pool.rows("SELECT published_at FROM ops.published WHERE number = :n", n=number)[0][0].isoformat())


def last(pool: Pool) -> int:
    return int(pool.rows("SELECT max(number) FROM ops.published")[0][0])


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, apart from the times that were named and from the order of its values."""
    return {n: sorted(v, key=str) if n == "values" else v for n, v in answer.items() if n not in TIMES}


@pytest.fixture(scope="module")
def changed(pool: Pool) -> dict[str, Any]:
    """A person of one record at some agency, which said something else on an earlier day."""
    for name in NAMES:
        stem, _, column = name.partition(".")
        if stem == "person" or GRANT.attributes[name] != "clear":
            continue
        for row in pool.rows(
            f"SELECT l.person_id::text AS person, lower(h.valid_during) AS was_from, m.as_of_date AS is_from, h.open_until AS ended,"
            f" h.row ->> '{column}' AS was, to_jsonb(m) ->> '{column}' AS is_now FROM core.\"{stem}\" m JOIN history.record h"
            " ON h.record_id = m.record_id AND upper(h.valid_during) = m.as_of_date AND NOT h.is_withdrawn JOIN identity.link l ON l.record_id = m.record_id"
            " JOIN core.person p USING (person_id) WHERE m.withdrawn_date IS NULL AND p.area_code LIKE '421022%' AND p.birth_date < '2005-01-01'"
            f' AND (SELECT count(*) FROM core."{stem}" o JOIN identity.link k USING (record_id) WHERE k.person_id = l.person_id) = 1 ORDER BY 1'
        ):
            if row.was is not None and row.is_now is not None and row.was != row.is_now:
                return {**row._mapping, "attribute": name}
    raise AssertionError("five nights changed nothing that is told in clear")


def values(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(str(v["value"]), v["as_of_date"]) for v in answer["values"]]


def same(value: Any, text: str) -> bool:
    return str(value) == text or float(value) == float(text)


def test_a_date_is_answered_by_what_was_true_on_it(civil: Asker, changed: dict[str, Any]) -> None:
    now = civil.person(changed["person"], REVIEW, changed["attribute"], **CONSENT).json()
    then = civil.person(
        changed["person"], REVIEW, changed["attribute"], as_of=str(changed["is_from"] - timedelta(days=1)), **CONSENT
    ).json()
    ((is_now, day_now),), ((was, day_then),) = values(now), values(then)
    assert same(is_now, changed["is_now"]) and same(was, changed["was"])
    assert (day_now, day_then) == (str(changed["is_from"]), str(changed["was_from"]))
    assert then["as_of"] == str(changed["is_from"] - timedelta(days=1)) and "as_of" not in now


def test_an_instant_is_answered_by_what_the_hub_knew_at_it(pool: Pool, civil: Asker, changed: dict[str, Any]) -> None:
    before, after = published(pool, changed["ended"] - 1), published(pool, changed["ended"])
    then = civil.person(changed["person"], REVIEW, changed["attribute"], known_at=before, **CONSENT).json()
    later = civil.person(changed["person"], REVIEW, changed["attribute"], known_at=after, **CONSENT).json()
    assert same(values(then)[0][0], changed["was"]) and same(values(later)[0][0], changed["is_now"])
    both = civil.person(
        changed["person"], REVIEW, changed["attribute"], known_at=after, as_of=str(changed["is_from"] - timedelta(days=1)), **CONSENT
    ).json()
    assert same(values(both)[0][0], changed["was"])


def test_asked_by_what_is_known_now_the_past_says_what_the_present_says_in_every_form(pool: Pool, civil: Asker) -> None:
    """The two ways to an answer, through the roles' views and out of the history, agree on values, masks, questions and households."""
    people = pool.rows(
        "SELECT person_id::text AS id FROM core.person WHERE area_code LIKE '421022%' AND birth_date < '2005-01-01' AND cardinality(sources) > 2"
        " ORDER BY 1 LIMIT 25"
    )
    at = published(pool, last(pool))
    for row in people:
        asked = (*NAMES, "household.members", *GRANT.questions)
        now, then = (civil.person(row.id, REVIEW, *asked, **CONSENT, **times).json() for times in ({}, {"known_at": at}))
        assert without_times(then) == without_times(now)


def test_a_household_is_told_as_it_was(pool: Pool, civil: Asker) -> None:
    homes = pool.rows(
        "SELECT household_id::text AS id FROM core.household_member m JOIN core.person p USING (person_id) WHERE p.area_code LIKE '421022%'"
        " AND p.birth_date < '2000-01-01' GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 5"
    )
    asked = {"purpose": REVIEW, **CONSENT, "attributes": ["household.size", "household.members", "household.relation", "person.name"]}

    def shown(answer: dict[str, Any]) -> Any:
        members = [without_times(m) for m in answer["members"]]
        return answer["size"], answer["kind"], sorted(members, key=lambda m: m["person_id"])

    for home in homes:
        now = civil.get(f"/v1/households/{home.id}", **asked).json()
        then = civil.get(f"/v1/households/{home.id}", **asked, known_at=published(pool, last(pool))).json()
        assert shown(then) == shown(now) and then["members"][0]["receipt"]["receipt_id"]
    first = published(pool, int(pool.rows("SELECT min(number) FROM ops.published")[0][0]))
    assert civil.get(f"/v1/households/{homes[0].id}", **asked, known_at=first).status_code == 200
    assert civil.get(f"/v1/households/{NOBODY}", **asked, known_at=first).json()["code"] == "subject-not-available"


def test_the_log_says_which_times_were_asked_for(pool: Pool, civil: Asker, changed: dict[str, Any]) -> None:
    at = published(pool, last(pool))
    answer = civil.person(changed["person"], REVIEW, changed["attribute"], as_of="2026-03-04", known_at=at, **CONSENT).json()
    body = orjson.loads(civil.get(f"/v1/receipts/{answer['receipt']['receipt_id']}").json()["body"])
    assert body["as_of"] == "2026-03-04" and body["known_at"][:16] == at[:16]
    plain = civil.person(changed["person"], REVIEW, changed["attribute"], **CONSENT).json()
    assert not {"as_of", "known_at"} & orjson.loads(civil.get(f"/v1/receipts/{plain['receipt']['receipt_id']}").json()["body"]).keys()


@pytest.mark.parametrize(
    ("purpose", "times", "code"),
    [
        (WATCH, {"as_of": "2026-03-04"}, "past-not-granted"),
        (WATCH, {"known_at": "2026-03-04T08:00"}, "past-not-granted"),
        (REVIEW, {"as_of": "2019-01-01"}, "past-not-granted"),
        (REVIEW, {"as_of": "2026-03-06"}, "time-not-covered"),
        (REVIEW, {"as_of": "2026-02-01"}, "time-not-covered"),
        (REVIEW, {"known_at": "2099-01-01T00:00:00Z"}, "time-not-covered"),
        (REVIEW, {"known_at": "2026-02-01T00:00:00"}, "time-not-covered"),
        (REVIEW, {"known_at": "0001-01-01T00:00:00"}, "time-not-covered"),
        (REVIEW, {"as_of": "yesterday"}, "bad-request"),
    ],
)
def test_a_time_the_purpose_or_the_hub_does_not_reach_has_its_own_problem(
    civil: Asker, changed: dict[str, Any], purpose: str, times: dict[str, str], code: str
) -> None:
    assert civil.person(changed["person"], purpose, "insured", **times, **CONSENT).json()["code"] == code
    assert civil.get(f"/v1/households/{NOBODY}", purpose=purpose, attributes=["household.size"], **times, **CONSENT).json()["code"] == code


@pytest.fixture
def moved_away(pool: Pool) -> Iterator[str]:
    row = a_person(pool)
    pool.run("UPDATE core.person SET area_code = '110101' WHERE person_id = CAST(:p AS uuid)", p=row.id)
    yield row.id
    pool.run("UPDATE core.person SET area_code = :a WHERE person_id = CAST(:p AS uuid)", a=row.area_code, p=row.id)


def test_who_is_not_the_grants_now_is_not_told_of_though_it_was_then(pool: Pool, civil: Asker, moved_away: str) -> None:
    told = civil.person(moved_away, REVIEW, "person.name", known_at=published(pool, last(pool)), **CONSENT)
    nobody = civil.person(NOBODY, REVIEW, "person.name", known_at=published(pool, last(pool)), **CONSENT)
    assert (told.status_code, told.json()["code"]) == (nobody.status_code, nobody.json()["code"]) == (404, "subject-not-available")


def test_who_was_not_the_grants_then_is_not_told_of_though_it_is_now(pool: Pool, civil: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision holds the rows of the past: here it covers people of another county, while the database still shows this one."""
    row = a_person(pool)
    service = pool.http.app.state.service  # type: ignore[attr-defined]
    grant = next(g for g in service.moment.policy.grants if (g.department, g.purpose) == ("civil_affairs", REVIEW))
    monkeypatch.setitem(grant.__dict__, "rows", grant.rows.model_copy(update={"max_age": 3}))
    assert civil.person(row.id, REVIEW, "person.name", **CONSENT).status_code == 200
    assert civil.person(row.id, REVIEW, "person.name", as_of="2026-03-04", **CONSENT).status_code == 404
