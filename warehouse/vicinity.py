"""Where persons of the pool live and with whom, and how common names are there: what access is held against, and nobody is shown."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True)
class Resident:
    """A person as the neighbours know it.

    Attributes:
        community: code of the village or community; None = not known so far down.
        circles: the households it is in, and its address where others live at the same.
        name: the golden value; None = not known.
    """

    person_id: str
    community: str | None
    circles: frozenset[str]
    name: str | None


def ids(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    """Every id by which a person is in the log, and the id it has now."""
    for query in (
        "SELECT person_id::text, person_id::text FROM core.person",
        "SELECT old_person_id::text, person_id::text FROM identity.redirect",
    ):
        for part in connection.execute(sa.text(query).execution_options(yield_per=10_000)).partitions():
            yield from ((before, now) for before, now in part)


def residents(connection: sa.Connection, person_ids: Sequence[str]) -> dict[str, Resident]:
    """Persons by their ids; whoever is not there any more is left out.

    An address is a circle under twelve heads: it is a home's, where a hostel's or a village's without house numbers is a place of many.
    """
    rows = connection.execute(
        sa.text(
            "WITH asked AS (SELECT unnest(CAST(:ids AS uuid[])) AS person_id)"
            " SELECT p.person_id::text, p.name, CASE WHEN p.area_code ~ '^[0-9]{9}(?!000)[0-9]{3}$' THEN p.area_code END AS community,"
            " ARRAY(SELECT m.household_id::text FROM core.household_member m WHERE m.person_id = p.person_id) AS households,"
            " CASE WHEN p.address IS NOT NULL THEN md5(p.address) END AS place"
            " FROM asked JOIN core.person p USING (person_id)"
        ),
        {"ids": list(person_ids)},
    ).all()
    places = [r.place for r in rows if r.place is not None]
    crowded = set(
        connection.scalars(
            sa.text(
                "SELECT md5(address) FROM core.person WHERE md5(address) = ANY(:places) GROUP BY 1 HAVING count(*) >= 12"
            ),
            {"places": places},
        )
    ) if places else set()  # fmt: skip
    return {
        r.person_id: Resident(
            r.person_id, r.community, frozenset([*r.households, *([r.place] if r.place is not None and r.place not in crowded else [])]), r.name
        )
        for r in rows
    }  # fmt: skip


def shares(connection: sa.Connection, surnames: Sequence[str]) -> dict[tuple[str | None, str], float]:
    """How large communities are and how common family names: (community, name) → share of its persons, (None, name) → of the pool's, (community, "") → its share of the pool."""
    rows = connection.execute(
        sa.text(
            "SELECT p.area_code AS community, CASE WHEN n.chars = 0 THEN '' ELSE left(p.name, n.chars) END AS surname, count(*) AS persons"
            " FROM core.person p CROSS JOIN unnest(CAST(:chars AS integer[])) AS n(chars)"
            " WHERE n.chars = 0 OR left(p.name, n.chars) = ANY(CAST(:surnames AS text[])) GROUP BY 1, 2"
        ),
        {"surnames": list(surnames), "chars": sorted({0, *map(len, surnames)})},
    ).all()
    living = {r.community: r.persons for r in rows if not r.surname}
    everybody = sum(living.values()) or 1
    bearing = Counter[str]()
    found: dict[tuple[str | None, str], float] = {(c, s): 0.0 for c in living if c is not None for s in surnames}
    for r in rows:
        bearing[r.surname] += r.persons
        if r.community is not None:
            found[r.community, r.surname] = r.persons / (living[r.community] if r.surname else everybody)
    return found | {(None, s): bearing[s] / everybody for s in surnames}
