"""The gate's report: it says which rule failed how often, and never a person's value."""

import json
from dataclasses import replace

import pytest

from expectations.report import as_dict, as_html
from expectations.rules import Circumstances
from expectations.turnover import Group, Kind
from tests import pages
from tests.expectations.conftest import NIGHT, STEMS, Desk, recorded

pytestmark = pytest.mark.slow
BOOKS = {"delivered": 24, "rejected": 1, "quarantined": 3, "unchanged": 0, "inserted": 20, "updated": None}


@pytest.mark.parametrize("stem", STEMS)
def test_no_person_is_in_a_report(desk: Desk, stem: str) -> None:
    delivery = recorded(stem)
    verdict = desk.judge(delivery.contract, delivery.raw)
    report = as_dict(delivery.contract, "00000000-0000-0000-0000-000000000000", Circumstances(NIGHT, NIGHT, "full"), verdict)
    told = json.dumps(report, ensure_ascii=False) + as_html(report, BOOKS)
    personal = [f.physical_name for f in delivery.contract.fields if f.classification in ("personal", "sensitive") and f.code_set is None]
    values = {str(v) for column in personal for v in delivery.raw[column].to_list() if v is not None and len(str(v)) >= 4}
    values -= {str(NIGHT), str(NIGHT.year)}
    assert values
    assert [v for v in values if v in told] == []
    assert pages.faults(as_html(report, BOOKS)) == [], "the page needs nothing from elsewhere"


def test_a_held_report_says_so_first_and_escapes_what_it_shows(desk: Desk) -> None:
    delivery = recorded(STEMS[0])
    verdict = desk.judge(delivery.contract, delivery.raw, missing_areas=2)
    hostile = replace(verdict.results[0], title_zh="<script>", passed=False)
    lost = (Group(Kind.RANGE, "7", 120, 100, 0.3), Group(Kind.TOWNSHIP, "421022103", 120, 3, 0.3))
    now = Circumstances(NIGHT, NIGHT, "full", withdrawals=lost)
    report = as_dict(delivery.contract, "0", now, replace(verdict, results=(hostile, *verdict.results[1:])))
    page = as_html(report, BOOKS)
    assert report["state"] == "held" and pages.faults(page) == []
    assert page.index("已扣留") < page.index("<table")
    assert "<script>" not in page
    assert "townships_complete" in page
    assert "range of keys 7/16" in page and "421022103" not in page, "only where more would be withdrawn than may be"
