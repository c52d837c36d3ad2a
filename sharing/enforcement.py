"""The policy in the warehouse's terms, and its being held there."""

from datetime import date

import sqlalchemy as sa

from hub.settings import Settings
from sharing import policy as policies
from sharing.attributes import Room, catalogue
from sharing.policy import Grant, Policy, Question, form_of
from warehouse import database, disclosure

_PASSWORD = "sharing.password"


def _question(code: str, question: Question) -> disclosure.QuestionRule:
    conditions = tuple(
        (c.field, test, getattr(c, test))
        for c in question.all_of
        for test in ("equals", "one_of", "is_true", "more_than", "is_known", "is_empty_or_after_as_of")
        if getattr(c, test) is not None
    )
    return disclosure.QuestionRule(code, question.source, conditions)


def _rows(policy: Policy, grant: Grant) -> disclosure.RowRule:
    rows = grant.rows
    return disclosure.RowRule(
        rows.prefixes, rows.min_age, rows.max_age, rows.known_to, tuple((code, policy.questions[code].source) for code in rows.programs),
        grant.name if rows.consent else None, grant.name if grant.emergency else None,
    )  # fmt: skip


def somebody(connection: sa.Connection, policy: Policy, grant: Grant) -> tuple[str, str | None] | None:
    """Id and number of a person a grant covers, to try things with; see :func:`warehouse.disclosure.somebody`."""
    return disclosure.somebody(connection, _rows(policy, grant))


def plan(policy: Policy, day: date) -> disclosure.Plan:
    """What the database is to hold of a policy on a day: grants that are not valid then give no role any right."""
    known = catalogue()
    roles = []
    for grant in policy.grants:
        if not grant.is_valid_on(day):
            continue
        told = {known[name]: effect for name, effect in grant.attributes.items() if effect != "refused"}
        sources: dict[str, disclosure.Columns] = {}
        for attribute, effect in told.items():
            if attribute.stem is not None:
                sources.setdefault(attribute.stem, {})[attribute.column] = form_of(effect)
        questions: dict[str, tuple[str, ...]] = {}
        for code in grant.questions:
            stem = policy.questions[code].source
            questions[stem] = (*questions.get(stem, ()), code)
        roles.append(
            disclosure.RoleRule(
                name=grant.name,
                department=grant.department,
                rows=_rows(policy, grant),
                person={a.column: form_of(e) for a, e in told.items() if a.room is Room.PERSON},
                sources=sources,
                questions=questions,
                household=frozenset(a.name.split(".")[1] for a in told if a.room is Room.HOUSEHOLD),
                lookup=frozenset(grant.lookup),
            )
        )
    valid = "+".join(r.name for r in roles)
    version = policy.version if len(roles) == len(policy.grants) else f"{policy.version}/{valid}"
    return disclosure.Plan(version, tuple(roles), tuple(_question(c, q) for c, q in policy.questions.items()))


def password(settings: Settings) -> str:
    """Of the programs' login."""
    return settings.secret(_PASSWORD)


def ensure(settings: Settings, policy: Policy, day: date) -> bool:
    """Make the database hold a policy on a day, if it does not; whether anything had to be done."""
    wanted = plan(policy, day)
    with database.engine(settings).begin() as connection:
        if disclosure.is_applied(connection, wanted.version):
            return False
        disclosure.apply(connection, wanted, password=password(settings))
        return True


def policy_today(settings: Settings) -> tuple[Policy, date]:
    """The policy in force on the day answers speak of; before the first night, on the first day any policy begins."""
    with database.engine(settings).connect() as connection:
        day = disclosure.today(connection)
    if day is None:
        day = policies.first_day()
    return policies.in_force(day), day
