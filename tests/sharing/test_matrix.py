"""The shipped policy over the pool: what each grant is told over HTTP, what its role sees in PostgreSQL, and what the YAML file says are the same."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from hub.settings import CHECKOUT
from sharing.attributes import catalogue
from tests.sharing.conftest import Asker, Pool
from tests.sharing.policies import birthdays, lives_in
from tests.sharing.test_enforcement import as_role, column
from warehouse.disclosure import question_column, view_name

pytestmark = pytest.mark.slow
(FILE,) = (CHECKOUT / "sharing" / "policies").glob("*.yml")
POLICY = yaml.safe_load(FILE.read_text(encoding="utf-8"))
PAIRS = [(d, p) for d in POLICY["departments"] for p in POLICY["purposes"]]
GRANTS = {(g["department"], g["purpose"]): g for g in POLICY["grants"]}
STEMS = ("disability", "education", "health", "housing", "medical_insurance")
NAMES, QUESTIONS = list(catalogue()), list(POLICY["questions"])
CONSENT = {"consent": "SQ-2026-0001"}
CHILD = 14
CONSENTING: set[str] = set()  # numbers of those who consent, as the fixture of the desks registers them


@dataclass(frozen=True)
class Somebody:
    """A person as the owner of the tables sees it.

    Attributes:
        records: source → rows.
        homes: the households, with the relation to their head and the number of their members.
        is_sole: whether the resident number, if there is one, is nobody else's.
    """

    id: str
    golden: dict[str, Any]
    records: dict[str, list[dict[str, Any]]]
    homes: list[dict[str, Any]]
    is_sole: bool

    def age(self, day: date) -> int | None:
        """Birthdays had; None = not known."""
        born = self.golden["birth_date"]
        return None if born is None else birthdays(date.fromisoformat(born), day)


@pytest.fixture(scope="module")
def night(pool: Pool) -> date:
    found: date = pool.rows("SELECT share.today()")[0][0]
    assert found >= POLICY["valid_from"] and not any(g.keys() & {"valid_from", "valid_to"} for g in POLICY["grants"])
    return found


@pytest.fixture(scope="module")
def everybody(pool: Pool) -> list[Somebody]:
    numbers = Counter(r[0] for r in pool.rows("SELECT resident_id FROM core.person"))
    records: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for stem in STEMS:
        query = f'SELECT l.person_id::text, to_jsonb(r) FROM core."{stem}" r JOIN identity.link l USING (record_id) WHERE withdrawn_date IS NULL'
        for person, row in pool.rows(query):
            records.setdefault(person, {}).setdefault(stem, []).append(row)
    homes: dict[str, list[dict[str, Any]]] = {}
    query = "SELECT person_id::text, household_id::text, kind, relation, members FROM core.household_member m JOIN core.household h USING (household_id, kind)"
    for person, home, kind, relation, members in pool.rows(query):
        homes.setdefault(person, []).append({"household_id": home, "kind": kind, "relation": relation, "members": members})
    return [
        Somebody(i, row, records.get(i, {}), homes.get(i, []), row["resident_id"] is not None and numbers[row["resident_id"]] == 1)
        for i, row in pool.rows("SELECT person_id::text, to_jsonb(p) FROM core.person p ORDER BY person_id")
    ]


def met(grant: dict[str, Any], one: Somebody, day: date) -> dict[str, bool]:
    """Each condition of the grant's rows, and whether a person meets it."""
    rows, age = grant["rows"], one.age(day)
    assert rows.keys() <= {"territory", "min_age", "max_age", "known_to", "programs", "consent"}
    found = {}
    if "territory" in rows:
        found["territory"] = any(lives_in(one.golden["area_code"], t) for t in rows["territory"])
    if "min_age" in rows:
        found["min_age"] = age is not None and age >= rows["min_age"]
    if "max_age" in rows:
        found["max_age"] = age is not None and age <= rows["max_age"]
    if "known_to" in rows:
        found["known_to"] = any(one.records.get(stem) for stem in rows["known_to"])
    if "programs" in rows:
        found["programs"] = any(verdict(program, one)[0] == "yes" and one.records.get(source_of(program)) for program in rows["programs"])
    if "consent" in rows:
        found["consent"] = one.golden["resident_id"] in CONSENTING
    return found


def source_of(question: str) -> str:
    return str(POLICY["questions"][question]["source"])


def chosen(grant: dict[str, Any], everybody: list[Somebody], day: date) -> dict[str, Somebody]:
    """Somebody of each kind: covered, a child, known to nearly no agency; outside by one condition, alone where there is such a person."""
    # Most records first: they have the most to tell.
    by_wealth = sorted(everybody, key=lambda s: (-len(s.records), -len(s.homes), s.id))
    found: dict[str, Somebody] = {}
    covered = [s for s in by_wealth if s.is_sole and all(met(grant, s, day).values())]
    found |= {"covered, known to most": covered[0], "covered, known to fewest": covered[-1], "covered": covered[len(covered) // 2]}
    for stem in STEMS:
        found |= {f"covered, in {stem}": s for s in [s for s in covered if len(s.records.get(stem, ())) > 0][1:2]}
        found |= {f"covered, twice in {stem}": s for s in [s for s in covered if len(s.records.get(stem, ())) > 1][:1]}
    for s in [s for s in covered if (s.age(day) or 0) < CHILD and s.age(day) is not None][:1]:
        found["covered, a child"] = s
    for s in [s for s in covered if None in (s.golden["phone"], s.golden["address"], s.golden["sex"])][:1]:
        found["covered, with gaps"] = s
    for condition in grant["rows"]:
        outside = [s for s in by_wealth if s.is_sole and not met(grant, s, day)[condition]]
        for s in sorted(outside, key=lambda s: list(met(grant, s, day).values()).count(False))[:1]:
            found[f"outside by {condition}"] = s
    for s in [s for s in by_wealth if s.is_sole and (s.age(day) or CHILD) < CHILD and not all(met(grant, s, day).values())][:1]:
        found["outside, a child"] = s
    for s in [s for s in everybody if s.is_sole and s.golden["birth_date"] is None and not all(met(grant, s, day).values())][:1]:
        found["outside, of no known age"] = s
    return found


def shown(name: str, effect: str, value: Any) -> Any:
    """A value in the form of an effect, by the words of docs/sharing.md."""
    if effect == "yes_no":
        return value is not None
    if value is None or effect == "clear":
        return value
    if effect == "derived":
        if name == "person.area_code":
            return value[:6]
        return int(value[:4]) if isinstance(value, str) else int(value // 1000 * 1000)
    assert effect == "masked", effect
    if name == "person.resident_id":
        return value[:4] + "*" * max(len(value) - 6, 1) + value[-2:]
    if name == "person.name":
        return value[0] + "*" * max(len(value) - 1, 1)
    if name == "person.phone":
        return value[:3] + "*" * (len(value) - 7) + value[-4:] if len(value) > 7 else "*" * len(value)
    return value[:6] + "***" if name == "person.address" else value[0] + "***"


def holds(condition: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a record meets a condition of a question."""
    value, (test, wanted) = row[condition["field"]], next((k, v) for k, v in condition.items() if k != "field")
    if test == "is_empty_or_after_as_of":
        return value is None or bool(value >= row["as_of_date"])
    if value is None:
        return False
    if test == "more_than":
        return bool(value > wanted)
    return value in (wanted if test == "one_of" else [wanted])


def verdict(question: str, one: Somebody) -> tuple[str, str | None]:
    """The answer and its day."""
    asked = POLICY["questions"][question]
    rows = one.records.get(asked["source"], [])
    if not rows:
        return asked["silence"], None
    return ("yes" if any(all(holds(c, r) for c in asked["all_of"]) for r in rows) else "no"), max(r["as_of_date"] for r in rows)


def effects(grant: dict[str, Any]) -> dict[str, str]:
    """Attribute → how it is told, of those that are."""
    return {name: effect for name, effect in grant.get("attributes", {}).items() if effect != "refused"}


def values(grant: dict[str, Any], one: Somebody) -> Counter[tuple[Any, ...]]:
    """Every value of a person that the grant is to be told: attribute, effect, value, source and day."""
    found = []
    for name, effect in effects(grant).items():
        room, field = name.split(".")
        if room == "person":
            found.append((name, effect, shown(name, effect, one.golden[field]), "pool", one.golden["as_of_date"]))
        elif room != "household":
            found += [(name, effect, shown(name, effect, r[field]), room, r["as_of_date"]) for r in one.records.get(room, ())]
    return Counter(found)


def ask(asker: Asker, grant: dict[str, Any], one: Somebody) -> list[Any]:
    """Of everything in the catalogue, a hundred attributes at a time."""
    found = []
    for start in range(0, len(NAMES), 100):
        names = NAMES[start : start + 100]
        if "person_id" in grant.get("lookup", ["person_id"]):
            found.append(asker.person(one.id, grant["purpose"], *names, *QUESTIONS, **CONSENT))
        else:
            asked = {"resident_id": one.golden["resident_id"], "attributes": names, "questions": QUESTIONS}
            found.append(asker.post("/v1/persons/lookup", purpose=grant["purpose"], **CONSENT, **asked))
    return found


@pytest.fixture(scope="module")
def desks(pool: Pool, everybody: list[Somebody], night: date) -> Iterator[dict[str, Asker]]:
    """A desk of each department. Of the numbers that are somebody's alone every other one is of a person who consents, to whatever asks for it."""
    for table in ("emergency", "consent"):
        pool.run(f"DELETE FROM share.{table}")
    found = {d: pool.asker(f"matrix-{d.replace('_', '-')}", d) for d in POLICY["departments"]}
    CONSENTING.update(s.golden["resident_id"] for s in [s for s in everybody if s.is_sole][::2])
    for grant in POLICY["grants"]:
        if "consent" in grant["rows"]:
            pool.run(
                "INSERT INTO share.consent (client_id, department, purpose, resident_id, reference, valid_during)"
                " SELECT :client, :department, :purpose, n, 'SQ-1', daterange(:day, :day, '[]') FROM unnest(:numbers) AS n",
                client=found[grant["department"]].client_id, department=grant["department"], purpose=grant["purpose"], day=night, numbers=[*CONSENTING],
            )  # fmt: skip
    yield found
    for table in ("emergency", "consent"):
        pool.run(f"DELETE FROM share.{table}")
    CONSENTING.clear()


@pytest.fixture
def opened(pool: Pool, desks: dict[str, Asker], grant: dict[str, Any], everybody: list[Somebody]) -> Iterator[None]:
    """Where the grant speaks in emergencies alone it is silent first, to the API and to its role, and one is opened then."""
    if "emergency" in grant:
        desk = desks[grant["department"]].renew()
        for answer in ask(desk, grant, everybody[0]):
            assert (answer.status_code, answer.json()["code"]) == (403, "emergency-not-open")
        assert told_by_role(pool, grant) == {}
        began = desk.post("/v1/emergencies", purpose=grant["purpose"], operator="王工", reason="landslide in town 1, the missing")
        assert began.status_code == 201
    yield
    pool.run("DELETE FROM share.emergency")


def role(grant: dict[str, Any]) -> str:
    return f"{grant['department']}__{grant['purpose']}"


def told_by_role(pool: Pool, grant: dict[str, Any]) -> dict[str, Counter[tuple[Any, ...]]]:
    """Person → everything the grant's role sees of it through its views, as :func:`values` says it; questions with a ?, households as well."""
    found: dict[str, Counter[tuple[Any, ...]]] = {}
    told = effects(grant)
    with pool.engine.connect() as connection:
        as_role(connection, role(grant))  # type: ignore[no-untyped-call]
        for part in ("person", *STEMS):
            of_part = {name: effect for name, effect in told.items() if name.split(".")[0] == part}
            columns = {column(name, effect): (name, effect) for name, effect in of_part.items()}  # type: ignore[no-untyped-call]
            asked = [q for q in grant["questions"] if POLICY["questions"][q]["source"] == part]
            columns |= {question_column(q): (f"?{q}", "yes_no") for q in asked}
            if part != "person" and not columns:
                continue
            view = view_name(role(grant), part)
            for row in connection.execute(sa.text(f'SELECT to_jsonb(v) FROM share."{view}" v')).scalars():
                own = {"person_id", "as_of_date", *(["record_id"] if part != "person" else [])}
                assert row.keys() == own | columns.keys(), f"{view} shows another column"
                seen = found.setdefault(row["person_id"], Counter())
                source = "pool" if part == "person" else part
                seen.update((*columns[c], row[c], source, row["as_of_date"]) for c in columns)
        if any(name.startswith("household.") for name in told):
            for person, home in connection.execute(
                sa.text(f'SELECT person_id::text, household_id::text FROM share."{view_name(role(grant), "member")}"')
            ):
                found[person].update([("household", home)])
        connection.rollback()
    return found


def readable(pool: Pool, grant: dict[str, Any]) -> set[tuple[str, str]]:
    """Table and column of everything about persons that the grant's role may read."""
    query = (
        "SELECT relname, attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE relnamespace = 'core'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
        " AND attnum > 0 AND NOT attisdropped AND has_column_privilege(:role, c.oid, attnum, 'SELECT')"
    )
    return {(r[0], r[1]) for r in pool.rows(query, role=f"{pool.engine.url.database}_{role(grant)}")}


@pytest.mark.parametrize("grant", GRANTS.values(), ids=lambda g: f"{g['department']}-{g['purpose']}")
def test_api_database_and_the_file_agree_on_everything_in_the_catalogue(
    grant: dict[str, Any], pool: Pool, desks: dict[str, Asker], everybody: list[Somebody], night: date, opened: None
) -> None:
    """Department × purpose × attribute × person: effect and value, and the reason where nothing is told."""
    people, by_role = chosen(grant, everybody, night), told_by_role(pool, grant)
    assert {"covered", "outside by territory"} <= people.keys()
    assert by_role.keys() == {s.id for s in everybody if all(met(grant, s, night).values())}
    told, written = effects(grant), grant.get("attributes", {})
    silent = {n: "refused" if n in written else "not_named" for n in NAMES if n not in told}
    silent |= {q: "not_named" for q in QUESTIONS if q not in grant["questions"]}
    desk = desks[grant["department"]].renew()
    for kind, one in people.items():
        answers = ask(desk, grant, one)
        if kind.startswith("outside"):
            assert one.id not in by_role, kind
            assert {(a.status_code, a.json()["code"]) for a in answers} == {(404, "subject-not-available")}, kind
            continue
        bodies = [a.json() for a in answers]
        assert {a.status_code for a in answers} == {200} and {b["person_id"] for b in bodies} == {one.id}, kind
        assert {r["name"]: r["reason"] for b in bodies for r in b["refused"]} == silent, kind
        said = Counter((v["attribute"], v["effect"], v["value"], v["source"], v["as_of_date"]) for b in bodies for v in b["values"])
        assert said == values(grant, one), f"{kind}: the API and the file differ"
        in_views = Counter({v: n for v, n in by_role[one.id].items() if v[0] in told})
        assert said == in_views, f"{kind}: the API and the database differ"
        for body in bodies:
            found = {v["question"]: (v["answer"], v["as_of_date"]) for v in body["answers"]}
            assert found == {q: verdict(q, one) for q in grant["questions"]}, kind
        for question in grant["questions"]:
            seen = [v[2] for v in by_role[one.id] if v[0] == f"?{question}"]
            assert verdict(question, one)[0] == ("yes" if any(seen) else "no" if seen else POLICY["questions"][question]["silence"]), kind
        homes = [h for b in bodies for h in b.get("households") or ()]
        expected = {(h["kind"], h["household_id"]) for h in one.homes} if "household.members" in told else set()
        assert {(h["kind"], h["household_id"]) for h in homes} == expected and len(homes) == len(expected), kind
        homes_in_views = {v[1] for v in by_role[one.id] if v[0] == "household"}
        assert homes_in_views == ({h["household_id"] for h in one.homes} if any(n.startswith("household.") for n in told) else set()), kind


@pytest.mark.parametrize("grant", GRANTS.values(), ids=lambda g: f"{g['department']}-{g['purpose']}")
def test_of_a_household_size_members_and_relations_are_told_as_the_file_says(
    grant: dict[str, Any], pool: Pool, desks: dict[str, Asker], everybody: list[Somebody], night: date, opened: None
) -> None:
    told, desk = effects(grant), desks[grant["department"]].renew()
    names = [n for n in NAMES if n.startswith("household.")]
    for kind, one in chosen(grant, everybody, night).items():
        for home in one.homes:
            asked = {"purpose": grant["purpose"], "attributes": names, **CONSENT}
            if "person_id" in grant.get("lookup", ["person_id"]):
                answer = desk.get(f"/v1/households/{home['household_id']}", **asked)
            else:
                answer = desk.post("/v1/households/lookup", resident_id=one.golden["resident_id"], kind=home["kind"], **asked)
            if not told.keys() & set(names):
                assert (answer.status_code, answer.json()["code"]) == (403, "nothing-granted"), kind
                continue
            rooms = {s.id: h for s in everybody for h in s.homes if h["household_id"] == home["household_id"]}
            covered = {s.id for s in everybody if s.id in rooms and all(met(grant, s, night).values())}
            by_name = "person_id" not in grant.get("lookup", ["person_id"])
            if not covered or (by_name and one.id not in covered):
                assert (answer.status_code, answer.json()["code"]) == (404, "subject-not-available"), kind
                continue
            body = answer.json()
            assert answer.status_code == 200, kind
            assert body["size"] == (home["members"] if "household.size" in told else None), kind
            relations = {i: rooms[i]["relation"] if "household.relation" in told else None for i in covered}
            assert {m["person_id"]: m["relation"] for m in body["members"]} == (relations if "household.members" in told else {}), kind
            assert {r["name"] for r in body["refused"]} == set(names) - told.keys(), kind


@pytest.mark.parametrize("grant", GRANTS.values(), ids=lambda g: f"{g['department']}-{g['purpose']}")
def test_a_role_may_read_the_columns_of_what_the_file_names_and_no_other(grant: dict[str, Any], pool: Pool) -> None:
    told = effects(grant)
    expected = {("person", c) for c in ("person_id", "as_of_date")}
    for name, effect in told.items():
        room = name.split(".")[0]
        if room != "household":
            expected.add((room, column(name, effect)))  # type: ignore[no-untyped-call]
    for question in grant["questions"]:
        expected.add((POLICY["questions"][question]["source"], question_column(question)))
    expected |= {(r, c) for r in {r for r, _ in expected} - {"person"} for c in ("record_id", "as_of_date", "withdrawn_date")}
    if any(n.startswith("household.") for n in told):
        expected |= {("household_member", c) for c in ("kind", "person_id", "household_id")} | {
            ("household", c) for c in ("household_id", "kind")
        }
        expected |= {("household_member", "relation")} if "household.relation" in told else set()
        expected |= {("household", "members")} if "household.size" in told else set()
    assert readable(pool, grant) == expected


@pytest.mark.parametrize("department", POLICY["departments"])
def test_a_purpose_the_file_does_not_grant_is_refused_and_has_no_role_that_may_read(
    department: str, pool: Pool, desks: dict[str, Asker], everybody: list[Somebody]
) -> None:
    desk = desks[department].renew()
    for pair in PAIRS:
        if pair[0] != department or pair in GRANTS:
            continue
        for way in (["person_id"], ["resident_id"]):
            one = next(s for s in everybody if s.is_sole)
            for answer in ask(desk, {"purpose": pair[1], "lookup": way}, one):
                assert (answer.status_code, answer.json()["code"]) == (403, "purpose-not-granted"), pair
        exists = pool.rows("SELECT 1 FROM pg_roles WHERE rolname = :r", r=f"{pool.engine.url.database}_{'__'.join(pair)}")
        assert not exists or not readable(pool, {"department": pair[0], "purpose": pair[1]}), pair
