"""What was told in the words of DCI is recalled like anything else that turned out otherwise."""

from typing import Any

import pytest

from pipeline import review
from sharing import recall
from tests.conftest import Hub
from tests.sharing.conftest import Pool
from tests.sharing.senders import by_id, register
from tests.sharing.test_answers import REVIEW
from tests.sharing.test_recall import _STRANGERS, looked_back, person_of, recalls_of, served

pytestmark = pytest.mark.slow
__all__ = ["served"]


def receipt_of(record: dict[str, Any]) -> str:
    (found,) = [a["value"] for a in record["additional_attributes"] if a["name"] == "receipt_id"]
    return str(found)


def test_a_record_that_mixed_two_persons_is_recalled_by_the_receipt_that_stands_in_it(borrowed: Hub, served: Pool) -> None:
    hub, pool = borrowed, served
    one, other = next((r.one, r.other) for r in pool.rows(_STRANGERS) if not review.is_in_sample(hub.settings, r.one, r.other))
    apart = person_of(pool, one)
    judged = review.judge(hub.settings, one, other, "must", reviewer="reviewer one", reason="the same file number")
    hub.night(5)
    sender = register(pool, pool.asker("dci-desk", "civil_affairs"), "dci.example", purpose=REVIEW)
    ((record,),) = sender.records(by_id("HUB_PERSON_ID", apart, consent={"@id": "SQ-2026-0001"}))
    assert record["is_disabled"] is True and record["disability_info"][0]["disability_level"] in ("1", "2")
    assert recall.scan(pool.settings) == 0

    review.retract(hub.settings, judged.judgement_id, reviewer="reviewer one", reason="two persons share it")
    hub.night(5)
    looked_back(pool)
    (mine,) = [r for r in recalls_of(sender.asker) if r["receipt_id"] == receipt_of(record)]
    assert {"disability.grade", "?certificate_valid"} <= set(mine["changed"]) and mine["cause"] == "parted"
    now = [sender.records(by_id("HUB_PERSON_ID", p, consent={"@id": "SQ-2026-0001"}))[0] for p in mine["persons"]]
    assert sorted(r.get("is_disabled") for (r,) in now) == [False, True]
