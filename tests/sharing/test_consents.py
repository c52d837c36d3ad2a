"""Consents: a grant that speaks of those who authorised the department alone, held by the service and by PostgreSQL."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from hub.errors import ConfigError
from sharing.cli import consent as cli
from tests.sharing.conftest import Asker, Pool
from tests.sharing.test_enforcement import as_role
from warehouse import consents

pytestmark = pytest.mark.slow
REHABILITATION = "rehabilitation_aid"
ROLE = f"disabled_federation__{REHABILITATION}"
# Children with a valid certificate, by the tables alone.
_CHILDREN = (
    "SELECT p.person_id::text AS id, p.resident_id FROM core.person p WHERE area_code LIKE '421022%' AND birth_date > share.today() - interval '18 years'"
    " AND {where} EXISTS (SELECT FROM identity.link l JOIN core.disability d USING (record_id) WHERE l.person_id = p.person_id AND withdrawn_date IS NULL"
    " AND certificate_status = '1' AND (expires_date IS NULL OR expires_date >= d.as_of_date))"
    " AND (SELECT count(*) FROM core.person o WHERE o.resident_id = p.resident_id) = 1 ORDER BY 1"
)


@pytest.fixture(scope="module")
def children(pool: Pool) -> list[Any]:
    found = pool.rows(_CHILDREN.format(where=""))
    assert len(found) >= 2, "the county has children with a certificate"
    return found


@pytest.fixture
def desk(pool: Pool, request: pytest.FixtureRequest) -> Iterator[Asker]:
    pool.run("DELETE FROM share.consent")
    yield pool.asker(f"rehabilitation-{abs(hash(request.node.name)) % 10**6}", "disabled_federation")
    pool.run("DELETE FROM share.consent")


def asked(desk: Asker, person: str):  # type: ignore[no-untyped-def]
    return desk.person(person, REHABILITATION, "person.name", "disability.grade")


def registered(desk: Asker, number: str, pool: Pool, **changed: Any):  # type: ignore[no-untyped-def]
    day = pool.rows("SELECT share.today()")[0][0]
    body = {"purpose": REHABILITATION, "resident_id": number, "reference": "SQ-2026-0001", "valid_to": str(day + timedelta(days=300))}
    return desk.post("/v1/consents", **{**body, **changed})


def of_role(pool: Pool) -> set[str]:
    """Whom the grant's role sees."""
    with pool.engine.connect() as connection:
        as_role(connection, ROLE)  # type: ignore[no-untyped-call]
        return set(connection.scalars(sa.text("SELECT person_id::text FROM core.person")))


def test_a_child_is_told_of_from_its_consent_to_the_withdrawal_and_no_other_is(pool: Pool, desk: Asker, children: list[Any]) -> None:
    one, other = children[:2]
    assert asked(desk, one.id).json()["code"] == "subject-not-available" and of_role(pool) == set()
    made = registered(desk, one.resident_id.lower(), pool)
    assert made.status_code == 201 and one.resident_id not in made.text
    told = asked(desk, one.id)
    assert told.status_code == 200 and {v["attribute"] for v in told.json()["values"]} >= {"person.name", "disability.grade"}
    by_number = desk.post("/v1/persons/lookup", purpose=REHABILITATION, resident_id=one.resident_id, questions=["insured"])
    assert by_number.status_code == 200, "no reference comes with the question: it is registered"
    assert asked(desk, other.id).json()["code"] == "subject-not-available" and of_role(pool) == {one.id}
    assert desk.http.delete(f"/v1/consents/{made.json()['consent_id']}", headers=desk.headers).json()["withdrawn_at"]
    assert asked(desk, one.id).json()["code"] == "subject-not-available" and of_role(pool) == set()


def test_who_is_registered_may_be_exported_without_being_named(pool: Pool, desk: Asker, children: list[Any]) -> None:
    for child in children[:2]:
        assert registered(desk, child.resident_id, pool).status_code == 201
    export = desk.post("/v1/exports", purpose=REHABILITATION, attributes=["person.name"]).json()
    lines = desk.get(f"/v1/exports/{export['export_id']}/rows", _since="0").text.splitlines()
    persons = {line["person_id"] for line in map(json.loads, lines) if line["type"] == "person"}
    assert persons == {c.id for c in children[:2]}


@pytest.mark.parametrize("kind", ["another purpose", "another department", "another number", "over", "not begun"])
def test_a_consent_for_something_else_opens_nothing(kind: str, pool: Pool, desk: Asker, children: list[Any]) -> None:
    one, day = children[0], pool.rows("SELECT share.today()")[0][0]
    if kind == "another purpose":
        made = registered(desk, one.resident_id, pool, purpose="disability_allowance")
    elif kind == "another department":
        made = registered(pool.asker("consents-elsewhere", "housing_bureau"), one.resident_id, pool, purpose="housing_aid")
    elif kind == "another number":
        made = registered(desk, "110101199003070003", pool)
    elif kind == "over":
        made = registered(desk, one.resident_id, pool, valid_from="2020-01-01", valid_to=str(day - timedelta(days=1)))
    else:
        made = registered(desk, one.resident_id, pool, valid_from=str(day + timedelta(days=1)))
    assert made.status_code == 201
    assert asked(desk, one.id).json()["code"] == "subject-not-available" and of_role(pool) == set()


def test_a_consent_does_not_widen_the_grant(pool: Pool, desk: Asker) -> None:
    """An adult, and a child without a certificate, are told of no more than before."""
    grown = pool.rows(
        "SELECT person_id::text AS id, resident_id FROM core.person WHERE birth_date < share.today() - interval '30 years' AND resident_id IS NOT NULL LIMIT 1"
    )[0]
    healthy = pool.rows(_CHILDREN.format(where="NOT").replace("interval '18 years'", "interval '17 years'"))[0]
    for person in (grown, healthy):
        assert registered(desk, person.resident_id, pool).status_code == 201
        assert asked(desk, person.id).json()["code"] == "subject-not-available"
    assert of_role(pool) == set()


def test_whether_the_pool_knows_a_number_cannot_be_seen(pool: Pool, desk: Asker, children: list[Any]) -> None:
    known, unknown = registered(desk, children[0].resident_id, pool), registered(desk, "110101199003070003", pool)
    assert known.status_code == unknown.status_code == 201
    own = ("consent_id", "registered_at")
    assert {k: v for k, v in known.json().items() if k not in own} == {k: v for k, v in unknown.json().items() if k not in own}
    listed = desk.get("/v1/consents")
    assert children[0].resident_id not in listed.text and len(listed.json()["consents"]) == 2


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"resident_id": "12345"}, 400, "bad-request"),
        ({"valid_to": "2020-01-01"}, 400, "bad-request"),
        ({"valid_to": None}, 400, "bad-request"),
        ({"reference": ""}, 400, "bad-request"),
        ({"purpose": "low_income_review"}, 403, "purpose-not-granted"),
    ],
)
def test_what_is_no_consent_is_refused(changed: dict[str, Any], status: int, code: str, pool: Pool, desk: Asker) -> None:
    answer = registered(desk, "110101199003070003", pool, **changed)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert pool.rows("SELECT count(*) FROM share.consent")[0][0] == 0


def test_another_department_neither_sees_nor_withdraws_it(pool: Pool, desk: Asker, children: list[Any]) -> None:
    number = registered(desk, children[0].resident_id, pool).json()["consent_id"]
    other = pool.asker("consents-other", "housing_bureau")
    assert other.get(f"/v1/consents/{number}").status_code == 404 and other.get("/v1/consents").json()["consents"] == []
    assert other.http.delete(f"/v1/consents/{number}", headers=other.headers).status_code == 404
    colleague = pool.asker("consents-colleague", "disabled_federation")
    assert colleague.get(f"/v1/consents/{number}").status_code == 200
    assert asked(desk, children[0].id).status_code == 200


def test_registering_and_withdrawing_are_in_the_log(pool: Pool, desk: Asker, children: list[Any]) -> None:
    number = registered(desk, children[0].resident_id, pool).json()["consent_id"]
    desk.http.delete(f"/v1/consents/{number}", headers=desk.headers)
    entries = [json.loads(r.body) for r in pool.rows("SELECT body FROM audit.entry ORDER BY leaf_index DESC LIMIT 2")]
    assert [(e["decision"], e["consent"]) for e in entries] == [
        ("consent_withdrawn", "SQ-2026-0001"),
        ("consent_registered", "SQ-2026-0001"),
    ]


def test_neither_the_login_nor_a_role_reads_whose_a_consent_is(pool: Pool, desk: Asker, children: list[Any]) -> None:
    registered(desk, children[0].resident_id, pool)
    name = pool.engine.url.database
    for role in (f"{name}_sharing", f"{name}_{ROLE}"):
        for statement in ("SELECT resident_id FROM share.consent", "SELECT share.is_consenting('x', 'y')"):
            with pool.engine.connect() as connection:
                connection.execute(sa.text(f'SET LOCAL ROLE "{role}"'))
                with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                    connection.execute(sa.text(statement))
    with pool.engine.connect() as connection:
        as_role(connection, ROLE)  # type: ignore[no-untyped-call]
        covers = f'SELECT share."{ROLE}__covers"(CAST(:id AS uuid))'
        assert [connection.scalar(sa.text(covers), {"id": c.id}) for c in children[:2]] == [True, False], "no more than it reads"


def test_the_operator_lists_consents_and_withdraws_one_for_a_person_who_came(
    pool: Pool, desk: Asker, children: list[Any], monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(cli, "get_settings", lambda: pool.settings)
    number = registered(desk, children[0].resident_id, pool).json()["consent_id"]
    shown = CliRunner().invoke(cli.app, ["list"])
    assert shown.exit_code == 0 and "SQ-2026-0001" in shown.stdout and children[0].resident_id not in shown.stdout
    assert json.loads(CliRunner().invoke(cli.app, ["list", "--json"]).stdout)[0]["holds"] is True
    assert CliRunner().invoke(cli.app, ["withdraw", number, "--by", "王工"]).exit_code == 0
    assert asked(desk, children[0].id).json()["code"] == "subject-not-available"
    assert "没有有效的授权" in CliRunner().invoke(cli.app, ["list"]).stdout
    with pytest.raises(ConfigError, match="withdrawn already"), pool.engine.begin() as connection:
        consents.end(connection, number, "x")
    with pytest.raises(ConfigError, match="0 consents"), pool.engine.begin() as connection:
        consents.end(connection, "ffffffff", "x")


def test_erasing_somebody_takes_the_number_off_the_consent_and_ends_it(pool: Pool, desk: Asker) -> None:
    registered(desk, "110101199003070003", pool)
    with pool.engine.begin() as connection:
        consents.forget(connection, ["110101199003070003"])
    row = pool.rows("SELECT resident_id, reference, withdrawn_by FROM share.consent")[0]
    assert tuple(row) == (None, "erased", "erasure")
