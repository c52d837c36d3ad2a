"""Why two records are one person, or are not: every field's agreement in words with its weight, what decided, and what would turn it.

No value of a record is told, only how values agree.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from rich.cells import set_cell_size

from identity.engine import Found
from identity.evidence import Members, Parts, take_apart
from identity.levels import FIELDS, LEVELS
from identity.model import Model

_LABEL = 28  # columns of a terminal; a Chinese character takes two
_LEAST = 0.05  # bits too few to be told
_FIELDS_OF_RECORDS = frozenset(FIELDS) - {"home"}

_NAMES = {
    "number": ("证件号码", "number"), "surname": ("姓", "family name"), "given": ("名", "given name"), "birth": ("生日", "birth date"),
    "sex": ("性别", "sex"), "phone": ("电话", "telephone"), "address": ("地址", "address"), "guardian": ("监护人", "guardian"),
    "area_code": ("区划", "area"), "postcode": ("邮编", "postcode"), "occupation": ("职业", "occupation"), "birth_place": ("出生地", "birth place"),
    "home": ("户内位置", "place in households"), "sources": ("来源", "sources"), "kinds": ("两类对照", "either kind"),
}  # fmt: skip


class Decision(StrEnum):
    """What decided about a pair of records."""

    JUDGEMENT = "judgement"
    """A person said so."""
    SURE_LINK = "sure link"
    """They agree beyond what needs weighing: a valid number with the name, or name, birth date and telephone or door."""
    WEIGHED = "weighed"
    """Their own agreement is enough, or not enough."""
    TWO_NUMBERS = "two numbers"
    """Each has a valid number of its own, and what else agrees is not beyond doubt."""
    OTHERS = "by other records"
    """Other records of the person, or persons around, turned it."""


_DECISIONS = {
    Decision.JUDGEMENT: "人工裁定", Decision.SURE_LINK: "确定匹配", Decision.WEIGHED: "加权评分",
    Decision.TWO_NUMBERS: "各有有效号码", Decision.OTHERS: "由其他记录或同住人决定",
}  # fmt: skip


# Rules of sure links, as :mod:`identity.persons` names them.
RULES = {
    "judged": ("人工裁定", "people said so"),
    "id_name": ("有效证件号码与姓名相同", "the same valid number and name"),
    "id_birth": ("有效证件号码相同且与生日相符", "the same valid number, borne out by the birth date"),
    "name_birth_phone": ("姓名、生日、电话相同", "the same name, birth date and telephone"),
    "name_birth_address": ("姓名、生日、地址相同", "the same name, birth date and address"),
    "weighed": ("加权评分", "weighed"),
    "single": ("无其他记录", "no other record"),
}


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
        rule: the sure link that ties the two, a key of :data:`RULES`; None = they were weighed.
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
    rule: str | None = None

    @property
    def verdict(self) -> str:
        """What was decided and what decided it, Chinese first."""
        head = "同一人 one person" if self.is_one else "不是同一人 two persons"
        decided = f"{head} · {_DECISIONS[self.decision]} {self.decision.value}"
        return decided if self.rule is None else f"{decided}: {RULES[self.rule][0]} / {RULES[self.rule][1]}"

    @property
    def kind(self) -> str:
        """Against which kind of two persons they were weighed, Chinese first."""
        return "陌生人 strangers" if self.against == "stranger" else "同一家庭的两人 two of one family"

    @property
    def opposite(self) -> str:
        """What alone would turn the pair's own weight, Chinese first; empty if no one field would."""
        if not self.turning:
            return ""
        names = "、".join(_NAMES[f][0] for f in self.turning) + " / " + ", ".join(_NAMES[f][1] for f in self.turning)
        if self.bits >= self.threshold:
            return f"其中任一不再相符，即不足以认定 if any one of these agreed no more: {names}"
        return f"其中任一相符，即可认定 if any one of these agreed: {names}"

    def as_text(self) -> str:
        """A waterfall of weights, Chinese first."""
        lines = [f"{self.verdict} · 模型 model {self.version}"]
        lines.append(f"  {set_cell_size('起点 before', _LABEL)}{self.prior:>+7.1f}  对照 against: {self.kind}")
        for r in self.reasons:
            bar = ("█" if r.bits >= 0 else "░") * min(int(round(abs(r.bits))), 30)
            lines.append(f"  {set_cell_size(r.label, _LABEL)}{r.bits:>+7.1f}  {bar} {r.zh} / {r.en}")
        lines.append(
            f"  {set_cell_size('合计 together', _LABEL)}{self.bits:>+7.1f}  门槛 threshold {self.threshold:+.1f} (log2 of the odds)"
        )
        if self.opposite:
            lines.append(f"  {self.opposite}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Circumstances:
    """What is known of a pair beside its fields.

    Attributes:
        is_one: whether the two are one person.
        decision: what decided.
        persons: among about how many persons they are compared.
        by_sources: bits from which sources hold the two.
        rule: the sure link that ties them; None = there is none.
    """

    is_one: bool
    decision: Decision
    persons: float
    by_sources: float = 0.0
    rule: str | None = None


def weighed(model: Model, parts: Parts, around: Circumstances) -> Explanation:
    """Explain the weight of a pair; what it begins with and its reasons add up to its bits.

    Args:
        model: what it was weighed by.
        parts: what the weight is made of (:func:`identity.evidence.take_apart`).
        around: what else is known.
    """
    priors = -float(np.log2(max(around.persons, 2.0))), -float(np.log2(model.family_odds))
    sums = (
        sum(parts.against_stranger.values()) + parts.shared_home, sum(parts.against_family.values()) + parts.shared_home_family
    )  # fmt: skip
    is_stranger = priors[0] + sums[0] <= priors[1] + sums[1]
    table, home = (parts.against_stranger, parts.shared_home) if is_stranger else (parts.against_family, parts.shared_home_family)
    prior = priors[0] if is_stranger else priors[1]
    reasons = [Reason(f, LEVELS[f][n].zh, LEVELS[f][n].en, table[f]) for f, n in parts.levels.items() if n]
    if parts.doubt:
        reasons.append(Reason("given", "仅凭姓名不足为据", "a name alone is nobody's", parts.doubt))
    if home:
        reasons.append(Reason("home", LEVELS["home"][1].zh, LEVELS["home"][1].en, home))
    if around.by_sources:
        reasons.append(Reason("sources", "各有对方所缺的来源", "each is held by sources that lack the other", around.by_sources))
    bits = parts.bits + around.by_sources
    # Two persons of the other kind are possible as well: that takes off a bit at most.
    rest = bits - prior - sum(r.bits for r in reasons)
    if abs(rest) >= _LEAST:
        reasons.append(Reason("kinds", "另一类两人也有可能", "two persons of the other kind are possible as well", rest))
    reasons.sort(key=lambda r: (-abs(r.bits), r.field))
    return Explanation(
        around.is_one, around.decision, tuple(reasons), "stranger" if is_stranger else "family", prior, bits, model.threshold_bits,
        _turning(model, reasons, bits - model.threshold_bits), model.version, around.rule,
    )  # fmt: skip


def _turning(model: Model, reasons: list[Reason], margin: float) -> tuple[str, ...]:
    """Fields any one of which would turn the decision: by agreeing no more, or by agreeing fully."""
    if margin >= 0:
        return tuple(dict.fromkeys(r.field for r in reasons if r.field != "kinds" and r.bits > margin))
    best = {r.field: float(np.log2(model.same[r.field][1] / model.stranger[r.field][1])) for r in reasons if r.field in _FIELDS_OF_RECORDS}
    return tuple(dict.fromkeys(r.field for r in reasons if r.field in best and best[r.field] - r.bits > -margin))


def explain(found: Found, a: int, b: int) -> Explanation:
    """Explain a pair of records.

    Args:
        found: what the engine decided.
        a, b: row numbers of the two records.
    """
    each = Members(np.array([a, b]), np.array([0, 1, 2]))
    parts = take_apart(found.weights, found.features, found.known, each, 0, 1)
    is_one = bool(found.person[a] == found.person[b])
    decision = _decision(found, a, b, is_one=is_one, is_link=parts.bits >= found.weights.threshold_bits)
    return weighed(found.weights, parts, Circumstances(is_one, decision, found.known.persons))


def _decision(found: Found, a: int, b: int, *, is_one: bool, is_link: bool) -> Decision:
    for left, right in (found.judged.must, found.judged.cannot):
        if (((left == a) & (right == b)) | ((left == b) & (right == a))).any():
            return Decision.JUDGEMENT
    if found.nodes[a] == found.nodes[b]:
        return Decision.SURE_LINK
    return Decision.WEIGHED if is_one == is_link else Decision.OTHERS
