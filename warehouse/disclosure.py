"""The policy, held by PostgreSQL a second time: a role for each department and purpose, which sees columns and rows of its grant alone.

What a role may read are columns: clear ones, or generated columns that hold a form of them (`warehouse.forms`). Rows are held by
forced row-level security on persons; everything else is visible where its person is. Views take the invoker's rights, so they add
none. The programs' login has no right of its own on any person's value: it puts on the role of the grant it answers under.
"""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from schemas.contract import load_contracts
from warehouse import agency_tables, database, forms
from warehouse.forms import Form

_COVERING = "%\\_\\_covers"
# Column → the form it is granted in; None = clear.
Columns = dict[str, Form | None]
_IDENTIFIER_CHARS = 63  # of PostgreSQL
_PERSON = "core.person"
_APPLIED_BY = database.head()  # as this program begins: its files may be exchanged under it
_DISPUTED = "share.disputed"
_DEPENDENT = {
    "identity.link": "EXISTS (SELECT FROM core.person p WHERE p.person_id = link.person_id)",
    "identity.redirect": "EXISTS (SELECT FROM core.person p WHERE p.person_id = redirect.person_id)",
    "core.household_member": "EXISTS (SELECT FROM core.person p WHERE p.person_id = household_member.person_id)",
    "core.household": "EXISTS (SELECT FROM core.household_member m WHERE m.household_id = household.household_id)",
}


@dataclass(frozen=True)
class RowRule:
    """About whom a grant speaks; a value that decides and is null leaves the person out.

    Attributes:
        programs: code and source of questions of which one at least is answered yes.
        consent: name of the grant, if it speaks only of those of whom a consent is registered for it.
        emergency: name of the grant, if it speaks of anybody only while an emergency is open for it.
    """

    prefixes: tuple[str, ...] = ()
    min_age: int | None = None
    max_age: int | None = None
    known_to: tuple[str, ...] = ()
    programs: tuple[tuple[str, str], ...] = ()
    consent: str | None = None
    emergency: str | None = None


@dataclass(frozen=True)
class QuestionRule:
    """A question as a column of its source's table: true when every test holds; conditions are field, test and value."""

    code: str
    stem: str
    conditions: tuple[tuple[str, str, Any], ...]


@dataclass(frozen=True)
class RoleRule:
    """What one role may read.

    Attributes:
        name: department and purpose.
        sources: source → columns and forms.
        questions: source → codes of questions.
        household: which of size, members, relation.
        lookup: ways in which it may name a person.
    """

    name: str
    department: str
    rows: RowRule
    person: Columns
    sources: dict[str, Columns]
    questions: dict[str, tuple[str, ...]]
    household: frozenset[str]
    lookup: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """Everything the database is to hold of a policy."""

    version: str
    roles: tuple[RoleRule, ...]
    questions: tuple[QuestionRule, ...] = field(default=())


def question_column(code: str) -> str:
    """Name of the generated column that answers a question."""
    return f"is__{code}"


def view_name(role: str, part: str) -> str:
    """Name of a role's view: ``person``, ``household``, ``member`` or a source."""
    return f"{role}__{part}"


def role_name(connection: sa.Connection, name: str) -> str:
    """Name of the server's role: roles belong to the whole server, so it begins with the database's name."""
    return f"{connection.scalar(sa.text('SELECT current_database()'))}_{name}"


def somebody(connection: sa.Connection, rows: RowRule) -> tuple[str, str | None] | None:
    """Id and number of a person a grant covers, or would once an emergency is open and a consent registered, to try things with; None = nobody."""
    condition = condition_sql(replace(rows, emergency=None, consent=None), _present(connection, sorted(load_contracts())))
    query = f"SELECT CAST(person_id AS text), resident_id FROM {_PERSON} WHERE {condition} ORDER BY resident_id IS NULL, person_id LIMIT 1"
    row = connection.execute(sa.text(query.replace(":", "\\:"))).one_or_none()
    return None if row is None else (row[0], row[1])


HISTORIAN = "historian"  # of warehouse.historian, none of the policy's


def login_name(connection: sa.Connection) -> str:
    """The role the programs log in as."""
    return role_name(connection, "sharing")


def quoted(text: str) -> str:
    """A text as a literal, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def condition_sql(rows: RowRule, stems: list[str], table: str = "person") -> str:
    """The whole row condition as an expression over the columns of ``core.person``, for its owner.

    Args:
        rows: the condition.
        stems: sources that have a table; nobody is in a program of another.
        table: what it is called where the expression stands.
    """
    parts = [_own_columns_sql(rows)]
    if rows.consent is not None:
        parts.append(f"share.is_consenting({quoted(rows.consent)}, {table}.resident_id)")
    if rows.programs:
        held = [
            f"EXISTS (SELECT FROM identity.link l JOIN {agency_tables.core_table(stem)} r USING (record_id) WHERE l.person_id = {table}.person_id"
            f" AND r.withdrawn_date IS NULL AND r.{_ident(question_column(code))})"
            for code, stem in rows.programs
            if stem in stems
        ]
        parts.append(f"({' OR '.join(held) or 'false'})")
    return " AND ".join(parts)


def _own_columns_sql(rows: RowRule) -> str:
    """What of it the person's own columns decide."""
    parts = []
    if rows.emergency is not None:
        parts.append(f"(SELECT share.is_emergency({quoted(rows.emergency)}))")
    if rows.prefixes:
        parts.append("(" + " OR ".join(f"starts_with(area_code, {quoted(p)})" for p in rows.prefixes) + ")")
    # Whole years by calendar: somebody born on 29 February is a year older on 1 March.
    today = "(SELECT share.today())"
    years = (
        f"(extract(year FROM {today}) - extract(year FROM birth_date)"
        f" - CASE WHEN to_char({today}, 'MMDD') < to_char(birth_date, 'MMDD') THEN 1 ELSE 0 END)"
    )
    if rows.min_age is not None:
        parts.append(f"{years} >= {int(rows.min_age)}")
    if rows.max_age is not None:
        parts.append(f"{years} <= {int(rows.max_age)}")
    if rows.known_to:
        parts.append(f"sources && ARRAY[{', '.join(quoted(s) for s in rows.known_to)}]")
    return " AND ".join(parts) or "true"


def _test_sql(name: str, test: str, value: Any) -> str:
    column = f'"{name}"'
    if test == "equals":
        return f"coalesce({column} = {quoted(value)}, false)"
    if test == "one_of":
        return f"coalesce({column} IN ({', '.join(quoted(v) for v in value)}), false)"
    if test == "is_true":
        return f"coalesce({column}, false)"
    if test == "more_than":
        return f"coalesce({column} > {float(value)}, false)"
    if test == "is_known":
        return f"{column} IS NOT NULL"
    return f"({column} IS NULL OR {column} >= as_of_date)"


def _wanted_columns(plan: Plan) -> dict[str, dict[str, tuple[str, str]]]:
    """Table → generated column → type and expression."""
    wanted: dict[str, dict[str, tuple[str, str]]] = {_PERSON: {}}
    contracts = load_contracts()
    for role in plan.roles:
        for column, form in role.person.items():
            if form is not None:
                wanted[_PERSON][forms.column_name(column, form)] = forms.definition(column, form, None)
        for stem, columns in role.sources.items():
            table = wanted.setdefault(agency_tables.core_table(stem), {})
            for column, form in columns.items():
                if form is not None:
                    table[forms.column_name(column, form)] = forms.definition(column, form, contracts[stem].by_name(column).physical_type)
    for question in plan.questions:
        expression = " AND ".join(_test_sql(*c) for c in question.conditions)
        wanted.setdefault(agency_tables.core_table(question.stem), {})[question_column(question.code)] = ("boolean", expression)
    return wanted


def _present(connection: sa.Connection, stems: list[str]) -> list[str]:
    return [s for s in stems if connection.scalar(sa.text("SELECT to_regclass(:t)"), {"t": agency_tables.core_table(s)})]


def is_applied(connection: sa.Connection, version: str) -> bool:
    """Whether the database holds a policy, for every source whose table is there, and with the rights this program needs."""
    found = connection.execute(sa.text("SELECT version, stems, applied_by FROM share.applied")).one_or_none()
    return (
        found is not None
        and (found.version, found.applied_by) == (version, _APPLIED_BY)
        and sorted(found.stems) == _present(connection, sorted(load_contracts()))
    )


def today(connection: sa.Connection) -> date | None:
    """The day answers speak of: that of the last published night; None before the first."""
    found: date | None = connection.scalar(sa.text("SELECT share.today()"))
    return found


def take_down(connection: sa.Connection) -> None:
    """Drop the views, so that nothing hangs on the tables below; until the policy is applied again nobody is told anything."""
    for name in connection.scalars(sa.text("SELECT format('%I.%I', schemaname, viewname) FROM pg_views WHERE schemaname = 'share'")).all():
        connection.execute(sa.text(f"DROP VIEW {name}"))
    connection.execute(sa.text("DELETE FROM share.applied"))


def withdraw(connection: sa.Connection) -> None:
    """Take everything off that hangs on a table's columns, so that a migration may change them; nobody is told anything until :func:`apply`."""
    if connection.scalar(sa.text("SELECT to_regclass('share.applied')")) is None:
        return
    take_down(connection)
    _drop_finders(connection)
    _drop_policies(connection, "polname LIKE 'share\\_%' AND polname <> 'share_owner'")
    _drop_functions(connection, _COVERING)
    tables = connection.scalars(
        sa.text(
            "SELECT DISTINCT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE attgenerated = 'v' AND NOT attisdropped AND relnamespace = 'core'::regnamespace"
        )
    )
    _generated(connection, {table: {} for table in tables.all()})


def _drop_policies(connection: sa.Connection, which: str) -> None:
    for name, table in connection.execute(
        sa.text(f"SELECT quote_ident(polname), polrelid::regclass::text FROM pg_policy WHERE {which}")
    ).all():
        connection.execute(sa.text(f"DROP POLICY {name} ON {table}"))


def apply(connection: sa.Connection, plan: Plan, *, password: str) -> None:
    """Make the database hold a policy, and nothing of a former one. In the caller's transaction.

    Args:
        connection: of the owner of the tables, who may make roles.
        plan: what each role may read.
        password: of the programs' login.

    Raises:
        ConfigError: a name is too long for PostgreSQL.
    """
    connection.execute(sa.text("SET LOCAL lock_timeout = '30s'"))
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('share.applied'))"))
    stems = _present(connection, sorted(load_contracts()))
    take_down(connection)
    _drop_finders(connection)
    _ground(connection, password)
    _generated(connection, {t: c for t, c in _wanted_columns(plan).items() if t == _PERSON or t in map(agency_tables.core_table, stems)})
    _secure_rows(connection, plan, stems)
    for stem in stems:
        # A person's records are found by it; the night, which finds them by key, builds its tables without.
        connection.execute(sa.text(f'CREATE INDEX IF NOT EXISTS "{stem}_record_id" ON {agency_tables.core_table(stem)} (record_id)'))
        connection.execute(sa.text(f"ANALYZE {agency_tables.core_table(stem)}"))
    tables = [_PERSON, _DISPUTED, *_DEPENDENT, *map(agency_tables.core_table, stems)]
    for role in plan.roles:
        _role(connection, role, stems, tables)
    _retire(connection, {role_name(connection, r.name) for r in plan.roles} | {role_name(connection, r.department) for r in plan.roles})
    connection.execute(
        sa.text("INSERT INTO share.applied (version, stems, applied_by) VALUES (:version, :stems, :by)"),
        {"version": plan.version, "stems": stems, "by": _APPLIED_BY},
    )


def _ensure_role(connection: sa.Connection, name: str, options: str) -> None:
    if len(name) > _IDENTIFIER_CHARS:
        raise ConfigError("the names of this department and purpose are too long for a role of PostgreSQL", where=name)
    if not connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name}):
        connection.execute(sa.text(f'CREATE ROLE "{name}" NOINHERIT {options}'))


def _ground(connection: sa.Connection, password: str) -> None:
    """What everybody loses, and the programs' login."""
    database = connection.scalar(sa.text("SELECT quote_ident(current_database())"))
    login = login_name(connection)
    _ensure_role(connection, login, "LOGIN")
    connection.execute(sa.text(f'ALTER ROLE "{login}" LOGIN NOINHERIT PASSWORD {quoted(password)}'))
    connection.execute(sa.text(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"))  # TEMP and CONNECT among them
    connection.execute(sa.text(f'GRANT CONNECT ON DATABASE {database} TO "{login}"'))
    connection.execute(sa.text("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
    large = connection.scalars(
        sa.text(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND (proname LIKE 'lo\\_%' OR proname IN ('loread', 'lowrite'))"
        )
    ).all()
    for function in large:
        connection.execute(sa.text(f"REVOKE ALL ON FUNCTION pg_catalog.{function} FROM PUBLIC"))
    connection.execute(sa.text(f'REVOKE ALL ON ALL TABLES IN SCHEMA share, audit, ops, core, identity FROM "{login}"'))
    connection.execute(sa.text(f'GRANT USAGE ON SCHEMA share, audit, ops TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT ON ALL TABLES IN SCHEMA audit TO "{login}"'))
    connection.execute(
        sa.text(f'GRANT SELECT ON share.client, share.client_secret, share.applied, ops.night, ops.publication TO "{login}"')
    )
    connection.execute(sa.text(f'GRANT SELECT (business_date, stem, state, delivery_id) ON ops.intake TO "{login}"'))
    connection.execute(sa.text(f'GRANT INSERT, DELETE, SELECT ON share.used_assertion TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT, UPDATE (acknowledged_at, acknowledged_by) ON share.recall TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT, INSERT, UPDATE, DELETE ON share.subscription, share.watched, share.notice TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT, INSERT, UPDATE, DELETE ON share.export, share.exported, share.answered TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT ON share.sender TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT, INSERT, DELETE ON share.used_message TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT, INSERT, UPDATE, DELETE ON share.dci_transaction TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT, INSERT, UPDATE, DELETE ON share.compare_job, share.compare_part TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT, INSERT, UPDATE (closed_at) ON share.emergency TO "{login}"'))
    connection.execute(sa.text(f'GRANT INSERT, DELETE, SELECT (named_at) ON share.operator TO "{login}"'))
    # It keeps the number of who consented, and cannot read it back.
    own = "client_id, department, purpose, reference, valid_during"
    connection.execute(
        sa.text(
            f"GRANT INSERT ({own}, resident_id), SELECT (consent_id, {own}, registered_at, withdrawn_at, withdrawn_by), UPDATE (withdrawn_at, withdrawn_by)"
            f' ON share.consent TO "{login}"'
        )
    )
    # Whose dispute it is and how it stands; not the record, the value's hash, nor what the agency is told beside.
    told = "dispute_id, continues, kind, reason, attribute, stem, opened_date, due_date, department, client_id, receipt_id"
    connection.execute(sa.text(f'GRANT SELECT ({told}) ON ops.dispute TO "{login}"'))
    connection.execute(sa.text(f'GRANT SELECT (dispute_id, event, business_date, words) ON ops.dispute_event TO "{login}"'))
    connection.execute(sa.text(f'GRANT INSERT ON audit.head TO "{login}"'))
    connection.execute(sa.text(f'GRANT EXECUTE ON FUNCTION audit.append TO "{login}"'))


def _generated(connection: sa.Connection, wanted: dict[str, dict[str, tuple[str, str]]]) -> None:
    """Make generated columns; one whose definition changed, or that nobody wants any more, is dropped."""
    for table, columns in wanted.items():
        present = {
            row.attname: row.told
            for row in connection.execute(
                sa.text(
                    "SELECT attname, col_description(attrelid, attnum) AS told FROM pg_attribute WHERE attrelid = to_regclass(:table)"
                    " AND attgenerated = 'v' AND NOT attisdropped"
                ),
                {"table": table},
            )
        }
        told = {name: f"{kind}: {expression}" for name, (kind, expression) in columns.items()}
        changes = [f'DROP COLUMN "{name}"' for name in present if told.get(name) != present[name]]
        fresh = [name for name in columns if told[name] != present.get(name)]
        changes += [f'ADD COLUMN "{n}" {columns[n][0]} GENERATED ALWAYS AS ({columns[n][1]}) VIRTUAL' for n in fresh]
        if changes:
            connection.execute(sa.text(f"ALTER TABLE {table} {', '.join(changes)}".replace(":", "\\:")))
        for name in fresh:
            connection.execute(sa.text(f'COMMENT ON COLUMN {table}."{name}" IS {quoted(told[name])}'.replace(":", "\\:")))


def _secure_rows(connection: sa.Connection, plan: Plan, stems: list[str]) -> None:
    """Force row-level security: on persons by grant, on all else by its person."""
    conditions = dict(_DEPENDENT)
    for stem in stems:
        conditions[agency_tables.core_table(stem)] = f'EXISTS (SELECT FROM identity.link l WHERE l.record_id = "{stem}".record_id)'
    _drop_policies(connection, "polname LIKE 'share\\_%'")
    _drop_functions(connection, _COVERING)
    for table in (_PERSON, _DISPUTED, *conditions):
        connection.execute(sa.text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"))
        connection.execute(sa.text(f"CREATE POLICY share_owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)"))
    for role in plan.roles:
        name = role_name(connection, role.name)
        _ensure_role(connection, name, "NOLOGIN")
        condition = _own_columns_sql(role.rows)
        if role.rows.programs or role.rows.consent is not None:
            condition += f" AND {_covering(connection, role, name, stems)}(person_id)"
        connection.execute(sa.text(f'CREATE POLICY "share_{role.name}" ON {_PERSON} FOR SELECT TO "{name}" USING ({condition})'))
    for role in plan.roles:
        # Beside the person, the attribute: of what it is not told a role sees no dispute either.
        names = ", ".join(map(quoted, sorted(_disputable(plan, role)))).replace(":", "\\:")
        condition = (
            f"attribute = ANY (ARRAY[{names}]\\:\\:text[]) AND EXISTS (SELECT FROM identity.link l WHERE l.record_id = disputed.record_id)"
        )
        connection.execute(
            sa.text(
                f'CREATE POLICY "share_{role.name}" ON {_DISPUTED} FOR SELECT TO "{role_name(connection, role.name)}" USING ({condition})'
            )
        )
    for table, condition in conditions.items():
        connection.execute(sa.text(f"CREATE POLICY share_by_person ON {table} FOR SELECT USING ({condition})"))


def _disputable(plan: Plan, role: RoleRule) -> set[str]:
    """Attributes, as the catalogue names them, that a role is told or whose questions it is answered."""
    named = {f"person.{column}" for column in role.person} | {
        f"{stem}.{column}" for stem, columns in role.sources.items() for column in columns
    }
    asked = [q for q in plan.questions if q.code in role.questions.get(q.stem, ())]
    return named | {f"{q.stem}.{field}" for q in asked for field, _, _ in q.conditions}


def _covering(connection: sa.Connection, role: RoleRule, name: str, stems: list[str]) -> str:
    """A function that says whether a grant covers a person, where other tables decide that: those would be held by row-level security, which asks
    for the person. It says nothing the role could not see by reading the person."""
    function = f'share."{role.name}__covers"'
    condition = condition_sql(role.rows, stems).replace(":", "\\:")
    query = f"SELECT EXISTS (SELECT FROM {_PERSON} WHERE person.person_id = asked AND {condition})"
    connection.execute(
        sa.text(f"CREATE FUNCTION {function}(asked uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$ {query} $$")
    )  # fmt: skip
    connection.execute(sa.text(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC"))
    connection.execute(sa.text(f'GRANT EXECUTE ON FUNCTION {function} TO "{name}"'))
    return function


def _role(connection: sa.Connection, role: RoleRule, stems: list[str], tables: list[str]) -> None:
    """Grants and views of one role."""
    name, login = role_name(connection, role.name), login_name(connection)
    department = role_name(connection, role.department)
    _ensure_role(connection, department, "NOLOGIN")
    connection.execute(sa.text(f'GRANT "{name}" TO "{department}", "{login}", CURRENT_USER WITH INHERIT FALSE, SET TRUE'))
    for table in tables:
        connection.execute(sa.text(f'REVOKE ALL ON {table} FROM "{name}"'))
    connection.execute(sa.text(f'GRANT USAGE ON SCHEMA share, core, identity TO "{name}"'))

    def grant(table: str, columns: list[str]) -> None:
        connection.execute(sa.text(f'GRANT SELECT ({", ".join(_ident(c) for c in columns)}) ON {table} TO "{name}"'))

    def view(part: str, query: str) -> None:
        made = view_name(role.name, part)
        if len(made) > _IDENTIFIER_CHARS:
            raise ConfigError("the names of this department, purpose and source are too long for a view of PostgreSQL", where=made)
        # No barrier: what a row may not show is held by row-level security below, and a barrier would read every person to find one.
        connection.execute(sa.text(f'CREATE VIEW share."{made}" WITH (security_invoker) AS {query}'))
        connection.execute(sa.text(f'GRANT SELECT ON share."{made}" TO "{name}"'))

    person = [c if f is None else forms.column_name(c, f) for c, f in role.person.items()]
    grant(_PERSON, ["person_id", "as_of_date", *person])
    view("person", f"SELECT {', '.join(_ident(c) for c in ['person_id', 'as_of_date', *person])} FROM {_PERSON}")
    grant("identity.link", ["record_id", "person_id"])
    grant(_DISPUTED, ["record_id", "attribute", "since", "due"])
    grant("identity.redirect", ["old_person_id", "person_id"])
    if role.household:
        relation = ["relation"] if "relation" in role.household else []
        grant("core.household_member", ["kind", "person_id", "household_id", *relation])
        grant("core.household", ["household_id", "kind", *(["members"] if "size" in role.household else [])])
        view("member", f"SELECT {', '.join(['kind', 'person_id', 'household_id', *relation])} FROM core.household_member")
        size = ", members AS size" if "size" in role.household else ""
        view("household", f"SELECT household_id, kind{size} FROM core.household")
    for stem in stems:
        columns = [c if f is None else forms.column_name(c, f) for c, f in role.sources.get(stem, {}).items()]
        columns += [question_column(q) for q in role.questions.get(stem, ())]
        if columns:
            table = agency_tables.core_table(stem)
            grant(table, ["record_id", "as_of_date", "withdrawn_date", *columns])
            listed = ", ".join(f"r.{_ident(c)}" for c in columns)
            view(
                stem,
                f"SELECT l.person_id, r.record_id, r.as_of_date, {listed} FROM {table} r JOIN identity.link l USING (record_id)"
                " WHERE r.withdrawn_date IS NULL",
            )
    _finders(connection, role, name, stems)


def _ident(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _drop_functions(connection: sa.Connection, *names: str) -> None:
    query = "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE pronamespace = 'share'::regnamespace AND proname LIKE ANY(:names)"
    for function in connection.scalars(sa.text(query), {"names": list(names)}).all():
        connection.execute(sa.text(f"DROP FUNCTION {function}"))


def _drop_finders(connection: sa.Connection) -> None:
    _drop_functions(connection, "%\\_\\_find", "%\\_\\_find\\_named")


def _finders(connection: sa.Connection, role: RoleRule, name: str, stems: list[str]) -> None:
    """Functions that lead from a number, or a name and birth date, to persons of the grant: a role need not see what it asks by."""
    condition = condition_sql(role.rows, stems, "p").replace(":", "\\:")
    made = []
    if "resident_id" in role.lookup:
        made.append(
            (
                f'share."{role.name}__find"(asked text[])',
                "TABLE (place bigint, person_id uuid)",
                "SELECT a.place, p.person_id FROM unnest(asked) WITH ORDINALITY AS a(number, place) JOIN core.person p ON p.resident_id = a.number"
                f" WHERE {condition}",
            )
        )
    if "name_birth_date" in role.lookup:
        made.append(
            (
                f'share."{role.name}__find_named"(asked_name text, asked_birth date, most integer)',
                "TABLE (person_id uuid, records bigint, by_number bigint)",
                "SELECT l.person_id, count(*), count(r.id_key) FROM identity.record r JOIN identity.link l USING (record_id)"
                f" JOIN (SELECT person_id AS id FROM core.person p WHERE {condition}) AS covered ON covered.id = l.person_id"
                " WHERE r.name_key = asked_name AND r.birth_date = asked_birth GROUP BY l.person_id ORDER BY 2 DESC, 1 LIMIT most",
            )
        )
    for signature, returns, query in made:
        connection.execute(
            sa.text(
                f"CREATE FUNCTION {signature} RETURNS {returns} LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog ROWS 1 AS $$ {query} $$"
            )
        )
        connection.execute(sa.text(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC"))
        connection.execute(sa.text(f'GRANT EXECUTE ON FUNCTION {signature} TO "{name}"'))


def _retire(connection: sa.Connection, living: set[str]) -> None:
    """Take every right in this database from roles of grants that are no more. The empty role stays: another database may know it."""
    login = login_name(connection)
    living = {*living, role_name(connection, HISTORIAN)}
    prefix = role_name(connection, "")
    for name in connection.scalars(sa.text("SELECT rolname FROM pg_roles WHERE starts_with(rolname, :prefix)"), {"prefix": prefix}).all():
        if name not in living and name != login:
            connection.execute(sa.text(f'DROP OWNED BY "{name}"'))
            connection.execute(sa.text(f'REVOKE "{name}" FROM "{login}"'))
