"""Persons, households and golden values of a pool against the county's truth: pairwise precision, recall, F1; shares of values that are right.

Run after a night in the sandbox: ``python -m benchmarks.truth [POLICY ...]``. Golden values are scored by the policy in force, and by each
survivorship policy that is named, without adopting it. A value is right if it is the person's in that night, in whatever writing.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from hub.settings import Settings, get_settings
from identity import normalise
from sandbox import agency, clock
from sandbox.county import places
from schemas import survivorship as policies
from schemas.contract import load_contracts, stems
from schemas.survivorship import Survivorship
from warehouse import database, survivorship

_SAME: dict[str, Callable[[pl.Expr], pl.Expr]] = {"name": normalise.names, "phone": normalise.phones, "address": normalise.addresses}


def _as_it_is(value: pl.Expr) -> pl.Expr:
    return value


def pairs(frame: pl.DataFrame, *by: str) -> int:
    """Pairs of rows that agree in all of some columns."""
    return int(frame.drop_nulls(list(by)).group_by(*by).len().select((pl.col("len") * (pl.col("len") - 1) // 2).sum()).item() or 0)


def score(frame: pl.DataFrame, found: str, true: str) -> dict[str, float]:
    """Pairwise precision, recall and F1 of one grouping against another; a null is a group of its own."""
    both, of_found, of_true = pairs(frame, found, true), pairs(frame, found), pairs(frame, true)
    precision, recall = both / max(of_found, 1), both / max(of_true, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-12)}


def _records(settings: Settings, connection: sa.Connection) -> pl.DataFrame:
    """Records of the pool: whose each is there, and whose in truth."""
    night = clock.current_night(settings)
    truth = pl.concat([agency.truth(c, night, settings).with_columns(stem=pl.lit(stem)) for stem, c in load_contracts().items()])
    links = connection.execute(
        sa.text("SELECT r.stem, r.record_key, l.person_id::text FROM identity.link l JOIN identity.record r USING (record_id)")
    )
    found = pl.DataFrame(links.all(), schema=["stem", "record_key", "person_id"], orient="row")
    return found.join(truth, on=["stem", "record_key"])


def evaluate(settings: Settings) -> dict[str, dict[str, float]]:
    """Scores of persons (over records) and both kinds of households (over persons)."""
    with database.engine(settings).connect() as connection:
        records = _records(settings, connection)
        members = connection.execute(sa.text("SELECT person_id::text, kind, household_id::text FROM core.household_member"))
        homes = pl.DataFrame(members.all(), schema=["person_id", "kind", "household_id"], orient="row")
    scores = {"persons": score(records, "person_id", "true_person_id")}
    persons = records.unique("true_person_id", keep="first", maintain_order=True)
    for kind in ("registered", "living"):
        of_kind = homes.filter(pl.col("kind") == kind).drop("kind")
        scores[kind] = score(persons.join(of_kind, on="person_id", how="left"), "household_id", f"{kind}_household_id")
    return scores


def golden(settings: Settings, policy: Survivorship) -> dict[str, float]:
    """Share of the golden values there are that are right, by attribute, of persons that are one person in truth."""
    columns = list(survivorship.COLUMNS)
    people = agency.people(settings, clock.current_night(settings)).with_columns(
        address=places.addresses("place"), area_code=places.area_codes("place")
    )
    true = people.select("person", *(pl.col(c).cast(pl.String).alias(f"true_{c}") for c in columns))
    with database.engine(settings).connect() as connection:
        records = _records(settings, connection)
        text = ", ".join(f"g.{c}::text" for c in columns)
        rows = connection.execute(
            sa.text(
                f"SELECT g.person_id::text, {text} FROM (SELECT r.person_id, {survivorship.golden(policy)}"
                f" FROM {survivorship.placed(policy, survivorship.LINKED)} AS r GROUP BY r.person_id) AS g"
            )
        )
        told = pl.DataFrame(rows.all(), schema=dict.fromkeys(("person_id", *columns), pl.String), orient="row")
    whose = records.group_by("person_id").agg(pl.col("true_person_id").unique())
    whose = whose.filter(pl.col("true_person_id").list.len() == 1).select("person_id", person=pl.col("true_person_id").list.first())
    both = told.join(whose.with_columns(pl.col("person").cast(pl.Int64)), on="person_id").join(true, on="person")
    shares = {}
    for name in columns:
        as_one = _SAME.get(name, _as_it_is)
        there = both.filter(pl.col(name).is_not_null())
        shares[name] = float(there.select((as_one(pl.col(name)) == as_one(pl.col(f"true_{name}"))).mean()).item())
    return shares


def main() -> None:
    """Print the scores as tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("policy", nargs="*", type=Path, help="another survivorship policy, YAML")
    asked, settings = parser.parse_args(), get_settings()
    print(f"{'':<12}{'precision':>11}{'recall':>9}{'F1':>9}")
    for name, value in evaluate(settings).items():
        print(f"{name:<12}{value['precision']:>11.5f}{value['recall']:>9.4f}{value['f1']:>9.4f}")
    with database.engine(settings).connect() as connection:
        in_force = survivorship.in_force(connection)
    tried = {f"version {in_force.version}": in_force, **{file.name: policies.load(file, stems()) for file in asked.policy}}
    scores = {title: golden(settings, policy) for title, policy in tried.items()}
    print(f"\n{'golden':<12}" + "".join(f"{title:>16}" for title in scores))
    for name in survivorship.COLUMNS:
        print(f"{name:<12}" + "".join(f"{of[name]:>16.2%}" for of in scores.values()))


if __name__ == "__main__":
    main()
