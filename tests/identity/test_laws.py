"""Laws of the engine: what must not matter does not, and judgements always hold."""

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import IdentityConflict
from identity import engine, judgements
from identity.columns import COLUMNS
from tests.examples import examples

SCHEMA = dict.fromkeys(COLUMNS, pl.String)
_row = st.fixed_dictionaries(
    {
        "resident_id": st.sampled_from([None, "421022198004051010", "421022198004051037", "421022198004051011", "42102219490312001X"]),
        "name": st.sampled_from([None, "王建军", "王健君", "王?军", "李秀英", "欧阳文静"]),
        "birth_date": st.sampled_from([None, "1980-04-05", "1980-01-01", "1949-03-12"]),
        "phone": st.sampled_from([None, "13971234567", "13807165432"]),
        "address": st.sampled_from([None, "斗湖堤镇长江村3组5号", "章庄铺镇枫林村2组11号"]),
        "sex": st.sampled_from([None, "1", "2"]),
        "household_id_local": st.sampled_from([None, "h1", "h2"]),
    }
)
_rows = st.lists(st.tuples(st.sampled_from("abc"), _row), min_size=1, max_size=9)


def table(rows: list[tuple[str, dict]]) -> pl.DataFrame:
    return pl.DataFrame([{"source": s, "record_id": str(i), **row} for i, (s, row) in enumerate(rows)], schema=SCHEMA)


def groups(records: pl.DataFrame, judged: pl.DataFrame | None = None) -> set[frozenset[int]]:
    """Groups of the records' original numbers."""
    labels = engine.resolve(records, judged=judged, is_fitted=False).person
    found = pl.DataFrame({"n": records["occupation"].cast(pl.Int64), "p": labels}).group_by("p").agg("n")
    return {frozenset(g) for g in found["n"]}


def numbered(records: pl.DataFrame) -> pl.DataFrame:
    """Keeps the original number in a field that says nothing when all records differ in it."""
    return records.with_columns(occupation=pl.int_range(pl.len()).cast(pl.String))


def judgement(a: int, b: int, kind: str, records: pl.DataFrame) -> dict[str, str]:
    one, other = records.row(a, named=True), records.row(b, named=True)
    return {
        "source_a": one["source"],
        "record_id_a": one["record_id"],
        "source_b": other["source"],
        "record_id_b": other["record_id"],
        "judgement": kind,
    }


@pytest.mark.slow
@examples(40)
@given(_rows, st.randoms())
def test_the_order_of_records_does_not_matter(rows, random):
    records = numbered(table(rows))
    order = list(range(records.height))
    random.shuffle(order)
    assert groups(records) == groups(records[order])


_MEMBER = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["王建军", "李秀英", "王德福", "王子涵", "王子萱", "陈志强"]),
        "household_id_local": st.sampled_from([None, "h1", "h2"]),
        "relation": st.sampled_from([None, "02", "12", "20", "38", "41"]),
        "address": st.sampled_from([None, "斗湖堤镇长江村3组5号", "章庄铺镇枫林村2组11号"]),
        "guardian_name": st.sampled_from([None, None, "王建军", "李秀英"]),
    }
)
_BORN = {
    "王建军": "1980-04-05",
    "李秀英": "1982-01-10",
    "王德福": "1953-03-12",
    "王子涵": "2012-06-07",
    "王子萱": "2015-06-07",
    "陈志强": "1975-10-02",
}


@pytest.mark.slow
@examples(40)
@given(st.lists(st.tuples(st.sampled_from("abc"), _MEMBER), min_size=2, max_size=12), st.randoms())
def test_households_do_not_depend_on_the_order_of_records(rows, random):
    records = numbered(table([(s, {**row, "birth_date": _BORN[row["name"]], "updated_at": "2026-03-01"}) for s, row in rows]))
    order = list(range(records.height))
    random.shuffle(order)

    def homes(frame: pl.DataFrame) -> set[frozenset[int]]:
        found = engine.resolve(frame, is_fitted=False).household
        return {frozenset(g) for g in pl.DataFrame({"n": frame["occupation"], "h": found}).group_by("h").agg("n")["n"]}

    assert homes(records) == homes(records[order])


def test_a_parent_whom_ages_refute_is_kin_whoever_is_named_first():
    told = [
        ("b", "王德福", "h2", "02", "章庄铺镇枫林村2组11号"), ("b", "王子涵", "h2", "41", None), ("a", "王子萱", None, "20", "斗湖堤镇长江村3组5号"),
        ("b", "王子萱", "h2", "38", None),
    ]  # fmt: skip
    names = ("name", "household_id_local", "relation", "address")
    records = numbered(table([(s, {**dict(zip(names, row, strict=True)), "birth_date": _BORN[row[0]]}) for s, *row in told]))
    found = set()
    for order in itertools.permutations(range(len(told))):
        turned = records[list(order)]
        home = engine.resolve(turned, is_fitted=False).household
        groups_of = pl.DataFrame({"n": turned["occupation"], "h": home}).group_by("h").agg("n")["n"]
        found.add(frozenset(frozenset(g) for g in groups_of))
    assert len(found) == 1


def test_a_refused_tie_stays_refused_whatever_the_order():
    """Two pairs tie at the best weight and may not all be one; afterwards one of their groups grows."""
    lost, place = "王?军", "章庄铺镇枫林村2组11号"
    rows = [
        {"resident_id": "421022198004051011", "name": lost},
        {"name": lost, "address": place},
        {"name": lost, "birth_date": "1949-03-12", "address": place},
        {"resident_id": "421022198004051037", "name": lost, "birth_date": "1980-04-05", "address": place},
    ]
    records = numbered(table([("a", row) for row in rows]))
    found = {frozenset(groups(records[list(order)])) for order in itertools.permutations(range(len(rows)))}
    assert len(found) == 1


@pytest.mark.slow
@examples(40)
@given(_rows)
def test_names_of_sources_and_records_do_not_matter(rows):
    records = numbered(table(rows))
    other = records.with_columns(
        source=pl.col("source").replace({"a": "z", "b": "y", "c": "x"}), record_id=pl.format("{}7", pl.int_range(pl.len(), 0, -1))
    )
    assert groups(records) == groups(other)


@pytest.mark.slow
@examples(40)
@given(_rows, st.data())
def test_two_persons_by_judgement_are_two_persons(rows, data):
    records = numbered(table(rows))
    a, b = (data.draw(st.integers(0, records.height - 1)) for _ in range(2))
    if a == b:
        return
    judged = pl.DataFrame([judgement(a, b, "cannot", records)], schema=judgements.SCHEMA)
    assert not any({a, b} <= g for g in groups(records, judged))


@pytest.mark.slow
@examples(40)
@given(_rows, st.data())
def test_one_person_by_judgement_is_one_person(rows, data):
    records = numbered(table(rows))
    a, b = (data.draw(st.integers(0, records.height - 1)) for _ in range(2))
    judged = pl.DataFrame([judgement(a, b, "must", records)], schema=judgements.SCHEMA)
    assert any({a, b} <= g for g in groups(records, judged))


@pytest.mark.slow
@examples(30)
@given(_rows, st.data())
def test_a_retracted_judgement_was_never_made(rows, data):
    records = numbered(table(rows))
    a, b = (data.draw(st.integers(0, records.height - 1)) for _ in range(2))
    kind = data.draw(st.sampled_from(["must", "cannot", "unsure"]))
    judged = pl.DataFrame([{**judgement(a, b, kind, records), "retracted": True}], schema={**judgements.SCHEMA, "retracted": pl.Boolean})
    assert groups(records, judged) == groups(records)


def test_unsure_decides_nothing():
    records = numbered(table([("a", {"name": "王建军"}), ("b", {"name": "李秀英"})]))
    judged = pl.DataFrame([judgement(0, 1, "unsure", records)], schema=judgements.SCHEMA)
    assert groups(records, judged) == groups(records)


def test_judgements_that_contradict_are_told():
    records = numbered(table([("a", {"name": "王建军"}), ("b", {"name": "王建军"})]))
    judged = pl.DataFrame([judgement(0, 1, k, records) for k in ("must", "cannot")], schema=judgements.SCHEMA)
    with pytest.raises(IdentityConflict, match="1 judgement"):
        groups(records, judged)


def test_a_hundred_thousand_equal_names_finish_and_are_reported():
    n = 100_000
    records = pl.DataFrame({"source": "a", "record_id": [str(i) for i in range(n)], "name": "王伟"})
    found = engine.resolve(records)
    assert len(set(found.person.tolist())) == n
    assert sum(b.capped for b in found.blocks) >= 1
    assert sum(b.lost for b in found.blocks) > 10**9
