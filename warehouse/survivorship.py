"""Golden values: which record's value of an attribute a person has, by which policy, and what the other records say."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from schemas.survivorship import Criterion, Survivorship, parsed
from warehouse import ledger, outbox, versions

# Attribute of a person → the column of its records.
COLUMNS = {"resident_id": "id_key", **{name: name for name in ("name", "sex", "birth_date", "phone", "address", "area_code")}}
# Attribute → the column that says whether two values are one, written in two ways.
_NORMAL = {"name": "name_key", "phone": "phone_key", "address": "address_key"}
LINKED = "(SELECT l.person_id, o.* FROM identity.link l JOIN identity.record o USING (record_id))"
_SHOWN = 20
OLDEST = "oldest_record"


@dataclass(frozen=True)
class Adoption:
    """A policy with its adoption.

    Attributes:
        publication: from this one on it is in force.
        reason: None = none was given.
    """

    policy: Survivorship
    publication: int
    adopted_by: str
    adopted_at: datetime
    reason: str | None


@dataclass(frozen=True)
class Place:
    """How many golden values of an attribute change in a township (nine digits; None = not known)."""

    attribute: str
    township: str | None
    values: int


@dataclass(frozen=True)
class Example:
    """A person of whom a golden value changes, by pointers: the record that has it now, and the one that would.

    Attributes:
        former_stem, former_record_id: whose value is the golden one now; None = nobody's.
        stem, record_id: whose value would be.
    """

    person_id: str
    former_stem: str | None
    former_record_id: str | None
    stem: str | None
    record_id: str | None


@dataclass(frozen=True)
class Effect:
    """What another policy changes.

    Attributes:
        persons: whose golden values change.
        values: golden values that change, by attribute.
        households: by kind, those with a member of whom a golden value changes; who is a member, and head, hangs on no golden value.
        where: by attribute and township, most first.
        examples: some persons by attribute.
    """

    persons: int
    values: dict[str, int]
    households: dict[str, int]
    where: tuple[Place, ...]
    examples: dict[str, list[Example]]


@dataclass(frozen=True)
class Rate:
    """How often what a source tells of an attribute is not the golden value.

    Attributes:
        told: values it tells, one a record.
        lost: those that are not the golden one.
        variants: of the lost ones, those that are the golden one in another writing.
    """

    stem: str
    attribute: str
    told: int
    lost: int
    variants: int


@dataclass(frozen=True)
class Disagreement:
    """A record's value that is not its person's golden one; see ``core.disagreement``."""

    attribute: str
    stem: str
    record_id: str
    golden_stem: str
    golden_record_id: str
    reason: str
    is_variant: bool


def adoptions(connection: sa.Connection) -> list[Adoption]:
    """Every policy that was ever in force, newest first; there is one from the beginning.

    Of two of one publication the first is in force, and the other never made a value.
    """
    rows = connection.execute(
        sa.text(
            "SELECT policy::text, publication, adopted_by, adopted_at, reason FROM ops.survivorship ORDER BY publication DESC, version DESC"
        )
    )
    return [Adoption(parsed(text), *rest) for text, *rest in rows]


def in_force(connection: sa.Connection, publication: int | None = None) -> Survivorship:
    """The policy that golden values are made by; None = now, else as of a publication."""
    query = (
        "SELECT policy::text FROM ops.survivorship WHERE publication <= coalesce(CAST(:n AS bigint), publication)"
        " ORDER BY publication DESC, version DESC LIMIT 1"
    )
    return parsed(connection.execute(sa.text(query), {"n": publication}).scalar_one())


def _asked(policy: Survivorship, attribute: str) -> list[tuple[Criterion, str]]:
    """The criteria of an attribute, each as an SQL expression over a record `r`: the smaller, the better, or as its ending says."""
    rule = policy.of(attribute)
    # Sources were looked up when the policy was read; their names hold no quote.
    own = "".join(f" WHEN '{stem}' THEN {value}" for stem, value in sorted(rule.authority.items()))
    expressions = {
        Criterion.VALID_NUMBER: "(r.id_key IS NULL)",
        Criterion.AUTHORITY: f"CASE r.stem{own} ELSE r.authority END DESC" if own else "r.authority DESC",
        Criterion.RECENCY: "r.as_of_date DESC",
        Criterion.AGREEMENT: f"r.agree_{attribute} DESC",
    }
    return [(criterion, expressions[criterion]) for criterion in rule.criteria or ()]


def order(policy: Survivorship, attribute: str) -> str:
    """What records `r` of :func:`records` are ordered by: the first that has a value has the golden one."""
    return ", ".join([*(expression for _, expression in _asked(policy, attribute)), "r.record_id"])


def _orders(policy: Survivorship) -> list[str]:
    """The different orders of a policy; most attributes have the same."""
    return list(dict.fromkeys(order(policy, attribute) for attribute in COLUMNS))


def golden(policy: Survivorship) -> str:
    """The golden values of a group of records `r` of :func:`placed`, as SQL expressions named after the attributes."""
    orders = _orders(policy)
    return ", ".join(
        f"(array_agg(r.{column} ORDER BY r.place_{orders.index(order(policy, attribute))}) FILTER (WHERE r.{column} IS NOT NULL))[1] AS {attribute}"
        for attribute, column in COLUMNS.items()
    )


def records(policy: Survivorship, source: str, *, are_of_one: bool = False, of: Iterable[str] = COLUMNS) -> str:
    """Records with what a policy asks beyond their columns: how many of the person's records agree in a value, in whatever writing.

    Args:
        policy: the policy.
        source: table or query in brackets, with the columns of a record and `person_id`.
        are_of_one: all are one person's, and there is no `person_id`.
        of: attributes that are asked for.
    """
    counted = [a for a in of if Criterion.AGREEMENT in dict(_asked(policy, a))]
    if not counted:
        return source
    # Gathered in one pass over each person's records: a window for each value would put the whole pool in order once an attribute.
    told = {a: f"coalesce({_NORMAL[a]}, {COLUMNS[a]})" if a in _NORMAL else COLUMNS[a] for a in counted}
    agree = ", ".join(f"cardinality(array_positions(array_agg({value}) OVER own, {value})) AS agree_{a}" for a, value in told.items())
    return f"(SELECT v.*, {agree} FROM {source} AS v WINDOW own AS ({'' if are_of_one else 'PARTITION BY person_id'}))"


def placed(policy: Survivorship, source: str, *, are_of_one: bool = False) -> str:
    """Records as of :func:`records`, with their place in each order: they are put in order once, not once for each golden value."""
    by = "" if are_of_one else "PARTITION BY r.person_id "
    places = "".join(f", row_number() OVER ({by}ORDER BY {o}) AS place_{n}" for n, o in enumerate(_orders(policy)))
    return f"(SELECT r.*{places} FROM {records(policy, source, are_of_one=are_of_one)} AS r)"


def effect(connection: sa.Connection, policy: Survivorship) -> Effect:
    """What the pool would be by another policy; leaves its differing persons in a temporary table that :func:`adopt` reads.

    Args:
        connection: one transaction for both.
        policy: the other policy.
    """
    former, other = (", ".join(f"{alias}.{a}" for a in COLUMNS) for alias in ("p", "o"))
    differing = ", ".join(f"CASE WHEN p.{a} IS DISTINCT FROM o.{a} THEN '{a}' END" for a in COLUMNS)
    connection.execute(
        sa.text(
            f'CREATE TEMP TABLE otherwise ON COMMIT DROP AS SELECT o.*, "left"(p.area_code, 9) AS township,'
            f" array_remove(ARRAY[{differing}], NULL) AS differing FROM core.person p JOIN (SELECT r.person_id, {golden(policy)}"
            f" FROM {placed(policy, LINKED)} AS r GROUP BY r.person_id) AS o USING (person_id) WHERE ({former}) IS DISTINCT FROM ({other})"
        )
    )
    connection.execute(sa.text("ANALYZE otherwise"))
    persons = int(connection.scalar(sa.text("SELECT count(*) FROM otherwise")) or 0)
    places = connection.execute(
        sa.text(
            "SELECT attribute, township, count(*) FROM otherwise, unnest(differing) AS attribute GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 NULLS LAST"
        )
    )
    where = tuple(Place(*row) for row in places)
    homes = connection.execute(
        sa.text(
            "SELECT kind, count(DISTINCT m.household_id) FILTER (WHERE o.person_id IS NOT NULL) FROM core.household_member m"
            " LEFT JOIN otherwise o USING (person_id) GROUP BY kind ORDER BY kind"
        )
    )
    shown = connection.execute(
        sa.text(
            "SELECT attribute, person_id::text FROM (SELECT attribute, person_id, row_number() OVER (PARTITION BY attribute ORDER BY person_id)"
            f" AS place FROM otherwise, unnest(differing) AS attribute) AS d WHERE place <= {_SHOWN} ORDER BY 1, 2"
        )
    )
    persons_shown = [tuple(row) for row in shown]
    now, then = (_winners(connection, by, {p for _, p in persons_shown}) for by in (in_force(connection), policy))
    examples: dict[str, list[Example]] = {}
    for attribute, person_id in persons_shown:
        sides = (now.get((person_id, attribute), (None, None)), then.get((person_id, attribute), (None, None)))
        examples.setdefault(attribute, []).append(Example(person_id, *sides[0], *sides[1]))
    values = {a: sum(place.values for place in where if place.attribute == a) for a in COLUMNS}
    return Effect(persons, values, dict(homes.tuples().all()), where, examples)


def _winners(connection: sa.Connection, policy: Survivorship, persons: set[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """Source and id of the record that has the golden value, by person and attribute."""
    source = "(SELECT l.person_id, o.* FROM identity.link l JOIN identity.record o USING (record_id) WHERE l.person_id = ANY(CAST(:ids AS uuid[])))"
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT person_id::text, attribute, golden_stem, golden_record_id::text FROM ({_ranked(policy, source)}) AS told"
        ),
        {"ids": sorted(persons)},
    )
    return {(person_id, attribute): (stem, record_id) for person_id, attribute, stem, record_id in rows}


def adopt(connection: sa.Connection, policy: Survivorship, *, by: str, reason: str | None) -> None:
    """Put the golden values of another policy in the place of the present ones; the publication is the caller's.

    Args:
        connection: the publishing transaction, after :func:`effect` of that policy.
        policy: the policy.
        by: who adopts it.
        reason: why; None = not said.
    """
    versions.remember(connection, "core.person", "person_id", "SELECT person_id FROM otherwise")
    sets = ", ".join(f"{a} = o.{a}" for a in COLUMNS)
    connection.execute(sa.text(f"UPDATE core.person p SET {sets} FROM otherwise o WHERE p.person_id = o.person_id"))
    versions.keep(connection, "core.person", "person_id")
    outbox.note_golden(connection)
    connection.execute(
        sa.text(
            "INSERT INTO ops.survivorship (publication, version, policy, adopted_by, reason)"
            " VALUES (:publication, :version, CAST(:policy AS jsonb), :by, :reason)"
        ),
        {
            "publication": ledger.publication(connection) + 1, "version": policy.version, "policy": policy.model_dump_json(), "by": by,
            "reason": reason,
        },
    )  # fmt: skip
    write_view(connection, policy)
    write_function(connection)


def _ranked(policy: Survivorship, source: str) -> str:
    """One row a record and attribute it tells: whether that is the golden value, and if not, the first criterion that tells them apart."""
    parts = []
    for attribute, column in COLUMNS.items():
        asked = [(criterion, expression.removesuffix(" DESC")) for criterion, expression in _asked(policy, attribute)]
        compared = "".join(f", {e} AS own_{n}, first_value({e}) OVER w AS top_{n}" for n, (_, e) in enumerate(asked))
        decided = "".join(f" WHEN own_{n} IS DISTINCT FROM top_{n} THEN '{criterion}'" for n, (criterion, _) in enumerate(asked))
        normal = f"r.{_NORMAL[attribute]} = first_value(r.{_NORMAL[attribute]}) OVER w" if attribute in _NORMAL else "false"
        parts.append(
            f"SELECT person_id, CAST('{attribute}' AS text) AS attribute, record_id, stem, golden_record_id, golden_stem, is_golden,"
            f" CASE{decided} ELSE '{OLDEST}' END AS reason, coalesce(is_variant, false) AS is_variant FROM"
            f" (SELECT r.person_id, r.record_id, r.stem, r.{column} = first_value(r.{column}) OVER w AS is_golden,"
            f" first_value(r.record_id) OVER w AS golden_record_id, first_value(r.stem) OVER w AS golden_stem, {normal} AS is_variant{compared}"
            f" FROM {records(policy, source, of=[attribute])} AS r WHERE r.{column} IS NOT NULL"
            f" WINDOW w AS (PARTITION BY r.person_id ORDER BY {order(policy, attribute)})) AS v"
        )
    return " UNION ALL ".join(parts)


def write_view(connection: sa.Connection, policy: Survivorship) -> None:
    """Make the ledger of disagreement follow a policy. It is computed when it is asked: a night pays nothing for it.

    A migration that changes a column of records drops the view first and writes it again.
    """
    connection.execute(
        sa.text(
            "CREATE OR REPLACE VIEW core.disagreement AS SELECT person_id, attribute, record_id, stem, golden_record_id, golden_stem, reason,"
            f" is_variant FROM ({_ranked(policy, LINKED)}) AS told WHERE NOT is_golden"
        )
    )


# Whose a record was: of the person it was linked to, or, withdrawn by then, was last linked to; a person is told under the id it answers to.
_VALID = """
WITH linked AS MATERIALIZED (
    SELECT record_id, person_id FROM history.links_known(known)
    UNION ALL SELECT * FROM (SELECT DISTINCT ON (h.record_id) h.record_id, (h.row ->> 'person_id')::uuid FROM history.link h
        WHERE h.row IS NOT NULL AND upper(h.known_during) <= known
        AND NOT EXISTS (SELECT FROM history.links_known(known) n WHERE n.record_id = h.record_id)
        ORDER BY h.record_id, upper(h.known_during) DESC) AS last
), whose AS MATERIALIZED (
    SELECT l.* FROM linked l JOIN linked own ON own.record_id = l.person_id AND own.person_id = l.person_id
), past AS MATERIALIZED (SELECT * FROM history.past_versions(valid, known)
), valid_record AS MATERIALIZED (
    SELECT w.person_id, c.* FROM whose w JOIN identity.record c USING (record_id)
        WHERE c.as_of_date <= valid AND NOT EXISTS (SELECT FROM past p WHERE p.record_id = c.record_id)
    UNION ALL SELECT w.person_id, c.* FROM past p JOIN whose w USING (record_id), jsonb_populate_record(NULL::identity.record, p.traits
        || jsonb_build_object('record_id', p.record_id, 'as_of_date', p.valid_from, 'delivery_id', p.delivery_id)) AS c WHERE NOT p.is_withdrawn
)
"""


def write_function(connection: sa.Connection) -> None:
    """Make ``history.persons_valid(day, publication)`` anew: golden values of a day, by the policy in force in the publication, of the whole pool.

    PostgreSQL follows one policy of all that ever were and leaves the others alone. A change of what this module makes of a policy comes with a
    migration that writes the function again.
    """
    parts, until = [], None
    for adoption in adoptions(connection):
        by, since = adoption.policy, int(adoption.publication)
        if since == until:
            continue
        source = f"(SELECT * FROM valid_record WHERE known >= {since}{'' if until is None else f' AND known < {int(until)}'})"
        parts.append(
            f"SELECT r.person_id, {golden(by)}, count(*)::integer, array_agg(DISTINCT r.stem ORDER BY r.stem), max(r.as_of_date)"
            f" FROM {placed(by, source)} AS r GROUP BY r.person_id"
        )
        until = since
    connection.execute(
        sa.text(
            "CREATE OR REPLACE FUNCTION history.persons_valid(valid date, known bigint) RETURNS TABLE (person_id uuid, resident_id text, name text,"
            " sex text, birth_date date, phone text, address text, area_code text, records integer, sources text[], as_of_date date)"
            f" LANGUAGE sql STABLE AS $function${_VALID}{' UNION ALL '.join(parts)}$function$"
        )
    )
    connection.execute(
        sa.text(
            "COMMENT ON FUNCTION history.persons_valid IS 'Persons as they were on a date, by what was known in a publication: golden values of the"
            " records valid on it, by the policy then in force. Written anew with each adopted policy.'"
        )
    )


def disagreements(connection: sa.Connection, person_id: str) -> list[Disagreement]:
    """What records of a person say otherwise than its golden values, by pointer."""
    rows = connection.execute(
        sa.text(
            "SELECT attribute, stem, record_id::text, golden_stem, golden_record_id::text, reason, is_variant FROM core.disagreement"
            " WHERE person_id = CAST(:id AS uuid) ORDER BY attribute, stem, record_id"
        ),
        {"id": person_id},
    )
    return [Disagreement(**row._mapping) for row in rows]


def rates(connection: sa.Connection, publication: int | None = None) -> list[Rate]:
    """Rates of disagreement by source and attribute, as of a publication and by the policy then in force; None = now."""
    source = LINKED
    if publication is not None:
        number = int(publication)
        source = (
            f"(SELECT l.person_id, o.* FROM history.links_known({number}) l"
            f" JOIN history.records_valid('infinity', {number}) o USING (record_id))"
        )
    rows = connection.execute(
        sa.text(
            "SELECT stem, attribute, count(*) AS told, count(*) FILTER (WHERE NOT is_golden) AS lost,"
            " count(*) FILTER (WHERE NOT is_golden AND is_variant) AS variants"
            f" FROM ({_ranked(in_force(connection, publication), source)}) AS told GROUP BY 1, 2 ORDER BY 1, 2"
        )
    )
    return [Rate(**row._mapping) for row in rows]
