"""Who is what to whom, from relations to the head of a list, or from ages where none is told."""

import polars as pl
import pytest

from identity import features, kinship
from identity.columns import COLUMNS
from identity.kinship import Role

NO_DOORS = pl.DataFrame(schema={"list": pl.Int64, "p": pl.Int64})
NO_LISTS = pl.DataFrame(schema={"p": pl.Int64, "s": pl.Int32, "list": pl.Int32})


def told(*rows: tuple[str, str, str, str | None]) -> features.Features:
    """Records of one list from name, sex, birth date, relation."""
    records = [
        {"source": "a", "record_id": str(i), "name": n, "sex": s, "birth_date": b, "relation": r, "household_id_local": "1", "updated_at": "2026-03-01"}
        for i, (n, s, b, r) in enumerate(rows)
    ]  # fmt: skip
    return features.extract(pl.DataFrame(records, schema=dict.fromkeys(COLUMNS, pl.String)))


def kin(*rows: tuple[str, str, str, str | None]) -> tuple[set[frozenset[str]], set[tuple[str, str]]]:
    """Couples, and pairs of child and parent, by name."""
    found = told(*rows)
    person = pl.Series(range(found.n)).to_numpy()
    members = pl.DataFrame({"list": [0] * found.n, "p": person, "role": kinship.roles(found)})
    known = kinship.find(members, NO_DOORS, NO_LISTS, kinship.people(found, person))
    names = [r[0] for r in rows]
    couples = pl.DataFrame({"c": known.couple, "n": names}).group_by("c").agg("n")
    pairs = {(names[c], names[p]) for c, p in known.parents.select("child", "parent").iter_rows()}
    return {frozenset(c) for c in couples["n"] if len(c) > 1}, pairs


FATHER, MOTHER = ("王建军", "1", "1980-04-05"), ("李秀英", "2", "1982-01-10")
BOY, GIRL = ("王子涵", "1", "2012-06-07"), ("王子萱", "2", "2015-06-07")
OLD_MAN, OLD_WOMAN = ("王德福", "1", "1953-04-05"), ("陈桂兰", "2", "1955-01-10")


def test_head_wife_and_children():
    couples, parents = kin((*FATHER, "02"), (*MOTHER, "12"), (*BOY, "20"), (*GIRL, "30"))
    assert couples == {frozenset({"王建军", "李秀英"})}
    assert parents == {(c, p) for c in ("王子涵", "王子萱") for p in ("王建军", "李秀英")}


def test_three_generations_under_the_eldest():
    couples, parents = kin((*OLD_MAN, "02"), (*OLD_WOMAN, "12"), (*FATHER, "20"), (*MOTHER, "38"), (*BOY, "41"))
    assert couples == {frozenset({"王建军", "李秀英"}), frozenset({"王德福", "陈桂兰"})}
    assert {p for c, p in parents if c == "王子涵"} == {"王建军", "李秀英"}
    assert {p for c, p in parents if c == "王建军"} == {"王德福", "陈桂兰"}


def test_a_daughters_child_is_not_the_sons():
    _, parents = kin((*OLD_MAN, "02"), (*FATHER, "20"), ("王丽华", "2", "1984-02-02", "30"), ("张子涵", "1", "2012-06-07", "43"))
    assert {p for c, p in parents if c == "张子涵"} == {"王丽华"}


def test_of_two_sons_and_one_grandson_nothing_is_said():
    _, parents = kin((*OLD_MAN, "02"), (*FATHER, "20"), ("王建国", "1", "1979-02-02", "20"), (*BOY, "41"))
    assert not {p for c, p in parents if c == "王子涵"}


def test_a_child_older_than_its_mother_is_none():
    _, parents = kin((*MOTHER, "02"), ("王建国", "1", "1979-02-02", "20"))
    assert not parents


def test_without_relations_ages_and_names_tell_couples_and_parents():
    couples, parents = kin((*OLD_MAN, None), (*OLD_WOMAN, None), (*FATHER, None), (*MOTHER, None), (*BOY, None))
    assert couples == {frozenset({"王建军", "李秀英"}), frozenset({"王德福", "陈桂兰"})}
    assert parents == {("王子涵", "王建军"), ("王子涵", "李秀英")}


def test_brother_and_sister_are_no_couple():
    couples, _ = kin((*FATHER, None), ("王丽华", "2", "1982-02-02", None))
    assert not couples


@pytest.mark.parametrize(
    ("written", "role"),
    [("户主", Role.HEAD), ("本人", Role.HEAD), ("妻", Role.SPOUSE), ("配偶", Role.SPOUSE), ("长子", Role.SON), ("之女", Role.DAUGHTER),
     ("儿媳", Role.DAUGHTER_IN_LAW), ("孙女", Role.SONS_CHILD), ("奶奶", Role.GRANDPARENT), ("wife", Role.SPOUSE), ("0", Role.HEAD), ("5", Role.PARENT),
     ("侄子", Role.OTHER), ("？", Role.UNKNOWN)],
)  # fmt: skip
def test_relations_in_words_and_in_old_codes(written, role):
    assert kinship.roles(told((*FATHER, written))).tolist() == [role]


def test_codes_that_lost_their_zero_in_a_spreadsheet():
    assert kinship.roles(told((*FATHER, "2"), (*MOTHER, "12"), (*BOY, "20.0"))).tolist() == [Role.HEAD, Role.SPOUSE, Role.SON]
