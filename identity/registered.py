"""Which persons of a match file are on one household register (户籍), where the input says which numbers are register numbers."""

import numpy as np
import polars as pl

from identity import households
from identity.features import MISSING, Features
from identity.sure import Labels

_NOBODY = -1


def resolve(features: Features, person: Labels, sources: frozenset[str] = frozenset()) -> Labels:
    """Registered households, by the rule of the night (:mod:`identity.households`).

    A register number is told in a column of its own, or by a source whose household numbers all are. Which of several sources speaks for a
    person is decided by how many persons it holds, then by the newest word.

    Args:
        features: all records.
        person: the person of each record.
        sources: whose ``household_id_local`` are register numbers.

    Returns:
        The household of each person, numbered from 0; -1 = on no register that is told.
    """
    source = features.code("source")
    is_register = np.array([v in sources for v in features.coded["source"].values] + [False])[source]
    by_source = np.where(is_register, features.code("home"), MISSING)
    told: list[pl.DataFrame] = []
    for column, codes in (("register", features.code("register")), ("home", by_source)):
        rows = np.flatnonzero(codes != MISSING)
        numbers = pl.Series(features.coded[column].values, dtype=pl.String).hash(
            seed=len(told)
        )  # a number's code follows the order of records
        told.append(pl.DataFrame({"record_id": rows * 2 + len(told), "row": rows, "group": numbers.gather(codes[rows])}))
    listed = pl.concat(told)
    rows = listed["row"].to_numpy()
    listed = listed.with_columns(
        person_id=pl.Series(person[rows]), source=pl.Series(source[rows]), as_of_date=pl.Series(features.updated[rows])
    )
    listed = listed.with_columns(authority=pl.col("person_id").n_unique().over("source").cast(pl.Int64))
    found = np.full(int(person.max(initial=-1)) + 1, _NOBODY, np.int64)
    if listed.height:
        placed = households.resolve(listed.select("person_id", "record_id", "authority", "as_of_date", "group"))
        found[placed["person_id"].to_numpy()] = np.unique(placed["anchor_record_id"].to_numpy(), return_inverse=True)[1]
    return found
