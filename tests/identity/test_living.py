"""Who lives together, from local household numbers of either kind and from addresses."""

from datetime import date

import numpy as np
import polars as pl

from identity import engine
from identity.columns import COLUMNS

HOME, FAR = "斗湖堤镇长江村3组5号", "章庄铺镇枫林村2组11号"


def homes(*rows: tuple[str, str, str, str | None, str | None]) -> dict[str, int]:
    """Household of each person by name, from rows of source, name, birth date, local number, address."""
    told = [
        {"source": s, "record_id": str(i), "name": n, "birth_date": b, "household_id_local": h, "address": a, "phone": "1397" + str(sum(ord(c) * 7919 for c in n) % 10**7).zfill(7)}
        for i, (s, n, b, h, a) in enumerate(rows)
    ]  # fmt: skip
    found = engine.resolve(pl.DataFrame(told, schema=dict.fromkeys(COLUMNS, pl.String)), is_fitted=False, on=date(2026, 3, 1))
    return {told[i]["name"]: int(h) for i, h in enumerate(found.household)}


def families(*rows: str, changed: str = "2026-03-01") -> set[frozenset[str]]:
    """Households by name, from lines ``source | name | sex | birth date | number | relation | address | guardian | occupation``."""
    fields = ("source", "name", "sex", "birth_date", "household_id_local", "relation", "address", "guardian_name", "occupation")
    told = [dict(zip(fields, (v if v != "-" else None for v in row.split("|")), strict=True)) for row in rows]
    told = [{"record_id": str(i), "updated_at": changed, **row} for i, row in enumerate(told)]
    found = engine.resolve(pl.DataFrame(told, schema=dict.fromkeys(COLUMNS, pl.String)), is_fitted=False, on=date(2026, 3, 2))
    homes = pl.DataFrame({"h": found.household, "n": [row["name"] for row in told]}).unique().group_by("h").agg("n")
    return {frozenset(h) for h in homes["n"]}


SHENZHEN = "广东省深圳市宝安区新桥街道88号"
GRANDPARENTS = [
    f"health|王德福|1|1953-04-05|f1|02|{HOME}|-|-", f"health|陈桂兰|2|1955-01-10|f1|12|{HOME}|-|-",
    f"insurance|王德福|1|1953-04-05|r1|02|{HOME}|-|-", f"insurance|陈桂兰|2|1955-01-10|r1|12|{HOME}|-|-",
]  # fmt: skip
PARENTS_AWAY = [f"insurance|王建军|1|1980-04-05|r1|20|{SHENZHEN}|-|-", f"insurance|李秀英|2|1982-01-10|r1|38|{SHENZHEN}|-|-"]


def test_children_left_with_grandparents_belong_to_their_parents():
    child = [f"health|王子涵|1|2014-06-07|f1|41|{HOME}|-|-", f"insurance|王子涵|1|2014-06-07|r1|41|{HOME}|-|-"]
    assert families(*GRANDPARENTS, *PARENTS_AWAY, *child) == {frozenset({"王德福", "陈桂兰"}), frozenset({"王建军", "李秀英", "王子涵"})}


def test_three_generations_under_one_roof_are_one_household():
    together = [row.replace(SHENZHEN, HOME) for row in PARENTS_AWAY] + [f"health|王建军|1|1980-04-05|f1|20|{HOME}|-|-"]
    assert families(*GRANDPARENTS, *together, f"insurance|王子涵|1|2014-06-07|r1|41|{HOME}|-|-") == {
        frozenset({"王德福", "陈桂兰", "王建军", "李秀英", "王子涵"})
    }


def test_a_husband_who_works_away_belongs_to_his_wife():
    assert families(f"insurance|王建军|1|1980-04-05|r1|02|{SHENZHEN}|-|-", f"insurance|李秀英|2|1982-01-10|r1|12|{HOME}|-|-") == {
        frozenset({"王建军", "李秀英"})
    }


def test_a_grown_single_son_who_works_away_lives_on_his_own():
    assert families(*GRANDPARENTS, f"insurance|王建军|1|1985-04-05|r1|20|{SHENZHEN}|-|-") == {
        frozenset({"王德福", "陈桂兰"}),
        frozenset({"王建军"}),
    }


def test_a_student_away_belongs_to_the_parents():
    rows = [f"insurance|王建军|1|1980-04-05|r1|02|{HOME}|-|-", f"insurance|李秀英|2|1982-01-10|r1|12|{HOME}|-|-"]
    student = [f"insurance|王子涵|1|2003-06-07|r1|20|{SHENZHEN}|-|-", f"school|王子涵|1|2003-06-07|-|-|{SHENZHEN}|王建军|-"]
    assert families(*rows, *student) == {frozenset({"王建军", "李秀英", "王子涵"})}


def test_a_grown_child_with_a_guardian_belongs_to_the_guardian():
    rows = [f"insurance|王建军|1|1960-04-05|r1|02|{HOME}|-|-", f"disability|王子涵|1|1990-06-07|r1|20|{FAR}|王建军|-"]
    rows.append(f"insurance|王子涵|1|1990-06-07|r1|20|{FAR}|-|-")
    assert families(*rows) == {frozenset({"王建军", "王子涵"})}


def test_a_boarder_known_by_its_guardian_alone():
    rows = [
        f"insurance|王建军|1|1980-04-05|-|-|{HOME}|-|-",
        f"school|王子涵|1|2012-06-07|-|-|{HOME}|王建军|-",
        f"school2|王子涵|1|2012-06-07|-|-|{FAR}|王建军|-",
    ]
    assert families(*rows) == {frozenset({"王建军", "王子涵"})}


def test_a_prisoner_belongs_to_nobodys_household():
    rows = [f"insurance|王建军|1|1980-04-05|r1|02|{HOME}|-|在监狱服刑", f"insurance|李秀英|2|1982-01-10|r1|12|{HOME}|-|-"]
    assert families(*rows) == {frozenset({"王建军"}), frozenset({"李秀英"})}


def test_who_came_back_from_prison_belongs_to_the_family():
    rows = [f"insurance|王建军|1|1980-04-05|r1|02|{HOME}|-|刑满释放", f"insurance|李秀英|2|1982-01-10|r1|12|{HOME}|-|-"]
    assert families(*rows) == {frozenset({"王建军", "李秀英"})}


def test_where_no_relation_is_told_ages_tell_whose_children_they_are():
    child = [f"health|王子涵|1|2014-06-07|f1|-|{HOME}|-|-", f"insurance|王子涵|1|2014-06-07|r1|-|{HOME}|-|-"]
    rows = ["|".join([*row.split("|")[:5], "-", *row.split("|")[6:]]) for row in (*GRANDPARENTS, *PARENTS_AWAY)]
    assert families(*rows, *child) == {frozenset({"王德福", "陈桂兰"}), frozenset({"王建军", "李秀英", "王子涵"})}


def test_a_village_without_a_door_is_no_home():
    found = homes(("a", "王建军", "1980-04-05", None, "斗湖堤镇第3村"), ("b", "陈志强", "1975-10-02", None, "斗湖堤镇第3村"))
    assert found["王建军"] != found["陈志强"]


def test_dates_of_change_in_the_future_make_nobody_older():
    rows = [
        f"insurance|王建军|1|1980-04-05|r1|02|{HOME}|-|-",
        f"insurance|李秀英|2|1982-01-10|r1|12|{HOME}|-|-",
        f"insurance|王子涵|1|2014-06-07|r1|20|{FAR}|-|-",
    ]
    assert families(*rows, changed="2099-01-01") == {frozenset({"王建军", "李秀英", "王子涵"})}


def test_one_number_is_one_home():
    found = homes(
        ("a", "王建军", "1980-04-05", "1", HOME), ("a", "李秀英", "1982-01-10", "1", HOME), ("a", "陈志强", "1975-10-02", "2", FAR)
    )
    assert found["王建军"] == found["李秀英"] != found["陈志强"]


def test_one_door_is_one_home_where_nobody_gives_numbers():
    found = homes(("a", "王建军", "1980-04-05", None, HOME), ("b", "李秀英", "1982-01-10", None, HOME))
    assert found["王建军"] == found["李秀英"]


def test_equal_numbers_of_two_sources_mean_nothing():
    found = homes(("a", "王建军", "1980-04-05", "1", HOME), ("b", "陈志强", "1975-10-02", "1", FAR))
    assert found["王建军"] != found["陈志强"]


def test_a_home_for_the_aged_is_not_a_family():
    surnames = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章"
    rows = [("a", f"{s}德福", f"19{35 + i % 20}-{i % 12 + 1:02d}-{i % 28 + 1:02d}", "1", HOME) for i, s in enumerate(surnames)]
    assert len(set(homes(*rows).values())) == 40


def test_a_grown_child_registered_elsewhere_lives_where_it_is_listed_as_living():
    """Source `a` tells homes, source `r` registers; addresses show which, over many families."""
    rows = []
    for i in range(60):
        door, other = f"斗湖堤镇长江村{i % 9 + 1}组{i + 1}号", f"章庄铺镇枫林村{i % 7 + 1}组{i + 1}号"
        elder, child, parent = f"王{chr(0x4E8C + 3 * i)}", f"王{chr(0x5F00 + 5 * i)}", f"王{chr(0x6200 + 7 * i)}"
        days = (f"1950-{i % 12 + 1:02d}-03", f"1996-{i % 12 + 1:02d}-11", f"1972-{i % 12 + 1:02d}-21")
        rows += [("a", elder, days[0], f"h{i}", door), ("a", child, days[1], f"h{i}", door), ("a", parent, days[2], f"x{i}", other)]
        rows += [("r", elder, days[0], f"e{i}", door), ("r", child, days[1], f"p{i}", door), ("r", parent, days[2], f"p{i}", other)]
    found = homes(*rows)
    names = [(rows[6 * i][1], rows[6 * i + 1][1], rows[6 * i + 2][1]) for i in range(60)]
    assert np.mean([found[elder] == found[child] for elder, child, _ in names]) > 0.95
    assert np.mean([found[child] == found[parent] for _, child, parent in names]) < 0.05
