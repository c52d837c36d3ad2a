"""Who lives together, from local household numbers of either kind and from addresses."""

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
    found = engine.resolve(pl.DataFrame(told, schema=dict.fromkeys(COLUMNS, pl.String)), is_fitted=False)
    return {told[i]["name"]: int(h) for i, h in enumerate(found.household)}


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


def test_a_child_registered_elsewhere_lives_where_it_is_listed_as_living():
    """Source `a` tells homes, source `r` registers; addresses show which, over many families."""
    rows = []
    for i in range(60):
        door, other = f"斗湖堤镇长江村{i % 9 + 1}组{i + 1}号", f"章庄铺镇枫林村{i % 7 + 1}组{i + 1}号"
        elder, child, parent = f"王{chr(0x4E8C + 3 * i)}", f"王{chr(0x5F00 + 5 * i)}", f"王{chr(0x6200 + 7 * i)}"
        days = (f"1950-{i % 12 + 1:02d}-03", f"2012-{i % 12 + 1:02d}-11", f"1982-{i % 12 + 1:02d}-21")
        rows += [("a", elder, days[0], f"h{i}", door), ("a", child, days[1], f"h{i}", door), ("a", parent, days[2], f"x{i}", other)]
        rows += [("r", elder, days[0], f"e{i}", door), ("r", child, days[1], f"p{i}", door), ("r", parent, days[2], f"p{i}", other)]
    found = homes(*rows)
    names = [(rows[6 * i][1], rows[6 * i + 1][1], rows[6 * i + 2][1]) for i in range(60)]
    assert np.mean([found[elder] == found[child] for elder, child, _ in names]) > 0.95
    assert np.mean([found[child] == found[parent] for _, child, parent in names]) < 0.05
