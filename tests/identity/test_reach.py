"""A person's household of a night hangs on persons at most so many lists away, whatever the world beyond is like."""

import random
from datetime import date, timedelta
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import following, households
from tests.examples import examples

DAY = date(2026, 3, 1)
_BORN = (date(1955, 5, 5), date(1981, 5, 5), date(2011, 5, 5))  # by generation
# What a person is to a head who is so many generations younger.
_RELATIONS = {-2: (41, 42, 43), -1: (20, 30, 28, 38), 0: (11, 12), 1: (51, 52), 2: (61, 62)}
_PERSONS, _LISTS = 120, 70
_SCHEMA = {
    "person_id": pl.Int128, "record_id": pl.Int128, "authority": pl.Int16, "as_of_date": pl.Date, "living": pl.Int64, "register": pl.Int64,
    "relation": pl.Int16, "birth_date": pl.Date, "sex": pl.Int16,
}  # fmt: skip


def world(chance):
    """Records and traces of persons in a row, on lists of some who are near each other: families of a kind, and ways from list to list are long."""
    generation = [chance.randrange(3) for _ in range(_PERSONS)]
    sex = [chance.choice((1, 2)) for _ in range(_PERSONS)]
    rows = []
    for number in range(_LISTS):
        first = number * (_PERSONS - 5) // (_LISTS - 1)
        members = chance.sample(range(first, first + 5), chance.choice((1, 2, 2, 3, 3, 4, 5)))
        is_register, rank = chance.random() < 0.3, chance.choice((1, 5, 5, 6))
        for person in members:
            above = generation[members[0]] - generation[person]
            relation = 2 if person == members[0] else chance.choice(_RELATIONS[above])
            relation = chance.choice((relation, relation, relation, relation, 73, None))
            other = chance.choice((None, None, None, number, number + 1))
            living, register = (other, number) if is_register else (number, other)
            rank = chance.choice((rank, rank, rank, rank, 3))  # an agency's rank may have changed
            day = DAY + timedelta(days=chance.randrange(2))
            rows.append((person, rank, day, living, register, relation, _BORN[generation[person]], sex[person]))
    chance.shuffle(rows)
    traces = [(person, (person + chance.randrange(6)) // 3) for person in range(_PERSONS) if chance.random() < 0.8]
    return (
        pl.DataFrame([(person, n, *rest) for n, (person, *rest) in enumerate(rows)], schema=_SCHEMA, orient="row"),
        pl.DataFrame(traces, schema={"person_id": pl.Int128, "trace": pl.Int64}, orient="row"),
    )


def judged(records, traces):
    """Household of each person (by register or not, number), and what decides it, as a night judges some records."""
    kinds = ((0, "living"), (1, "register"))
    told = pl.concat([records.drop_nulls(k).with_columns(group=2 * pl.col(k) + n) for n, k in kinds])
    stands_in = pl.when(pl.col("group") % 2 == 1).then(0).otherwise(pl.col("authority")).cast(pl.Int16)
    placed = households.resolve(told.with_columns(authority=stands_in), traces)
    found = following.follow(placed, told)
    named = found.join(records.select("living", "register", anchor_record_id="record_id"), on="anchor_record_id")
    by_register = pl.col("anchor_authority") == 0
    number = pl.when(by_register).then("register").otherwise("living")
    return named.select("person_id", "record_id", "evidence", "anchor_authority", number=number).sort("person_id")


def around(records, traces, steps):
    """For each person, a world of its own: copies of the records and traces of all who are within some steps from list to list."""
    links = pl.concat([records.select("person_id", k=pl.lit(k) + pl.col(k).cast(pl.String)) for k in ("living", "register")]).drop_nulls()
    next_to = links.join(links, on="k", suffix="_q").select("person_id", "person_id_q").unique()
    reached = links.select("person_id", world="person_id").unique()
    for _ in range(steps):
        reached = reached.join(next_to, on="person_id").select("world", person_id="person_id_q").unique()
    numbered = ("person_id", "record_id", "living", "register", "trace")
    near = (frame.join(reached, on="person_id") for frame in (records, traces))
    return tuple(f.with_columns(pl.col(c) + 1000 * pl.col("world").cast(pl.Int64) for c in numbered if c in f.columns) for f in near)


@pytest.mark.slow
@examples(100)
@given(st.integers(0, 2**32))
def test_who_is_further_than_the_steps_a_night_looks_decides_nothing(seed):
    known = world(random.Random(seed))
    with patch.object(following, "LARGEST_HOME", 4):
        whole, nearby = judged(*known), judged(*around(*known, following.STEPS))
    own = nearby.filter(pl.col("person_id") % 1000 == pl.col("person_id") // 1000)
    assert own.with_columns(pl.col("person_id", "record_id", "number") % 1000).equals(whole)
