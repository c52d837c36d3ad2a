"""Reading what a grant gives: one statement a question, under the grant's role, through its views alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from warehouse import forms
from warehouse.asking import Asking
from warehouse.disclosure import question_column, quoted, view_name
from warehouse.forms import Form


@dataclass(frozen=True)
class Asked:
    """What is asked of each person, under one role.

    Attributes:
        person: attribute, column and form (None = clear) of golden values.
        sources: source → attribute, column and form of its records.
        questions: source → codes.
        households: whether the households' ids are asked for.
    """

    role: str
    person: tuple[tuple[str, str, Form | None], ...]
    sources: tuple[tuple[str, tuple[tuple[str, str, Form | None], ...]], ...]
    questions: tuple[tuple[str, tuple[str, ...]], ...]
    households: bool = False


def _object(alias: str, columns: list[tuple[str, str]]) -> str:
    # A function takes no more than 100 arguments.
    parts = [columns[i : i + 40] for i in range(0, len(columns), 40)] or [[]]
    objects = ["jsonb_build_object(" + ", ".join(f'{quoted(key)}, {alias}."{column}"' for key, column in part) + ")" for part in parts]
    return " || ".join(objects)


def _column(column: str, form: Form | None) -> str:
    return column if form is None else forms.column_name(column, form)


def _fields(asked: Asked) -> list[str]:
    """The select list over the alias ``p`` of the role's view of persons."""
    person = _object("p", [(name, _column(column, form)) for name, column, form in asked.person])
    found = ["p.person_id::text AS person_id", "p.as_of_date::text AS as_of_date", f"{person} AS person"]
    sources, questions = dict(asked.sources), dict(asked.questions)
    records = []
    for stem in sorted({*sources, *questions}):
        columns = [(name, _column(column, form)) for name, column, form in sources.get(stem, ())]
        columns += [(f"?{code}", question_column(code)) for code in questions.get(stem, ())]
        view = f'share."{view_name(asked.role, stem)}"'
        records.append(
            f"{quoted(stem)}, (SELECT jsonb_agg(jsonb_build_object('record_id', s.record_id, 'as_of_date', s.as_of_date, 'told', {_object('s', columns)}) ORDER BY s.record_id)"
            f" FROM {view} s WHERE s.person_id = p.person_id)"
        )
    found.append(f"jsonb_build_object({', '.join(records)}) AS records")
    found.append(
        "(SELECT jsonb_agg(jsonb_build_array(d.record_id, d.attribute, d.since, d.due) ORDER BY d.since) FROM identity.link l"
        " JOIN share.disputed d USING (record_id) WHERE l.person_id = p.person_id) AS disputed"
    )
    if asked.households:
        member = f'share."{view_name(asked.role, "member")}"'
        found.append(
            f"(SELECT jsonb_agg(jsonb_build_object('household_id', m.household_id, 'kind', m.kind) ORDER BY m.kind) FROM {member} m"
            " WHERE m.person_id = p.person_id) AS households"
        )
    return found


@lru_cache(maxsize=1024)
def _by_id(asked: Asked) -> str:
    return (
        # CASE, not coalesce: PostgreSQL takes the latter for leaky, and would read every person before it compares ids.
        "WITH asked AS (SELECT a.place, CASE WHEN r.person_id IS NULL THEN a.id ELSE r.person_id END AS person_id FROM unnest($1::uuid[]) WITH ORDINALITY AS a(id, place)"
        " LEFT JOIN identity.redirect r ON r.old_person_id = a.id)"
        f' SELECT a.place, {", ".join(_fields(asked))} FROM asked a JOIN share."{view_name(asked.role, "person")}" p USING (person_id)'
    )


@lru_cache(maxsize=1024)
def _by_number(asked: Asked) -> str:
    return (
        f'SELECT a.place, {", ".join(_fields(asked))} FROM share."{asked.role}__find"($1::text[]) a'
        f' JOIN share."{view_name(asked.role, "person")}" p USING (person_id)'
    )


@lru_cache(maxsize=256)
def _members(asked: Asked, with_size: bool, with_relation: bool, with_members: bool) -> str:
    view = f'share."{view_name(asked.role, "household")}"'
    member, person = f'share."{view_name(asked.role, "member")}"', f'share."{view_name(asked.role, "person")}"'
    size = "h.size" if with_size else "NULL::integer"
    relation = "m.relation" if with_relation else "NULL::text"
    fields = ", ".join(_fields(asked)) if with_members else "p.person_id::text AS person_id"
    return (
        f"SELECT h.household_id::text AS household_id, h.kind, {size} AS size, {relation} AS relation, {fields} FROM {view} h"
        f" JOIN {member} m USING (household_id) JOIN {person} p ON p.person_id = m.person_id WHERE h.household_id = $1::uuid ORDER BY p.person_id"
    )


def place_of(rows: Iterable[Any]) -> dict[int, list[Any]]:
    """Rows by their place in the list of whom was asked about."""
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row["place"], []).append(row)
    return found


async def persons(asking: Asking, asked: Asked, person_ids: list[str]) -> list[Any]:
    """Persons by id; one the grant does not cover, or that is not there, is left out alike.

    Returns:
        One row a person: ``place`` (from 1) in the list, ``person_id``, ``as_of_date``, ``person`` and ``records`` as JSON text, and
        ``disputed``: record, attribute, since when and until when, of each dispute of it that is open; None = none is.
    """
    return await asking.read(asked.role, _by_id(asked), person_ids)


async def by_number(asking: Asking, asked: Asked, numbers: list[str]) -> list[Any]:
    """Persons by resident identity number, the same way; a number two persons share gives two rows of one place."""
    return await asking.read(asked.role, _by_number(asked), numbers)


async def named(asking: Asking, role: str, name_key: str, birth_date: Any, most: int) -> list[Any]:
    """Persons a name and birth date may mean: ``person_id``, ``records`` of it that say so, how many of them have a valid number."""
    return await asking.read(
        role, f'SELECT person_id::text, records, by_number FROM share."{role}__find_named"($1, $2, $3)', name_key, birth_date, most
    )


async def all_named(asking: Asking, role: str, name_keys: list[str], birth_dates: list[Any]) -> list[Any]:
    """The same for many names at once, side by side with their birth dates: ``place`` (from 1) and ``person_id``, at most two of one place."""
    return await asking.read(
        role,
        "SELECT a.place, f.person_id::text AS person_id FROM unnest($1::text[], $2::date[]) WITH ORDINALITY AS a(name_key, birth_date, place)"
        f' CROSS JOIN LATERAL share."{role}__find_named"(a.name_key, a.birth_date, 2) f',
        name_keys, birth_dates,
    )  # fmt: skip


async def household(
    asking: Asking, asked: Asked, household_id: str, *, with_size: bool, with_relation: bool, with_members: bool
) -> list[Any]:
    """A household: one row a member the grant covers; none when it is not there, or the grant covers none of it."""
    return await asking.read(asked.role, _members(asked, with_size, with_relation, with_members), household_id)


async def home(asking: Asking, role: str, person_id: str, kind: str) -> str | None:
    """The household of a kind a person of the grant is in; None = none, or the grant tells nothing of households."""
    view = f'share."{view_name(role, "member")}"'
    rows = await asking.read(role, f"SELECT household_id::text FROM {view} WHERE person_id = $1::uuid AND kind = $2", person_id, kind)
    return rows[0][0] if rows else None


async def fulfilling(asking: Asking, role: str, stem: str, question: str) -> list[str]:
    """Persons of the grant to whom a question is answered by yes, by id."""
    rows = await asking.read(
        role, f'SELECT DISTINCT person_id::text FROM share."{view_name(role, stem)}" WHERE "{question_column(question)}"'
    )
    return [r[0] for r in rows]


async def covered(asking: Asking, role: str, after: str | None, limit: int) -> list[str]:
    """Persons of the grant behind an id (None = from the first), in the order of their ids."""
    rows = await asking.read(
        role,
        f'SELECT v.person_id::text FROM share."{view_name(role, "person")}" v WHERE $1::uuid IS NULL OR v.person_id > $1'
        " ORDER BY v.person_id LIMIT $2",
        after, limit,
    )  # fmt: skip
    return [r[0] for r in rows]


async def coverage(asking: Asking, role: str) -> int:
    """How many persons the grant covers."""
    rows = await asking.read(role, f'SELECT count(*) FROM share."{view_name(role, "person")}"')
    return int(rows[0][0])


async def leads(asking: Asking, role: str, person_ids: list[str]) -> dict[str, str]:
    """Where ids lead that are no person's any more: former id → the person's, where it is of the grant."""
    rows = await asking.read(
        role, "SELECT old_person_id::text, person_id::text FROM identity.redirect WHERE old_person_id = ANY($1::uuid[])", person_ids
    )  # fmt: skip
    return {r[0]: r[1] for r in rows}


async def night(asking: Asking) -> tuple[int, Any, dict[str, str]]:
    """Number of the last publication, its night, and the state of each source's intake in it."""
    rows = await asking.read(
        None,
        "SELECT p.number, n.business_date, i.stem, i.state FROM ops.publication p"
        " LEFT JOIN (SELECT max(business_date) AS business_date FROM ops.night WHERE published_at IS NOT NULL) n ON true"
        " LEFT JOIN ops.intake i USING (business_date)",
    )
    return rows[0][0], rows[0][1], {r[2]: r[3] for r in rows if r[2] is not None}


async def publication(asking: Asking) -> int:
    """Number of the last publication."""
    return int((await asking.read(None, "SELECT number FROM ops.publication"))[0][0])


async def applied(asking: Asking) -> tuple[str, frozenset[str]] | None:
    """Version of the policy the database holds and the sources it knew; None = none."""
    rows = await asking.read(None, "SELECT version, stems FROM share.applied")
    return (rows[0][0], frozenset(rows[0][1])) if rows else None


async def client(asking: Asking, client_id: str) -> Any | None:
    """A client in force: department, purposes, generation, public keys, thumbprint of its certificate, hashes of its secrets in force."""
    rows = await asking.read(
        None,
        "SELECT c.client_id, c.department, c.purposes, c.generation, c.public_keys, c.certificate, (SELECT coalesce(array_agg(s.hash), '{}')"
        " FROM share.client_secret s WHERE s.client_id = c.client_id AND (s.expires_at IS NULL OR s.expires_at > now())) AS hashes"
        " FROM share.client c WHERE c.client_id = $1 AND c.revoked_at IS NULL",
        client_id,
    )
    return rows[0] if rows else None


async def take_assertion(asking: Asking, client_id: str, jti: str, expires_at: Any) -> bool:
    """Note that a signed assertion was used; whether it is the first time."""
    await asking.read(None, "DELETE FROM share.used_assertion WHERE expires_at < now()")
    rows = await asking.read(
        None,
        "INSERT INTO share.used_assertion VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1",
        client_id, jti, expires_at,
    )  # fmt: skip
    return bool(rows)
