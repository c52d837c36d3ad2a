"""Who is who among the records that are touched: sure links, then weights under one frozen model, then households."""

from dataclasses import dataclass

import polars as pl
import sqlalchemy as sa

from identity import bonds, context, following, frozen, households, persons
from identity.frozen import Frozen
from warehouse import identity_pool, weighing
from warehouse.homes import Rule


@dataclass(frozen=True)
class Counts:
    """What was looked at.

    Attributes:
        touched: records whose sure links were made anew.
        weighed: pairs of nodes that were weighed.
    """

    touched: int
    weighed: int


def homes_rule(pool: str) -> Rule:
    """How persons become households, by which those of another day are made.

    Args:
        pool: name of the pool.
    """
    return Rule(households.resolve, following.follow, following.STEPS, pool)


def adopted(connection: sa.Connection, number: int) -> Frozen:
    """A version of the model: the one that comes with the hub, or one that was fitted to this pool."""
    return frozen.load() if number == 1 else frozen.from_json(number, *weighing.model(connection, number))


def identify(connection: sa.Connection, by: Frozen, *, pool: str, everything: bool) -> Counts:
    """Find persons and households of all that the night's rows and judgements touch. Writes only working tables.

    Args:
        connection: the transaction that collected the rows and took up the judgements.
        by: the frozen model.
        pool: name of the pool.
        everything: whether the whole pool is judged anew, as under another model; an empty pool always is.
    """
    everything = everything or identity_pool.is_empty(connection)
    touched, pairs = compare(connection, everything=everything)
    settle(connection, by, pairs, pool=pool, everything=everything)
    return Counts(touched, pairs.height)


def compare(connection: sa.Connection, *, everything: bool) -> tuple[int, pl.DataFrame]:
    """Make sure links anew; how many records they were made for, and the pairs of nodes that are to be weighed."""
    touched = identity_pool.touch(connection, everything=everything)
    identity_pool.link(connection, persons.resolve)
    weighing.shake(connection, everything=everything, largest_home=context.LARGEST_HOME)
    return touched, weighing.pairs(connection, everything=everything)


def settle(connection: sa.Connection, by: Frozen, pairs: pl.DataFrame, *, pool: str, everything: bool) -> None:
    """Weigh pairs of nodes, unite nodes into persons, and persons into households."""
    kept = weighing.bonds(connection, everything=everything)
    former, stale = bonds.links(by, kept), kept.filter("is_stale")
    # Whatever a new bond may join, or a former one joined, under this model or another, is looked at as a whole.
    start = pl.concat([frame[end] for frame in (pairs, stale) for end in ("a", "b")])
    ids, records, listed = weighing.scene(connection, bonds.reached(start, former), largest_home=context.LARGEST_HOME)
    scene = bonds.prepare(by, ids, records, listed)
    found = bonds.close(scene, pairs)
    inside = former.filter(~pl.col("is_stale")).join(pl.DataFrame({"a": ids}), on="a", how="semi")
    united = bonds.unite(scene, pl.concat([inside.select(found.columns), bonds.links(by, found)]), weighing.judged_apart(connection))
    weighing.keep(connection, found, united, everything=everything)
    identity_pool.assign(connection)
    identity_pool.group(connection, households.resolve, following.follow, following.STEPS, pool, everything=everything)
