"""What a search asks for: a condition means what a second opinion says, and nobody is searched for whom it does not name."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import ConfigError
from hub.settings import CHECKOUT
from sharing.dci import query
from sharing.dci.codes import Rejected
from sharing.dci.mapping import mapping, parse
from sharing.dci.models import Predicate, TypedQuery
from tests.sharing.policies import birthdays

DAY = date(2026, 3, 5)
SEXES = {"1": "male", "2": "female", "0": "unknown", None: None}
TESTS = st.one_of(
    st.tuples(st.just("age"), st.sampled_from(["eq", "gt", "lt", "ge", "le"]), st.integers(0, 100)),
    st.tuples(st.just("birth_date"), st.sampled_from(["eq", "gt", "lt", "ge", "le"]), st.dates(date(1920, 1, 1), DAY).map(str)),
    st.tuples(st.just("sex"), st.just("eq"), st.sampled_from(["male", "female", "unknown"])),
    st.tuples(st.just("area_code"), st.just("in"), st.lists(st.sampled_from(["421022100", "421022101"]), min_size=1).map(",".join)),
)  # fmt: skip
TREES = st.recursive(
    TESTS.map(lambda t: {t[0]: {f"${t[1]}": t[2]}}),
    lambda inner: st.one_of(st.lists(inner, min_size=1, max_size=3).map(lambda p: {"$and": p}), st.lists(inner, min_size=1, max_size=3).map(lambda p: {"$or": p}), inner.map(lambda p: {"$not": p})),
    max_leaves=6,
)  # fmt: skip
PEOPLE = st.fixed_dictionaries(
    {"sex": st.sampled_from(list(SEXES)), "born": st.none() | st.dates(date(1920, 1, 1), DAY), "area": st.sampled_from([None, "421022100", "421022101", "110101"])}
)  # fmt: skip
COMPARE = {"$eq": "==", "$gt": ">", "$lt": "<", "$ge": ">=", "$le": "<="}


def means(tree: dict[str, Any], person: dict[str, Any]) -> bool:
    """The second opinion."""
    ((name, inner),) = tree.items()
    if name == "$and":
        return all(means(t, person) for t in inner)
    if name == "$or":
        return any(means(t, person) for t in inner)
    if name == "$not":
        return not means(inner, person)
    ((operator, value),) = inner.items()
    born = person["born"]
    if name == "sex":
        return SEXES[person["sex"]] == value
    if name == "area_code":
        return person["area"] in value.split(",")
    if born is None:
        return False
    own = birthdays(born, DAY) if name == "age" else str(born)
    return bool(eval(f"{own!r} {COMPARE[operator]} {value!r}"))


def understood(tree: Any, kind: Any = "expression") -> query.Search:
    return query.understood(kind, TypedQuery(type="t", value={"expression": {"query": tree}}), "Member")


@given(TREES, PEOPLE)
def test_a_condition_means_what_a_second_opinion_says(tree, person):
    search = understood({"$and": [{"UIN": {"$eq": "110101199003070003"}}, tree]})
    assert (search.by, search.value) == ("resident_id", "110101199003070003")
    values = {
        "person.sex": person["sex"],
        "person.birth_date": None if person["born"] is None else str(person["born"]),
        "person.area_code": person["area"],
    }
    assert all(query.holds(part, values, DAY) for part in search.narrowing) is means(tree, person)


@given(TREES)
def test_a_condition_that_names_nobody_is_not_searched_by(tree):
    with pytest.raises(Rejected) as found:
        understood(tree)
    assert found.value.code == "rjct.search.too_many_records_found"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda i: (
            st.lists(i, max_size=3)
            | st.dictionaries(st.sampled_from(["$and", "$or", "$not", "UIN", "sex", "name", "$eq", "x"]), i, max_size=3)
        ),
    )
)
def test_whatever_stands_in_a_query_is_understood_or_rejected(value):
    try:
        assert query.understood("expression", TypedQuery(type="t", value={"query": value}), None).value
    except Rejected as error:
        assert error.code.startswith("rjct.")


def test_nesting_and_length_are_bounded():
    deep: Any = {"UIN": "1234"}
    for _ in range(20):
        deep = {"$and": [deep]}
    for tree in (deep, {"$and": [{"UIN": "1234"}] * 33}):
        with pytest.raises(Rejected, match="filter"):
            understood(tree)


@pytest.mark.parametrize(
    ("condition", "second", "means"), [("and", True, [1]), ("or", True, []), ("not", True, [0]), ("not", False, []), (None, False, [1])]
)
def test_predicates_join_two_tests_and_name_somebody_only_where_all_must_hold(condition, second, means):
    uin = {"attribute_name": "UIN", "operator": "eq", "attribute_value": "1234"}
    other = {"attribute_name": "sex", "operator": "eq", "attribute_value": "male"}
    row = Predicate.model_validate({"expression1": uin, "condition": condition, **({"expression2": other} if second else {})})
    if not means and (condition == "or" or not second):
        with pytest.raises(Rejected):
            query.understood("predicate", [row], None)
        return
    search = query.understood("predicate", [row], None)
    assert (search.by, search.value) == ("resident_id", "1234")
    if second:
        assert [int(query.holds(part, {"person.sex": "1"}, DAY)) for part in search.narrowing] == means


def test_the_mapping_names_what_the_catalogue_has():
    found = mapping()
    assert set(found.search) == {"UIN", "name", "birth_date", "age", "sex", "area_code"}


@pytest.mark.parametrize(
    ("was", "made", "complaint"),
    [
        ("person.sex", "person.nonsense", "no attribute"),
        ("codes: sex}", "codes: nonsense}", "no codes"),
        ("category, codes", "person.name, codes", "no attribute"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(was, made, complaint):
    text = (CHECKOUT / "sharing" / "dci" / "mapping.yml").read_text(encoding="utf-8")
    assert was in text
    with pytest.raises(ConfigError, match=complaint):
        parse(text.replace(was, made))
