"""A waterfall's bars hang together: each begins where the one before it ended, and the last reaches from even odds to the whole."""

import pytest

from identity.explain import Decision, Explanation, Reason
from identity.waterfall import lay_out

ONE = Explanation(
    True, Decision.WEIGHED, (Reason("birth", "出生日期相同", "the same birth date", 13.0), Reason("phone", "电话不同", "different telephones", -3.5)),
    "stranger", -12.0, -2.5, 2.5, (), "residents-1",
)  # fmt: skip


def test_every_bar_begins_where_the_one_before_it_ended():
    chart = lay_out(ONE)
    ends = [(b.left, b.left + b.width) if b.bits >= 0 else (b.left + b.width, b.left) for b in chart.bars]
    assert ends[0][0] == pytest.approx(chart.even, abs=0.05)
    for (_, end), (begin, _) in zip(ends[:-2], ends[1:-1], strict=True):
        assert begin == pytest.approx(end, abs=0.05)
    assert ends[-1] == pytest.approx((chart.even, ends[-2][1]), abs=0.05)
    assert chart.bars[-1].after == ONE.bits


def test_everything_lies_on_the_scale():
    chart = lay_out(ONE)
    places = [
        chart.threshold,
        chart.even,
        *(p for _, p in chart.marks),
        *(b.left for b in chart.bars),
        *(b.left + b.width for b in chart.bars),
    ]
    assert all(0 <= p <= 100 for p in places)
    assert 3 <= len(chart.marks) <= 8


def test_a_weight_of_nothing_is_drawn_as_well():
    chart = lay_out(Explanation(False, Decision.WEIGHED, (), "family", 0.0, 0.0, 0.0, (), "m"))
    assert [b.width for b in chart.bars] == [0.0, 0.0]
