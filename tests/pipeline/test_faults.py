"""Every fault of the catalogue, through a whole night: after it and the next good run the pool is as if it had never been."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date

import pytest

from pipeline.run import NightReport
from sandbox.servers.catalogue import FAULTS
from schemas.contract import load_contract, stems
from tests import oracle
from tests.conftest import Hub

pytestmark = pytest.mark.slow

# The first of the month: every agency owes a full snapshot, or is taken one from.
NIGHT, DAY = 32, date(2026, 4, 1)


class Desk:
    """A hub that had its first night and stands before :data:`NIGHT`; knows what that night leads to without a fault."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._quiet: dict[tuple[str, ...], str] = {}

    def before(self) -> None:
        """Stand before the night; nothing is broken, and a stock is several pages of a small county."""
        self.hub.restore("night_1")
        for stem in stems():
            self.hub.change_endpoint(stem, extra={"page_size": 200})

    def night(self, stem: str) -> NightReport:
        """Run the night for one source; its books must balance."""
        return self.hub.night(NIGHT, only=stem)

    def watched(self) -> AbstractContextManager[oracle.Reader]:
        """Somebody reads the pool meanwhile."""
        return oracle.watched(self.hub.settings)

    def refused(self, stem: str) -> dict[str, int]:
        """Rule and rows of what parse refused that night."""
        return {rule: rows for rule, stage, _, rows in self.hub.quarantined(stem, DAY) if stage == "parse"}

    def quiet(self, stem: str) -> str:
        """The fingerprint after the night without a fault."""
        if (stem,) not in self._quiet:
            self.before()
            assert self.night(stem).sources[stem]["state"] == "ok"
            self._quiet[stem,] = self.hub.fingerprint()
            self.before()
        return self._quiet[stem,]


@pytest.fixture(scope="module")
def _desk(borrowed: Hub) -> Iterator[Desk]:
    sources = borrowed.settings.home / "sources"
    before = {path: path.read_text(encoding="utf-8") for path in sources.iterdir()}
    yield Desk(borrowed)
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def desk(_desk: Desk) -> Desk:
    """The desk, before the night."""
    _desk.before()
    return _desk


def stems_with(fault: str) -> list[str]:
    """The agencies that can have a fault."""
    return [stem for stem in stems() if load_contract(stem).delivery.protocol in FAULTS[fault].protocols]


def told(*rows: tuple[str, str, str | None]) -> list[tuple[str, str, str]]:
    """Fault, source and what the morning says of it; without a source, two agencies that can have it, in turn.

    Every protocol with every fault it can have is the connectors' tests' affair.
    """
    found = []
    for n, (fault, says, only) in enumerate(rows):
        can = stems_with(fault)
        chosen = [only] if only else [can[n % len(can)], can[(n + 1) % len(can)]]
        found += [(fault, stem, says) for stem in dict.fromkeys(chosen)]
    return found


# Faults that a night survives: it ends as if nothing had been. Times = how often it strikes.
SURVIVED: list[tuple[str, str, dict[str, int]]] = [
    ("token_expires", "health", {}),
    ("unauthorized_once", "health", {}),
    ("rate_limited", "medical_insurance", {"times": 1}),
    ("server_error_burst", "disability", {}),
    ("page_repeated", "health", {"times": 2}),
    ("pages_overlap", "medical_insurance", {"times": 1}),
    ("control_late", "education", {}),
    ("reordered_columns", "housing", {}),
]

# Faults after which the last good delivery stays, stale, and the morning says why.
ENDED = told(
    ("down", "cannot be reached|connecting failed", None),
    ("refuse", "not let in|403|error code", None),
    ("truncated", "broke off|ended the connection|not whole|bytes where|cut short|SQLSTATE", None),
    ("pages_overlap", "repeats rows|rows came where", None),
    ("page_repeated", "repeats rows|not the page that was asked for|rows came where", None),
    ("total_changes", "stock changed while it was read", None),
    ("total_disagrees", "rows came where|rows were declared", None),
    ("error_in_200", "error code|not a ZIP file", None),
    ("html_login", "HTML page came instead of data", None),
    ("empty_file", "is empty", None),
    ("wrong_checksum", "SHA-256", None),
    ("control_missing", "is not there yet", None),
    ("half_written", "is not there yet", None),
    ("encoding_utf8", "not in the agreed encoding|declared and|columns are missing", None),
    ("bom", "not in the agreed encoding|columns are missing", None),
    ("renamed_column", r"1 agreed columns are missing \(birth_date\); 1 unknown", None),
    ("missing_column", r"1 agreed columns are missing \(birth_date\); 0 unknown", None),
    ("zip_bomb", "inflates beyond any honest size", None),
    ("entity_bomb", "defines entities", None),
    ("nested_deep", "nested too deep", None),
    ("lone_surrogate", "half a character", None),
)

# Faults of content the gate holds a full delivery for; the rule, and the column with its count where it is about one.
HELD = told(
    ("rows_minus_40_percent", r"row count is like recent nights", "health"),
    ("rows_minus_40_percent", r"row count is like recent nights", "disability"),
    ("township_missing", r"no township is missing", "health"),
    ("township_missing", r"no township is missing", "medical_insurance"),
    ("township_halved", r"no township has more keys withdrawn than usual", "health"),
    ("key_range_missing", r"no range of keys has more withdrawn than usual", "medical_insurance"),
    ("equal_birth_dates", r"birth dates differ from each other \(birth_date", "education"),
    ("equal_birth_dates", r"birth dates differ from each other \(birth_date", "housing"),
    ("shifted_column", r"at least 80 % of valid identity numbers", "housing"),
    ("shifted_column", r"at least 80 % of valid identity numbers", "education"),
    ("new_code", r"\([a-z_]+: \d+ of \d+ rows\)", None),
    ("duplicate_keys", r"\([a-z_]+: \d+ of \d+ rows\)|keys_unique|重复", None),
)


@pytest.mark.parametrize(("fault", "stem", "arguments"), SURVIVED)
def test_a_night_survives_it_with_no_row_lost_or_doubled(desk: Desk, fault: str, stem: str, arguments: dict[str, int]) -> None:
    quiet = desk.quiet(stem)
    desk.hub.break_by(stem, fault, **arguments)
    with desk.watched():
        assert desk.night(stem).sources[stem]["state"] == "ok"
    oracle.same_fingerprint(desk.hub.fingerprint(), quiet)


def ends(desk: Desk, stem: str, state: str, says: str, break_it: Callable[[], None], mend: Callable[[], None]) -> None:
    """A broken night leaves the pool alone and says so; the next good run leads where a night without the fault leads."""
    quiet, before = desk.quiet(stem), desk.hub.fingerprint()
    break_it()
    with desk.watched():
        held_off(desk, stem, state, says, before)
        mend()
        assert desk.night(stem).sources[stem]["state"] == "ok"
    oracle.same_fingerprint(desk.hub.fingerprint(), quiet)
    assert not re.search(rf"{stem} .*旧", desk.hub.screen(DAY))


def held_off(desk: Desk, stem: str, state: str, says: str, before: str) -> None:
    """The night is published without the source, whose last good delivery stays, stale."""
    books = desk.night(stem).sources[stem]
    screen = desk.hub.screen(DAY)
    assert books["state"] == state
    assert books["inserted"] == books["updated"] == books["withdrawn"] == 0
    assert re.search(says, screen), screen
    assert re.search(rf"{stem} .*{state}.*03-01 旧", screen), screen
    assert "陈旧 stale" in screen, screen
    oracle.same_fingerprint(desk.hub.fingerprint(), before, told="the last good delivery stays")


@pytest.mark.parametrize(("fault", "stem", "says"), ENDED)
def test_it_ends_with_a_reason_and_the_next_good_run_mends_it(desk: Desk, fault: str, stem: str, says: str) -> None:
    ends(desk, stem, "failed", says, lambda: desk.hub.break_by(stem, fault), lambda: desk.hub.mend(stem))


@pytest.mark.parametrize(("fault", "stem", "says"), HELD)
def test_the_gate_holds_it_and_the_next_good_delivery_goes_in(desk: Desk, fault: str, stem: str, says: str) -> None:
    ends(desk, stem, "held", says, lambda: desk.hub.break_by(stem, fault), lambda: desk.hub.mend(stem))


@pytest.mark.parametrize(
    "stem", [s for s in stems() if load_contract(s).delivery.protocol in ("rest-oauth", "sftp-drop", "exchange-database")]
)
def test_a_name_that_is_gone_from_the_dns_ends_like_an_agency_that_is_down(desk: Desk, stem: str) -> None:
    path = desk.hub.settings.home / "sources" / f"{stem}.json"
    text = path.read_text(encoding="utf-8")
    assert "127.0.0.1" in text

    def rename() -> None:
        path.write_text(text.replace("127.0.0.1", "agency.invalid"), encoding="utf-8")  # RFC 6761: never resolves

    says = "cannot be reached|connecting failed"
    ends(desk, stem, "failed", says, rename, lambda: path.write_text(text, encoding="utf-8") and None)


@pytest.mark.parametrize("stem", ["education", "health", "housing"])
def test_a_column_nobody_agreed_on_passes_with_a_notice(desk: Desk, stem: str) -> None:
    quiet = desk.quiet(stem)
    desk.hub.break_by(stem, "extra_column")
    with desk.watched():
        night = desk.night(stem)
    assert night.sources[stem]["state"] == "ok"
    oracle.same_fingerprint(desk.hub.fingerprint(), quiet)
    notice = "1 columns nobody agreed on, left out: not_agreed"
    assert [en for _, en in night.sources[stem]["notices"]] == [notice]
    assert notice in desk.hub.screen(DAY)
    if stem == "health":
        assert notice in desk.hub.command("report", stem, "--date", str(DAY)).stdout


@pytest.mark.parametrize("stem", ["health", "education"])
def test_an_agency_that_still_shows_the_day_before_loses_nothing(desk: Desk, stem: str) -> None:
    """One answers with the stock of 31 March, the other has no file of 1 April; the nights after bring what was missing."""
    hub = desk.hub
    for night in (NIGHT, NIGHT + 1, 62):
        hub.night(night, only=stem)
    content = hub.content()
    desk.before()
    hub.break_by(stem, "yesterdays_stock")
    hub.night(NIGHT, only=stem)
    hub.mend(stem)
    for night in (NIGHT + 1, 62):
        assert hub.night(night, only=stem).sources[stem]["state"] == "ok"
    assert hub.content() == content


def test_a_broken_source_does_not_stop_the_others(desk: Desk) -> None:
    hub = desk.hub
    broken = {"health": "down", "housing": "renamed_column", "medical_insurance": "error_in_200"}
    for stem, fault in broken.items():
        hub.break_by(stem, fault)
    hub.change_endpoint("health", extra={"page_size": 5000})
    with desk.watched():
        first = hub.night(2)
    assert {stem: books["state"] for stem, books in first.sources.items()} == {
        **dict.fromkeys(broken, "failed"), "education": "ok", "disability": "not_due",
    }  # fmt: skip
    for stem in broken:
        hub.mend(stem)
    with desk.watched():
        second = hub.night(2)
    oracle.same_fingerprint(second.fingerprint, hub.reports[2].fingerprint)


# What a row is refused for is told by rule and field; every other row goes in.
def test_an_impossible_date_keeps_its_row_out_and_no_other(desk: Desk) -> None:
    for stem in ("education", "medical_insurance"):
        desk.before()
        good = desk.night(stem).sources[stem]
        n_own = desk.refused(stem).get("not_date", 0)  # the county's agencies are not without errors
        desk.before()
        desk.hub.break_by(stem, "impossible_dates")
        with desk.watched():
            bad = desk.night(stem).sources[stem]
        n_bad = -(-good["delivered"] // 100)
        assert bad["state"] == "ok" and bad["rejected"] == good["rejected"] + n_bad and bad["delivered"] == good["delivered"]
        assert desk.refused(stem)["not_date"] == n_own + n_bad
        assert bad["withdrawn"] == good["withdrawn"], "a key in quarantine is not withdrawn"


@pytest.mark.parametrize("stem", ["disability", "medical_insurance"])
def test_an_unknown_code_holds_its_field_and_the_row_goes_in_without_it(desk: Desk, stem: str) -> None:
    good = desk.night(stem).sources[stem]
    desk.before()
    desk.hub.break_by(stem, "rare_code")
    with desk.watched():
        odd = desk.night(stem).sources[stem]
    n_odd = -(-good["delivered"] // 100)
    held = [(stage, rows) for rule, stage, _, rows in desk.hub.quarantined(stem, DAY) if rule.endswith("_code") and stage == "field"]
    assert held == [("field", n_odd)]
    assert odd["state"] == "ok" and odd["quarantined"] == good["quarantined"] and odd["inserted"] >= good["inserted"]


@pytest.mark.parametrize("stem", stems_with("poison_rows"))
def test_poison_is_refused_row_by_row_with_a_pointer(desk: Desk, stem: str) -> None:
    good, own = desk.night(stem).sources[stem], desk.refused(stem)
    desk.before()
    desk.hub.break_by(stem, "poison_rows")
    with desk.watched():
        bad = desk.night(stem).sources[stem]
    found = {rule: n for rule, rows in desk.refused(stem).items() if (n := rows - own.get(rule, 0))}
    assert bad["state"] == "ok"
    assert found.get("text_too_long") == 1 and found.get("text_is_formula") == 1
    if load_contract(stem).delivery.media == "json-pages":
        assert found.get("text_unreadable") == 1, "a NUL"
    if any(f.logical_type == "number" for f in load_contract(stem).fields):
        assert found.get("not_number") == 1, "1e400"
    assert bad["rejected"] == good["rejected"] + sum(found.values())
    assert bad["withdrawn"] == good["withdrawn"]
