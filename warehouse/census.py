"""How many persons, households and members the whole pool had at a moment, and how many came, went or changed between two. Counts alone."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from warehouse import past
from warehouse.homes import Rule
from warehouse.past import Moment
from warehouse.survivorship import COLUMNS


class By(StrEnum):
    """What is counted apart."""

    TOWNSHIP = "township"
    """Nine digits of the golden area code; null = not known."""
    SEX = "sex"
    """The golden value."""
    SOURCE = "source"
    """A source that tells of the person: somebody of whom two tell is counted with each."""


@dataclass(frozen=True)
class Figure:
    """How many there are, and against an earlier moment how many came, went and changed; the last three are None without one."""

    now: int
    came: int | None = None
    gone: int | None = None
    changed: int | None = None


@dataclass(frozen=True)
class Group:
    """Figures of a township, sex or source (`name`; None = not known), or of everybody.

    Attributes:
        persons: whose golden values; changed = one of them is another.
        households: by kind, those with a member in the group; changed = other members, or one of them in another way.
        members: by kind; changed = in another household, or in another way.
    """

    name: str | None
    persons: Figure
    households: dict[str, Figure]
    members: dict[str, Figure]


_KINDS = ("registered", "living")
# The group of a person `p`: one row each.
_GROUPS = {
    None: "SELECT NULL::text AS name",
    By.TOWNSHIP: 'SELECT "left"(p.area_code, 9) AS name',
    By.SEX: "SELECT p.sex AS name",
    By.SOURCE: "SELECT unnest(p.sources) AS name",
}
# The columns of the pool's own; the sharing service adds masks.
_PERSON = f"person_id, {', '.join(COLUMNS)}, records, sources, as_of_date"
_DIGEST = "md5(concat_ws('|', {}))"


def write(connection: sa.Connection, name: str, at: Moment, rule: Rule) -> None:
    """Make temporary tables of the pool as of a moment: `{name}_person` as core.person, `{name}_member` as core.household_member.

    They hold, for everybody, what :func:`warehouse.past.person` and :func:`warehouse.past.household` answer about one; they are gone with the transaction.

    Args:
        connection: a transaction.
        name: what the tables' names begin with.
        at: the moment.
        rule: how persons become households.
    """
    persons, members = f"{name}_person", f"{name}_member"
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {persons}, {members}"))
    source = "history.persons_known(:n)" if at.valid is None else "history.persons_valid(:day, :n)"
    asked: dict[str, Any] = {"n": at.number, "day": at.valid}
    connection.execute(sa.text(f"CREATE TEMP TABLE {persons} ON COMMIT DROP AS SELECT {_PERSON} FROM {source}"), asked)
    stood = "SELECT * FROM history.household_members_known(:n)"
    nobody = "" if at.homes_on is None else " LIMIT 0"
    connection.execute(sa.text(f"CREATE TEMP TABLE {members} ON COMMIT DROP AS {stood}{nobody}"), asked)
    if at.homes_on is not None:
        everybody = [str(p) for p in connection.scalars(sa.text(f"SELECT person_id FROM {persons} ORDER BY person_id"))]
        found = past.homes_of(connection, rule, at, everybody)
        columns = ("kind", "person_id", "household_id", "relation", "stem", "evidence")
        connection.execute(
            sa.text(
                f"INSERT INTO {members} ({', '.join(columns)}) SELECT * FROM unnest(CAST(:kind AS text[]), CAST(:person_id AS uuid[]),"
                " CAST(:household_id AS uuid[]), CAST(:relation AS text[]), CAST(:stem AS text[]), CAST(:evidence AS text[]))"
            ),
            {column: [row[column] for row in found] for column in columns},
        )
    connection.execute(sa.text(f"ANALYZE {persons}; ANALYZE {members}"))


def count(connection: sa.Connection, rule: Rule, at: Moment, *, by: By | None = None, against: Moment | None = None) -> list[Group]:
    """Count the pool as of a moment.

    Args:
        connection: a transaction; temporary tables are made in it.
        rule: how persons become households.
        at: the moment.
        by: what is counted apart; None = all together, one group.
        against: an earlier moment to tell the difference from; None = none is told. A group's `came` are new in it, also from another group.

    Returns:
        One group each, by name; those not known last.
    """
    write(connection, "census", at, rule)
    if against is not None:
        write(connection, "former", against, rule)
    persons = _figures(connection, "person", by, against is not None)
    homes_, members = (_figures(connection, of, by, against is not None) for of in ("household", "member"))
    names = sorted({name for _, name in (*persons, *homes_, *members)}, key=lambda name: (name is None, name or ""))
    none = Figure(0) if against is None else Figure(0, 0, 0, 0)
    return [
        Group(
            name,
            persons.get(("", name), none),
            {kind: homes_.get((kind, name), none) for kind in _KINDS},
            {kind: members.get((kind, name), none) for kind in _KINDS},
        )
        for name in names or ([None] if by is None else [])
    ]


def _figures(connection: sa.Connection, of: str, by: By | None, is_compared: bool) -> dict[tuple[str, str | None], Figure]:
    """Figures of persons, households or members by kind (persons: none) and group."""
    now, former = _counted(of, "census", by), _counted(of, "former", by)
    if not is_compared:
        rows = connection.execute(sa.text(f"SELECT kind, name, count(*) FROM ({now}) AS n GROUP BY kind, name"))
        return {(kind, name): Figure(n) for kind, name, n in rows}
    rows = connection.execute(
        sa.text(
            "SELECT coalesce(n.kind, f.kind), nullif(coalesce(n.told, f.told), ''), count(n.id), count(*) FILTER (WHERE f.id IS NULL),"
            " count(*) FILTER (WHERE n.id IS NULL), count(*) FILTER (WHERE n.digest <> f.digest)"
            f" FROM (SELECT *, coalesce(name, '') AS told FROM ({now}) AS c) AS n FULL JOIN"
            f" (SELECT *, coalesce(name, '') AS told FROM ({former}) AS c) AS f USING (id, kind, told) GROUP BY 1, 2"
        )
    )
    return {(kind, name): Figure(*figures) for kind, name, *figures in rows}


def _counted(of: str, name: str, by: By | None) -> str:
    """Query of what is counted: its id, kind and group, and a digest of what it is."""
    persons, members, group = f"{name}_person", f"{name}_member", _GROUPS[by]
    own = "m.household_id, m.relation, m.stem, m.evidence"
    match of:
        case "person":
            golden = ", ".join(f"coalesce(p.{a}::text, '')" for a in COLUMNS)
            return f"SELECT p.person_id AS id, '' AS kind, g.name, {_DIGEST.format(golden)} AS digest FROM {persons} p CROSS JOIN LATERAL ({group}) AS g"
        case "member":
            placed = ", ".join(f"coalesce({c}::text, '')" for c in own.split(", "))
            return (
                f"SELECT m.person_id AS id, m.kind, g.name, {_DIGEST.format(placed)} AS digest FROM {members} m"
                f" JOIN {persons} p USING (person_id) CROSS JOIN LATERAL ({group}) AS g"
            )
    whole = (
        f"SELECT household_id, kind, md5(string_agg(concat_ws('|', person_id, coalesce(relation, ''), stem, evidence), ' ' ORDER BY person_id)) AS digest"
        f" FROM {members} GROUP BY household_id, kind"
    )
    return (
        f"SELECT DISTINCT h.household_id AS id, h.kind, g.name, h.digest FROM ({whole}) AS h JOIN {members} m USING (household_id, kind)"
        f" JOIN {persons} p USING (person_id) CROSS JOIN LATERAL ({group}) AS g"
    )
