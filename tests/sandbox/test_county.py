"""A county an engineer would believe: families, and what happens to them night by night."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from identity import resident_id
from sandbox.county import kinship, life, names, population
from sandbox.county.population import NOBODY

EPOCH = date(2026, 3, 1)
PERSONS = 6000
NIGHTS = 40
SEEDS = (1, 20260301)
FIXED = ("person", "origin_home", "father", "mother", "issued_id", "born_night")


def is_here(people: pl.DataFrame) -> pl.Series:
    return people["death_date"].is_null() & people["left_date"].is_null()


@pytest.fixture(scope="module", params=SEEDS)
def years(request: pytest.FixtureRequest) -> list[pl.DataFrame]:
    """The people of one seed on nights 1 to NIGHTS."""
    nights = [population.settle(request.param, PERSONS, EPOCH)]
    for night in range(2, NIGHTS + 1):
        nights.append(life.advance(nights[-1], request.param, night, EPOCH + timedelta(days=night - 1)))
    return nights


@pytest.fixture(scope="module")
def first(years: list[pl.DataFrame]) -> pl.DataFrame:
    return years[0]


@pytest.fixture(scope="module")
def last(years: list[pl.DataFrame]) -> pl.DataFrame:
    return years[-1]


# -- families ------------------------------------------------------------------------------------------------------------------------------


def test_a_county_has_as_many_persons_as_were_asked_for(first: pl.DataFrame) -> None:
    assert first.height == PERSONS
    assert first["person"].to_list() == list(range(PERSONS))


def test_the_same_seed_gives_the_same_county_and_another_one_another(first: pl.DataFrame) -> None:
    again = [population.settle(seed, PERSONS, EPOCH) for seed in SEEDS]
    assert sum(first.equals(county) for county in again) == 1


def test_several_generations_live_under_one_roof(first: pl.DataFrame) -> None:
    codes = first.group_by("living_home").agg(pl.col("living_relation").unique())
    three = codes.filter(
        pl.col("living_relation").list.set_intersection(["51", "52"]).list.len() > 0,
        pl.col("living_relation").list.set_intersection(["20", "30"]).list.len() > 0,
    )
    assert three.height > first["living_home"].n_unique() * 0.03


def test_children_left_behind_sleep_at_their_grandparents_and_belong_to_their_parents(first: pl.DataFrame) -> None:
    left = first.filter(pl.col("dwelling_home") != pl.col("living_home"))
    assert 0.005 * PERSONS < left.height < 0.1 * PERSONS
    assert left["dwelling_relation"].is_in(["41", "42"]).mean() > 0.95
    assert left["living_relation"].is_in(["20", "30"]).mean() > 0.95
    parents = first["living_home"].gather(pl.Series(np.maximum(left["father"], left["mother"])))
    assert (parents == left["living_home"]).all()


def test_students_away_stay_in_their_parents_household(first: pl.DataFrame) -> None:
    age = (pl.lit(EPOCH) - pl.col("birth_date").cast(pl.Date)).dt.total_days() / 365.25
    students = first.filter(
        "is_away", age < 22, pl.col("mother") >= 0, pl.col("marital_status") == "10", pl.col("living_relation").is_in(["20", "30"])
    )
    assert students.height > 20
    assert (first["living_home"].gather(students["mother"]) == students["living_home"]).all()
    assert (students["place"] < 0).all()


def test_elders_live_alone_and_some_are_registered_with_their_children(first: pl.DataFrame) -> None:
    alone = first.filter(pl.len().over("living_home") == 1, pl.col("birth_date") < date(1961, 1, 1))
    assert alone.height > 0.02 * PERSONS
    elsewhere = (
        alone.filter(pl.len().over("registered_home") >= 1)
        .join(first, on="registered_home")
        .filter(pl.col("person") != pl.col("person_right"))
    )
    assert elsewhere.height > 10


def test_living_and_registered_households_are_split_for_some(first: pl.DataFrame) -> None:
    homes = first.group_by("registered_home").agg(pl.col("living_home").n_unique().alias("n"))
    share = (homes["n"] > 1).mean()
    assert 0.03 < share < 0.4


def test_twins_have_neighbouring_numbers(first: pl.DataFrame) -> None:
    twins = first.filter(pl.col("mother") >= 0, pl.len().over("mother", "birth_date") == 2).sort("mother", "person")
    assert twins.height >= 4
    sequence = twins["resident_id"].str.slice(14, 3).cast(pl.Int64)
    between = (sequence.gather_every(2, 1) - sequence.gather_every(2)).abs()
    same_day_and_area = twins["resident_id"].str.slice(0, 14)
    assert (same_day_and_area.gather_every(2, 1) == same_day_and_area.gather_every(2)).all()
    same_sex = twins["sex"].gather_every(2, 1) == twins["sex"].gather_every(2)
    assert (between.filter(same_sex) == 2).all()
    assert (between <= 402).all()


def test_villages_share_names(first: pl.DataFrame) -> None:
    in_village = first.filter(pl.col("place") >= 0).with_columns(village=pl.col("place") // 24_000)
    assert in_village.filter(pl.len().over("village", "name") > 1).height > 10


def test_names_of_minorities_are_many_and_some_are_long(first: pl.DataFrame) -> None:
    dotted = first.filter(pl.col("name").str.contains(names.DOT))
    assert dotted["name"].n_unique() > dotted.height * 0.8
    assert dotted["name"].str.len_chars().max() >= 12  # type: ignore[operator]
    with_father = dotted.filter(pl.col("father") >= 0)
    fathers = first["name"].gather(with_father["father"]).str.split(names.DOT).list.first()
    assert (with_father["name"].str.split(names.DOT).list.get(1) == fathers).all()


def test_marital_statuses_agree_with_spouses(last: pl.DataFrame) -> None:
    here = last.filter(is_here(last))
    paired = here.filter(pl.col("spouse") >= 0)
    assert paired["marital_status"].is_in(["20", "22"]).all()
    assert (last["spouse"].gather(paired["spouse"]) == paired["person"]).all()
    assert here.filter(pl.col("spouse") == NOBODY)["marital_status"].is_in(["10", "30", "40"]).all()
    assert {"10", "20", "22", "30", "40"} <= set(here["marital_status"].unique())


def test_parents_are_older_than_their_children(last: pl.DataFrame) -> None:
    for link in ("father", "mother"):
        child = last.filter(pl.col(link) >= 0)
        gap = (child["birth_date"].cast(pl.Date) - last["birth_date"].gather(child[link]).cast(pl.Date)).dt.total_days() / 365.25
        assert gap.min() > 15  # type: ignore[operator]
        assert gap.max() < 50  # type: ignore[operator]


def test_numbers_are_valid_and_nobody_shares_one(last: pl.DataFrame) -> None:
    numbers = last["resident_id"].drop_nulls()
    assert numbers.is_unique().all()
    citizens = numbers.filter(numbers.str.len_chars() == 18)
    assert resident_id.normalise(citizens).equals(citizens, null_equal=True)
    assert citizens.len() > numbers.len() * 0.995
    born = last.filter(pl.col("resident_id").str.len_chars() == 18).select(
        pl.col("resident_id").str.slice(6, 8).str.to_date("%Y%m%d") == pl.col("birth_date").cast(pl.Date)
    )
    assert born.to_series().all()


def test_foreigners_have_permits(first: pl.DataFrame) -> None:
    permits = first.filter(pl.col("resident_id").str.contains("^[A-Z]{3}"))
    assert 1 <= permits.height < PERSONS * 0.003
    assert (permits["ethnicity"] == "98").all()


def test_incomes_differ_and_are_a_matter_of_the_home(first: pl.DataFrame) -> None:
    adults = first.filter(pl.col("birth_date") < date(2000, 1, 1))
    assert adults["income_yuan"].n_unique() > 500
    assert first.filter(pl.col("birth_date") > date(2009, 1, 1))["income_yuan"].sum() == 0


# -- life ----------------------------------------------------------------------------------------------------------------------------------


def test_persons_and_homes_keep_their_numbers(years: list[pl.DataFrame]) -> None:
    for before, after in zip(years, years[1:], strict=False):
        same = after.head(before.height)
        for column in FIXED:
            if column == "issued_id":  # given once, when a birth is registered
                known = before[column].is_not_null()
                assert (same[column].filter(known) == before[column].filter(known)).all()
            else:
                assert same[column].equals(before[column]), column
        moved = same["living_home"] != before["living_home"]
        assert (same["changed_night"].filter(moved) > before["changed_night"].max()).all() or not moved.any()


def test_whoever_changed_says_so(years: list[pl.DataFrame]) -> None:
    for night, (before, after) in enumerate(zip(years, years[1:], strict=False), start=2):
        same = after.head(before.height)
        derived = [f"{kind}_relation" for kind in population.KINDS]
        looks = [c for c in before.columns if c not in ("changed_night", "pending_home", "pending_night", *derived)]
        differs = pl.Series(np.any([same[c].ne_missing(before[c]).to_numpy() for c in looks], axis=0))
        assert (same["changed_night"].filter(differs) == night).all()


def test_a_few_persons_in_a_thousand_change_each_night(years: list[pl.DataFrame]) -> None:
    shares = [(after["changed_night"] == night).mean() for night, after in enumerate(years[1:], start=2)]
    assert all(0.001 < share < 0.015 for share in shares)  # type: ignore[operator]


def test_everything_that_happens_in_a_life_happens(years: list[pl.DataFrame]) -> None:
    first, last = years[0], years[-1].head(PERSONS)
    born = years[-1].tail(years[-1].height - PERSONS)
    assert born.height > 3
    assert (last["death_date"].is_not_null() & first["death_date"].is_null()).sum() > 3
    assert (last["left_date"].is_not_null() & first["left_date"].is_null()).sum() > 3
    assert ((first["spouse"] < 0) & (last["spouse"] >= 0)).sum() > 3
    assert (last["marital_status"].eq("40") & first["marital_status"].is_in(["20", "22"])).sum() > 1
    assert (last["registered_home"] != first["registered_home"]).sum() > 1
    for column in ("phone", "place", "name", "resident_id", "birth_date", "income_yuan", "living_home"):
        assert last[column].ne_missing(first[column]).sum() > 1, column


def test_a_marriage_makes_one_home_of_two_and_registration_follows(years: list[pl.DataFrame]) -> None:
    seen = followed = 0
    for before, after in zip(years, years[1:], strict=False):
        same = after.head(before.height)
        wed = same.filter((before["spouse"] < 0) & (same["spouse"] >= 0), pl.col("sex") == "2")
        husbands = same[wed["spouse"]]
        assert (wed["living_home"] == husbands["living_home"]).all()
        assert (before["living_home"].gather(wed["person"]) != before["living_home"].gather(wed["spouse"])).all()
        assert (wed["registered_home"] == before["registered_home"].gather(wed["person"])).mean() in (None, 1.0)
        seen += wed.height
        followed += (years[-1]["registered_home"].gather(wed["person"]) == years[-1]["registered_home"].gather(wed["spouse"])).sum()
    assert seen > 3
    assert followed > 0


def test_births_are_registered_named_and_numbered_later(years: list[pl.DataFrame]) -> None:
    last = years[-1]
    born = last.filter(pl.col("born_night") > 0)
    waiting = born.filter(pl.col("registered_night") > NIGHTS)
    done = born.filter(pl.col("registered_night") <= NIGHTS)
    assert waiting.height and done.height
    assert waiting["resident_id"].null_count() == waiting.height
    assert waiting["name"].str.contains("之[子女]$").all()
    assert done["resident_id"].null_count() == 0
    assert not done["name"].str.contains("之[子女]$").any()


def test_relations_are_to_the_head_of_the_home(last: pl.DataFrame) -> None:
    here = last.filter(is_here(last))
    for kind in ("living", "dwelling", "registered"):
        heads = here.group_by(f"{kind}_home").agg((pl.col(f"{kind}_relation") == kinship.HEAD).sum().alias("heads"))
        assert (heads["heads"] == 1).all(), kind
    wives = here.filter(pl.col("living_relation") == "12")
    husbands = last["living_relation"].gather(wives["spouse"])
    assert (husbands == kinship.HEAD).all()


def test_kinship_knows_the_codes() -> None:
    # 0 grandfather, 1 grandmother, 2 son, 3 his wife, 4 grandson, 5 daughter, 6 her daughter
    links = {"father": [-1, -1, 0, -1, 2, 0, -1], "mother": [-1, -1, 1, -1, 3, 1, 5], "spouse": [1, 0, 3, 2, -1, -1, -1]}
    kin = kinship.Kin.of(
        *(np.array(v) for v in links.values()),
        np.array([True, False, True, False, True, False, False]),
        np.array([0, 1, 30, 31, 60, 33, 63]),
    )
    to_grandfather = kinship.relations(kin, np.arange(7), np.zeros(7, dtype=int)).tolist()
    assert to_grandfather == ["02", "12", "20", "38", "41", "30", "44"]
    to_son = kinship.relations(kin, np.arange(7), np.full(7, 2)).tolist()
    assert to_son == ["51", "52", "02", "12", "20", "77", "97"]
    assert kinship.relations(kin, np.array([0, 0]), np.array([3, 4])).tolist() == ["53", "61"]
    assert kinship.relations(kin, np.array([-1]), np.array([3])).tolist() == [""]
