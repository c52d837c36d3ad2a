"""Why records of the pool are one person: pointers, reasons, weights and judgements, never a value."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from hub.settings import Settings
from identity import bonds
from identity.explain import Explanation
from pipeline import weights
from warehouse import database, review, scenes

# Persons of more groups than this are told by their first ones: the number of pairs grows with the square.
_MOST_NODES = 60


@dataclass(frozen=True)
class Pointer:
    """Where a record is.

    Attributes:
        record_id: its id.
        source: stem of its agency.
        record_key: the agency's own key.
        as_of_date: the day it shows.
        node_id: oldest record of the group of sure links it is in.
        rule_id: the rule that put it there.
    """

    record_id: str
    source: str
    record_key: str
    as_of_date: str
    node_id: str
    rule_id: str


@dataclass(frozen=True)
class Link:
    """Two records, or the groups they are in, and why they are one person or not."""

    one: Pointer
    other: Pointer
    why: Explanation


@dataclass(frozen=True)
class Told:
    """An explanation of a person, or of two records.

    Attributes:
        person_id: the person; None where two records are explained.
        records: every record spoken of.
        links: for a person, as many as join its records; for two records, one.
        judgements: on these records, not retracted, with what became of each (:func:`warehouse.review.listed`).
    """

    person_id: str | None
    records: tuple[Pointer, ...]
    links: tuple[Link, ...]
    judgements: tuple[dict[str, Any], ...]


def _pointers(records: pl.DataFrame) -> dict[str, Pointer]:
    columns = ("record_id", "source", "record_key", "as_of_date", "node_id", "node_rule_id")
    return {row[0]: Pointer(*row) for row in records.select(columns).iter_rows()}


def _judged(connection: sa.Connection, records: list[str]) -> tuple[tuple[dict[str, Any], ...], frozenset[tuple[str, str]]]:
    found = review.listed(connection, records=records, reviewer=None, retracted=False, limit=1000)
    return tuple(found), frozenset((j["record_a"], j["record_b"]) for j in found if j["state"] == "in force")


def pair(settings: Settings, one: str, other: str) -> Told:
    """Explain two records of the pool.

    Args:
        settings: whose pool.
        one, other: record ids, or ``stem:key``.

    Raises:
        ConfigError: one of them is not there.
    """
    with database.engine(settings).connect() as connection:
        a, b = (review.record_id(connection, r) for r in (one, other))
        records = scenes.around(connection, [a, b])
        judgements, decided = _judged(connection, [a, b])
        why = weights.explained(weights.set_up(connection, records), a, b, decided)
    pointers = _pointers(records)
    return Told(None, (pointers[a], pointers[b]), (Link(pointers[a], pointers[b], why),), judgements)


def person(settings: Settings, person_id: str) -> Told:
    """Explain a person: every record, and for each what joins it to the others.

    Records of one group of sure links are explained beside its oldest; groups, by their strongest pairs.

    Raises:
        ConfigError: there is no such person.
    """
    key = review.as_uuid(person_id, "PERSON")
    with database.engine(settings).connect() as connection:
        records = scenes.of_person(connection, key)
        judgements, decided = _judged(connection, records["record_id"].to_list())
        setting = weights.set_up(connection, records)
    pointers = _pointers(records)
    pairs = [(p.node_id, p.record_id) for p in pointers.values() if p.record_id != p.node_id]
    pairs += [(str(setting.scene.node_ids[a]), str(setting.scene.node_ids[b])) for a, b in _tree(setting.scene)]
    links = tuple(Link(pointers[a], pointers[b], weights.explained(setting, a, b, decided)) for a, b in pairs)
    return Told(str(records["person_id"][0]), tuple(pointers.values()), links, judgements)


def _tree(scene: bonds.Scene) -> list[tuple[int, int]]:
    """The strongest pairs of nodes that join all of them."""
    every = list(combinations(range(min(scene.node_ids.len(), _MOST_NODES)), 2))
    if not every:
        return []
    a, b = (np.array(side, np.int64) for side in zip(*every, strict=True))
    order = np.lexsort((b, a, -bonds.weigh(scene, a, b)))
    group = list(range(scene.node_ids.len()))
    chosen = []
    for p, q in ((int(a[n]), int(b[n])) for n in order):
        if group[p] != group[q]:
            chosen.append((p, q))
            group = [group[p] if g == group[q] else g for g in group]
    return chosen
