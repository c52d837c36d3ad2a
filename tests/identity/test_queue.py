"""The queue: the pair whose answer mends the most comes first, for everybody alike."""

import uuid

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from identity import queue
from tests.examples import examples


def rid(n):
    return str(uuid.UUID(int=n + 1))


NONE_IN_FORCE = pl.DataFrame(schema={"record_a": pl.String, "record_b": pl.String, "judgement": pl.String})
NONE_STANDING = pl.DataFrame(schema={"record_a": pl.String, "record_b": pl.String, "reviewer": pl.String, "needs_second": pl.Boolean})
PAIRS = {"record_a": pl.String, "record_b": pl.String, "person_a": pl.String, "person_b": pl.String, "bits": pl.Float64, "why": pl.String}


def pairs(*rows):
    """Pairs (record, record, bits): every record is a person of its own unless `one` is said."""
    made = [(rid(a), rid(b), rid(a), rid(a) if "one" in more else rid(b), bits, "weight") for a, b, bits, *more in rows]
    return pl.DataFrame(made, schema=PAIRS, orient="row")


def persons(records=None):
    return pl.DataFrame({"person_id": [rid(n) for n in range(40)], "records": [(records or {}).get(n, 1) for n in range(40)]})


def homes(**of):
    rows = [(rid(int(p[1:])), h) for p, listed in of.items() for h in listed]
    return pl.DataFrame(rows, schema={"person_id": pl.String, "household_id": pl.String}, orient="row")


def judged(*rows, **more):
    made = [(rid(a), rid(b), *rest) for a, b, *rest in rows]
    schema = NONE_STANDING.schema if len(made[0]) == 4 else NONE_IN_FORCE.schema
    return pl.DataFrame(made, schema=schema, orient="row")


def queued(found, by=None, in_force=NONE_IN_FORCE, standing=NONE_STANDING, members=None, of=None):
    members = homes() if members is None else members
    return queue.order(found, of if of is not None else persons(), members, in_force, standing, reviewer=by)


def ends(found):
    return [(r.index(a), r.index(b)) for a, b in found.select("record_a", "record_b").rows() for r in [[rid(n) for n in range(40)]]]


def test_the_pair_nearest_to_even_odds_comes_before_clear_ones():
    assert ends(queued(pairs((0, 1, -9.0), (2, 3, 1.0), (4, 5, -1.0)))) == [(2, 3), (4, 5), (0, 1)]


def test_a_decision_against_its_own_weight_comes_first():
    """Kept apart at +6, or together at -6: somebody should look."""
    found = queued(pairs((0, 1, 6.0), (2, 3, -6.0, "one"), (4, 5, 6.0, "one")))
    assert ends(found) == [(0, 1), (2, 3), (4, 5)]
    assert found["chance"].to_list()[0] > 0.98 > 0.02 > found["chance"].to_list()[2]


def test_effect_is_chance_times_records_times_households():
    found = queued(pairs((0, 1, 0.0)), of=persons({0: 4, 1: 3}), members=homes(p0=["x", "y"], p1=["y", "z"]))
    assert found.select("chance", "records", "households", "effect").row(0) == (0.5, 7, 3, 10.5)


def test_a_person_whose_records_contradict_each_other_is_looked_at_whatever_its_weight():
    strange = pairs((0, 1, 20.0, "one")).with_columns(why=pl.lit("numbers"))
    assert queued(strange)["chance"].to_list() == [0.5]
    unweighed = strange.with_columns(bits=pl.lit(None, dtype=pl.Float64))
    assert queued(unweighed)["chance"].to_list() == [0.5]


def test_two_persons_come_once_with_their_most_useful_pair():
    same_persons = pairs((0, 1, -4.0), (2, 3, -1.0)).with_columns(person_a=pl.lit(rid(0)), person_b=pl.lit(rid(1)))
    assert ends(queued(same_persons)) == [(2, 3)]


def test_what_is_judged_or_follows_from_judgements_is_not_asked_again():
    in_force = judged((0, 1, "must"), (1, 2, "must"), (2, 3, "cannot"))
    found = queued(pairs((0, 1, 0.0), (0, 2, 0.0), (0, 3, 0.0), (0, 4, 0.0)), in_force=in_force)
    assert ends(found) == [(0, 4)]


def test_a_pair_of_the_sample_waits_for_another_reviewer_and_is_not_shown_to_the_first_again():
    standing = judged((0, 1, "Li", True))
    found = pairs((0, 1, 0.0), (2, 3, 0.0))
    assert set(ends(queued(found, standing=standing, by="Wang"))) == {(0, 1), (2, 3)}
    assert ends(queued(found, standing=standing, by="Li")) == [(2, 3)]
    assert queued(found, standing=standing).filter(pl.col("record_a") == rid(0))["waits"].to_list() == [1]


def test_a_pair_nobody_could_tell_does_not_come_back():
    assert ends(queued(pairs((0, 1, 0.0)), standing=judged((0, 1, "Li", False)))) == []


_ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(10, 19), st.integers(-12, 12).map(float)), min_size=1, max_size=20, unique_by=lambda r: r[:2]
)


@examples(60)
@given(_ROWS, st.randoms(use_true_random=False), st.lists(st.tuples(st.integers(0, 9), st.integers(10, 19)), max_size=3))
def test_neither_the_order_of_rows_nor_of_a_pairs_ends_changes_the_queue(rows, chance, said):
    in_force = judged(*((a, b, "must") for a, b in said)) if said else NONE_IN_FORCE
    members = homes(**{f"p{n}": [f"h{n % 4}"] for n in range(20)})
    of = persons({n: 1 + n % 3 for n in range(20)})
    usual = queued(pairs(*rows), in_force=in_force, members=members, of=of)
    shuffled = [(b, a, bits) if chance.random() < 0.5 else (a, b, bits) for a, b, bits in chance.sample(rows, len(rows))]
    mixed = queued(
        pairs(*shuffled), in_force=in_force.sample(fraction=1.0, shuffle=True, seed=1), members=members.sample(fraction=1.0, shuffle=True, seed=1),
        of=of.sample(fraction=1.0, shuffle=True, seed=1),
    )  # fmt: skip
    assert mixed.rows() == usual.rows()
