"""The pool's persons in figures: how many, how large, from which sources, and what was not compared. Counts and pointers only."""

from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True)
class Agency:
    """One source.

    Attributes:
        stem: its name.
        records: in the pool.
        linked: of them, those of a person with other records.
        alone: of them, those of a person with no other.
        unbelieved: of them, those of a group of records none of which has a number that may be believed.
    """

    stem: str
    records: int
    linked: int
    alone: int
    unbelieved: int


@dataclass(frozen=True)
class Crowd:
    """Blocks of a rule that were too large to be compared.

    Attributes:
        rule_id: the rule.
        blocks: how many.
        records: in them.
        lost: pairs that were not compared for it: each open record with each other one.
    """

    rule_id: str
    blocks: int
    records: int
    lost: int


@dataclass(frozen=True)
class Counts:
    """The pool as a whole.

    Attributes:
        records, persons: how many.
        pairs: pairs of records of one person.
        groups: groups of records that sure links tie (nodes).
        weighed: pairs of groups whose weight is kept; of them, `links` are one person by weight alone.
    """

    records: int
    persons: int
    pairs: int
    groups: int
    weighed: int
    links: int


def counts(connection: sa.Connection, threshold: float) -> Counts:
    """The pool as a whole."""
    row = connection.execute(
        sa.text(
            "SELECT coalesce(sum(records), 0)::bigint, count(*), coalesce(sum(records::bigint * (records - 1) / 2), 0)::bigint,"
            " (SELECT count(*) FROM identity.link WHERE record_id = node_id), (SELECT count(*) FROM identity.bond),"
            " (SELECT count(*) FROM identity.bond WHERE bits >= :threshold) FROM core.person"
        ),
        {"threshold": threshold},
    ).one()
    return Counts(*(int(v) for v in row))


def sizes(connection: sa.Connection) -> dict[int, int]:
    """Persons by how many records they have."""
    rows = connection.execute(sa.text("SELECT records, count(*) AS persons FROM core.person GROUP BY records ORDER BY records"))
    return {int(r.records): int(r.persons) for r in rows}


def agencies(connection: sa.Connection) -> list[Agency]:
    """Every source, by name."""
    rows = connection.execute(
        sa.text(
            "SELECT r.stem, count(*), count(*) FILTER (WHERE p.records > 1), count(*) FILTER (WHERE p.records = 1), count(*) FILTER (WHERE l.is_open)"
            " FROM identity.record r JOIN identity.link l USING (record_id) JOIN core.person p USING (person_id) GROUP BY r.stem ORDER BY r.stem"
        )
    )
    return [Agency(*r) for r in rows]


def crowds(connection: sa.Connection) -> list[Crowd]:
    """Blocks that were not compared, by rule, the costliest first."""
    rows = connection.execute(
        sa.text(
            "SELECT rule_id, count(*), sum(records)::bigint, sum(open_records::bigint * (records - 1))::bigint FROM identity.crowd"
            " GROUP BY rule_id ORDER BY 4 DESC, 1"
        )
    )
    return [Crowd(*r) for r in rows]
