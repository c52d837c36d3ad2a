"""The second pass of the night: what a pair weighs, and what becomes of it, hangs on nothing but the two and a frozen version."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import bonds, frozen, refit
from tests.examples import examples

BY = frozen.load()
NUMBER, TWIN, OTHER = "421022198004051010", "421022198004051037", "42102219490312001X"
_row = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["a", "b", "c"]),
        "resident_id": st.sampled_from([None, NUMBER, TWIN, OTHER, "421022198004051011"]),
        "name": st.sampled_from([None, "王建军", "王健君", "王?军", "李秀英"]),
        "birth_date": st.sampled_from([None, "1980-04-05", "1980-01-01", "1949-03-12"]),
        "phone": st.sampled_from([None, "13971234567", "13807165432"]),
        "address": st.sampled_from([None, "斗湖堤镇长江村3组5号", "章庄铺镇枫林村2组11号"]),
        "household_id_local": st.sampled_from([None, "h1", "h2"]),
    }
)
_rows = st.lists(_row, min_size=2, max_size=8)
NOBODY = pl.DataFrame(schema={"node": pl.Int64, "other_id": pl.Int128})
APART = pl.DataFrame(schema={"a": pl.Int128, "b": pl.Int128})


def scene(rows, ids=None, listed=NOBODY, by=BY):
    """A scene where every record is a node of its own."""
    ids = pl.Series("node_id", ids or [10 * (n + 1) for n in range(len(rows))], dtype=pl.Int128)
    records = pl.DataFrame(
        [{"node": n, **row} for n, row in enumerate(rows)], schema={c: pl.Int64 if c == "node" else pl.String for c in bonds.RECORD}
    )
    return bonds.prepare(by, ids, records, listed)


def every_pair(made):
    ids = pl.DataFrame({"a": made.node_ids})
    return ids.join(ids.rename({"a": "b"}), how="cross").filter(pl.col("a") < pl.col("b"))


def persons(made, apart=APART):
    """Groups of node ids."""
    united = bonds.unite(made, bonds.links(made.by, bonds.close(made, every_pair(made))), apart)
    return {frozenset(g) for g in united.group_by("person_id").agg("node_id")["node_id"]}


def one(**told):
    return {"source": "a", **told}


def test_a_record_without_number_is_found_by_its_name_and_telephone():
    rows = [
        one(resident_id=NUMBER, name="王建军", birth_date="1980-04-05", phone="13971234567"),
        one(source="b", name="王建军", phone="13971234567"),
    ]
    assert persons(scene(rows)) == {frozenset({10, 20})}


def test_twins_at_one_door_with_two_numbers_are_two_persons():
    told = {"birth_date": "1980-04-05", "phone": "13971234567", "address": "斗湖堤镇长江村3组5号"}
    assert (
        len(persons(scene([one(resident_id=NUMBER, name="王建军", **told), one(source="b", resident_id=TWIN, name="王健君", **told)]))) == 2
    )


def test_who_is_listed_with_the_same_third_lives_in_one_home():
    rows = [one(resident_id=NUMBER, name="王建军", birth_date="1980-04-05"), one(source="b", name="王建军", birth_date="1980-01-01")]
    listed = pl.DataFrame({"node": [0, 1], "other_id": [70, 70]}, schema=NOBODY.schema)
    alone, together = scene(rows), scene(rows, listed=listed)
    at = alone.at(pl.Series([10, 20], dtype=pl.Int128))
    assert bonds.weigh(together, at[:1], at[1:])[0] > bonds.weigh(alone, at[:1], at[1:])[0]


def test_a_birth_date_that_is_the_first_of_january_is_a_year_alone_whichever_record_has_it():
    rows = [one(resident_id=TWIN, name="王建军", birth_date="1980-04-05"), one(name="王建军", birth_date="1980-01-01")]
    weights = []
    for turned in (rows, rows[::-1]):
        made = scene(turned)
        at = made.at(pl.Series([10, 20], dtype=pl.Int128))
        weights.append(float(bonds.weigh(made, at[:1], at[1:])[0]))
    assert weights[0] == weights[1] < 0


@examples(40)
@given(_rows)
def test_a_pair_weighs_the_same_whoever_else_is_looked_at(rows):
    whole, pair = scene(rows), scene(rows[:2])
    at = whole.at(pl.Series([10, 20], dtype=pl.Int128))
    assert bonds.weigh(whole, at[:1], at[1:]) == pytest.approx(bonds.weigh(pair, at[:1], at[1:]), abs=0.0011)


@examples(40)
@given(_rows, st.randoms())
def test_the_order_of_nodes_does_not_matter(rows, random):
    order = list(range(len(rows)))
    random.shuffle(order)
    names = {10 * (n + 1): 10 * (place + 1) for place, n in enumerate(order)}
    renamed = {frozenset(names[n] for n in group) for group in persons(scene(rows))}
    assert persons(scene([rows[n] for n in order])) == renamed


@examples(40)
@given(_rows)
def test_what_people_judged_apart_stays_apart(rows):
    apart = pl.DataFrame({"a": [10], "b": [20]}, schema=APART.schema)
    assert not any({10, 20} <= group for group in persons(scene(rows), apart))


def test_all_that_hangs_together_is_reached():
    edges = pl.DataFrame({"a": [1, 2, 8], "b": [2, 3, 9]}, schema=APART.schema)
    assert bonds.reached(pl.Series([3, 5], dtype=pl.Int128), edges).to_list() == [1, 2, 3, 5]


def test_a_version_is_the_same_after_it_was_kept_as_text():
    again = frozen.from_json(1, BY.to_json(), BY.listed())
    rows = [one(resident_id=NUMBER, name="王建军", phone="13971234567"), one(source="b", name="王健君", phone="13971234567")]
    at = [scene(rows).at(pl.Series([n], dtype=pl.Int128)) for n in (10, 20)]
    assert bonds.weigh(scene(rows, by=again), *at)[0] == bonds.weigh(scene(rows), *at)[0]
    assert again.listed().equals(BY.listed().sort("field", "value"))


def test_a_version_fitted_to_the_same_records_is_the_same_and_lists_no_rare_value():
    rows = [one(resident_id=None, name=f"王{c}", birth_date="1980-04-05", phone="13971234567") for c in "建军伟强刚勇平波"] * 4
    records = pl.DataFrame(
        [{"node": n, **row} for n, row in enumerate(rows)], schema={c: pl.Int64 if c == "node" else pl.String for c in bonds.RECORD}
    )
    pairs = pl.DataFrame({"a": [0, 1, 2], "b": [8, 9, 11]})
    census = refit.Census(300, {"a": 0.5})
    one_fit, other = (refit.refit(BY, 2, records, pairs, census) for _ in range(2))
    assert one_fit.to_json() == other.to_json()
    assert one_fit.shares["surname"].keys() == {"王"} and one_fit.shares["surname"]["王"] > 0.05
    assert one_fit.shares["given"] == {}, "no given name is in twenty records"
    assert one_fit.persons == 300 and one_fit.coverage == {"a": 0.5}
