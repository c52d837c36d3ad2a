"""How many keys a full delivery may withdraw: what the contract lets go, or what is usual for the source."""

import pytest

from expectations.gate import _withdrawals
from expectations.turnover import Group, Kind, code, judged, restored
from schemas.contract import Volume

VOLUME = Volume(0.7, 1.5, 14, maximum_withdrawn=0.1, maximum_withdrawn_local=0.3)


def reported(**absent: int) -> list[dict[str, object]]:
    """The groups of a recent delivery: of 1 000 keys, and 100 of each part."""
    return [{"kind": k, "name": None if k == "all" else "5", "held": 1000 if k == "all" else 100, "absent": n} for k, n in absent.items()]


@pytest.mark.parametrize(
    ("kind", "held", "absent", "recent", "is_beyond"),
    [
        (Kind.ALL, 1000, 100, [], False),
        (Kind.ALL, 1000, 101, [], True),
        (Kind.RANGE, 100, 30, [], False),
        (Kind.RANGE, 100, 31, [], True),
        (Kind.TOWNSHIP, 9, 9, [], False),  # so few say nothing
        (Kind.TOWNSHIP, 10, 10, [], True),
        # three times what is usual
        (Kind.ALL, 1000, 290, [reported(all=100)] * 3, False),
        (Kind.ALL, 1000, 310, [reported(all=100)] * 3, True),
        (Kind.RANGE, 100, 59, [reported(range=20), reported(range=20), []], False),
        (Kind.RANGE, 100, 61, [reported(range=20), reported(range=20), []], True),
        # once is not usual
        (Kind.RANGE, 100, 61, [reported(range=90), [], []], True),
        # and all of it never is
        (Kind.TOWNSHIP, 100, 100, [reported(township=80)] * 3, True),
    ],
)
def test_a_group_may_lose_what_the_contract_or_recent_nights_allow(
    kind: Kind, held: int, absent: int, recent: list[list[dict[str, object]]], is_beyond: bool
) -> None:
    (group,) = judged([(kind, None if kind is Kind.ALL else "5", held, absent)], recent, VOLUME)
    assert group.is_beyond is is_beyond


def test_each_kind_of_group_that_is_beyond_is_a_reason_of_its_own() -> None:
    groups = judged(
        [("all", None, 1000, 60), ("township", "421022103", 100, 50), ("township", None, 20, 1), ("range", "7", 62, 10)], [], VOLUME
    )
    results = {r.rule_id: r for r in _withdrawals(groups)}
    assert {name for name, r in results.items() if not r.passed} == {"withdrawals_township"}
    assert "50 / 100" in results["withdrawals_township"].told and results["withdrawals_township"].severity == "critical"


def test_a_code_confirms_these_very_figures_of_this_delivery() -> None:
    groups = judged([("all", None, 1000, 600)], [], VOLUME)
    assert restored([vars(g) for g in groups]) == groups
    others = [Group(Kind.ALL, None, 1000, 601, 0.1)]
    assert len({code("a", groups), code("b", groups), code("a", others)}) == 3 and code("a", groups) == code(
        "a", restored([vars(g) for g in groups])
    )
