"""Small tables of records, and what the engine makes of them."""

from collections.abc import Callable

import polars as pl
import pytest

from identity import engine
from identity.columns import COLUMNS


def as_records(*rows: dict[str, str]) -> pl.DataFrame:
    """Records from dictionaries; source and record id are given if a row does not tell them."""
    told = [{"source": f"s{i}", "record_id": f"r{i}"} | row for i, row in enumerate(rows)]
    return pl.DataFrame(told, schema=dict.fromkeys(COLUMNS, pl.String))


@pytest.fixture
def persons() -> Callable[..., set[frozenset[str]]]:
    """Which records the engine takes for one person, as sets of record ids."""

    def found(*rows: dict[str, str], judged: pl.DataFrame | None = None) -> set[frozenset[str]]:
        records = as_records(*rows)
        labels = engine.resolve(records, judged=judged, is_fitted=False).person
        groups = pl.DataFrame({"r": records["record_id"], "p": labels}).group_by("p").agg("r")
        return {frozenset(g) for g in groups["r"]}

    return found
