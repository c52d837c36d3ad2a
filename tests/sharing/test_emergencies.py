"""Breaking the glass: within a grant made for it, seen by everybody, for a time, for few persons, and reviewed by somebody else."""

import json
from datetime import date

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from sharing import policy as policies
from tests.sharing.conftest import Asker, Pool
from warehouse import disclosure, emergencies

pytestmark = pytest.mark.slow
RESCUE = "emergency_rescue"
WHY = {"operator": "王工", "reason": "landslide in town 1, looking for the missing"}


@pytest.fixture
def desk(pool: Pool, request: pytest.FixtureRequest) -> Asker:
    """A client of its own; nothing is left of former stories."""
    pool.run("DELETE FROM share.emergency")
    return pool.asker(f"rescue-{abs(hash(request.node.name)) % 10**6}", "civil_affairs")


@pytest.fixture(scope="module")
def people(pool: Pool) -> list[str]:
    return [r.id for r in pool.rows("SELECT person_id::text AS id FROM core.person WHERE area_code LIKE '421022%' ORDER BY 1 LIMIT 60")]


def asked(desk: Asker, person: str):  # type: ignore[no-untyped-def]
    return desk.person(person, RESCUE, "person.phone", "health.self_care_level")


def opened(desk: Asker):  # type: ignore[no-untyped-def]
    return desk.post("/v1/emergencies", purpose=RESCUE, **WHY)


def test_without_one_the_grant_says_nothing_and_with_one_it_answers_until_it_is_closed(pool: Pool, desk: Asker, people: list[str]) -> None:
    before = asked(desk, people[0])
    assert (before.status_code, before.json()["code"]) == (403, "emergency-not-open")
    began = opened(desk)
    assert began.status_code == 201 and began.json()["told"] == 0
    told = asked(desk, people[0])
    assert told.status_code == 200 and {v["attribute"] for v in told.json()["values"]} >= {"person.phone"}
    entry = pool.rows("SELECT body FROM audit.entry ORDER BY leaf_index DESC LIMIT 1")[0].body
    assert json.loads(entry)["emergency"] == began.json()["emergency_id"], "the log says in which emergency"
    assert desk.get("/v1/emergencies").json()["emergencies"][0]["told"] == 1
    twice = opened(desk)
    assert (twice.status_code, twice.json()["code"]) == (409, "emergency-open")
    assert desk.http.delete(f"/v1/emergencies/{began.json()['emergency_id']}", headers=desk.headers).status_code == 204
    assert asked(desk, people[0]).json()["code"] == "emergency-not-open"
    assert desk.http.delete(f"/v1/emergencies/{began.json()['emergency_id']}", headers=desk.headers).status_code == 404


def test_it_is_one_clients_own_and_ends_by_itself(pool: Pool, desk: Asker, people: list[str]) -> None:
    other = pool.asker(f"{desk.client_id}-other", "civil_affairs")
    number = opened(desk).json()["emergency_id"]
    assert asked(other, people[0]).json()["code"] == "emergency-not-open"
    assert other.http.delete(f"/v1/emergencies/{number}", headers=other.headers).status_code == 404
    pool.run("UPDATE share.emergency SET opened_at = now() - interval '2 hours', closes_at = now() - interval '1 hour'")
    assert asked(desk, people[0]).json()["code"] == "emergency-not-open"


def test_it_tells_of_no_more_persons_than_the_policy_says(pool: Pool, desk: Asker, people: list[str]) -> None:
    opened(desk)
    pool.run("UPDATE share.emergency SET persons = 3")
    answers = [asked(desk, p).json().get("code", "told") for p in people[:3] + people[:1] + people[3:5]]
    assert answers == ["told"] * 3 + ["emergency-exhausted"] * 3


def test_the_database_shows_nobody_to_the_role_while_none_is_open(pool: Pool, desk: Asker) -> None:
    def seen() -> int:
        with pool.engine.connect() as connection:
            connection.execute(sa.text(f'SET LOCAL ROLE "{disclosure.role_name(connection, f"civil_affairs__{RESCUE}")}"'))
            return int(connection.scalar(sa.text(f"SELECT count(*) FROM share.civil_affairs__{RESCUE}__person")) or 0)

    assert seen() == 0
    opened(desk)
    assert seen() > 100


def test_who_has_no_such_grant_cannot_open_one_and_every_try_is_written_down(pool: Pool, desk: Asker) -> None:
    town = pool.asker(f"{desk.client_id}-town", "town_office")
    entries = pool.entries()
    for asker, purpose in ((town, RESCUE), (desk, "roster_monitoring"), (desk, "nothing")):
        refused = asker.post("/v1/emergencies", purpose=purpose, **WHY)
        assert (refused.status_code, refused.json()["code"]) == (403, "purpose-not-granted")
    assert pool.entries() == entries + 3
    for wrong in ({"operator": "x"}, {"reason": "short"}, {"reason": None}, {"more": 1}):
        assert desk.post("/v1/emergencies", **{"purpose": RESCUE, **WHY, **wrong}).status_code == 400


def test_it_is_reviewed_by_somebody_else_and_until_then_its_department_opens_no_other(pool: Pool, desk: Asker) -> None:
    number = opened(desk).json()["emergency_id"]
    with pool.engine.begin() as connection:
        assert emergencies.waiting(connection) == (1, 0), "the status screen shows it while it lasts"
        with pytest.raises(ConfigError, match="still lasts"):
            emergencies.review(connection, number, by="李工", finding="justified", words="-")
        assert not emergencies.end(connection, number[:13]).is_open and emergencies.waiting(connection) == (0, 1)
        with pytest.raises(ConfigError, match="is over"):
            emergencies.end(connection, number)
    assert opened(desk).status_code == 201, "within the days of review the next landslide does not wait"
    pool.run("UPDATE share.emergency SET opened_at = now() - interval '9 days', closes_at = now() - interval '8 days', closed_at = NULL")
    late = opened(desk)
    assert (late.status_code, late.json()["code"]) == (409, "emergency-unreviewed")
    with pool.engine.begin() as connection:
        for one in emergencies.listed(connection):
            with pytest.raises(ConfigError, match="cannot review"):
                emergencies.review(connection, one.emergency_id, by="王工", finding="justified", words="-")
            assert (
                emergencies.review(connection, one.emergency_id, by="李工", finding="justified", words="the landslide").finding
                == "justified"
            )
            with pytest.raises(ConfigError, match="already"):
                emergencies.review(connection, one.emergency_id, by="赵工", finding="justified", words="-")
        assert emergencies.waiting(connection) == (0, 0)
        with pytest.raises(ConfigError, match="0 emergencies"):
            emergencies.end(connection, "ffffffff")
    assert opened(desk).status_code == 201


def test_a_policy_that_lets_an_emergency_be_used_in_bulk_is_not_read() -> None:
    text = (policies.FOLDER / "2026-01-01.yml").read_text(encoding="utf-8")
    assert policies.parse(text, "p").grant("civil_affairs", RESCUE, date(2026, 3, 1))
    for wrong in ("export: 5", "compare_job: 5", "past_days: 5", "subscribe: [person]"):
        with pytest.raises(ConfigError, match="one person is asked about at a time"):
            policies.parse(text.replace("    emergency: {minutes: 60", f"    {wrong}\n    emergency: {{minutes: 60"), "p")
