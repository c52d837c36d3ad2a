"""Why two records are one person, or are not: every field's agreement in words with its weight, what decided, and what would turn it.

No value of a record is told, only how values agree.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from identity.compare import compare
from identity.engine import Found
from identity.levels import FIELDS, LEVELS
from identity.score import odds, weigh

_NAMES = {
    "number": ("证件号码", "number"), "surname": ("姓", "family name"), "given": ("名", "given name"), "birth": ("生日", "birth date"),
    "sex": ("性别", "sex"), "phone": ("电话", "telephone"), "address": ("地址", "address"), "guardian": ("监护人", "guardian"),
    "area_code": ("区划", "area"), "postcode": ("邮编", "postcode"), "occupation": ("职业", "occupation"), "birth_place": ("出生地", "birth place"),
    "home": ("户内位置", "place in households"),
}  # fmt: skip


class Decision(StrEnum):
    """What decided about a pair of records."""

    JUDGEMENT = "judgement"
    """A person said so."""
    SURE_LINK = "sure link"
    """They agree beyond what needs weighing: a valid number with the name, or name, birth date and telephone or door."""
    WEIGHED = "weighed"
    """Their own agreement is enough, or not enough."""
    OTHERS = "by other records"
    """Other records of the person, or persons around, turned it."""


_DECISIONS = {
    Decision.JUDGEMENT: "人工裁定", Decision.SURE_LINK: "确定匹配", Decision.WEIGHED: "加权评分", Decision.OTHERS: "由其他记录或同住人决定",
}  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """One field of a pair.

    Attributes:
        field: its name.
        zh, en: how the two agree, in words.
        bits: weight in favour of one person; against if negative.
    """

    field: str
    zh: str
    en: str
    bits: float

    @property
    def label(self) -> str:
        """The field in both languages."""
        return " ".join(_NAMES[self.field])


@dataclass(frozen=True)
class Explanation:
    """Why a pair was decided as it was.

    Attributes:
        is_one: whether the two are one person.
        decision: what decided.
        reasons: fields that speak, strongest first.
        against: which kind of two persons was the likelier: ``stranger`` or ``family``.
        prior: log2 odds before anything is looked at.
        bits: log2 odds after; the pair alone.
        threshold: from where a pair is a link.
        turning: fields any one of which alone would turn the pair's own weight.
        version: of the model.
    """

    is_one: bool
    decision: Decision
    reasons: tuple[Reason, ...]
    against: str
    prior: float
    bits: float
    threshold: float
    turning: tuple[str, ...]
    version: str

    def as_text(self) -> str:
        """A waterfall of weights, Chinese first."""
        head = "同一人 one person" if self.is_one else "不是同一人 two persons"
        lines = [f"{head} · {_DECISIONS[self.decision]} {self.decision.value} · 模型 model {self.version}"]
        whom = "陌生人 strangers" if self.against == "stranger" else "同一家庭的两人 two of one family"
        lines.append(f"  {'起点 before':<24}{self.prior:>+7.1f}  对照 against: {whom}")
        for r in self.reasons:
            bar = ("█" if r.bits >= 0 else "░") * min(int(round(abs(r.bits))), 30)
            lines.append(f"  {r.label:<24}{r.bits:>+7.1f}  {bar} {r.zh} / {r.en}")
        lines.append(f"  {'合计 together':<24}{self.bits:>+7.1f}  门槛 threshold {self.threshold:+.1f} (log2 of the odds)")
        if self.turning:
            names = "、".join(_NAMES[f][0] for f in self.turning) + " / " + ", ".join(_NAMES[f][1] for f in self.turning)
            said = (
                "其中任一不再相符，即不足以认定 if any one of these agreed no more"
                if self.bits >= self.threshold
                else "其中任一相符，即可认定 if any one of these agreed"
            )
            lines.append(f"  {said}: {names}")
        return "\n".join(lines)


def explain(found: Found, a: int, b: int) -> Explanation:
    """Explain a pair of records.

    Args:
        found: what the engine decided.
        a, b: row numbers of the two records.
    """
    one, other = np.array([a]), np.array([b])
    levels = compare(found.features, one, other)
    weighed = weigh(found.weights, found.features, found.known, levels, one)
    sums = [sum(float(w[0]) for w in table.values()) for table in (weighed.against_stranger, weighed.against_family)]
    priors = [-float(np.log2(max(found.known.persons, 2.0))), -float(np.log2(found.weights.family_odds))]
    against = "stranger" if priors[0] + sums[0] <= priors[1] + sums[1] else "family"
    table = weighed.against_stranger if against == "stranger" else weighed.against_family
    doubt = float(weighed.by_name_alone[0])
    bits = float(odds(found.weights, found.known, np.array([sums[0]], np.float32), np.array([sums[1]], np.float32))[0]) + doubt
    reasons = [
        Reason(f, LEVELS[f][int(levels[f][0])].zh, LEVELS[f][int(levels[f][0])].en, float(table[f][0])) for f in FIELDS if levels[f][0]
    ]
    if doubt:
        reasons.append(Reason("given", "仅凭姓名不足为据", "a name alone is nobody's", doubt))
    reasons.sort(key=lambda r: (-abs(r.bits), r.field))
    is_one = bool(found.person[a] == found.person[b])
    margin = bits - found.weights.threshold_bits
    if margin >= 0:
        turning = tuple(r.field for r in reasons if r.bits > margin)
    else:
        best = {
            r.field: float(np.log2(found.weights.same[r.field][1] / found.weights.stranger[r.field][1]))
            for r in reasons
            if r.field != "home"
        }
        turning = tuple(r.field for r in reasons if r.field in best and best[r.field] - r.bits > -margin)
    return Explanation(
        is_one, _decision(found, a, b, is_one=is_one, is_link=margin >= 0), tuple(reasons), against,
        priors[0] if against == "stranger" else priors[1], bits, found.weights.threshold_bits, turning, found.weights.version,
    )  # fmt: skip


def _decision(found: Found, a: int, b: int, *, is_one: bool, is_link: bool) -> Decision:
    for left, right in (found.judged.must, found.judged.cannot):
        if (((left == a) & (right == b)) | ((left == b) & (right == a))).any():
            return Decision.JUDGEMENT
    if found.nodes[a] == found.nodes[b]:
        return Decision.SURE_LINK
    return Decision.WEIGHED if is_one == is_link else Decision.OTHERS
