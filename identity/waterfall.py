"""A weight as a waterfall: where each reason's bar begins and ends on one common scale. Layout only; whoever draws it brings the ink."""

from dataclasses import dataclass

from identity.explain import Explanation

# Steps of the scale, in bits; the first that gives no more marks than fit on a phone.
_STEPS, _MOST_MARKS = (2, 5, 10, 20, 50), 7


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: the field in both languages.
        zh, en: how the two agree.
        bits: weight; the bar's length.
        left, width: place on the scale, in per cent of its width.
        after: log2 odds with this reason counted.
    """

    label: str
    zh: str
    en: str
    bits: float
    left: float
    width: float
    after: float


@dataclass(frozen=True)
class Waterfall:
    """A whole chart, all places in per cent of the scale's width.

    Attributes:
        bars: from where it begins, over each reason, to the whole.
        threshold: place of the threshold.
        even: place of even odds.
        marks: bits and places of the scale's marks.
    """

    bars: tuple[Bar, ...]
    threshold: float
    even: float
    marks: tuple[tuple[int, float], ...]


def lay_out(one: Explanation) -> Waterfall:
    """The chart of an explanation."""
    steps, at = [("起点 before", one.kind.split(" ", 1)[0], one.kind.split(" ", 1)[1], one.prior, 0.0)], one.prior
    for r in one.reasons:
        steps.append((r.label, r.zh, r.en, r.bits, at))
        at += r.bits
    steps.append(("合计 together", "", "", one.bits, 0.0))
    ends = [0.0, one.threshold, *(start for *_, start in steps), *(start + bits for *_, bits, start in steps)]
    low, high = min(ends), max(ends)
    margin = 0.02 * (high - low or 1.0)
    low, high = low - margin, high + margin

    def place(bits: float) -> float:
        return round(100.0 * (bits - low) / (high - low), 2)

    bars = tuple(
        Bar(label, zh, en, bits, place(min(start, start + bits)), round(100.0 * abs(bits) / (high - low), 2), start + bits)
        for label, zh, en, bits, start in steps
    )
    step = next((s for s in _STEPS if (high - low) / s <= _MOST_MARKS), _STEPS[-1])
    marks = tuple((n, place(n)) for n in range(int(low // step) * step, int(high) + 1, step) if n >= low)
    return Waterfall(bars, place(one.threshold), place(0.0), marks)
