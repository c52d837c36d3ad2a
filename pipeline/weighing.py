"""The night's second pass: nodes that sure links left open are weighed and united into persons, under one frozen model."""

import polars as pl
import sqlalchemy as sa

from identity import bonds, context, frozen
from identity.frozen import Frozen
from warehouse import weighing


def adopted(connection: sa.Connection, number: int) -> Frozen:
    """A version of the model: the one that comes with the hub, or one that was fitted to this pool."""
    return frozen.load() if number == 1 else frozen.from_json(number, *weighing.model(connection, number))


def weigh(connection: sa.Connection, by: Frozen, *, everything: bool) -> int:
    """Weigh the nodes that a night shakes, and unite them; how many pairs were weighed.

    Args:
        connection: the transaction of resolve, after sure links were made.
        by: the frozen model.
        everything: whether all nodes are weighed anew, as in an empty pool or under another model.
    """
    weighing.shake(connection, everything=everything, largest_home=context.LARGEST_HOME)
    pairs = weighing.pairs(connection, everything=everything)
    former = weighing.bonds(connection, everything=everything)
    stale = former.filter("is_stale")
    # Whatever a new bond may join, or a former one joined, is looked at as a whole.
    start = pl.concat([frame[end] for frame in (pairs, stale) for end in ("a", "b")])
    ids, records, listed = weighing.scene(connection, bonds.reached(start, former), largest_home=context.LARGEST_HOME)
    scene = bonds.prepare(by, ids, records, listed)
    found = bonds.links(scene, pairs)
    inside = former.filter(~pl.col("is_stale")).join(pl.DataFrame({"a": ids}), on="a", how="semi")
    united = bonds.unite(scene, pl.concat([inside.select(found.columns), found]), weighing.judged_apart(connection))
    weighing.keep(connection, found, united, everything=everything)
    return pairs.height
