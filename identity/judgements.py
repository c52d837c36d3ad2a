"""What people decided about pairs of records. Judgements always win; a retracted one leaves no trace in what is decided."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from hub.errors import IdentityConflict
from identity.distinct import Rows
from identity.sure import Edges, Labels, components


class Judgement(StrEnum):
    """What a reviewer said of two records."""

    MUST = "must"
    """They are one person."""
    CANNOT = "cannot"
    """They are two persons."""
    UNSURE = "unsure"
    """The reviewer could not tell; nothing follows."""


SCHEMA = {"source_a": pl.String, "record_id_a": pl.String, "source_b": pl.String, "record_id_b": pl.String, "judgement": pl.String}


@dataclass(frozen=True)
class Decided:
    """Judgements as row numbers of a table of records.

    Attributes:
        must: rows that are one person, pair by pair.
        cannot: rows that are two persons, pair by pair.
    """

    must: Edges
    cannot: Edges


def _none() -> Edges:
    return np.zeros(0, np.int64), np.zeros(0, np.int64)


NONE = Decided(_none(), _none())


def locate(records: pl.DataFrame, judgements: pl.DataFrame | None) -> Decided:
    """Find the records that judgements speak of; those on records that are not there wait.

    Args:
        records: columns ``source`` and ``record_id``.
        judgements: columns of :data:`SCHEMA`, one row a judgement in force, order without meaning; a column ``retracted`` (true = no
            longer in force) may be there.

    Raises:
        IdentityConflict: records must be one person by some judgements and cannot by another.
    """
    if judgements is None or judgements.is_empty():
        return NONE
    if "retracted" in judgements.columns:
        judgements = judgements.filter(~pl.col("retracted").fill_null(False))
    rows = records.select(pl.col("source", "record_id").cast(pl.String)).with_row_index("n")
    found = judgements.select(pl.col(*SCHEMA).cast(pl.String))
    for side in ("a", "b"):
        found = found.join(
            rows.rename({"source": f"source_{side}", "record_id": f"record_id_{side}", "n": f"n_{side}"}),
            on=[f"source_{side}", f"record_id_{side}"],
        )
    found = found.filter(pl.col("n_a") != pl.col("n_b"))
    sides = {}
    for kind in (Judgement.MUST, Judgement.CANNOT):
        of_kind = found.filter(pl.col("judgement") == kind.value)
        sides[kind] = (of_kind["n_a"].to_numpy().astype(np.int64), of_kind["n_b"].to_numpy().astype(np.int64))
    group = components(records.height, sides[Judgement.MUST])
    a, b = sides[Judgement.CANNOT]
    torn = int((group[a] == group[b]).sum())
    if torn:
        raise IdentityConflict(
            f"{torn} judgement(s) say two persons where others say one",
            where="judgements",
            next_step="retract one of those that contradict",
        )
    return Decided(sides[Judgement.MUST], (a, b))


def consistent(n: int, must: npt.NDArray[np.int64], cannot: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of the musts tie nothing that cannot be one: where judgements contradict each other, two persons are the lesser harm.

    Args:
        n: how many rows.
        must, cannot: pairs of rows, as two rows of an array.
    """
    group = components(n, (must[0], must[1]))
    torn = group[cannot[0]][group[cannot[0]] == group[cannot[1]]]
    return np.asarray(~np.isin(group[must[0]], torn))


def barred(nodes: Labels, cannot: Edges) -> npt.NDArray[np.int64]:
    """Pairs of nodes that must stay apart, as sorted numbers (see :func:`pair_key`)."""
    a, b = nodes[cannot[0]], nodes[cannot[1]]
    return np.unique(pair_key(a, b))


def pair_key(a: Rows, b: Rows) -> npt.NDArray[np.int64]:
    """One number per unordered pair of nodes."""
    low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64)
    return np.asarray((low << 32) | high)
