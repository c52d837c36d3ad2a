"""The county lives: about one person in a hundred changes each night."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from sandbox.county import names, population

_CHANGED_SHARE = 0.01
_KINDS = ("phone", "move", "visit", "death", "name", "id", "birth")
_KIND_SHARES = (0.22, 0.12, 0.58, 0.02, 0.01, 0.01, 0.04)


def advance(people: pl.DataFrame, seed: int, night: int, day: date) -> pl.DataFrame:
    """The people one night later.

    Changes: a new telephone, a move of a whole living household, an agency's own event (``visit``), a death, a corrected name or
    number, a birth.
    """
    rng = np.random.default_rng([seed, 2, night])
    alive = people.filter(pl.col("death_date").is_null())["person"].to_numpy()
    chosen = rng.choice(alive, max(1, int(alive.size * _CHANGED_SHARE)), replace=False)
    kind = rng.choice(_KINDS, chosen.size, p=_KIND_SHARES)
    chosen_of = {k: chosen[kind == k] for k in _KINDS}
    columns = {c: people[c].to_numpy().copy() for c in ("phone", "death_date", "name", "resident_id", "changed_night")}
    columns["changed_night"][np.concatenate([chosen_of[k] for k in _KINDS if k not in ("move", "birth")])] = night
    who = chosen_of["phone"]
    columns["phone"][who] = np.char.add("1", rng.integers(3 * 10**9, 10**10 - 1, who.size).astype("U10"))
    columns["death_date"][chosen_of["death"]] = np.datetime64(day - timedelta(days=1))
    who = chosen_of["name"]
    columns["name"][who] = np.char.add(np.array([n[0] for n in columns["name"][who]], dtype=str), names.given(rng, np.ones(who.size, bool)))
    who = chosen_of["id"]
    if who.size:  # a number corrected: another sequence, same person
        columns["resident_id"][who] = [
            population.resident_ids(np.array([r[:6]]), np.array([r[6:14]]), np.array([(int(r[14:17]) + 500) % 1000]))[0]
            for r in columns["resident_id"][who]
        ]
    people = people.with_columns(**{c: pl.Series(v) for c, v in columns.items()})
    return _born(_moved(people, rng, chosen_of["move"], night), rng, chosen_of["birth"], night, day)


def _moved(people: pl.DataFrame, rng: np.random.Generator, who: np.ndarray, night: int) -> pl.DataFrame:
    homes = people.filter(pl.col("person").is_in(who.tolist()))["living_home"].unique().sort()
    n = homes.len()
    town, village = rng.integers(1, 17, n), rng.integers(1, 21, n)
    moves = pl.DataFrame(
        {
            "living_home": homes,
            "new_address": population.addresses(town, village, rng.integers(1, 13, n), rng.integers(1, 120, n), rng.random(n) < 0.5),
            "new_area": [f"421022{99 + t}{199 + v}" for t, v in zip(town, village, strict=True)],
        },
        schema_overrides={"new_area": pl.String, "new_address": pl.String},
    )
    return (
        people.join(moves, on="living_home", how="left", maintain_order="left")
        .with_columns(
            address=pl.coalesce("new_address", "address"),
            area_code=pl.coalesce("new_area", "area_code"),
            changed_night=pl.when(pl.col("new_area").is_not_null()).then(pl.lit(night, pl.Int32)).otherwise("changed_night"),
        )
        .drop("new_address", "new_area")
    )


def _born(people: pl.DataFrame, rng: np.random.Generator, parents: np.ndarray, night: int, day: date) -> pl.DataFrame:
    parent = people.filter(pl.col("person").is_in(parents.tolist()))
    n = parent.height
    if not n:
        return people
    is_male = rng.random(n) < 0.52
    birth_day = np.datetime64(day) - rng.integers(20, 60, n).astype("timedelta64[D]")  # births are registered late
    birth = np.char.replace(np.datetime_as_string(birth_day, unit="D"), "-", "")
    area = np.full(n, "421022")
    sequence = (rng.integers(0, 249, n) * 2 + 500 + is_male) % 1000
    children = parent.with_columns(
        person=pl.Series(np.arange(people.height, people.height + n)),
        resident_id=pl.Series(population.resident_ids(area, birth, sequence), dtype=pl.String),
        name=pl.Series([p[0] + g for p, g in zip(parent["name"], names.given(rng, is_male), strict=True)], dtype=pl.String),
        sex=pl.Series(np.where(is_male, "1", "2"), dtype=pl.String),
        birth_date=pl.Series(birth_day).cast(people.schema["birth_date"]),
        marital_status=pl.lit("10"),
        living_relation=pl.lit("20"),
        registered_relation=pl.lit("20"),
        changed_night=pl.lit(night, pl.Int32),
    )
    return pl.concat([people, children.select(people.columns)])
