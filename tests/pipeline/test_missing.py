"""When a night goes without a delivery that was due."""

from datetime import date, datetime
from pathlib import Path

import pytest

from hub.dates import CHINA
from hub.settings import Settings
from pipeline.tickets import is_missing
from schemas.contract import load_contract
from warehouse.ledger import Intake

DAY = date(2026, 3, 2)
BEFORE, AFTER = datetime(2026, 3, 2, 4, 59, tzinfo=CHINA), datetime(2026, 3, 2, 5, 0, tzinfo=CHINA)


@pytest.mark.parametrize(
    ("stem", "state", "clock", "now", "missing"),
    [
        ("health", "failed", "sandbox", BEFORE, True),
        ("health", "failed", "wall", BEFORE, True),
        ("health", "pending", "wall", BEFORE, False),  # it may still come
        ("health", "pending", "wall", AFTER, True),
        ("health", "parsed", "wall", AFTER, True),
        ("health", "pending", "sandbox", AFTER, False),
        ("health", "accepted", "wall", AFTER, False),
        ("health", "held", "wall", AFTER, False),  # it came: its ticket says why it is held
        ("health", "not_due", "wall", AFTER, False),
        ("disability", "pending", "wall", AFTER, False),  # due on the first of a month
    ],
)
def test_a_delivery_is_missing(stem: str, state: str, clock: str, now: datetime, missing: bool, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, business_clock=clock)  # type: ignore[call-arg, arg-type]
    assert is_missing(load_contract(stem), Intake(DAY, stem, state), settings, now) is missing
