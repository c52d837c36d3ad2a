"""An explanation adds up to the weight it explains, says what would turn it, and holds no value."""

import numpy as np
import polars as pl
import pytest

from identity import engine, evidence, explain, features, model, score
from identity.explain import Circumstances, Decision

NAMES = ["王建军", "王健君", "李秀英", "陈志强", "王建军", "李秀瑛"]
ROWS = pl.DataFrame(
    {
        "source": ["a", "b", "a", "b", "c", "c"], "record_id": ["1", "1", "2", "2", "1", "2"], "name": NAMES,
        "birth_date": ["1980-04-05", "1980-04-05", "1982-01-10", "1975-10-02", "1980-04-06", "1982-01-10"],
        "sex": ["1", "1", "2", "1", "1", "2"], "phone": ["13971234567", "13971234567", "13971234567", None, None, "13971234568"],
        "address": ["斗湖堤镇长江村3组5号", "斗湖堤镇长江村3组5号", "斗湖堤镇长江村3组5号", "章庄铺镇枫林村2组11号", "斗湖堤镇长江村3组6号", None],
        "household_id_local": ["h1", "x", "h1", "y", "z", "z"],
    }
)  # fmt: skip
WEIGHTS = model.load()


@pytest.fixture(scope="module")
def scene():
    """Records of the rows, each a node of its own but the first and the fifth, which are one."""
    found = features.extract(ROWS)
    nodes = np.array([0, 1, 2, 3, 0, 4])
    return found, evidence.variants(found, nodes), score.frequencies(found, 4.0, WEIGHTS)


PAIRS = [(a, b) for a in range(5) for b in range(a + 1, 5)]


def told(scene, a, b, shared_home=None, by_sources=0.0):
    found, members, known = scene
    parts = evidence.take_apart(WEIGHTS, found, known, members, a, b, shared_home)
    return explain.weighed(WEIGHTS, parts, Circumstances(True, Decision.WEIGHED, known.persons, by_sources))


@pytest.mark.parametrize("shared_home", [None, False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_what_it_begins_with_and_its_reasons_add_up_to_the_weight(scene, pair, shared_home):
    found, members, known = scene
    home = None if shared_home is None else np.array([shared_home])
    weight = evidence.judge(WEIGHTS, found, known, members, np.array(pair[:1]), np.array(pair[1:]), home)[0]
    one = told(scene, *pair, shared_home, by_sources=1.5)
    assert one.bits == pytest.approx(weight + 1.5, abs=0.002)
    assert one.prior + sum(r.bits for r in one.reasons) == pytest.approx(one.bits, abs=0.06)


def test_a_node_is_told_by_the_records_that_agree_most(scene):
    """The first node's other record has the next day as birth date and another door: they do not speak against it."""
    levels = {r.field: r.en for r in told(scene, 0, 1).reasons}
    assert levels["birth"] == "the same birth date"
    assert levels["address"] == "the same address"


def test_what_sources_say_is_a_reason_of_its_own(scene):
    assert all({r.field: r.bits for r in told(scene, *pair, by_sources=2.0).reasons}["sources"] == 2.0 for pair in PAIRS)
    assert not any("sources" in {r.field for r in told(scene, *pair).reasons} for pair in PAIRS)


def test_two_listed_in_one_home_are_held_against_two_of_one_family(scene):
    """A shared home rules strangers out, and says nothing between one person and two of a family."""
    assert all(told(scene, *pair, shared_home=True).against == "family" for pair in PAIRS)


def test_taking_away_what_would_turn_a_link_turns_it(scene):
    one = told(scene, 0, 1)
    assert one.bits >= one.threshold
    for field in one.turning:
        lost = sum(r.bits for r in one.reasons if r.field == field)
        assert one.bits - lost < one.threshold
    spared = [r for r in one.reasons if r.field not in one.turning and r.field != "kinds"]
    assert all(one.bits - r.bits >= one.threshold for r in spared)


def test_a_pair_kept_apart_says_which_agreement_would_make_it_one(scene):
    one = told(scene, 0, 2)
    assert one.bits < one.threshold
    assert set(one.turning) <= {r.field for r in one.reasons if r.bits < 6}
    assert "其中任一相符" in one.as_text() or not one.turning


def test_the_text_names_rule_model_and_threshold_and_no_value(scene):
    found, members, known = scene
    parts = evidence.take_apart(WEIGHTS, found, known, members, 0, 1)
    text = explain.weighed(WEIGHTS, parts, Circumstances(True, Decision.SURE_LINK, known.persons, rule="id_name")).as_text()
    assert "有效证件号码与姓名相同 / the same valid number and name" in text
    assert WEIGHTS.version in text and "threshold" in text
    values = [v for c in ("name", "birth_date", "phone", "address") for v in ROWS[c].drop_nulls()]
    assert not [v for v in values if v in text]


def test_the_files_explanation_is_that_of_the_two_records():
    found = engine.resolve(ROWS)
    one = explain.explain(found, 0, 1)
    assert one.is_one and one.decision in (Decision.WEIGHED, Decision.SURE_LINK)
    assert one.prior + sum(r.bits for r in one.reasons) == pytest.approx(one.bits, abs=0.06)


def test_every_rule_and_field_that_may_be_told_has_words():
    from identity import persons
    from identity.levels import FIELDS

    assert set(persons.RULES) <= set(explain.RULES)
    assert set(FIELDS) <= set(explain._NAMES)
