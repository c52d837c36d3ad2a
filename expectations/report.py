"""The gate's report on a delivery: rules and counts, zh and en, without a person's value."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

from expectations import turnover
from schemas.contract import Contract

if TYPE_CHECKING:  # they load Great Expectations, which a page does not need
    from expectations.gate import Verdict
    from expectations.rules import Circumstances

_PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=select_autoescape())


def as_dict(contract: Contract, delivery_id: str, now: "Circumstances", verdict: "Verdict") -> dict[str, Any]:
    """The report as it is stored."""
    return {
        "stem": contract.stem,
        "agency_zh": contract.agency_zh,
        "agency_en": contract.agency_en,
        "delivery_id": delivery_id,
        "business_date": str(now.business_date),
        "as_of_date": str(now.as_of_date),
        "scope": str(now.scope),
        "state": verdict.state,
        "contract_version": contract.version,
        "results": [asdict(r) for r in verdict.results],
        "withdrawals": [asdict(g) for g in now.withdrawals],
    }


def as_html(report: dict[str, Any], books: dict[str, int | None]) -> str:
    """The report as one page that needs nothing else.

    Args:
        report: from :func:`as_dict`.
        books: the delivery's row counts by column of the books.
    """
    beyond = [group for group in turnover.restored(report.get("withdrawals", ())) if group.is_beyond]
    return _PAGES.get_template("report.html").render(report=report, books=books, beyond=beyond, ranges=turnover.RANGES)
