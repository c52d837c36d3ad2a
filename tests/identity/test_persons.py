"""Which records are one person: stories and laws."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import persons
from tests.examples import examples

D, CHILD = date(1980, 4, 5), date(2019, 6, 7)
_SCHEMA = {
    "record_id": pl.String, "id_key": pl.String, "id_birth_date": pl.Date, "name_key": pl.String, "birth_date": pl.Date,
    "phone_key": pl.String, "address_key": pl.String,
}  # fmt: skip


def clusters(*rows):
    frame = pl.DataFrame([dict(zip(_SCHEMA, row, strict=True)) for row in rows], schema=_SCHEMA)
    found = persons.resolve(frame)
    return {frozenset(group["record_id"]) for _, group in found.group_by("node_id")}


STORIES = {
    "same number and name": ([("a", "1", D, "王伟", D, None, None), ("b", "1", D, "王伟", None, None, None)], True),
    "same number, homophone name, birth date agrees": ([("a", "1", D, "王伟", D, None, None), ("b", "1", D, "王炜", D, None, None)], True),
    "same number, default birth date": ([("a", "1", D, "王伟", D, None, None), ("b", "1", D, "王伟", date(1980, 1, 1), None, None)], True),
    "child entered under the parent's number": ([("a", "1", D, "王伟", D, None, None), ("b", "1", D, "王小", CHILD, None, None)], False),
    "no number, same name, birth date and telephone": (
        [("a", "1", D, "王伟", D, "13", None), ("b", None, None, "王伟", D, "13", None)],
        True,
    ),
    "no number, same name, birth date and address": ([("a", "1", D, "王伟", D, None, "x"), ("b", None, None, "王伟", D, None, "x")], True),
    "same name and birth date alone": ([("a", "1", D, "王伟", D, None, None), ("b", None, None, "王伟", D, None, None)], False),
    "two numbers, everything else the same": ([("a", "1", D, "王伟", D, "13", "x"), ("b", "2", D, "王伟", D, "13", "x")], False),
    "twins": ([("a", "1", D, "王伟", D, "13", "x"), ("b", "2", D, "王强", D, "13", "x")], False),
}


@pytest.mark.parametrize(("rows", "is_one"), STORIES.values(), ids=list(STORIES))
def test_story(rows, is_one):
    assert clusters(*rows) == ({frozenset("ab")} if is_one else {frozenset("a"), frozenset("b")})


def test_a_child_under_its_parents_number_is_found_by_telephone():
    rows = [("a", "1", D, "王伟", D, None, None), ("b", "1", D, "王小", CHILD, "13", None), ("c", "9", CHILD, "王小", CHILD, "13", None)]
    assert clusters(*rows) == {frozenset("a"), frozenset("bc")}


def test_a_record_without_number_does_not_tie_two_numbers_together():
    rows = [("a", "1", D, "王伟", D, "13", None), ("b", None, None, "王伟", D, "13", "x"), ("c", "2", D, "王伟", D, None, "x")]
    assert clusters(*rows) == {frozenset("a"), frozenset("b"), frozenset("c")}


_value = st.sampled_from([None, "1", "2"])
_day = st.sampled_from([None, D, CHILD])
_row = st.tuples(_value, _day, st.sampled_from([None, "x", "y"]), _day, _value, _value)


@examples(60)
@given(st.lists(_row, min_size=1, max_size=9), st.randoms())
def test_the_order_of_records_does_not_matter(rows, random):
    named = [(f"r{i}", *row) for i, row in enumerate(rows)]
    mixed = named.copy()
    random.shuffle(mixed)
    assert clusters(*named) == clusters(*mixed)


@examples(60)
@given(st.lists(_row, min_size=1, max_size=9))
def test_no_person_has_two_believed_numbers(rows):
    # believed: the birth date of the record is the one inside the number
    named = [(f"r{i}", *row) for i, row in enumerate(rows)]
    number = {r[0]: r[1] for r in named if r[1] and r[2] and r[2] == r[4]}
    for cluster in clusters(*named):
        assert len({number[r] for r in cluster if r in number}) <= 1
