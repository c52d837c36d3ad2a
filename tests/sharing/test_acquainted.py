"""Access that is known from whom it is about: neighbours, a household, namesakes of who asks; and what of it is written down."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from hub import settings as hub_settings
from hub.dates import CHINA
from pipeline.cli.main import app
from sharing import operator, operator_seal, unusual, vicinity
from sharing.problems import Problem
from sharing.unusual import Bounds
from sharing.vicinity import Asked, Operator
from tests.sharing.conftest import Pool
from tests.sharing.test_answers import REVIEW, WATCH
from warehouse.vicinity import Resident

DAY = date(2026, 3, 10)
WANG = Operator("王工", "王")
SHARES = {
    ("near", ""): 0.01,
    ("far", ""): 0.99,
    ("near", "王"): 0.08,
    ("far", "王"): 0.08,
    ("wangs", "王"): 0.8,
    ("wangs", ""): 0.01,
    (None, "王"): 0.07,
}


def person(number: int, community: str | None = "far", *circles: str, name: str = "李明") -> Resident:
    return Resident(f"p{number}", community, frozenset(circles), name)


def asked(number: int, *, day: date = DAY, entries: int = 1, by: Operator | None = WANG, client: str = "desk") -> Asked:
    return Asked(client, "civil_affairs", day, f"p{number}", entries, by, by is not None, number, number)


def found(of: list[Asked], people: list[Resident]) -> dict[str, int]:
    told = unusual.acquainted(of, {p.person_id: p for p in people}, SHARES, DAY, bounds=Bounds())
    assert {u.client_id for u in told} <= {"desk"}
    return {u.rule: u.found for u in told}


SPREAD = [person(n, f"village {n % 7}") for n in range(100, 140)]
BEFORE = [asked(100 + n, day=DAY - timedelta(days=1 + n % 6)) for n in range(40)]


def test_questions_about_all_parts_of_a_county_are_ordinary():
    assert found([*BEFORE, *(asked(n) for n in range(100, 130))], SPREAD) == {}


def test_a_day_among_the_persons_of_one_village_is_raised_where_former_days_were_not():
    near = [person(n, "near") for n in range(14)]
    assert found([*BEFORE, *(asked(n) for n in range(14)), asked(100)], [*SPREAD, *near]) == {"neighbours": 14}


def test_a_villages_own_desk_asks_about_its_village():
    near = [person(n, "near") for n in range(60)]
    before = [asked(20 + n, day=DAY - timedelta(days=1 + n % 6)) for n in range(40)]
    assert found([*before, *(asked(n) for n in range(14))], near) == {}


def test_a_client_without_a_habit_is_held_against_how_many_live_there():
    near, far = [person(n, "near") for n in range(14)], [person(n, "far") for n in range(14)]
    assert found([asked(n) for n in range(14)], near) == {"neighbours": 14}
    assert found([asked(n) for n in range(14)], far) == {}, "nearly everybody lives there"


def test_few_persons_and_persons_of_no_known_village_are_nobodys_neighbours():
    assert found([asked(n) for n in range(11)], [person(n, "near") for n in range(11)]) == {}
    assert found([asked(n) for n in range(30)], [person(n, None) for n in range(30)]) == {}


def test_several_of_one_household_over_and_over_in_a_day():
    home = [person(1, "far", "home"), person(2, "far", "home")]
    assert found([asked(1, entries=8), asked(2, entries=7)], home) == {"household": 15}
    assert found([asked(1, entries=8), asked(2, entries=6)], home) == {}
    assert found([asked(1, entries=15)], home) == {}, "one person alone is another rule's"


def test_one_household_a_little_every_day():
    home = [person(1, "far", "home")]
    days = lambda n, entries: [asked(1, day=DAY - timedelta(days=d), entries=entries) for d in range(n)]  # noqa: E731
    assert found(days(5, 5), home) == {"household": 25}
    assert found(days(4, 7), home) == {}, "a case that is worked on for some days"
    assert found([a for a in days(6, 5) if a.day != DAY], home) == {}, "nothing was asked that day"


def test_whoever_shares_an_address_is_a_circle_as_well_as_who_shares_a_household():
    assert found([asked(1, entries=8), asked(2, entries=8)], [person(1, "far", "home", "door"), person(2, "far", "other", "door")]) == {
        "household": 16
    }
    assert found([asked(1, entries=8), asked(2, entries=8)], [person(1, "far", "home"), person(2, "far", "other")]) == {}


def test_an_operator_who_asks_mostly_about_namesakes():
    wangs = [person(n, f"village {n}", name="王明") for n in range(9)]
    others = [person(n, f"village {n}") for n in range(9, 20)]
    assert found([asked(n) for n in range(20)], [*wangs, *others]) == {"surname": 9}
    assert found([asked(n, by=Operator("李工", "李")) for n in range(9)], wangs) == {}
    assert found([asked(n) for n in range(7)], wangs[:7]) == {}, "seven may be chance"


def test_namesakes_are_no_wonder_where_everybody_is_one():
    village = [person(n, "wangs", name="王明") for n in range(9)]
    before = [asked(n, day=DAY - timedelta(days=1 + n % 6)) for n in range(9)]
    assert found([*before, *(asked(n) for n in range(9))], village) == {}


def test_two_operators_of_one_client_are_held_apart():
    wangs = [person(n, f"village {n}", name="王明") for n in range(10)]
    both = [asked(n, by=WANG if n % 2 else Operator("王主任", "王")) for n in range(10)]
    assert found(both, wangs) == {}


def test_who_names_no_operator_is_told_to_be_not_watched():
    wangs = [person(n, f"village {n}", name="王明") for n in range(9)]
    assert found([asked(n, by=None) for n in range(9)], wangs) == {"unnamed": 9}


def test_another_clients_questions_are_its_own():
    near = [person(n, "near") for n in range(14)]
    told = unusual.acquainted(
        [asked(n, client="desk" if n % 2 else "other") for n in range(14)], {p.person_id: p for p in near}, SHARES, DAY, bounds=Bounds()
    )
    assert told == []


@pytest.mark.parametrize(
    ("header", "name"), [(quote("王工").encode(), "王工"), ("欧阳 小明".encode(), "欧阳 小明"), (b"  Li%20Ming ", "Li Ming")]
)
def test_an_operator_is_named_in_utf_8_in_per_cent_signs_or_as_it_is(header, name):
    assert operator.read(header) == name


@pytest.mark.parametrize("header", [b"", b"x", b"\xff\xfe", b"%e7%8e", b"a%00b", b"%E2%80%AE" + b"ab", b"y" * 61, b"%0d%0aSet-Cookie: x=1"])
def test_what_is_no_name_is_none(header):
    with pytest.raises(Problem):
        operator.read(header)


# -- asked over HTTP ---------------------------------------------------------------------------------------------------------------------------


class Desk:
    """A client whose operator asks by id."""

    def __init__(self, pool: Pool, client_id: str) -> None:
        self.pool, self.asker = pool, pool.asker(client_id, "civil_affairs")

    def ask(self, person_id: str, name: str | bytes | None = None, **headers: str) -> object:
        given = {} if name is None else {"Hub-Operator": quote(name) if isinstance(name, str) else name}
        return self.asker.http.get(
            f"/v1/persons/{person_id}",
            params={"purpose": WATCH, "questions": ["insured"]},
            headers={**self.asker.headers, **given, **headers},
        )

    def kept(self) -> list[bytes]:
        return [
            bytes(r[0])
            for r in self.pool.rows("SELECT sealed FROM share.operator WHERE client_id = :c ORDER BY named_at", c=self.asker.client_id)
        ]

    def raised(self, **bounds: int) -> dict[str, int]:
        with self.pool.engine.connect() as connection:
            told = unusual.found(connection, self.pool.settings, datetime.now(CHINA).date(), replace(Bounds(), **bounds))
        return {u.rule: u.found for u in told if u.client_id == self.asker.client_id and u.rule != "off_hours"}


def persons(pool: Pool, where: str, limit: int) -> list[str]:
    """Ids of persons the department is told of."""
    return [
        r[0]
        for r in pool.rows(
            f"SELECT person_id::text FROM core.person p WHERE area_code LIKE '421022%' AND birth_date < '1990-01-01' AND {where} ORDER BY 1 LIMIT {limit}"
        )
    ]


@pytest.mark.slow
def test_a_day_of_looking_at_neighbours_a_household_and_namesakes_is_found_in_the_log(pool):
    (village,) = pool.rows(
        "SELECT area_code FROM core.person WHERE area_code ~ '^421022[0-9]{3}(?!000)[0-9]{3}$' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    )[0]
    neighbour, near = Desk(pool, "neighbour-desk"), persons(pool, f"area_code = '{village}'", 14)
    assert len(near) >= 6 and {neighbour.ask(p, "赵工").status_code for p in near} == {200}
    assert neighbour.raised() == {} and neighbour.raised(neighbours=6) == {"neighbours": len(near)}
    for p in persons(pool, f"area_code <> '{village}'", len(near)):
        neighbour.ask(p, "赵工")
    assert neighbour.raised(neighbours=6) == {}, "half of them live elsewhere"
    (household,) = pool.rows(
        "SELECT m.household_id::text FROM core.household_member m JOIN core.person p USING (person_id) WHERE m.kind = 'registered'"
        " AND p.birth_date < '1990-01-01' AND p.area_code LIKE '421022%' GROUP BY 1 HAVING count(*) BETWEEN 2 AND 4 ORDER BY count(*) DESC, 1 LIMIT 1"
    )[0]
    members = persons(pool, f"person_id IN (SELECT person_id FROM core.household_member WHERE household_id = '{household}')", 4)
    relative = Desk(pool, "relative-desk")
    told = [relative.ask(p, "赵工").status_code for p in members for _ in range(8)]
    assert relative.raised() == {"household": told.count(200)} and told.count(200) >= 16
    (surname, n), *_ = Counter(
        r[0][0] for r in pool.rows("SELECT name FROM core.person WHERE area_code LIKE '421022%' AND name IS NOT NULL")
    ).most_common(3)[2:]
    assert n >= 10
    namesake = Desk(pool, "namesake-desk")
    for p in persons(pool, f"name LIKE '{surname}%'", 10):
        namesake.ask(p, f"{surname}工")
    assert namesake.raised()["surname"] == 10


@pytest.mark.slow
def test_nothing_of_an_operator_a_household_or_a_village_is_in_the_log_or_in_a_receipt(pool):
    with_name, without = Desk(pool, "naming-desk"), Desk(pool, "silent-desk")
    (row,) = persons(pool, "name IS NOT NULL", 1)
    told = [with_name.ask(row, "慕容工程师"), without.ask(row)]
    bodies = [
        json.loads(d.asker.get(f"/v1/receipts/{a.json()['receipt']['receipt_id']}").json()["body"])
        for d, a in zip((with_name, without), told, strict=True)
    ]
    assert set(bodies[0]) == set(bodies[1]) and bodies[0]["subject"] == bodies[1]["subject"]
    assert {k: v for k, v in bodies[0].items() if k not in ("at", "client_id", "entry_id", "request_id")} == {
        k: v for k, v in bodies[1].items() if k not in ("at", "client_id", "entry_id", "request_id")
    }
    dump = "".join(str(r) for t in ("audit.entry", "share.operator") for r in pool.rows(f"SELECT to_jsonb(t)::text FROM {t} t"))
    assert "慕容" not in dump and "慕容".encode().hex() not in dump


@pytest.mark.slow
def test_names_are_kept_sealed_and_two_rows_of_one_look_like_those_of_two(pool):
    desk = Desk(pool, "sealed-desk")
    (row,) = persons(pool, "name IS NOT NULL", 1)
    for name in ("王工", "王工", "买买提·阿不都热合曼"):
        assert desk.ask(row, name).status_code == 200
    kept = desk.kept()
    assert len(set(kept)) == 3 and len({len(k) for k in kept}) == 1
    (request_id,) = pool.rows("SELECT request_id FROM share.operator WHERE client_id = 'sealed-desk' ORDER BY named_at LIMIT 1")[0]
    sealing = operator_seal.seal(pool.settings)
    assert operator_seal.opened(sealing, "sealed-desk", request_id, kept[0]) == "王工"
    assert operator_seal.opened(sealing, "sealed-desk", "another", kept[0]) is None, "moved to another request it opens nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", [b"%FF%FE", b"x", b"%0a%0d", b"y" * 61, b"%20%20%20"])
def test_what_is_no_name_is_refused_with_its_place_and_nothing_is_told(pool, name):
    desk = Desk(pool, f"wrong-desk-{abs(hash(name)) % 10**6}")
    answer = desk.ask(persons(pool, "name IS NOT NULL", 1)[0], name)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "header/Hub-Operator")
    assert desk.kept() == []


@pytest.mark.slow
def test_nobody_is_kept_of_whoever_has_no_token(pool):
    before = pool.rows("SELECT count(*) FROM share.operator")
    assert (
        pool.http.get(
            "/v1/persons/019d4657-1c00-7d7c-88d5-5d7c0d1a9f00", params={"purpose": WATCH}, headers={"Hub-Operator": "Li"}
        ).status_code
        == 401
    )
    assert pool.rows("SELECT count(*) FROM share.operator") == before


@pytest.mark.slow
def test_a_request_sent_under_the_id_of_another_does_not_hide_who_was_named_with_it(pool):
    desk = Desk(pool, "twice-desk")
    (row,) = persons(pool, "name IS NOT NULL", 1)
    for name in ("王工", "李工"):
        assert desk.ask(row, name, **{"X-Request-Id": "one-and-the-same"}).status_code == 200
    assert len(desk.kept()) == 2 and "unnamed" not in desk.raised()


@pytest.mark.slow
def test_names_are_forgotten_after_sixty_days(pool):
    desk, service = Desk(pool, "former-desk"), pool.http.app.state.service
    (row,) = persons(pool, "name IS NOT NULL", 1)
    desk.ask(row, "王工")
    desk.ask(row, "王工")
    pool.run(
        "UPDATE share.operator SET named_at = :at WHERE client_id = 'former-desk' AND sealed = :s",
        at=datetime.now(UTC) - timedelta(days=61),
        s=desk.kept()[0],
    )
    service._is_behind = True
    pool.http.portal.call(service.look_back)
    assert len(desk.kept()) == 1


@pytest.mark.slow
def test_the_service_itself_cannot_read_on_whose_behalf_it_was_asked(pool):
    service = pool.http.app.state.service

    async def tried() -> str:
        from warehouse.asking import Refused

        try:
            await service.asking.read(None, "SELECT sealed FROM share.operator")
        except Refused:
            return "refused"
        return "read"

    assert pool.http.portal.call(tried) == "refused"


@pytest.mark.slow
def test_the_departments_client_names_an_operator_in_any_script(pool, monkeypatch):
    from sharing.client import Hub

    desk = Hub("http://unused", "a", "b", operator="王工")
    assert desk._session.headers["Hub-Operator"] == "%E7%8E%8B%E5%B7%A5"
    desk.operator = "李工"
    assert operator.read(desk._session.headers["Hub-Operator"].encode()) == desk.operator == "李工"
    desk.operator = None
    assert "Hub-Operator" not in desk._session.headers


@pytest.mark.slow
def test_a_question_to_the_past_and_one_in_an_emergency_are_questions_about_one_and_lists_are_not(pool):
    desk = Desk(pool, "kinds-desk")
    people = persons(pool, "name IS NOT NULL", 4)
    consent = {"purpose": REVIEW, "consent": "SQ-2026-0001", "attributes": "person.area_code"}
    headers = {**desk.asker.headers, "Hub-Operator": quote("王工")}
    assert desk.asker.http.get(f"/v1/persons/{people[0]}", params={**consent, "as_of": "2026-03-04"}, headers=headers).status_code == 200
    pool.run("DELETE FROM share.emergency")
    began = desk.asker.post(
        "/v1/emergencies", purpose="emergency_rescue", operator="王工", reason="landslide in town 1, looking for the missing"
    ).json()
    assert desk.asker.person(people[1], "emergency_rescue", "person.phone").status_code == 200
    desk.asker.http.delete(f"/v1/emergencies/{began['emergency_id']}", headers=desk.asker.headers)
    told = desk.asker.post("/v1/persons/compare", purpose=WATCH, questions=["insured"], applicants=[{"person_id": p} for p in people])
    assert told.status_code == 200
    day = datetime.now(CHINA).date()
    with pool.engine.connect() as connection:
        seen = [a for a in vicinity.seen(connection, pool.settings, day).asked if a.client_id == "kinds-desk"]
    assert {(a.person_id, a.operator) for a in seen} == {(people[0], WANG), (people[1], WANG)}
    assert "unnamed" not in desk.raised(), "who opened the emergency is who asks in it"


@pytest.mark.slow
def test_the_command_says_of_whom_family_names_are_not_watched_and_names_nobody_asked_about(pool, monkeypatch):
    desk, people = Desk(pool, "shown-desk"), persons(pool, "name IS NOT NULL", 3)
    for p in people:
        desk.ask(p)
    monkeypatch.setenv("HUB_HOME", str(pool.settings.home))
    monkeypatch.setenv("HUB_DATABASE_URL", pool.settings.database_url.get_secret_value())
    hub_settings.get_settings.cache_clear()
    try:
        assert CliRunner().invoke(app, ["audit", "unusual", "scan"]).exit_code == 0
        shown = CliRunner().invoke(app, ["audit", "unusual", "--department", "civil_affairs"]).stdout
        rows = json.loads(CliRunner().invoke(app, ["audit", "unusual", "--json"]).stdout)
    finally:
        hub_settings.get_settings.cache_clear()
    assert "shown-desk" in shown and "逐个查询未报经办人" in shown
    assert {"rule": "unnamed", "found": 3} in [{k: r[k] for k in ("rule", "found")} for r in rows if r["client_id"] == "shown-desk"]
    names = {r.name for r in pool.rows("SELECT name FROM core.person WHERE person_id = ANY(CAST(:p AS uuid[]))", p=people)}
    assert not [v for v in {*people, *names} if v in shown + json.dumps(rows, ensure_ascii=False)]
