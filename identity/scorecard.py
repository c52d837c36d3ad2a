"""How good a grouping is against the truth: pairwise, and by exactly right groups."""

from dataclasses import asdict, dataclass

import polars as pl


@dataclass(frozen=True)
class Scores:
    """Figures of one grouping.

    Attributes:
        precision: of all pairs put together, the share that belongs together.
        recall: of all pairs that belong together, the share put together.
        f1: their harmonic mean.
        exact: of all true groups, the share found with exactly their members.
    """

    precision: float
    recall: float
    f1: float
    exact: float

    def as_json(self) -> dict[str, float]:
        """For printing."""
        return {k: round(v, 6) for k, v in asdict(self).items()}


def _pairs(frame: pl.DataFrame, *by: str) -> int:
    return int(frame.group_by(*by).len().select((pl.col("len").cast(pl.Int64) * (pl.col("len").cast(pl.Int64) - 1) // 2).sum()).item() or 0)


def score(frame: pl.DataFrame, found: str, true: str) -> Scores:
    """Scores of one column of group ids against another.

    Args:
        frame: one row a member; a null in either column is a group of its own.
    """
    frame = frame.with_row_index("_n").with_columns(
        pl.coalesce(pl.col(c).cast(pl.String), pl.format("\x00{}", "_n")).alias(c) for c in (found, true)
    )
    both, of_found, of_true = _pairs(frame, found, true), _pairs(frame, found), _pairs(frame, true)
    precision = both / of_found if of_found else 1.0
    recall = both / of_true if of_true else 1.0
    sizes = frame.with_columns(s=pl.len().over(found), t=pl.len().over(true), st=pl.len().over(found, true))
    right = sizes.group_by(true).agg(ok=((pl.col("s") == pl.col("st")) & (pl.col("t") == pl.col("st"))).all())
    exact = float(right["ok"].mean() or 0.0)  # type: ignore[arg-type]
    return Scores(precision, recall, 2 * precision * recall / max(precision + recall, 1e-12), exact)
