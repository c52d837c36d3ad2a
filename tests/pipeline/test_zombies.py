"""A run that is frozen, loses its sessions, is taken over and wakes: it says so, and the pool is its successor's to the last row."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.settings import CHECKOUT
from pipeline import erasure, nights, rulings
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from tests.pipeline.test_erasure import someone
from warehouse import embedded, landing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NIGHT = ("night", "--date", "2026-03-02", "--json")
_TABLES = (
    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
)


class Grave:
    """The server's own database, from which a hub's sessions are seen and cut."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._engine = sa.create_engine(embedded.cluster(hub.settings).url(), isolation_level="AUTOCOMMIT")

    def cut(self) -> None:
        """End every session of the hub, and with them the locks; returns when the server has done it."""
        with self._engine.connect() as connection:
            query = "SELECT count(pg_terminate_backend(pid, 30000)) FROM pg_stat_activity WHERE datname = 'hub'"
            connection.execute(sa.text(query))
            assert not connection.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))

    def waits(self, text: str) -> bool:
        """Whether a session of the hub waits for a lock in a statement that holds a text."""
        with self._engine.connect() as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'hub' AND wait_event_type = 'Lock' AND position(:text IN query) > 0"
            )
            return bool(connection.scalar(sa.text(query), {"text": text}))

    def end(self) -> None:
        self._engine.dispose()


@pytest.fixture
def grave(borrowed: Hub) -> Iterator[Grave]:
    found = Grave(borrowed)
    yield found
    found.end()


def signalled(child: subprocess.Popen[str], number: int) -> None:
    """Signal a command and all it started: the gate judges in a process group of its own."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(place.name)) == child.pid:
                os.kill(int(place.name), number)
        except ProcessLookupError:
            pass


def lie(hub: Hub) -> dict[str, object]:
    """All that lies anywhere: every row of every table, the landing store and the spool."""
    engine = sa.create_engine(embedded.cluster(hub.settings).url("hub"))
    with engine.connect() as connection:
        found: dict[str, object] = {
            table: connection.execute(sa.text(f"SELECT count(*), sum(hashtextextended(t::text, 1)::numeric) FROM {table} t")).one()
            for table in connection.scalars(sa.text(_TABLES)).all()
        }
    engine.dispose()
    found["landing"] = sorted(str(p) for p in (hub.settings.home / "landing").rglob("*.sealed"))
    found["spool"] = sorted(p.name for p in (hub.settings.home / "spool").glob("*"))
    return found


def woken(child: subprocess.Popen[str], hub: Hub, said: str) -> str:
    """Wake it and let it come to its end: it changes nothing, and says in one sentence what happened."""
    before = lie(hub)
    signalled(child, signal.SIGCONT)
    _, rest = child.communicate(timeout=300)
    # What the server said at the last to a session it ended, the driver passes on as it is, or not.
    told = [line for line in rest.splitlines() if line and not line.startswith(("{", "FATAL:"))]
    assert child.returncode == 9, rest
    assert len(told) == 1 and said in told[0] and "Traceback" not in rest, rest
    assert lie(hub) == before
    return rest


@pytest.fixture(scope="module")
def quiet(five_nights: Hub) -> tuple[str, list[str]]:
    """What the night leaves that nobody disturbs: fingerprint, quarantine and tickets."""
    hub = five_nights
    hub.restore("night_1")
    hub.night(2)
    return hub.fingerprint(), hub.quarantine_history()


@pytest.mark.parametrize("verb", ["fetch", "land", "parse", "gate", "resolve", "merge", "share"])
def test_a_night_that_wakes_after_another_one_ran_changes_nothing_and_says_so(
    borrowed: Hub, grave: Grave, quiet: tuple[str, list[str]], verb: str
) -> None:
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    with oracle.watched(hub.settings):
        child = hub.begun(*NIGHT)
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith("{") and {"event": verb, "state": "begun"}.items() <= json.loads(line).items():
                signalled(child, signal.SIGSTOP)
                break
        grave.cut()
        done = hub.night(2)
        assert {books["state"] for books in done.sources.values()} <= {"ok", "not_due"}
        woken(child, hub, "another run has taken over this")
    oracle.same_fingerprint(hub.fingerprint(), quiet[0])
    oracle.same_books(hub.quarantine_history(), quiet[1])


def frozen_while_it_waits(hub: Hub, grave: Grave, table: str, *command: str) -> subprocess.Popen[str]:
    """A command that is frozen where it first wants to read a table, its sessions cut."""
    holder = sa.create_engine(embedded.cluster(hub.settings).url("hub"))
    with holder.connect() as connection:
        connection.execute(sa.text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        child = hub.begun(*command)
        tick = threading.Event()
        while not grave.waits(table):
            assert child.poll() is None, child.stderr and child.stderr.read()
            tick.wait(0.05)
        signalled(child, signal.SIGSTOP)
        grave.cut()
        connection.invalidate()
    holder.dispose()
    return child


def test_a_withdrawal_that_wakes_after_another_one_is_no_second_one(borrowed: Hub, grave: Grave) -> None:
    hub = borrowed
    hub.restore("night_5")
    delivery = newest(hub, "medical_insurance")
    code = rulings.withdraw(hub.settings, delivery, dry_run=True).confirm
    said = ("withdraw", delivery, "--reason", "wrong file", *(("--confirm", code) if code else ()))
    child = frozen_while_it_waits(hub, grave, "ops.publication", *said)
    done = rulings.withdraw(hub.settings, delivery, reason="wrong file", confirm=code)
    woken(child, hub, "another run has taken over this")
    oracle.same_fingerprint(hub.fingerprint(), done.fingerprint)


def test_an_erasure_that_wakes_after_another_one_is_no_second_one(borrowed: Hub, grave: Grave) -> None:
    hub = borrowed
    hub.restore("night_5")
    person = someone(hub, "cardinality(sources) >= 2")
    with hub.landing_kept():
        code = erasure.plan(hub.settings, person).confirm
        said = {"basis": "consent", "reason": "decision 2026/17", "by": "王工", "confirmed_by": "李工", "confirm": code}
        options = [part for name, value in said.items() for part in (f"--{name.replace('_', '-')}", value)]
        child = frozen_while_it_waits(hub, grave, "ops.publication", "erasure", "carry-out", person, *options)
        erasure.carry_out(hub.settings, person, **said)
        woken(child, hub, "another run has taken over this")
        assert len(erasure.listed(hub.settings)) == 1


def newest(hub: Hub, stem: str) -> str:
    engine = sa.create_engine(embedded.cluster(hub.settings).url("hub"))
    with engine.connect() as connection:
        found = landing.deliveries(connection, stem=stem)[0].delivery_id
    engine.dispose()
    return found


def test_a_scheduled_verb_that_wakes_after_its_retry_changes_nothing(
    borrowed: Hub, grave: Grave, scheduled: Callable[..., subprocess.Popen[str]]
) -> None:
    """As under Airflow: each verb is a process of its own, and nobody holds the night."""
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    hub.break_by("health", "hang", after_bytes=0)
    child = scheduled("health")
    assert child.stderr is not None
    for line in child.stderr:
        if '"begun"' in line:
            signalled(child, signal.SIGSTOP)
            break
    grave.cut()
    hub.mend("health")
    hub.night(2)
    woken(child, hub, "another run has taken over this source health")
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)


_VERB = """
import sys
from datetime import date
from hub import log
from hub.errors import HubError
from pipeline import steps
log.configure("DEBUG")
try:
    steps.fetch(sys.argv[1], date(2026, 3, 2))
except HubError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def scheduled(borrowed: Hub) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs the fetch of a source by itself, as a task does."""

    def begin(stem: str) -> subprocess.Popen[str]:
        nights.open_night(borrowed.settings, day=clock.date_of(borrowed.settings, 2))
        return subprocess.Popen(
            [sys.executable, "-c", _VERB, stem], cwd=CHECKOUT, env=borrowed.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip

    yield begin
