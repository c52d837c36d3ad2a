"""Spouses live together, and children with their parents, whatever number an agency gives them: the rule of the night.

Measures for the Examination and Approval of the Minimum Living Allowance (民发〔2021〕57号) art. 7: spouses, minor children, and adult children who
study belong to one household wherever they sleep. Who is what to whom is read from the relations on one list at a time, so that a
person's household hangs on persons at most :data:`STEPS` lists away, and a night need not look further. Counted from a person, whose own
records are at hand:

1. on its lists are its spouse and its parents, with all that makes them so on that list: roles, ages, sexes, how many are on it;
2. on theirs, the parent's spouse, and whoever else a spouse might be taken for;
3. on that one's lists, whom *it* might be taken for the spouse of, and those who vote on where its number leads: each by its own records,
   their addresses and telephones among them.

No list is read as a whole beyond the third step: what names a household there is the list's name, and its rank that of the records that
vote. So if no record changes within three steps, as lists were or as they will be, the household does not; and judging who is within
three steps of a change by the records within three steps of *them* gives what judging everybody would
(`tests/identity/test_reach.py` holds the rule to it).
"""

import numpy as np
import polars as pl

from identity import kinship
from identity.context import LARGEST_HOME
from identity.kinship import People
from schemas.codes import load_code_set

# Steps from list to list within which lies all that decides a person's household: to a parent, to the parent's spouse, to those who vote on
# where the spouse lives.
STEPS = 3
# Younger and single: minors and, mostly, students (see :mod:`identity.living`).
_CHILD_TO = 22.0
# Two places are one household. A record may hold numbers of both kinds, so the kind counts.
_IS_ONE = (pl.col("anchor_record_id") == pl.col("anchor_record_id_q")) & (
    (pl.col("anchor_authority") == 0) == (pl.col("anchor_authority_q") == 0)
)


def _people(told: pl.DataFrame) -> tuple[pl.DataFrame, People]:
    """Persons numbered from 0 as ``person_id``, ``p``, and what most of each one's rows tell of them."""
    numbered = told.select("person_id").unique().sort("person_id").with_row_index("p").with_columns(pl.col("p").cast(pl.Int32))

    def most(column: str) -> pl.Series:
        of = told.drop_nulls(column).group_by("person_id", column).len().sort("person_id", "len", column, descending=[False, True, False])
        first = of.unique("person_id", keep="first", maintain_order=True)
        return numbered.join(first, on="person_id", how="left", maintain_order="left")[column]

    newest = numbered.join(told.group_by("person_id").agg(pl.col("as_of_date").max()), on="person_id", how="left", maintain_order="left")
    # Ages are those of the middle of the year: a record that is a day newer then changes nobody's household.
    at = newest.select(pl.date(pl.col("as_of_date").dt.year(), 7, 1)).to_series()
    age = ((at - most("birth_date")).dt.total_days() / 365.25).fill_null(float("nan")).to_numpy()
    sex = most("sex").fill_null(0).to_numpy()
    is_male = np.select([sex == 1, sex == 2], [1, 0], -1).astype(np.int8)
    return numbered, People(age, is_male, np.full(numbered.height, -1))


def _role() -> pl.Expr:
    words = kinship.words()
    codes = {int(code): int(words[code]) for code in load_code_set("relation_to_head")}
    return pl.col("relation").replace_strict(codes, default=0, return_dtype=pl.Int8)


def follow(placed: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Households living together, by the rule.

    Args:
        placed: one row a person, as :func:`identity.households.resolve` gives it.
        told: one row a record and number of either kind: ``person_id``, ``record_id``, ``group``, ``as_of_date``, ``relation`` (code of GB/T
            4761 as a number), ``birth_date``, ``sex`` (1 = male, 2 = female); null = not known.

    Returns:
        As `placed`. Who follows somebody is where that person is: ``evidence`` is ``spouse`` or ``parent``, ``record_id`` the own record
        that tells the relation.
    """
    if placed.is_empty():
        return placed
    numbered, who = _people(told)
    rows = told.select("person_id", "record_id", list="group", role=_role()).filter(pl.col("role") > 0)
    del told  # of a whole pool, as large as all that follows
    rows = rows.join(numbered, on="person_id").drop("person_id")
    members = rows.group_by("list", "p").agg(pl.col("role").min(), pl.col("record_id").min())
    del rows
    members = members.filter(pl.len().over("list") <= LARGEST_HOME)
    pairs = kinship.pairs(members, who)
    couples = kinship.nearest(pairs).select("list", "p", "q")
    one = couples.select("p", "q").unique().filter(pl.len().over("p") == 1)
    one = one.join(one.select(p="q", q="p"), on=["p", "q"])  # each has one spouse only, and it is the other

    # A couple is where the spouse is who is placed by more authority; of equals, the older person of the pool.
    at = numbered.join(placed, on="person_id").select("p", "person_id", "anchor_record_id", "anchor_authority")
    spouses = one.join(at, on="p").join(at, left_on="q", right_on="p", suffix="_q")
    own, other = pl.col("anchor_authority"), pl.col("anchor_authority_q")
    leads = (other > own) | ((other == own) & (pl.col("person_id_q") < pl.col("person_id")))
    apart = ~_IS_ONE
    moved = spouses.filter(leads & apart).select("p", "q", anchor_record_id="anchor_record_id_q", anchor_authority="anchor_authority_q")
    known = couples.join(members.select("list", "p", "record_id"), on=["list", "p"]).group_by("p", "q").agg(pl.col("record_id").min())
    moved = moved.join(known, on=["p", "q"]).drop("q").with_columns(evidence=pl.lit("spouse"))
    at = _moved(at, moved)

    is_child = (who.age < _CHILD_TO) & ~np.isin(np.arange(who.age.size), couples["p"].to_numpy())
    parents = (
        kinship.parents(pairs, couples)
        .select("list", p="child", q="parent")
        .join(members.select("list", "p", "record_id"), on=["list", "p"])
    )
    del pairs, members
    parents = parents.group_by("p", "q").agg(pl.col("record_id").min())
    parents = parents.filter(pl.Series(is_child[parents["p"].to_numpy()]))
    homes = parents.join(at, on="p").join(at, left_on="q", right_on="p", suffix="_q")
    with_one = _IS_ONE.any().over("p")
    away = homes.filter(~with_one).sort("p", "anchor_authority_q", "person_id_q", descending=[False, True, False])
    away = away.unique("p", keep="first", maintain_order=True)
    children = away.select(
        "p", "record_id", anchor_record_id="anchor_record_id_q", anchor_authority="anchor_authority_q", evidence=pl.lit("parent")
    )
    changes = pl.concat([moved.filter(~pl.col("p").is_in(children["p"].implode())).select(children.columns), children])
    changes = changes.join(numbered, on="p").drop("p")
    kept = placed.join(changes, on="person_id", how="anti")
    return pl.concat([kept, changes.select(kept.columns).cast(kept.schema)])


def _moved(at: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
    """Places of persons with some of them moved."""
    joined = at.join(moved.select("p", "anchor_record_id", "anchor_authority"), on="p", how="left", suffix="_new")
    return joined.select(
        "p", "person_id",
        *(pl.coalesce(f"{c}_new", c).alias(c) for c in ("anchor_record_id", "anchor_authority")),
    )  # fmt: skip
