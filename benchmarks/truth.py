"""Persons and households of a pool against the county's truth: pairwise precision, recall, F1.

Run after a night in the sandbox: ``python -m benchmarks.truth``.
"""

import sys

import polars as pl
import sqlalchemy as sa

from hub.settings import Settings, get_settings
from sandbox import agency, clock
from schemas.contract import load_contracts
from warehouse import database


def pairs(frame: pl.DataFrame, *by: str) -> int:
    """Pairs of rows that agree in all of some columns."""
    return int(frame.drop_nulls(list(by)).group_by(*by).len().select((pl.col("len") * (pl.col("len") - 1) // 2).sum()).item() or 0)


def score(frame: pl.DataFrame, found: str, true: str) -> dict[str, float]:
    """Pairwise precision, recall and F1 of one grouping against another; a null is a group of its own."""
    both, of_found, of_true = pairs(frame, found, true), pairs(frame, found), pairs(frame, true)
    precision, recall = both / max(of_found, 1), both / max(of_true, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-12)}


def evaluate(settings: Settings) -> dict[str, dict[str, float]]:
    """Scores of persons (over records) and both kinds of households (over persons)."""
    night = clock.current_night(settings)
    truth = pl.concat([agency.truth(c, night, settings).with_columns(stem=pl.lit(stem)) for stem, c in load_contracts().items()])
    with database.engine(settings).connect() as connection:
        links = connection.execute(
            sa.text("SELECT r.stem, r.record_key, l.person_id::text FROM identity.link l JOIN identity.record r USING (record_id)")
        )
        found = pl.DataFrame(links.all(), schema=["stem", "record_key", "person_id"], orient="row")
        members = connection.execute(sa.text("SELECT person_id::text, kind, household_id::text FROM core.household_member"))
        homes = pl.DataFrame(members.all(), schema=["person_id", "kind", "household_id"], orient="row")
    records = found.join(truth, on=["stem", "record_key"])
    scores = {"persons": score(records, "person_id", "true_person_id")}
    persons = records.unique("true_person_id", keep="first", maintain_order=True)
    for kind in ("registered", "living"):
        of_kind = homes.filter(pl.col("kind") == kind).drop("kind")
        scores[kind] = score(persons.join(of_kind, on="person_id", how="left"), "household_id", f"{kind}_household_id")
    return scores


def main() -> int:
    """Print the scores as a table."""
    print(f"{'':<12}{'precision':>11}{'recall':>9}{'F1':>9}")
    for name, value in evaluate(get_settings()).items():
        print(f"{name:<12}{value['precision']:>11.5f}{value['recall']:>9.4f}{value['f1']:>9.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
