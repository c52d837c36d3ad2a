"""Which persons are one household, from the agencies' numbers: stories."""

from datetime import date

import polars as pl
import pytest

from identity import households

OLD, NEW = date(2026, 3, 1), date(2026, 3, 5)
_SCHEMA = {"person_id": pl.Int64, "record_id": pl.Int64, "authority": pl.Int16, "as_of_date": pl.Date, "group": pl.Int64}


def placed(*rows, traces=None):
    """Person → (evidence, smallest record of the household's number)."""
    frame = pl.DataFrame([(p, n, *rest) for n, (p, *rest) in enumerate(rows, start=1)], schema=_SCHEMA, orient="row")
    if traces is not None:
        traces = pl.DataFrame(traces, schema={"person_id": pl.Int64, "trace": pl.Int64}, orient="row")
    found = households.resolve(frame, traces)
    assert households.resolve(frame.reverse(), traces).sort("person_id").equals(found.sort("person_id"))
    return {r["person_id"]: (r["evidence"], r["anchor_record_id"]) for r in found.to_dicts()}


def test_members_of_one_number_are_one_household():
    assert placed((1, 5, OLD, 70), (2, 5, OLD, 70)) == {1: ("own_number", 1), 2: ("own_number", 1)}


def test_the_more_authoritative_agency_says_where_a_person_belongs():
    assert placed((1, 3, NEW, 70), (1, 5, OLD, 80))[1] == ("own_number", 2)


def test_of_one_agency_the_newer_word_counts():
    assert placed((1, 5, OLD, 70), (1, 5, NEW, 80))[1] == ("own_number", 2)


def test_a_lesser_number_follows_where_most_of_its_members_are():
    found = placed((1, 5, OLD, 70), (2, 5, OLD, 70), (1, 3, OLD, 80), (2, 3, OLD, 80), (3, 3, OLD, 80))
    assert found[3] == ("shared_members", 1)


def test_a_lesser_number_whose_members_are_scattered_stays_its_own():
    found = placed((1, 5, OLD, 70), (2, 5, OLD, 71), (1, 3, OLD, 80), (2, 3, OLD, 80), (3, 3, OLD, 80))
    assert found[3] == ("own_number", 3)


def test_where_nobody_says_with_whom_a_person_lives_the_register_stands_in():
    assert placed((1, 0, OLD, 90))[1][0] == "registered_household"


def test_a_registered_household_follows_its_members_to_where_they_live():
    found = placed((1, 4, OLD, 70), (2, 4, OLD, 70), (1, 0, OLD, 90), (2, 0, OLD, 90), (3, 0, OLD, 90))
    assert found[3] == ("registered_household", 1)


LEFT = [(1, 4, OLD, 70), (2, 4, OLD, 70), (1, 0, OLD, 90), (2, 0, OLD, 90), (3, 0, OLD, 90)]


@pytest.mark.parametrize(
    ("traces", "group"),
    [([(1, 7), (3, 8)], 90), ([(1, 7), (2, 8), (3, 8)], 70), ([(1, 7), (2, 8)], 70), ([(3, 8)], 70), ([(1, 7), (4, 8), (3, 8)], 90)],
    ids=[
        "of another door",
        "of one door with one of them",
        "of whom no door is known",
        "of whom alone a door is known",
        "of a stranger's door",
    ],
)
def test_who_is_on_a_register_with_those_who_live_elsewhere_is_with_them_unless_address_and_telephone_say_otherwise(traces, group):
    found = placed(*LEFT, traces=traces)
    assert found[3] == ("registered_household", {70: 1, 90: 3}[group])


def test_two_of_another_door_stay_together_on_the_register():
    found = placed(*LEFT[:2], *LEFT, (4, 0, OLD, 90), (5, 4, OLD, 70), (5, 0, OLD, 90), traces=[(1, 7), (3, 8), (4, 8)])
    assert found[3] == found[4] != found[1]


def test_children_left_with_grandparents_do_not_take_their_parents_there():
    rows = [(1, 5, OLD, 70), (2, 5, OLD, 70), (3, 5, OLD, 70), (2, 3, OLD, 80), (3, 3, OLD, 80), (4, 3, OLD, 80), (5, 3, OLD, 80)]
    assert placed(*rows)[4] == ("shared_members", 1)
    apart = placed(*rows, traces=[(1, 7), (2, 7), (3, 7), (4, 8), (5, 8)])
    assert apart[4] == apart[5] == ("own_number", 4)
