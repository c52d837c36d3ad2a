"""The morning after: what the night could not let in is asked of the agency, comes back the ordinary way, and is closed by proof."""

import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import pyzipper
import sqlalchemy as sa
from python_calamine import CalamineWorkbook

from hub.errors import ConfigError
from hub.settings import get_settings, load_endpoint
from pipeline import disputes, nights, parsing, readers, rulings, run, scorecard, sendback, steps, tickets
from pipeline.cli import main
from pipeline.tickets import State
from sandbox import agency, clock, corrections
from schemas.contract import Contract, load_contract
from tests import oracle, pages, population
from tests.conftest import Hub
from warehouse import database, landing, quarantine, questions
from warehouse import disputes as ledger_of_disputes
from warehouse import items as warehouse_items
from warehouse import ledger as warehouse_ledger
from warehouse import tickets as ledger

pytestmark = pytest.mark.slow
FIRST, MARCH = "20260301", date(2026, 3, 1)
HEALTH = f"health.illness_class_required.{FIRST}"
SHIFTED = "education.identity_columns_agree.20260308"


@pytest.fixture(scope="module")
def county(make_hub) -> Hub:  # type: ignore[no-untyped-def]
    """A hub of a noisy county after its first night. Kept: the warehouse after it."""
    hub: Hub = make_hub("tickets", "heavy")
    hub.night(1)
    hub.keep("first")
    return hub


@pytest.fixture
def desk(county: Hub) -> Iterator[Hub]:
    """The morning after the first night."""
    county.restore("first")
    clock.set_night(county.settings, 1)
    yield county
    for stem in ("education", "health"):
        county.mend(stem)


def one(hub: Hub, number: str) -> tickets.Ticket:
    return hub.tickets()[number]


def exported(hub: Hub, number: str, folder: Path) -> Path:
    return sendback.export(hub.settings, number, folder, actor="李工").path


@dataclass(frozen=True)
class Told:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(desk: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Told]]:
    """The command line as a person runs it, in this process."""
    for name, value in desk.environment.items():
        if name.startswith("HUB_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("HUB_LOG_LEVEL", "ERROR")
    get_settings.cache_clear()

    def run_it(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["hub", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.run()
        said = capsys.readouterr()
        return Told(int(ended.value.code or 0), said.out, said.err)

    yield run_it
    get_settings.cache_clear()


def opened_by_the_agency(hub: Hub, contract: Contract, path: Path) -> pl.DataFrame:
    """What the agency sees: the file unpacked with its password and read by what reads its own deliveries."""
    extra = load_endpoint(contract.stem, hub.settings).extra
    password = extra.get("zip_password") or (hub.settings.secrets_dir / f"export-{contract.stem}.password").read_text("ascii").strip()
    parts = [(path.name, [path.read_bytes()])]
    if contract.delivery.media != "xlsx-zip":
        with pyzipper.AESZipFile(path) as archive:
            archive.setpassword(password.encode())
            parts = [(name, [archive.read(name)]) for name in archive.namelist()]
    return pl.concat(readers.read(contract, parts, password=password), how="diagonal")


def keys_of(hub: Hub, contract: Contract, delivery_id: str) -> pl.DataFrame:
    """Row numbers and keys of a landed delivery."""
    with database.engine(hub.settings).connect() as connection:
        found = landing.deliveries(connection, delivery=delivery_id)[0]
    password = load_endpoint(contract.stem, hub.settings).extra.get("zip_password")
    return pl.concat(parsing.keys(contract, readers.read(contract, landing.Store(hub.settings).parts(found.object), password=password)))


def items(hub: Hub, number: str) -> list[dict[str, object]]:
    with database.engine(hub.settings).connect() as connection:
        return ledger.proofs(connection, tickets.find(connection, hub.settings, number)[1])


def balanced(hub: Hub) -> None:
    """The books of quarantine: what ever came in is open, passed or withdrawn."""
    with database.engine(hub.settings).connect() as connection:
        assert all(b.unaccounted == 0 and b.opened == b.open + b.passed + b.withdrawn for b in warehouse_items.books(connection))


def delivered(hub: Hub, day: int) -> str:
    """What the health commission delivered on a day of March."""
    with database.engine(hub.settings).connect() as connection:
        return next(d.delivery_id for d in landing.deliveries(connection, stem="health") if d.business_date == date(2026, 3, day))


def withdraw(hub: Hub, delivery_id: str) -> None:
    """Take a delivery out as its dry run says."""
    tried = rulings.withdraw(hub.settings, delivery_id, dry_run=True)
    rulings.withdraw(hub.settings, delivery_id, reason="a file of another county", confirm=tried.confirm)


def correct(hub: Hub, stem: str, keys: list[str]) -> None:
    """The agency puts records right at its source, from the next night on."""
    assert corrections.correct(hub.settings, stem, keys, clock.current_night(hub.settings) + 1) == len(keys)


# -- bad rows ------------------------------------------------------------------------------------------------------------------------------


def test_rows_of_one_rule_are_one_ticket_with_owner_due_date_and_reason(desk: Hub) -> None:
    ticket = one(desk, HEALTH)
    assert ticket.rows == ticket.open == len(desk_rows(desk, HEALTH)) > 1
    assert ticket.state is State.OPEN and ticket.stage == "gate" and ticket.field == "illness_class"
    assert load_contract("health").team in ticket.owner and load_contract("health").contact in ticket.owner
    assert (ticket.opened_date, ticket.due_date, ticket.is_due_provisional) == (date(2026, 3, 1), date(2026, 3, 13), False)
    assert "不能为空" in ticket.title_zh


def desk_rows(hub: Hub, number: str) -> list[str]:
    return sendback.keys(hub.settings, number, one(hub, number).stem)


def test_everything_in_quarantine_is_on_a_ticket_and_the_books_balance(desk: Hub) -> None:
    with database.engine(desk.settings).connect() as connection:
        books = warehouse_items.books(connection)
        assert sum(b.opened for b in books) == connection.scalar(sa.text("SELECT count(*) FROM quarantine.row")) > 5
    assert all(b.unaccounted == 0 and b.opened == b.open + b.passed + b.withdrawn for b in books)
    assert sum(t.rows for t in desk.tickets().values()) == sum(b.opened for b in books)


def test_bad_rows_are_sent_back_corrected_in_two_parts_and_closed_with_proof(desk: Hub, tmp_path: Path) -> None:
    contract, n_rows = load_contract("health"), one(desk, HEALTH).rows
    failing = desk_rows(desk, HEALTH)
    # The engineer exports the rows for the agency, and says that it was told.
    rows = opened_by_the_agency(desk, contract, exported(desk, HEALTH, tmp_path))
    assert sorted(rows[contract.key.physical_name]) == sorted(failing) and len(failing) == n_rows
    assert set(rows.columns) == {f.physical_name for f in contract.fields} | {sendback.REASON, sendback.FIELD, sendback.POINTER}
    assert rows[sendback.REASON].str.contains("不能为空").all()
    assert rows[sendback.FIELD].str.contains(contract.by_name("illness_class").physical_name).all()
    assert tickets.send(desk.settings, HEALTH, actor="李工", words="政务外网邮箱").state is State.SENT
    # The agency puts one of them right at its source: the next delivery brings it, and the ticket shows how many still fail.
    correct(desk, "health", failing[:1])
    desk.night(2, only="health")
    part = one(desk, HEALTH)
    assert (part.state, part.passed, part.open) == (State.ANSWERED, 1, n_rows - 1)
    assert opened_by_the_agency(desk, contract, exported(desk, HEALTH, tmp_path)).height == n_rows - 1
    # Then the rest.
    correct(desk, "health", failing[1:])
    desk.night(3, only="health")
    done = one(desk, HEALTH)
    assert (done.state, done.passed, done.open, done.closed_date, done.age_days) == (State.CLOSED, n_rows, 0, date(2026, 3, 3), 2)
    # Each row's proof points at the row that passed: the same key.
    for item in items(desk, HEALTH):
        before = keys_of(desk, contract, str(item["delivery_id"])).filter(pl.col("row_number") == item["row_number"])
        after = keys_of(desk, contract, str(item["proof_delivery_id"])).filter(pl.col("row_number") == item["proof_row_number"])
        assert item["proof_kind"] == "passed" and before["record_key"].item() == after["record_key"].item()
    with database.engine(desk.settings).connect() as connection:
        events = [(e.event, e.actor) for e in ledger.events(connection, HEALTH)]
    assert [e for e, _ in events] == ["open", "exported", "sent", "answered", "exported", "closed"]
    assert events[0] == ("open", "hub") and events[1] == ("exported", "李工")


def test_a_row_that_went_in_without_a_field_has_a_ticket_too(desk: Hub) -> None:
    desk.break_by("medical_insurance", "rare_code")
    desk.night(32, only="medical_insurance")
    held = [t for t in desk.tickets(stem="medical_insurance").values() if t.stage == "field"]
    assert len(held) == 1 and held[0].open == held[0].rows > 5
    desk.mend("medical_insurance")
    desk.night(62, only="medical_insurance")  # the next full snapshot
    assert one(desk, held[0].ticket_id).state is State.CLOSED


# -- held and missing deliveries -----------------------------------------------------------------------------------------------------------


def test_an_agency_sends_a_column_shifted(desk: Hub, tmp_path: Path) -> None:
    """It is held, ticketed, exported, corrected, run again, closed; and the scorecard shows it."""
    contract = load_contract("education")
    desk.break_by("education", "shifted_column")
    assert desk.night(8, only="education").sources["education"]["state"] == "held"
    ticket = one(desk, SHIFTED)
    assert ticket.stage == "held" and ticket.open == ticket.rows > 100
    assert "工单 tickets not closed" in desk.screen(date(2026, 3, 8))
    rows = opened_by_the_agency(desk, contract, exported(desk, SHIFTED, tmp_path))
    assert rows.height == ticket.rows and rows[sendback.REASON].str.contains("证件号与出生日期一致率").all()
    number, birth = (contract.by_concept(c) for c in ("person.resident_id", "person.birth_date"))
    assert number and birth
    is_shifted = rows[number.physical_name].str.slice(6, 8) != rows[birth.physical_name].str.replace_all("-", "")
    assert is_shifted.mean() > 0.9, "what the agency reads is what it sent"  # type: ignore[operator]
    tickets.send(desk.settings, SHIFTED, actor="李工")
    desk.mend("education")
    assert desk.night(8, only="education").sources["education"]["state"] == "ok"
    ticket = one(desk, SHIFTED)
    assert (ticket.state, ticket.open, ticket.age_days) == (State.CLOSED, 0, 0)
    assert "education" not in desk.screen(date(2026, 3, 8)).partition("工单")[2].partition("报告")[0]
    card = scorecard.scorecard(desk.settings, "education", MARCH)
    assert card.shares["timeliness"] == scorecard.Share(1, 2), "of the nights of 1 and 8 March, one was first published without it"
    assert (card.corrections.closed, card.corrections.in_time, card.corrections.median_days) == (1, 1, 0)
    assert SHIFTED in scorecard.as_html(card) and pages.faults(scorecard.as_html(card)) == []
    hostile = replace(card, agency_zh="<script>", agency_en='"><img src=x onerror=x>', stem="</style><script>")
    assert pages.faults(scorecard.as_html(hostile)) == [], "what it shows is text"


def test_the_few_rows_of_a_night_sent_with_a_column_shifted_are_held_too_and_go_in_when_mended(desk: Hub, tmp_path: Path) -> None:
    """So few rows that the shares a full delivery is judged by say nothing about them."""
    desk.night(2, only="health")
    undisturbed = desk.fingerprint()
    desk.restore("first")
    before = desk.fingerprint()
    desk.break_by("health", "shifted_column")
    assert desk.night(2, only="health").sources["health"]["state"] == "held"
    oracle.same_fingerprint(desk.fingerprint(), before, told="not one of the shifted numbers went in")
    number = "health.identity_columns_agree.20260302"
    ticket = one(desk, number)
    assert ticket.stage == "held" and 4 <= ticket.open == ticket.rows < 20
    rows = opened_by_the_agency(desk, load_contract("health"), exported(desk, number, tmp_path))
    assert rows.height == ticket.rows and rows[sendback.REASON].str.contains("证件号与出生日期一致率").all()
    desk.mend("health")
    assert desk.night(2, only="health").sources["health"]["state"] == "ok"
    assert one(desk, number).state is State.CLOSED
    oracle.same_fingerprint(desk.fingerprint(), undisturbed)


def test_a_night_published_without_a_source_asks_for_its_delivery_until_one_is_let_in(desk: Hub, tmp_path: Path) -> None:
    desk.break_by("health", "down")
    for night in (2, 3):
        desk.night(night, only="health")
    number = "health.delivery_missing.20260302"
    waiting = one(desk, number)
    assert (waiting.stage, waiting.state, waiting.rows) == ("missing", State.OPEN, 1)
    assert [t for t in desk.tickets() if "missing" in t] == [number], "one matter, however many nights"
    with pytest.raises(ConfigError, match="no rows to send back"):
        exported(desk, number, tmp_path)
    desk.mend("health")
    desk.night(4, only="health")
    done = one(desk, number)
    assert (done.state, done.closed_date, done.age_days) == (State.CLOSED, date(2026, 3, 4), 2)
    assert items(desk, number)[0]["proof_kind"] == "delivered"


def test_rows_of_a_delivery_that_another_took_the_place_of_leave_quarantine_but_not_their_ticket(desk: Hub) -> None:
    """The night broke off between parse and gate, and the agency has corrected its file when it is run again."""
    day = date(2026, 3, 8)
    desk.break_by("education", "impossible_dates")
    clock.set_night(desk.settings, 8)
    nights.open_night(desk.settings, day=day)
    for verb in (steps.fetch, steps.land, steps.parse):
        verb("education", day, desk.settings)
    with database.engine(desk.settings).begin() as connection:
        warehouse_ledger.note(connection, day, "education", state="failed", error="the server went away")
    desk.mend("education")
    desk.night(8, only="education")
    assert desk.quarantined("education", day) == []
    (ticket,) = [t for t in desk.tickets(stem="education").values() if t.opened_date == day]
    assert (ticket.rule_id, ticket.state, ticket.passed) == ("not_date", State.CLOSED, ticket.rows)
    balanced(desk)


# -- what is left lying, and proofs that fall ----------------------------------------------------------------------------------------------


def events(hub: Hub, number: str) -> list[ledger.Event]:
    with database.engine(hub.settings).connect() as connection:
        return ledger.events(connection, number)


def test_what_an_agency_leaves_lying_is_escalated_once_by_the_night_that_finds_it_too_old(desk: Hub, command: Callable[..., Told]) -> None:
    """The sixteenth working day after Sunday 1 March is Monday 23 March."""
    desk.night(20, only="health")
    assert "escalated" not in {e.event for e in events(desk, HEALTH)} and not one(desk, HEALTH).is_escalated
    day = date(2026, 3, 23)
    for night in (23, 24):
        desk.night(night, only="health")
    ticket = one(desk, HEALTH)
    owner = desk.settings.ticket_escalation_owner
    assert (ticket.is_escalated, ticket.escalated_date, ticket.escalated_to) == (True, day, owner)
    assert ticket.state in (State.OPEN, State.ANSWERED), "it is as far as it was"
    (escalated,) = [e for e in events(desk, HEALTH) if e.event == "escalated"]
    assert (escalated.business_date, escalated.actor, escalated.detail["owner"]) == (day, "hub", owner)
    assert escalated.detail["open"] == ticket.open > 0
    for screen in (command("ticket", "show", HEALTH).out, command("ticket", "list").out, desk.screen(date(2026, 3, 24))):
        assert "升级" in screen, screen
    assert owner in command("ticket", "show", HEALTH).out
    told = next(t for t in json.loads(command("ticket", "list", "--json").out) if t["ticket_id"] == HEALTH)
    assert (told["escalated_date"], told["escalated_to"]) == (str(day), owner)
    card = scorecard.scorecard(desk.settings, "health", MARCH)
    assert card.corrections.escalated == sum(t.is_escalated for t in desk.tickets(stem="health").values()) > 0
    assert f"升级 escalated {card.corrections.escalated}" in scorecard.as_html(card) and pages.faults(scorecard.as_html(card)) == []

    correct(desk, "health", [corrections.ALL])
    desk.night(25, only="health")
    mended = one(desk, HEALTH)
    assert (mended.state, mended.is_escalated, mended.escalated_date) == (State.CLOSED, False, day), "that it was is not forgotten"


def test_a_ticket_opens_again_when_the_delivery_that_proved_it_is_withdrawn_and_closes_when_that_is_let_in_again(desk: Hub) -> None:
    correct(desk, "health", [corrections.ALL])
    desk.night(2, only="health")
    closed = one(desk, HEALTH)
    assert closed.state is State.CLOSED and closed.passed > 0
    proving = delivered(desk, 2)
    tried = rulings.withdraw(desk.settings, proving, dry_run=True)
    assert tried.after["to_be_mended"] - tried.before["to_be_mended"] >= closed.passed
    assert one(desk, HEALTH).state is State.CLOSED, "a dry run opens nothing"
    rulings.withdraw(desk.settings, proving, reason="a file of another county", confirm=tried.confirm)
    again = one(desk, HEALTH)
    assert (again.state, again.open, again.passed, again.closed_date) == (State.REOPENED, closed.rows, 0, None)
    balanced(desk)
    rulings.release(desk.settings, proving, reason="it was the right one after all")
    assert (one(desk, HEALTH).state, one(desk, HEALTH).passed) == (State.CLOSED, closed.passed)
    assert [e.event for e in events(desk, HEALTH)] == ["open", "closed", "reopened", "closed"]
    balanced(desk)


def test_a_later_delivery_proves_what_a_withdrawn_one_had_proved(desk: Hub) -> None:
    """The agency sends everything again on 1 April; what it had mended on 2 March is mended in that as well."""
    correct(desk, "health", [corrections.ALL])
    desk.night(2, only="health")
    assert one(desk, HEALTH).closed_date == date(2026, 3, 2)
    desk.night(32, only="health")
    proving = delivered(desk, 2)
    withdraw(desk, proving)
    proved = one(desk, HEALTH)
    assert (proved.state, proved.open, proved.closed_date) == (State.CLOSED, 0, date(2026, 4, 1))
    balanced(desk)


def test_nothing_more_is_asked_about_rows_of_a_delivery_that_was_withdrawn(desk: Hub, command: Callable[..., Told]) -> None:
    first = delivered(desk, 1)
    n_rows = one(desk, HEALTH).rows
    withdraw(desk, first)
    ended = one(desk, HEALTH)
    assert (ended.state, ended.open, ended.withdrawn) == (State.CLOSED, 0, n_rows)
    assert {i["proof_kind"] for i in items(desk, HEALTH)} == {"taken_out"} and "已收回 taken out" in command("ticket", "show", HEALTH).out
    balanced(desk)
    rulings.release(desk.settings, first, reason="it was the right one after all")
    assert (one(desk, HEALTH).state, one(desk, HEALTH).open) == (State.REOPENED, n_rows)
    balanced(desk)


def test_a_key_that_failed_again_is_on_its_first_ticket_alone_when_the_proof_between_falls(desk: Hub, command: Callable[..., Told]) -> None:
    correct(desk, "health", [corrections.ALL])
    for night in (2, 3):
        desk.night(night, only="health")
    rows = one(desk, HEALTH).rows
    with database.engine(desk.settings).begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO quarantine.item (stem, rule_id, stage, field, delivery_id, row_number, key_ref) SELECT stem, rule_id, stage, field,"
                " CAST(:third AS uuid), row_number, key_ref FROM quarantine.item WHERE stem = 'health' AND rule_id = 'illness_class_required'"
            ),
            {"third": delivered(desk, 3)},
        )
        tickets._keep(connection, desk.settings, load_contract("health"), date(2026, 3, 3))
    second = "health.illness_class_required.20260303"
    assert (one(desk, HEALTH).state, one(desk, second).state, one(desk, second).open) == (State.CLOSED, State.OPEN, rows)
    withdraw(desk, delivered(desk, 2))
    first, joined = one(desk, HEALTH), one(desk, second)
    assert (first.state, first.open, first.again) == (State.REOPENED, rows, rows)
    assert (joined.state, joined.rows, joined.closed_date) == (State.CLOSED, 0, date(2026, 3, 3))
    assert "并入较早的工单" in command("ticket", "show", second).out
    balanced(desk)
    desk.night(24, only="health")
    assert one(desk, HEALTH).is_escalated and not one(desk, second).is_escalated


# -- the scorecard -------------------------------------------------------------------------------------------------------------------------


def test_a_source_without_a_night_in_the_month_is_left_out_and_said(desk: Hub, tmp_path: Path) -> None:
    with database.engine(desk.settings).begin() as connection:
        connection.execute(sa.text("DELETE FROM ops.intake WHERE stem = 'disability'"))
    done = desk.invoked("scorecard", "--all", "--month", "2026-03", "--out", str(tmp_path))
    assert done.returncode == 0 and "left out: disability" in done.stderr, done.stderr
    assert len(list(tmp_path.glob("*.html"))) == 4
    none = desk.invoked("scorecard", "--all", "--month", "2025-03", "--out", str(tmp_path))
    assert none.returncode == 2 and "no night of 2025-03 was published for any source" in none.stderr


def test_a_months_shares_are_what_the_deliveries_held(desk: Hub) -> None:
    contract, card = load_contract("health"), scorecard.scorecard(desk.settings, "health", MARCH)
    sent = agency.snapshot(contract, 1, desk.settings)
    with database.engine(desk.settings).connect() as connection:
        rules = {r.rule_id: r.rows for r in quarantine.summary(connection, stem="health")}
    missing = sum(rows for rule, rows in rules.items() if rule.endswith("_required"))
    n_refused = sum(rows for rule, rows in rules.items() if rule in parsing.VALUE_RULES)
    shares = card.shares
    assert shares["timeliness"] == scorecard.Share(1, 1)
    assert shares["validity"].of == sent.height
    assert shares["validity"].of - shares["validity"].good == sum(rules.values()) - missing
    n_required = sum(f.required for f in contract.fields) - 1  # the key is looked at before the others
    assert shares["completeness"].of >= n_required * (sent.height - n_refused) + sent.height
    assert missing > 0 and shares["completeness"].of - shares["completeness"].good >= missing
    assert 0.9 < (shares["consistency"].value or 0) <= 1
    assert card.corrections.opened == len(rules) and card.corrections.median_days is None


def test_what_is_not_all_is_never_told_as_all() -> None:
    assert scorecard.Share(99_999, 100_000).told == "99.99%"
    assert scorecard.Share(5, 5).told == "100.00%" and scorecard.Share(0, 0).told == "—"


def test_page_and_workbook_say_the_same_and_show_nobody(desk: Hub, command: Callable[..., Told], tmp_path: Path) -> None:
    assert command("scorecard", "health", "--month", "2026-03", "--out", str(tmp_path)).status == 0
    (told,) = json.loads(command("scorecard", "health", "--month", "2026-03", "--json").out)
    page = (tmp_path / "health-2026-03.html").read_text(encoding="utf-8")
    book = CalamineWorkbook.from_path(tmp_path / "health-2026-03.xlsx")
    sheets = {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    scores, ids = sheets["评分 Scores"], {t["ticket_id"] for t in told["tickets"]}
    for name, share in told["shares"].items():
        row = next(r for r in scores if r[1] == scorecard.DEFINITIONS[name][1])
        assert (row[2], row[3]) == (share["good"], share["of"]) and abs(row[4] - share["value"]) < 1e-9
        assert scorecard.Share(share["good"], share["of"]).told in page
    assert {row[0] for row in sheets["工单 Tickets"][1:]} == ids and all(i in page for i in ids) and HEALTH in ids
    assert not re.search(r"(src|href|url|@import)\W{0,4}(https?:)?//", page), "nothing is asked of anybody else"
    texts = {"page": page, "book": str(sheets)}
    assert population.told(population.search(population.of(desk.settings, [1]), texts)) == {}


# -- laws ----------------------------------------------------------------------------------------------------------------------------------


def test_running_a_night_again_opens_nothing_twice(desk: Hub) -> None:
    desk.night(2)
    before = desk.quarantine_history()
    with database.engine(desk.settings).connect() as connection:
        n_events = connection.scalar(sa.text("SELECT count(*) FROM quarantine.ticket_event"))
        deliveries = landing.deliveries(connection, stem="health")
    desk.night(2)
    for delivery in deliveries:
        run.replay(desk.settings, delivery.delivery_id)
    assert desk.quarantine_history() == before
    with database.engine(desk.settings).connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM quarantine.ticket_event")) == n_events


def test_tickets_do_not_depend_on_the_order_of_nights(desk: Hub) -> None:
    """The snapshot of 8 March has impossible dates, that of 15 March has none."""

    def after(*order: int) -> list[str]:
        desk.restore("first")
        for night in order:
            if night == 8:
                desk.break_by("education", "impossible_dates")
            desk.night(night, only="education")
            desk.mend("education")
        return desk.quarantine_history()

    in_turn = after(8, 15)
    assert any("education.not_date.20260308" in line and "2026-03-15" in line for line in in_turn)
    assert after(15, 8) == in_turn


# -- disputed values -----------------------------------------------------------------------------------------------------------------------


def moved(hub: Hub, until: int) -> str:
    """Somebody whose address comes from the health commission and is another one there by a later night."""
    contract = load_contract("health")
    key, address = contract.key.physical_name, contract.by_concept("person.address")
    assert address
    before, after = (agency.snapshot(contract, n, hub.settings).select(key, value=address.physical_name) for n in (1, until))
    changed = before.join(after, on=key).filter(pl.col("value") != pl.col("value_right"))[key].to_list()
    with database.engine(hub.settings).connect() as connection:
        for person_id in connection.scalars(
            sa.text(
                "SELECT l.person_id::text FROM identity.record r JOIN identity.link l USING (record_id) WHERE stem = 'health' AND record_key = ANY(:keys) ORDER BY 1"
            ),  # noqa: E501
            {"keys": changed},
        ):
            source = ledger_of_disputes.source(connection, person_id, "address")
            mine = connection.scalar(
                sa.text("SELECT record_key FROM identity.record WHERE record_id = CAST(:key AS uuid)"),
                {"key": source.record_id if source else None},
            )
            if source and source.stem == "health" and mine in changed:
                return str(person_id)
    raise AssertionError("nobody moved")


def test_a_disputed_value_is_asked_of_its_agency_marked_and_answered_by_what_it_delivers_next(desk: Hub) -> None:
    night = 12
    person = moved(desk, night)
    (dispute,) = disputes.open_dispute(desk.settings, person, "address", kind="objection", reason="outdated", asker="本人")
    assert (dispute.stem, dispute.outcome, dispute.due_date) == ("health", None, date(2026, 3, 13))
    with database.engine(desk.settings).connect() as connection:
        shown = questions.person(connection, person)
    assert [d["attribute"] for d in shown["disputes"]] == ["person.address"]
    with pytest.raises(ConfigError, match="disputed already"):
        disputes.open_dispute(desk.settings, person, "address", kind="correction", reason="wrong", asker="民政")
    desk.night(night, only="health")
    with database.engine(desk.settings).connect() as connection:
        (ended,) = disputes.listed(connection, desk.settings, closed=True)
        assert not questions.person(connection, person)["disputes"]
    assert (ended.outcome, ended.ended_date) == ("answered", date(2026, 3, night)) and ended.delivery_id


def test_a_dispute_goes_on_when_the_delivery_that_answered_it_is_withdrawn_and_ends_when_that_is_let_in_again(
    desk: Hub, command: Callable[..., Told]
) -> None:
    night = 12
    person = moved(desk, night)
    (first,) = disputes.open_dispute(
        desk.settings, person, "address", kind="objection", reason="outdated", asker="本人", details="以新合同为准"
    )
    desk.night(night, only="health")
    answering = all_disputes(desk)[0].delivery_id or ""
    rulings.withdraw(desk.settings, answering, dry_run=True)
    assert [d.outcome for d in all_disputes(desk)] == ["answered"], "a dry run opens nothing"
    for n_times in (1, 2):
        withdraw(desk, answering)
        *ended, again = all_disputes(desk)
        assert [d.outcome for d in ended] == ["answered"] * n_times
        assert (again.outcome, again.continues, again.asker, again.reason) == (None, ended[-1].dispute_id, "本人", "outdated")
        assert again.record_id == first.record_id and again.opened_date == date(2026, 3, night) < again.due_date
        shown = command("dispute", "show", again.dispute_id).out
        assert ended[-1].dispute_id in shown and "以新合同为准" in shown
        with database.engine(desk.settings).connect() as connection:
            assert [d["attribute"] for d in questions.person(connection, person)["disputes"]] == ["person.address"], "it is marked again"
        rulings.release(desk.settings, answering, reason="it was the right one after all")
        assert [d.outcome for d in all_disputes(desk)] == ["answered"] * (n_times + 1)


def test_a_dispute_that_was_refused_stays_refused_whatever_is_withdrawn(desk: Hub) -> None:
    night = 12
    person = moved(desk, night)
    (first,) = disputes.open_dispute(desk.settings, person, "address", kind="objection", reason="outdated", asker="本人")
    disputes.end(desk.settings, first.dispute_id, "refused", actor="李工", words="经核实无误")
    desk.night(night, only="health")
    withdraw(desk, delivered(desk, night))
    assert [d.outcome for d in all_disputes(desk)] == ["refused"]


def all_disputes(hub: Hub) -> list[disputes.Dispute]:
    with database.engine(hub.settings).connect() as connection:
        return disputes.listed(connection, hub.settings, closed=True)


def test_a_refusal_has_a_reason_and_ends_a_dispute_once(desk: Hub, command: Callable[..., Told]) -> None:
    with database.engine(desk.settings).connect() as connection:
        person = str(connection.scalar(sa.text("SELECT person_id FROM core.person WHERE phone IS NOT NULL ORDER BY 1 LIMIT 1")))
    opened = command("dispute", "open", person, "phone", "--by", "民政")
    assert opened.status == 0, opened.err
    number = opened.out.split()[0]
    for arguments, says in {
        ("dispute", "refuse", number): "a refusal has a reason",
        ("dispute", "refuse", "nothing"): "0 disputes",
        ("dispute", "open", person, "shoe_size"): "not known",
        ("dispute", "open", person, "phone", "--reason", "no"): "not known",
        ("dispute", "open", "00000000-0000-7000-8000-000000000000", "phone"): "no such person",
    }.items():
        done = command(*arguments)
        assert done.status == 2 and says in done.err and done.err.count("错误 / error: ") == 1, (arguments, done.err)
    assert command("dispute", "refuse", number, "--because", "核实无误").status == 0
    again = command("dispute", "withdraw", number)
    assert again.status == 2 and "has ended" in again.err
    listed = command("dispute", "list", "--all")
    assert "核实无误" in listed.out and number not in command("dispute", "list").out
    assert population.told(population.search(population.of(desk.settings, [1]), {"list": listed.out})) == {}


def amount(contract: Contract) -> str:
    """A field of an agency's records that is an amount of money."""
    return next(f.name for f in contract.fields if f.name.endswith("_yuan"))


def paid(hub: Hub, until: int) -> tuple[str, str, str]:
    """Somebody of whom the health commission tells another amount by a later night: person, key of the record, attribute."""
    contract = load_contract("health")
    key, field = contract.key, contract.by_name(amount(contract))
    before, after = (
        agency.snapshot(contract, n, hub.settings).select(key.physical_name, value=field.physical_name) for n in (1, until)
    )  # fmt: skip
    changed = before.join(after, on=key.physical_name).filter(pl.col("value") != pl.col("value_right"))[key.physical_name].to_list()
    with database.engine(hub.settings).connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT l.person_id::text, r.record_key FROM identity.record r JOIN identity.link l USING (record_id)"
                " WHERE stem = 'health' AND record_key = ANY(:keys) ORDER BY 1 LIMIT 1"
            ),
            {"keys": changed},
        ).one()
    return str(found[0]), str(found[1]), f"health.{field.name}"


def test_an_amount_of_an_agencys_record_is_disputed_in_that_record_and_answered_when_the_agency_delivers_another(
    desk: Hub, command: Callable[..., Told]
) -> None:
    night = 12
    person, key, attribute = paid(desk, night)
    opened = command(
        "dispute", "open", person, attribute, "--kind", "recheck", "--record", key, "--details", "发票为准", "--by", "申请人"
    )  # fmt: skip
    assert opened.status == 0, opened.err
    number = opened.out.split()[0]
    shown = json.loads(command("dispute", "show", number, "--json").out)
    assert (shown["stem"], shown["attribute"], shown["details"], shown["outcome"]) == ("health", attribute, "发票为准", None)
    with database.engine(desk.settings).connect() as connection:
        kept = connection.scalar(sa.text("SELECT details FROM ops.dispute WHERE dispute_id::text = :key"), {"key": number})
        instant = connection.scalar(sa.text("SELECT clock_timestamp()"))
    assert "发票为准".encode() not in bytes(kept)
    assert command("dispute", "open", person, attribute, "--record", key).status == 2
    assert [d["attribute"] for d in json.loads(command("person", person, "--json").out)["disputes"]] == [attribute]
    status = command("status")
    assert "open disputes" in status.out and json.loads(command("status", "--json").out)["disputes"] == [
        {"stem": "health", "disputes": 1, "overdue": 0, "oldest_days": 0}
    ]
    desk.night(night, only="health")
    with database.engine(desk.settings).connect() as connection:
        (ended,) = disputes.listed(connection, desk.settings, closed=True)
        assert connection.scalar(sa.text("SELECT count(*) FROM share.disputed")) == 0
    assert (ended.outcome, ended.ended_date) == ("answered", date(2026, 3, night))
    assert json.loads(command("person", person, "--json").out)["disputes"] == []
    then = json.loads(command("person", person, "--known-at", instant.isoformat(), "--json").out)
    assert [d["attribute"] for d in then["disputes"]] == [attribute], "as the hub knew it at that instant"
    card = scorecard.scorecard(desk.settings, "health", MARCH)
    assert card.disputes == scorecard.Disputed(opened=1, answered=1, in_time=1, open=0, overdue=0)
    assert "Disputed values" in scorecard.as_html(card)
    (sheet, *_) = CalamineWorkbook.from_filelike(io.BytesIO(scorecard.as_workbook(card))).sheet_names
    rows = CalamineWorkbook.from_filelike(io.BytesIO(scorecard.as_workbook(card))).get_sheet_by_name(sheet).to_python()
    assert ["按期办结", "answered in time", 1.0] in [row[:3] for row in rows]
    assert population.told(population.search(population.of(desk.settings, [1]), {"list": command("dispute", "list", "--all").out})) == {}


def test_a_value_is_disputed_in_each_record_the_person_has_at_the_agency(desk: Hub) -> None:
    field = amount(load_contract("health"))
    with database.engine(desk.settings).connect() as connection:
        person, records = connection.execute(
            sa.text(
                "SELECT l.person_id::text, count(*) FROM core.health JOIN identity.link l USING (record_id) WHERE withdrawn_date IS NULL"
                " GROUP BY 1 HAVING count(*) > 1 LIMIT 1"
            )
        ).one()
    made = disputes.open_dispute(desk.settings, person, f"health.{field}", kind="correction", reason="wrong", asker="民政")
    assert len(made) == records == len({d.record_id for d in made})
    for unknown in ("health.shoe_size", "shoes.size", f"health.{load_contract('health').key.name}"):
        with pytest.raises(ConfigError, match="not known"):
            disputes.open_dispute(desk.settings, person, unknown, kind="correction", reason="wrong", asker="民政")


def test_what_is_done_to_a_person_is_refused_for_an_id_that_was_merged_and_reading_says_so(desk: Hub, command: Callable[..., Told]) -> None:
    with database.engine(desk.settings).begin() as connection:
        merged, into = connection.execute(
            sa.text(
                "SELECT l.record_id::text, l.person_id::text FROM identity.link l WHERE l.record_id <> l.person_id"
                " AND NOT EXISTS (SELECT FROM core.person p WHERE p.person_id = l.record_id) LIMIT 1"
            )
        ).one()
        connection.execute(
            sa.text("INSERT INTO identity.redirect VALUES (CAST(:m AS uuid), CAST(:i AS uuid)) ON CONFLICT DO NOTHING"),
            {"m": merged, "i": into},
        )
    for arguments in (("dispute", "open", merged, "name"), ("erasure", "plan", merged)):
        done = command(*arguments)
        assert done.status == 2 and "was merged into another" in done.err and f"repeat with {into}" in done.err.replace("\n", " "), done.err
    with database.engine(desk.settings).connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM ops.dispute")) == 0
    assert json.loads(command("person", merged, "--json").out)["merged"][0]["into"] == into
    assert "merged" not in json.loads(command("person", into, "--json").out)
    assert "the id asked for was merged" in command("person", merged).out


# -- the file ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["education", "housing", "medical_insurance", "disability"])
def test_each_agency_opens_its_file_with_its_own_reader_and_finds_exactly_the_failing_rows(desk: Hub, stem: str, tmp_path: Path) -> None:
    contract = load_contract(stem)
    desk.break_by(stem, "impossible_dates")
    desk.night(32, only=stem)
    desk.mend(stem)
    number = next(n for n in desk.tickets(stem=stem) if n == f"{stem}.not_date.20260401" or n == f"{stem}.not_date.{FIRST}")
    path = exported(desk, number, tmp_path)
    rows = opened_by_the_agency(desk, contract, path)
    assert sorted(rows[contract.key.physical_name]) == sorted(desk_rows(desk, number))
    assert parsing.parse_batch(contract, rows, 0, parsing.Drift()).rejects["rule_id"].to_list() == ["not_date"] * rows.height
    assert rows[sendback.REASON].str.starts_with("出生日期不是有效日期").all()


def test_without_the_password_the_file_shows_nobody(desk: Hub, tmp_path: Path) -> None:
    path = exported(desk, HEALTH, tmp_path)
    people = population.of(desk.settings, [1])
    assert population.told(population.search(people, {"zip": path.read_bytes().decode("utf-8", "replace")})) == {}
    with zipfile.ZipFile(path) as archive, pytest.raises((RuntimeError, NotImplementedError)):
        archive.read(archive.namelist()[0])
    with pyzipper.AESZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert {i.wz_aes_strength for i in archive.infolist()} == {3}, "AES-256"
    assert path.stat().st_mode & 0o077 == 0


def test_what_the_commands_say_shows_nobody(desk: Hub, command: Callable[..., Told], tmp_path: Path) -> None:
    texts, keys = {}, desk_rows(desk, HEALTH)
    for arguments in (
        ("ticket", "list"), ("ticket", "list", "--all", "--json"), ("ticket", "show", HEALTH), ("ticket", "show", HEALTH, "--json"),
        ("ticket", "export", HEALTH, "--out", str(tmp_path)), ("ticket", "send", HEALTH), ("ticket", "books"), ("status",),
        ("sandbox", "correct", "health", "--ticket", HEALTH),
    ):  # fmt: skip
        done = command(*arguments)
        assert done.status == 0 and done.out, done.err
        texts[" ".join(arguments)] = done.out + done.err
    assert HEALTH in texts["ticket list"] and "未关闭" not in texts["ticket list"]
    assert population.told(population.search({**population.of(desk.settings, [1]), "key": set(keys)}, texts)) == {}
    assert corrections.in_force(desk.settings, "health", 2) == set(keys)


# -- wrong input ---------------------------------------------------------------------------------------------------------------------------

WRONG = {
    ("ticket", "list", "--source", "police"): "no source",
    ("ticket", "show", "health.nothing.20260301"): "no ticket",
    ("ticket", "export", "health.nothing.20260301"): "no ticket",
    ("ticket", "send", "health.nothing.20260301"): "no ticket",
    ("ticket", "export", HEALTH, "--out", "/dev/null/x"): "cannot be written",
    ("sandbox", "correct", "education", "--ticket", HEALTH): "is about health",
    ("scorecard", "health", "--month", "2026-13"): "not a month",
    ("scorecard", "health"): "not a month",
    ("scorecard", "--month", "2026-03"): "name one source",
    ("scorecard", "health", "--month", "2025-01"): "no night",
    ("scorecard", "police", "--month", "2026-03"): "no source",
    ("scorecard", "health", "--month", "2026-03", "--out", "/dev/null/x"): "cannot be written",
}


def test_wrong_input_is_told_in_one_sentence_and_nothing_is_noted(desk: Hub, command: Callable[..., Told]) -> None:
    before = desk.quarantine_history()
    for arguments, says in WRONG.items():
        done = command(*arguments)
        assert done.status == 2 and done.err.count("错误 / error: ") == 1 and says in done.err, (arguments, done.err)
    assert desk.quarantine_history() == before
    with database.engine(desk.settings).connect() as connection:
        assert {e.event for e in ledger.events(connection, HEALTH)} == {"open"}


def test_a_closed_ticket_is_not_sent(desk: Hub) -> None:
    correct(desk, "health", [corrections.ALL])
    desk.night(2, only="health")
    assert one(desk, HEALTH).state is State.CLOSED
    with pytest.raises(ConfigError, match="cannot be sent"):
        tickets.send(desk.settings, HEALTH, actor="李工")
