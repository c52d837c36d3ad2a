"""Spouses and children are where spouses and parents are, whatever number an agency gives them: the night's rule."""

from datetime import date

import polars as pl

from identity import following, households

DAY = date(2026, 3, 1)
LIVING, REGISTER = 5, 0  # authority: a register only stands in
# person → birth date, sex
GRANDFATHER, GRANDMOTHER, FATHER, MOTHER, CHILD, UNCLE = 1, 2, 3, 4, 5, 6
BORN = {
    GRANDFATHER: (date(1953, 4, 5), 1), GRANDMOTHER: (date(1955, 1, 10), 2), FATHER: (date(1980, 4, 5), 1), MOTHER: (date(1982, 1, 10), 2),
    CHILD: (date(2014, 6, 7), 2), UNCLE: (date(1978, 8, 9), 1),
}  # fmt: skip
_SCHEMA = {"person_id": pl.Int128, "record_id": pl.Int128, "authority": pl.Int16, "as_of_date": pl.Date, "group": pl.Int64}


def homes(*rows: tuple[int, int, int, int | None], born: dict[int, tuple[date, int]] = BORN) -> tuple[dict[int, int], dict[int, str]]:
    """Group each person ends in, and why, from rows of person, authority, group, relation."""
    base = pl.DataFrame([(p, n, a, DAY, g) for n, (p, a, g, _) in enumerate(rows, start=1)], schema=_SCHEMA, orient="row")
    told = base.drop("authority").with_columns(
        relation=pl.Series([r for *_, r in rows], dtype=pl.Int16),
        birth_date=pl.Series([born[p][0] for p, *_ in rows]), sex=pl.Series([born[p][1] for p, *_ in rows], dtype=pl.Int16),
    )  # fmt: skip
    placed = households.resolve(base)
    found = following.follow(placed, told)
    assert following.follow(placed.reverse(), told.reverse()).sort("person_id").equals(found.sort("person_id"))
    assert found.schema == placed.schema
    group = {n: g for n, (_, _, g, _) in enumerate(rows, start=1)}
    return {r["person_id"]: group[r["anchor_record_id"]] for r in found.to_dicts()}, {
        r["person_id"]: r["evidence"] for r in found.to_dicts()
    }


WITH_GRANDPARENTS = [(GRANDFATHER, LIVING, 70, 2), (GRANDMOTHER, LIVING, 70, 12), (CHILD, LIVING, 70, 42)]
ON_REGISTER = [(GRANDFATHER, REGISTER, 90, 2), (FATHER, REGISTER, 90, 20), (MOTHER, REGISTER, 90, 38), (CHILD, REGISTER, 90, 42)]
AWAY = [(FATHER, LIVING, 71, 2), (MOTHER, LIVING, 71, 12)]


def test_a_child_left_with_grandparents_belongs_to_its_parents():
    home, why = homes(*WITH_GRANDPARENTS, *ON_REGISTER, *AWAY)
    assert home == {GRANDFATHER: 70, GRANDMOTHER: 70, FATHER: 71, MOTHER: 71, CHILD: 71}
    assert why[CHILD] == "parent"


def test_a_child_whose_parents_live_there_too_stays():
    home, why = homes(*WITH_GRANDPARENTS, *ON_REGISTER, (FATHER, LIVING, 70, 20), (MOTHER, LIVING, 70, 38))
    assert set(home.values()) == {70}
    assert why[CHILD] == "own_number"


def test_of_two_sons_nobody_knows_whose_child_it_is():
    home, _ = homes(*WITH_GRANDPARENTS, *ON_REGISTER, (UNCLE, REGISTER, 90, 20), (FATHER, LIVING, 71, 2), (UNCLE, LIVING, 72, 2))
    assert home[CHILD] == 70


def test_a_grown_child_stays_where_it_lives():
    born = {**BORN, CHILD: (date(2001, 6, 7), 2)}
    home, _ = homes(*WITH_GRANDPARENTS, *ON_REGISTER, *AWAY, born=born)
    assert home[CHILD] == 70


def test_a_wife_nobody_lists_as_living_anywhere_is_where_her_husband_is():
    home, why = homes((FATHER, LIVING, 71, 2), (FATHER, REGISTER, 90, 2), (MOTHER, REGISTER, 90, 12), (UNCLE, REGISTER, 90, 73))
    assert home[MOTHER] == home[FATHER] == 71
    assert why[MOTHER] in ("spouse", "registered_household")


def test_a_couple_listed_apart_is_one_household_where_more_authority_places_it():
    home, why = homes((FATHER, 6, 71, 2), (MOTHER, LIVING, 72, 2), (FATHER, REGISTER, 90, 2), (MOTHER, REGISTER, 90, 12))
    assert home == {FATHER: 71, MOTHER: 71}
    assert why == {FATHER: "own_number", MOTHER: "spouse"}


def test_nobody_placed_is_nobody_moved():
    empty = households.resolve(pl.DataFrame(schema=_SCHEMA))
    assert following.follow(empty, pl.DataFrame()).is_empty()
