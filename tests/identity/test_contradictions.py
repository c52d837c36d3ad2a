"""Judgements that cannot all be true are found, with the shortest chain that shows it."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from identity import contradictions
from tests.examples import examples


def judged(must=(), cannot=()):
    rows = [(*sorted(p), "must") for p in must] + [(*sorted(p), "cannot") for p in cannot]
    return pl.DataFrame(rows, schema={"record_a": pl.String, "record_b": pl.String, "judgement": pl.String}, orient="row")


def test_a_pair_judged_both_ways_is_one():
    found = contradictions.find(judged(must=["ab"], cannot=["ab"]))
    assert found == contradictions.Contradiction(("a", "b"), (("a", "b"),))


def test_a_chain_of_musts_against_a_cannot_is_one_and_the_shortest_is_told():
    found = contradictions.find(judged(must=["ab", "bc", "cd", "de", "ae"], cannot=["ad"]))
    assert found is not None
    assert (found.cannot, found.chain) == (("a", "d"), (("a", "e"), ("d", "e")))


def test_cannots_alone_and_musts_alone_never_contradict():
    assert contradictions.find(judged(cannot=["ab", "bc", "ac"])) is None
    assert contradictions.find(judged(must=["ab", "bc", "ac"])) is None
    assert contradictions.find(judged()) is None


_PAIRS = st.lists(st.sets(st.sampled_from("abcdef"), min_size=2, max_size=2).map(sorted), max_size=8)


@examples(100)
@given(_PAIRS, _PAIRS)
def test_it_is_found_exactly_where_a_cannot_lies_within_a_group_of_musts(must, cannot):
    groups = [{c} for c in "abcdef"]
    for a, b in must:
        one, other = (next(g for g in groups if x in g) for x in (a, b))
        if one is not other:
            groups.remove(other)
            one |= other
    is_torn = any({a, b} <= g for a, b in cannot for g in groups)
    assert (contradictions.find(judged(must, cannot)) is not None) == is_torn
