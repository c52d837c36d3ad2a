"""A month of one agency on one page: timely, complete, valid, consistent, and how long corrections take.

The dimensions are named as in GB/T 36344-2018 (数据质量评价指标: 时效性, 完整性, 规范性, 一致性), each a share of what conforms in what was
looked at, as that standard measures; what is looked at is the project's own and is said on the page (:data:`DEFINITIONS`).
"""

import calendar
import io
import re
import statistics
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from jinja2 import Environment, FileSystemLoader, select_autoescape

from hub.errors import ConfigError
from hub.settings import Settings
from hub.working_days import working_days
from pipeline import disputes, parsing, tickets, writers
from pipeline.disputes import Dispute
from pipeline.tickets import Ticket
from schemas.contract import Contract, load_contract
from warehouse import database, ledger, scores
from warehouse.scores import NightCounts

_PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=select_autoescape())


class NoNight(ConfigError):
    """A source had no published night in a month."""


# Dimension → name in Chinese and English, what is counted.
DEFINITIONS = {
    "timeliness": ("及时性（时效性）", "Timeliness", "应交付的夜次中，首次发布时已有合格交付的比例",
                   "of the nights a delivery was due, those first published with a good one"),
    "completeness": ("完整性", "Completeness", "约定必填或须知的值中，非空的比例", "of the values that are required or must mostly be known, those present"),
    "validity": ("规范性", "Validity", "交付的行中，各值类型、代码、格式、范围均符合约定的比例",
                 "of the rows delivered, those whose every value has the agreed type, code, form and range"),
    "consistency": ("一致性", "Consistency", "跨字段规则与主键唯一性的检查中，相符的比例",
                    "of the checks across fields and of unique keys, those that agree"),
}  # fmt: skip


@dataclass(frozen=True)
class Share:
    """So many of so many; ``value`` is None where there was nothing to look at."""

    good: int
    of: int

    @property
    def value(self) -> float | None:
        """From 0 to 1."""
        return self.good / self.of if self.of else None

    @property
    def told(self) -> str:
        """Per cent, rounded down: what is not all is never told as 100 %."""
        return "—" if self.value is None else f"{int(self.value * 10_000) / 100:.2f}%"


@dataclass(frozen=True)
class Corrections:
    """Tickets of a month; times in working days.

    Attributes:
        opened: tickets opened in the month.
        closed: tickets closed in it, by proof.
        in_time: of those, not after their due date.
        median_days: from opening to closing of those; None where none was closed.
        open: not closed at the month's end, or today.
        overdue: of those, past their due date by then.
        escalated: of those, escalated by then.
    """

    opened: int
    closed: int
    in_time: int
    median_days: float | None
    open: int
    overdue: int
    escalated: int


@dataclass(frozen=True)
class Disputed:
    """Values of an agency that somebody said were wrong, in a month.

    Attributes:
        opened: in the month.
        answered: ended in it, by a delivery or by a refusal with its reason.
        in_time: of those, not after their due date.
        open: not ended at the month's end, or today.
        overdue: of those, past their due date by then.
    """

    opened: int
    answered: int
    in_time: int
    open: int
    overdue: int


@dataclass(frozen=True)
class Scorecard:
    """A month of one agency.

    Attributes:
        month: its first day.
        until: the day by which it is told: the month's end, or today.
        shares: dimension → share.
        before: the same of the month before; empty where it had no night.
        nights: each night of the month that was published, oldest first.
        tickets: those that were open at any time of the month.
    """

    stem: str
    agency_zh: str
    agency_en: str
    month: date
    until: date
    shares: dict[str, Share]
    before: dict[str, Share]
    nights: list[NightCounts]
    corrections: Corrections
    disputes: Disputed
    tickets: list[Ticket]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        told = asdict(self)
        for name in ("shares", "before"):
            told[name] = {k: {**asdict(s), "value": s.value} for k, s in getattr(self, name).items()}
        for night in told["nights"]:
            del night["verdict"]
        return told


def parse_month(text: str) -> date:
    """The first day of a month from a flag.

    Raises:
        ConfigError: not a month.
    """
    if re.fullmatch(r"\d{4}-\d{2}", text):
        try:
            return date.fromisoformat(f"{text}-01")
        except ValueError:
            pass
    raise ConfigError(f"{text!r} is not a month", where="--month", next_step="write it as 2026-03")


def _shares(connection: sa.Connection, contract: Contract, nights: list[NightCounts]) -> dict[str, Share]:
    due = [n for n in nights if n.state != "not_due"]
    good = [n for n in nights if n.delivery_id and n.delivered is not None]
    results = [r for n in good for r in n.verdict if r.get("evaluated") and r.get("unexpected") is not None]
    deliveries, delivered = [str(n.delivery_id) for n in good], sum(n.delivered or 0 for n in good)
    counted = {}
    for dimension in ("completeness", "consistency"):
        of = [r for r in results if r.get("dimension") == dimension]
        looked_at, wrong = sum(r["evaluated"] for r in of), sum(r["unexpected"] for r in of)
        if dimension == "completeness":  # rows without a key are refused before the gate sees them
            looked_at, wrong = looked_at + delivered, wrong + scores.rows_breaking(connection, deliveries, ["key_missing"])
        counted[dimension] = Share(looked_at - wrong, looked_at)
    rules = sorted({r["rule_id"] for r in results if r.get("dimension") == "validity"} | set(parsing.VALUE_RULES))
    return {
        "timeliness": Share(sum(not n.was_late and n.state == "merged" for n in due), len(due)),
        "completeness": counted["completeness"],
        "validity": Share(delivered - scores.rows_breaking(connection, deliveries, rules), delivered),
        "consistency": counted["consistency"],
    }


def _corrections(settings: Settings, found: list[Ticket], first: date, until: date) -> Corrections:
    closed = [t for t in found if t.closed_date and first <= t.closed_date <= until]
    days = [working_days(settings).between(t.opened_date, t.closed_date) for t in closed if t.closed_date]
    still = [t for t in found if t.opened_date <= until and (t.closed_date is None or t.closed_date > until)]
    return Corrections(
        sum(first <= t.opened_date <= until for t in found), len(closed), sum(t.closed_date <= t.due_date for t in closed if t.closed_date),
        statistics.median(days) if days else None, len(still), sum(t.due_date < until for t in still),
        sum(t.escalated_date is not None for t in still),
    )  # fmt: skip


def _disputed(found: list[Dispute], first: date, until: date) -> Disputed:
    def ended(one: Dispute) -> date:
        return one.ended_date or date.max

    answered = [d for d in found if d.outcome in ("answered", "refused") and first <= ended(d) <= until]
    still = [d for d in found if d.opened_date <= until < ended(d)]
    return Disputed(
        sum(first <= d.opened_date <= until for d in found), len(answered), sum(ended(d) <= d.due_date for d in answered), len(still),
        sum(d.due_date < until for d in still),
    )  # fmt: skip


def scorecard(settings: Settings, stem: str, month: date) -> Scorecard:
    """The scorecard of an agency's month.

    Raises:
        ContractError: there is no such source.
        NoNight: no night of that month was published.
    """
    contract = load_contract(stem)
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        last = month.replace(day=calendar.monthrange(month.year, month.month)[1])
        until = min(last, ledger.today(settings, connection))
        nights = scores.nights(connection, stem, month, last)
        if not nights:
            raise NoNight(f"no night of {month:%Y-%m} was published for {stem}", where="--month", next_step="see `hub status`")
        end_before = month - timedelta(days=1)
        earlier = scores.nights(connection, stem, end_before.replace(day=1), end_before)
        found = tickets.listed(connection, settings, stem=stem, day=until)
        return Scorecard(
            stem, contract.agency_zh, contract.agency_en, month, until, _shares(connection, contract, nights),
            _shares(connection, contract, earlier) if earlier else {}, nights, _corrections(settings, found, month, until),
            _disputed([d for d in disputes.listed(connection, settings, closed=True) if d.stem == stem], month, until),
            [t for t in found if t.opened_date <= until and (t.closed_date is None or t.closed_date >= month)],
        )  # fmt: skip


# How a night is told: class of the page's colours, Chinese, English.
_NIGHTS = {
    "good": ("按时", "on time"),
    "late": ("迟到或扣留后补", "late, mended"),
    "bad": ("未交付", "not delivered"),
    "none": ("未到期", "not due"),
}


def _told(night: NightCounts) -> str:
    if night.state == "not_due":
        return "none"
    if night.state == "merged":
        return "late" if night.was_late else "good"
    return "bad"


def as_html(card: Scorecard) -> str:
    """The scorecard as one page that needs nothing else."""
    worst = max([n.kept_out or 0 for n in card.nights] + [1])
    days = [(n, _told(n), (n.kept_out or 0) / worst) for n in card.nights]
    return _PAGES.get_template("scorecard.html").render(card=card, definitions=DEFINITIONS, days=days, kinds=_NIGHTS, worst=worst)


def as_workbook(card: Scorecard) -> bytes:
    """The scorecard as a workbook: shares, nights, tickets, definitions."""
    held = io.BytesIO()
    c, d = card.corrections, card.disputes
    sheets: dict[str, list[list[Any]]] = {
        "评分 Scores": [
            ["指标", "Indicator", "符合 good", "总数 of", "比例 share", "上月 month before"],
            *([zh, en, card.shares[k].good, card.shares[k].of, card.shares[k].value, card.before[k].value if k in card.before else None]
              for k, (zh, en, _, _) in DEFINITIONS.items()),
            [], ["更正", "Corrections", "件 tickets"],
            ["新开", "opened", c.opened], ["关闭", "closed", c.closed], ["按期关闭", "closed in time", c.in_time],
            ["更正用时中位数（工作日）", "median working days to close", c.median_days], ["未关闭", "open", c.open], ["超期", "overdue", c.overdue],
            ["升级", "escalated", c.escalated],
            [], ["异议", "Disputes", "件 disputes"],
            ["新提出", "opened", d.opened], ["办结", "answered", d.answered], ["按期办结", "answered in time", d.in_time],
            ["办理中", "open", d.open], ["超期", "overdue", d.overdue],
        ],
        "逐夜 Nights": [
            ["业务日期 night", "情况", "state", "交付行数 rows delivered", "未放行行数 rows kept out"],
            *([str(n.business_date), *_NIGHTS[_told(n)], n.delivered, n.kept_out] for n in card.nights),
        ],
        "工单 Tickets": [
            ["工单 ticket", "事由", "rule", "状态 state", "开立 opened", "期限 due", "升级 escalated", "关闭 closed", "工作日 working days", "行 rows", "未更正 open"],
            *([t.ticket_id, t.title_zh, t.title_en, str(t.state), str(t.opened_date), str(t.due_date), str(t.escalated_date or ""), str(t.closed_date or ""), t.age_days, t.rows,
               t.open] for t in card.tickets),
        ],
        "口径 Definitions": [["指标", "Indicator", "口径", "Definition"], *(list(row) for row in DEFINITIONS.values())],
    }  # fmt: skip
    with writers.workbook(held) as book:
        bold, percent = book.add_format({"bold": True}), book.add_format({"num_format": "0.00%"})
        for title, rows in sheets.items():
            sheet = book.add_worksheet(title)
            sheet.freeze_panes(1, 0)
            for number, row in enumerate(rows):
                for place, value in enumerate(row):
                    is_share = title.startswith("评分") and place >= 4 and isinstance(value, float)
                    sheet.write(number, place, value, percent if is_share else bold if number == 0 else None)
            sheet.autofit()
        book.set_properties({"title": f"{card.agency_zh} {card.month:%Y-%m} 数据质量评分"})
    return held.getvalue()


def write(card: Scorecard, folder: Path) -> list[Path]:
    """Write the page and the workbook of an agency's month into a folder; their paths.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    page, book = (folder / f"{card.stem}-{card.month:%Y-%m}.{end}" for end in ("html", "xlsx"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page.write_text(as_html(card), encoding="utf-8")
        book.write_bytes(as_workbook(card))
    except OSError as error:
        raise ConfigError(f"the folder cannot be written to: {error.strerror}", where=f"--out {folder}") from None
    return [page, book]
