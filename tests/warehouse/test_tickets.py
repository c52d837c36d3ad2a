"""Items and proofs of quarantine: a pure function of what was delivered, whatever the order in which nights are run."""

import itertools
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hub.settings import Settings
from tests.examples import examples
from warehouse import database, embedded, items, landing, tickets

pytestmark = pytest.mark.slow
STEM = "health"
DAY = date(2026, 3, 1)
# What becomes of a key's row: let in, refused by a rule, or let in without a field.
OUTCOMES = {"in": None, "birth_date": ("not_date", "parse"), "code": ("stage_code", "gate"), "field": ("sex_code", "field")}


@dataclass(frozen=True)
class Night:
    """One published delivery: the outcome of each key it holds; a key it lacks is withdrawn by a full one."""

    number: int
    is_full: bool
    rows: dict[str, str]

    @property
    def delivery(self) -> landing.Delivery:
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.number}"))
        scope = "full" if self.is_full else "delta"
        day = DAY + timedelta(days=self.number)
        return landing.Delivery(key, STEM, scope, day, day, "", "", 1, 0, 0, None, "1")

    @property
    def frame(self) -> pl.DataFrame:
        numbered = list(enumerate(sorted(self.rows), 1))
        return pl.DataFrame(numbered, schema={"row_number": pl.Int64, "record_key": pl.String}, orient="row")


@pytest.fixture(scope="module")
def pool() -> Iterator[sa.Engine]:
    """A migrated warehouse without anything in it."""
    home = Path(tempfile.mkdtemp(prefix="hub-tickets-"))
    home.chmod(0o711)
    own = Settings(home=home / "home")  # type: ignore[call-arg]
    own.home.mkdir()
    database.migrate(own)
    yield database.engine(own)
    database.engine(own).dispose()
    embedded.stop(own)
    shutil.rmtree(home, ignore_errors=True)


def publish(connection: sa.Connection, night: Night, known: dict[str, Night]) -> None:
    """What the gate and the merge do with a delivery, its rows given as if read from landing."""
    one = night.delivery
    known[one.delivery_id] = night
    values = {"key": one.delivery_id, "stem": STEM, "day": one.business_date, "scope": one.scope}
    for statement in (
        "INSERT INTO landing.delivery VALUES (:key, :stem, :scope, :day, :day, NULL, '', '', 1, 0, 0, NULL, '1') ON CONFLICT DO NOTHING",
        "INSERT INTO ops.night (business_date) VALUES (:day) ON CONFLICT DO NOTHING",
        "INSERT INTO ops.intake (business_date, stem, state, delivery_id, delivered, rejected, quarantined, unchanged, inserted, updated)"
        " VALUES (:day, :stem, 'merged', :key, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        "DELETE FROM quarantine.row WHERE delivery_id = :key",
    ):
        connection.execute(sa.text(statement), values)
    for number, key in night.frame.iter_rows():
        broken = OUTCOMES[night.rows[key]]
        if broken:
            connection.execute(
                sa.text("INSERT INTO quarantine.row VALUES (:key, :n, :rule, :stem, :stage, NULL, :day)"),
                {**values, "n": number, "rule": broken[0], "stage": broken[1]},
            )
    items.open_rows(connection, STEM, one.delivery_id, items.landed(connection, [night.frame]))
    items.settle(connection, STEM, one, items.landed(connection, [night.frame]))
    for newer in items.later(connection, STEM, one.business_date):
        found = known[newer]
        items.settle(connection, STEM, found.delivery, items.landed(connection, [found.frame]))


Item = tuple[int, str, str, str | None, int | None, int]


def history(connection: sa.Connection) -> set[Item]:
    """Night and key, rule, kind of proof, night that proves, night of the ticket."""
    rows = connection.execute(
        sa.text("SELECT failed_date, key_ref, rule_id, proof_kind, proof_date, opened_date FROM quarantine.ticket_item")
    )
    return {
        ((r.failed_date - DAY).days, str(r.key_ref), r.rule_id, r.proof_kind, (r.proof_date - DAY).days if r.proof_date else None,
         (r.opened_date - DAY).days)
        for r in rows
    }  # fmt: skip


def told(connection: sa.Connection, nights: list[Night]) -> set[Item]:
    """The same by going through the nights of each key one after the other."""
    found: set[Item] = set()
    for key in sorted({k for n in nights for k in n.rows}):
        ref = str(connection.scalar(sa.text("SELECT md5(:stem || chr(31) || :key)::uuid"), {"stem": STEM, "key": key}))
        for rule, _ in filter(None, OUTCOMES.values()):
            failing: list[int] = []
            for night in [*nights, None]:
                outcome = OUTCOMES[night.rows[key]] if night and key in night.rows else None
                if night and key in night.rows and outcome and outcome[0] == rule:
                    failing.append(night.number)
                    continue
                is_let_in = night is not None and key in night.rows and (outcome is None or outcome[1] == "field")
                is_gone = night is not None and night.is_full and key not in night.rows
                if is_let_in or is_gone or night is None:
                    kind = None if night is None else "passed" if is_let_in else "withdrawn"
                    found |= {(n, ref, rule, kind, night.number if night else None, failing[0]) for n in failing}
                    failing = []
    return found


@st.composite
def some_nights(draw: st.DrawFn) -> list[Night]:
    rows = st.dictionaries(st.sampled_from("abc"), st.sampled_from(sorted(OUTCOMES)), max_size=3)
    return [Night(n, draw(st.booleans()), draw(rows)) for n in range(draw(st.integers(2, 5)))]


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=some_nights(), data=st.data())
def test_items_and_proofs_do_not_depend_on_the_order_of_nights_nor_on_running_one_again(
    pool: sa.Engine, nights: list[Night], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(nights)) + [data.draw(st.sampled_from(nights))]
    with pool.connect() as connection:
        known: dict[str, Night] = {}
        for night in order:
            publish(connection, night, known)
            books = {b.stem: b for b in items.books(connection)}.get(STEM)
            if books:
                assert books.opened == books.open + books.passed + books.withdrawn and books.unaccounted == 0
        assert history(connection) == told(connection, nights)
        connection.rollback()


def groups_after(connection: sa.Connection, *nights: Night) -> list[tickets.Group]:
    known: dict[str, Night] = {}
    for night in nights:
        publish(connection, night, known)
    return tickets.groups(connection, STEM)


def test_a_key_that_fails_again_stays_on_the_ticket_of_its_first_failure(pool: sa.Engine) -> None:
    with pool.connect() as connection:
        (group,) = groups_after(connection, Night(0, True, {"a": "code", "b": "code"}), Night(7, True, {"a": "code", "b": "in"}))
        assert (group.opened_date, group.rows, group.open, group.passed, group.again) == (DAY, 2, 1, 1, 1)
        connection.rollback()


def test_a_key_that_fails_after_it_has_passed_opens_a_new_ticket(pool: sa.Engine) -> None:
    with pool.connect() as connection:
        found = groups_after(connection, Night(0, True, {"a": "code"}), Night(1, False, {"a": "in"}), Night(2, False, {"a": "code"}))
        assert [((g.opened_date - DAY).days, g.open, g.passed) for g in found] == [(0, 0, 1), (2, 1, 0)]
        connection.rollback()


def test_a_delta_without_the_key_settles_nothing(pool: sa.Engine) -> None:
    with pool.connect() as connection:
        (group,) = groups_after(connection, Night(0, True, {"a": "code"}), Night(1, False, {"b": "in"}), Night(2, False, {}))
        assert group.open == 1
        connection.rollback()


def test_rows_without_a_key_are_counted_and_settled_by_a_full_delivery_alone(pool: sa.Engine) -> None:
    """Five came, then three: two are gone; nobody can say which."""
    with pool.connect() as connection:
        for night, n in ((Night(0, True, {}), 5), (Night(1, False, {}), 0), (Night(2, True, {}), 3)):
            one = night.delivery
            publish(connection, night, {one.delivery_id: night})
            for number in range(1, n + 1):
                connection.execute(
                    sa.text("INSERT INTO quarantine.row VALUES (:key, :n, 'key_missing', :stem, 'parse', NULL, :day)"),
                    {"key": one.delivery_id, "n": number, "stem": STEM, "day": one.business_date},
                )
            publish_again = items.landed(connection, [night.frame])
            items.open_rows(connection, STEM, one.delivery_id, publish_again)
            items.settle(connection, STEM, one, publish_again)
        (group,) = tickets.groups(connection, STEM)
        assert (group.opened_date, group.rows, group.open, group.withdrawn) == (DAY, 5, 3, 2)
        connection.rollback()


def test_a_proof_that_no_longer_holds_falls(pool: sa.Engine) -> None:
    """The delivery that proved a key is judged again, by a stricter contract."""
    with pool.connect() as connection:
        first, second = Night(0, True, {"a": "code"}), Night(1, False, {"a": "in"})
        (group,) = groups_after(connection, first, second)
        assert group.open == 0
        publish(connection, Night(1, False, {"a": "code"}), {n.delivery.delivery_id: n for n in (first, second)})
        (group,) = tickets.groups(connection, STEM)
        assert (group.open, group.again) == (1, 1)
        connection.rollback()


def test_a_delivery_judged_again_by_a_corrected_contract_proves_its_own_rows(pool: sa.Engine) -> None:
    with pool.connect() as connection:
        groups_after(connection, Night(0, True, {"a": "code", "b": "code"}), Night(0, True, {"a": "in", "b": "code"}))
        rows = connection.execute(
            sa.text("SELECT proof_kind, proof_row_number = row_number AS is_itself FROM quarantine.ticket_item ORDER BY 1")
        )
        assert [tuple(r) for r in rows] == [("passed", True), (None, None)]
        connection.rollback()


def test_what_a_delivery_was_held_for_is_settled_by_a_row_that_another_rule_keeps_out_and_that_has_a_ticket(pool: sa.Engine) -> None:
    with pool.connect() as connection:
        held = Night(0, True, {"a": "in"})
        groups_after(connection, held)
        connection.execute(
            sa.text(
                "INSERT INTO quarantine.item (stem, rule_id, stage, delivery_id, row_number, key_ref)"
                " VALUES (:stem, 'shifted', 'held', :key, 1, md5(:stem || chr(31) || 'a')::uuid)"
            ),
            {"stem": STEM, "key": held.delivery.delivery_id},
        )
        publish(connection, Night(1, True, {"a": "code"}), {})
        rows = connection.execute(sa.text("SELECT rule_id, proof_kind, (proof_date - opened_date) FROM quarantine.ticket_item ORDER BY 1"))
        assert [tuple(r) for r in rows] == [("shifted", "delivered", 1), ("stage_code", None, None)]
        connection.rollback()


@pytest.mark.parametrize(
    ("table", "change"),
    list(itertools.product(("item", "ticket_event"), ("UPDATE quarantine.{} SET noted_at = now()", "DELETE FROM quarantine.{}"))),
)
def test_items_and_events_cannot_be_changed_or_taken_out(pool: sa.Engine, table: str, change: str) -> None:
    with pool.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="appended to, never changed"):
        groups_after(connection, Night(0, True, {"a": "code"}))
        connection.execute(sa.text(change.format(table)))
