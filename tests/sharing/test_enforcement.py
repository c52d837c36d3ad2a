"""PostgreSQL alone refuses what the policy does not give: the API bypassed, with the role of a department and purpose."""

from dataclasses import replace
from datetime import date

import psycopg2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from sharing import enforcement
from sharing import policy as policies_of_the_hub
from sharing.attributes import catalogue
from sharing.decide import Subject
from tests.examples import examples
from tests.sharing import policies
from warehouse import answers, disclosure, forms
from warehouse.asking import _Connection
from warehouse.forms import Form

pytestmark = pytest.mark.slow
DAY = date(2026, 3, 5)


def as_role(connection, name):
    connection.execute(sa.text(f'SET LOCAL ROLE "{disclosure.role_name(connection, name)}"'))


def column(name, effect):
    attribute = catalogue()[name]
    return attribute.column if effect == "clear" else forms.column_name(attribute.column, Form(effect))


def refused(connection, query, **values):
    """Whether the database refuses a query to the role that is on."""
    connection.execute(sa.text("SAVEPOINT asked"))
    try:
        connection.execute(sa.text(query), values).all()
    except sa.exc.ProgrammingError as error:
        assert isinstance(error.orig, psycopg2.errors.InsufficientPrivilege | psycopg2.errors.UndefinedColumn), error.orig
        connection.execute(sa.text("ROLLBACK TO SAVEPOINT asked"))
        return True
    connection.execute(sa.text("RELEASE SAVEPOINT asked"))
    return False


def seen(connection, table, wanted):
    """Persons' values a role sees of one column of a table, straight from the table."""
    if table == "core.person":
        query = f'SELECT person_id::text AS id, "{wanted}" AS value FROM core.person'
    else:
        query = f'SELECT l.person_id::text AS id, r."{wanted}" AS value FROM {table} r JOIN identity.link l USING (record_id) WHERE r.withdrawn_date IS NULL'
    if refused(connection, f"SELECT 1 FROM ({query}) AS q LIMIT 0"):
        return None
    return {row.id for row in connection.execute(sa.text(query))}


@pytest.fixture(scope="module")
def everybody(pool):
    """Id and what decides, of everybody; ``is_consenting`` where the number is one consents are registered of."""
    held = {
        code: {r[0] for r in pool.rows(
            f'SELECT l.person_id::text FROM core."{q["source"]}" r JOIN identity.link l USING (record_id) WHERE withdrawn_date IS NULL'
            f" AND {q['all_of'][0]['field']} = :value", value=q["all_of"][0]["equals"],
        )} for code, q in policies.QUESTIONS.items()
    }  # fmt: skip
    return [
        (r.id, Subject(r.area_code, r.birth_date, frozenset(r.sources), frozenset(c for c in held if r.id in held[c]), bool(r.consents)))
        for r in pool.rows(
            "SELECT person_id::text AS id, area_code, birth_date, sources, right(resident_id, 1) < '5' AS consents FROM core.person"
        )
    ]


NAMES = [
    "person.name",
    "person.resident_id",
    "person.birth_date",
    "person.sex",
    "health.illness_class",
    "health.medical_cost_yuan",
    "disability.certificate_no",
]


# For what consents are registered, of numbers that end below 5.
CONSENTED = (("alpha", "review"), ("beta", "watch"))


def asked_for(who, department, purpose):
    return replace(who, is_consenting=who.is_consenting and (department, purpose) in CONSENTED)


@examples(12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(policy=policies.policies(NAMES), data=st.data())
def test_the_database_shows_each_role_the_columns_and_rows_of_a_second_opinion(pool, civil, everybody, policy, data):
    """Whole matrix: department × purpose × attribute × form × person. The transaction is taken back."""
    with pool.engine.connect() as connection:
        disclosure.apply(connection, enforcement.plan(policy, DAY), password="x" * 32)
        for department, purpose in CONSENTED:
            connection.execute(
                sa.text(
                    "INSERT INTO share.consent (client_id, department, purpose, resident_id, reference, valid_during) SELECT 'civil-desk',"
                    " :department, :purpose, resident_id, 'SQ-1', daterange(share.today(), share.today(), '[]') FROM core.person WHERE right(resident_id, 1) < '5'"
                ), {"department": department, "purpose": purpose},
            )  # fmt: skip
        for department in policies.DEPARTMENTS:
            for purpose in policies.PURPOSES:
                if policy.grant(department, purpose, DAY) is None:
                    exists = connection.scalar(
                        sa.text("SELECT has_table_privilege(rolname, 'core.person', 'SELECT') OR has_any_column_privilege(rolname, 'core.person', 'SELECT')"
                                " FROM pg_roles WHERE rolname = :r"), {"r": disclosure.role_name(connection, f"{department}__{purpose}")},
                    )  # fmt: skip
                    assert not exists
                    continue
                as_role(connection, f"{department}__{purpose}")
                for name in NAMES:
                    attribute = catalogue()[name]
                    table = "core.person" if attribute.stem is None else f'core."{attribute.stem}"'
                    expected = {
                        effect: {
                            i
                            for i, who in everybody
                            if policies.effect(policy, department, purpose, name, asked_for(who, department, purpose), DAY) == effect
                        }
                        for effect in ("clear", *attribute.forms)
                    }
                    for effect in ("clear", *attribute.forms):
                        found = seen(connection, table, column(name, effect))
                        granted = policy.grant(department, purpose, DAY).attributes.get(name) == effect
                        assert (found is not None) == granted, (name, effect)
                        if found is not None and attribute.stem is None:
                            assert found == expected[effect]
                        elif found is not None:
                            assert found <= expected[effect]
                connection.execute(sa.text("RESET ROLE"))
        connection.rollback()


@pytest.fixture
def connection(pool):
    with pool.engine.connect() as connection:
        yield connection
        connection.rollback()


ROLE = "civil_affairs__roster_monitoring"


def test_a_mask_is_all_a_role_sees_and_nothing_joins_it_away(connection):
    as_role(connection, ROLE)
    (row,) = connection.execute(sa.text(f'SELECT * FROM share."{ROLE}__person" WHERE resident_id__masked IS NOT NULL LIMIT 1')).mappings()
    assert set(row) == {
        "person_id",
        "as_of_date",
        "resident_id__masked",
        "name__masked",
        "birth_date__derived",
        "area_code__derived",
        "phone__yes_no",
    }
    assert row["resident_id__masked"].count("*") >= 10
    for query in (
        "SELECT name FROM core.person",
        "SELECT person_id FROM core.person ORDER BY name",
        "SELECT person_id FROM core.person WHERE resident_id = '1'",
        "SELECT count(*) FROM core.person GROUP BY phone",
        "SELECT p FROM core.person p",
        "SELECT * FROM core.person",
        "SELECT resident_id FROM identity.record",
        "SELECT record_key FROM core.health",
        "SELECT patient FROM core.health",
        "TABLE share.client_secret",
        "TABLE audit.entry",
        "SELECT stem FROM core.household_member",
        "SELECT * FROM ops.value_view",
    ):
        assert refused(connection, query), query


@pytest.mark.parametrize(
    "attack",
    [
        "CREATE TEMP TABLE t AS SELECT 1", "CREATE TABLE public.t (a int)", "CREATE VIEW share.v AS SELECT 1", "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')", "CREATE FUNCTION share.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "UPDATE core.person SET area_code = '421022'",
        "DELETE FROM identity.link", "INSERT INTO audit.erasure VALUES (0, 'x', 'x')", "SELECT audit.append(0, '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
        "ALTER TABLE core.person DISABLE ROW LEVEL SECURITY", "SET LOCAL ROLE postgres", "SET LOCAL row_security = off; SELECT person_id FROM core.person",
        "COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('/etc/passwd')", "COPY core.person TO STDOUT",
    ],
)  # fmt: skip
def test_a_role_can_neither_keep_nor_change_nor_widen_anything(pool, attack):
    url = pool.engine.url
    with psycopg2.connect(
        host=url.host, port=url.port, dbname=url.database, password=enforcement.password(pool.settings), user=f"{url.database}_sharing"
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        cursor.execute(f'SET ROLE "{url.database}_{ROLE}"')
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.UndefinedTable)):
            cursor.execute(attack)
            cursor.fetchall()
        connection.rollback()


def test_the_programs_login_has_no_right_on_any_value_unless_it_puts_on_a_role(pool, connection):
    connection.execute(sa.text(f'SET LOCAL ROLE "{disclosure.login_name(connection)}"'))
    for query in ("SELECT person_id FROM core.person", "SELECT record_id FROM identity.record", "SELECT person_id FROM identity.link",
                  f'SELECT person_id FROM share."{ROLE}__person"', f"SELECT * FROM share.\"{ROLE}__find\"(ARRAY['1'])"):  # fmt: skip
        assert refused(connection, query), query


def test_a_department_reaches_its_own_purposes_and_only_by_putting_one_on(connection):
    as_role(connection, "town_office")
    assert refused(connection, 'SELECT person_id FROM share."town_office__low_income_review__person"')
    as_role(connection, "town_office__low_income_review")
    connection.execute(sa.text('SELECT person_id FROM share."town_office__low_income_review__person" LIMIT 1'))
    assert refused(connection, f'SELECT person_id FROM share."{ROLE}__person"')


def test_a_number_leads_a_role_only_to_persons_of_its_grant(pool, connection):
    (other,) = pool.rows("SELECT resident_id FROM core.person WHERE area_code LIKE '421022101%' AND resident_id IS NOT NULL LIMIT 1")
    as_role(connection, "town_office__low_income_review")
    query = 'SELECT * FROM share."town_office__low_income_review__find"(ARRAY[:number])'
    assert connection.execute(sa.text(query), {"number": other.resident_id}).all() == []
    connection.execute(sa.text("RESET ROLE"))
    as_role(connection, "town_office__certificate_check")
    assert refused(connection, query, number=other.resident_id)


def test_there_is_no_stored_copy_a_role_could_read(pool):
    assert pool.rows("SELECT matviewname FROM pg_matviews") == []
    plain = pool.rows(
        "SELECT c.relname FROM pg_class c WHERE relnamespace = 'share'::regnamespace AND relkind = 'v' AND NOT coalesce(reloptions::text LIKE '%security_invoker=true%', false)"
    )
    assert plain == []
    open_tables = pool.rows(
        "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_roles r ON r.rolname = :role"
        " WHERE relkind = 'r' AND relnamespace IN ('core'::regnamespace, 'identity'::regnamespace) AND a.attnum > 0 AND NOT attisdropped"
        " AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT') AND NOT (relrowsecurity AND relforcerowsecurity)", role=f"{pool.engine.url.database}_{ROLE}",
    )  # fmt: skip
    assert open_tables == []


def test_a_policy_that_is_taken_back_leaves_no_right_behind(pool, connection):
    policy = policies_of_the_hub.in_force(DAY)
    fewer = type(policy).model_validate({**policy.model_dump(), "grants": [g for g in policy.grants if g.name != ROLE]})
    disclosure.apply(connection, enforcement.plan(fewer, DAY), password="x" * 32)
    as_role(connection, ROLE)
    assert refused(connection, "SELECT person_id FROM core.person")
    assert refused(connection, "SELECT person_id FROM identity.link")


def test_a_migration_may_change_a_column_the_policy_hangs_on_and_the_policy_is_held_again_after_it(pool, connection):
    """Between the two nobody is shown a row."""
    plan = enforcement.plan(policies_of_the_hub.in_force(DAY), DAY)
    before = connection.execute(sa.text("SELECT count(*) FROM pg_policy WHERE polname LIKE 'share%'")).scalar()
    disclosure.withdraw(connection)
    as_role(connection, ROLE)
    assert connection.execute(sa.text("SELECT person_id FROM core.person")).all() == []
    connection.execute(sa.text("RESET ROLE"))
    connection.execute(sa.text("ALTER TABLE core.person ALTER COLUMN area_code TYPE varchar(12), ALTER COLUMN name TYPE varchar(200)"))
    disclosure.apply(connection, plan, password="x" * 32)
    assert connection.execute(sa.text("SELECT count(*) FROM pg_policy WHERE polname LIKE 'share%'")).scalar() == before
    as_role(connection, ROLE)
    assert connection.execute(sa.text(f'SELECT name__masked FROM share."{ROLE}__person"')).all() != []


def test_generated_columns_leave_the_fingerprint_as_it_was(pool, connection, five_nights):
    from warehouse import fingerprint

    assert fingerprint.scanned(connection) == fingerprint.kept(connection)


def test_masks_and_bands_tell_no_more_than_they_should(connection):
    shown = {
        ("resident_id", Form.MASKED, "'421022199003071234'"): "4210************34",
        ("name", Form.MASKED, "'王'"): "王*",
        ("name", Form.MASKED, "'欧阳娜娜'"): "欧***",
        ("phone", Form.MASKED, "'13912345678'"): "139****5678",
        ("phone", Form.MASKED, "'1234567'"): "*******",
        ("area_code", Form.DERIVED, "'421022100209'"): "421022",
    }
    for (name, form, value), expected in shown.items():
        expression = forms.definition(name, form, None)[1]
        assert connection.scalar(sa.text(f"SELECT {expression} FROM (SELECT {value}::text AS {name}) AS t")) == expected
    _, band = forms.definition("cost", Form.DERIVED, "numeric(14,2)")
    assert connection.scalar(sa.text(f"SELECT {band} FROM (SELECT 12999.99::numeric AS cost) AS t")) == 12000


@pytest.mark.parametrize("role", [ROLE, "disabled_federation__rehabilitation_aid"])
@pytest.mark.parametrize("query", ["by_id", "by_number", "household"])
def test_one_person_is_found_by_index_under_row_level_security_whatever_the_pools_size(connection, query, role):
    """Where PostgreSQL takes an expression for leaky it may not use an index below the row condition: then it reads everybody."""
    asked = answers.Asked(
        role, (("person.name", "name", Form.MASKED if role == ROLE else None),), (), (("medical_insurance", ("insured",)),)
    )
    as_role(connection, role)
    connection.execute(sa.text("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan"))
    text, kind, value = {
        "by_id": (answers._by_id(asked), "uuid[]", "ARRAY['019ca6b2-3c00-7d7c-88d5-5d7c0d1a9f00']::uuid[]"),
        "by_number": (answers._by_number(asked), "text[]", "ARRAY['x']"),
        "household": (answers._members(asked, True, False, False), "uuid", "'019ca6b2-3c00-7d7c-88d5-5d7c0d1a9f00'"),
    }[query]
    connection.exec_driver_sql(f"PREPARE found({kind}) AS {text}")
    try:
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN EXECUTE found({value})"))
    finally:
        connection.exec_driver_sql("DEALLOCATE found")
    assert "Seq Scan" not in plan and "person_pkey" in plan


def test_whoever_is_cut_off_over_putting_on_a_role_leaves_it_to_nobody_else(pool, monkeypatch):
    """PostgreSQL had put it on already: the connection must not be taken for one without a role, nor for one with another."""
    asking = pool.http.app.state.service.asking
    other = "town_office__low_income_review"

    class CutOff(Exception):
        pass

    async def worn(role):
        return (await asking.read(role, "SELECT current_user"))[0][0]

    async def cut_off():
        execute = _Connection.execute

        async def cut(self, query, *arguments, **named):
            await execute(self, query, *arguments, **named)
            raise CutOff

        roles = [await worn(role) for role in (None, ROLE, other)]
        with monkeypatch.context() as patch:
            patch.setattr(_Connection, "execute", cut)
            with pytest.raises(CutOff):
                async with asking.connection(ROLE):
                    pass
        return roles, [await worn(other), await worn(None), await worn(ROLE)]

    before, after = pool.http.portal.call(cut_off)
    assert before == [after[1], after[2], after[0]] and len({*before}) == 3


def test_what_another_version_of_the_program_applied_is_applied_anew_with_this_ones_rights(pool):
    """An older service that runs on while the tables are brought up to date puts the policy back without the rights of what is new."""
    policy, day = enforcement.policy_today(pool.settings)
    assert not enforcement.ensure(pool.settings, policy, day)
    with pool.engine.begin() as connection:
        login = disclosure.login_name(connection)
        connection.execute(sa.text(f'REVOKE ALL ON share.emergency FROM "{login}"'))
    pool.run("UPDATE share.applied SET applied_by = '0008'")
    assert enforcement.ensure(pool.settings, policy, day)
    assert pool.rows("SELECT has_table_privilege(:login, 'share.emergency', 'SELECT')", login=login)[0][0]
    assert not enforcement.ensure(pool.settings, policy, day)
