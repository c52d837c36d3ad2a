"""A small hub of its own for the tests: home folder, PostgreSQL, simulated agencies."""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from unittest.mock import patch

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import settings as examples
from rich.console import Console

from hub.settings import CHECKOUT, Settings, get_settings
from pipeline import nights, run, tickets
from pipeline.cli import main as cli
from pipeline.cli.summary import print_summary
from pipeline.services import agencies
from sandbox import clock, faults
from sandbox.endpoints import provision
from schemas.contract import stems
from tests import oracle
from warehouse import database, embedded, fingerprint, quarantine

PERSONS = 1200
# What is tried is the same each time, so that a change is refused for what it did; `make search` looks for what nobody tried yet.
examples.register_profile("same", derandomize=True, database=None)
examples.register_profile(
    "search", derandomize=False, database=None, print_blob=True, max_examples=int(os.environ.get("HUB_TEST_EXAMPLES", "100"))
)
examples.load_profile("same")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What a test held a pool to is noted with it."""
    with oracle.noting(item.user_properties):
        return (yield)


class NeverBegan(AssertionError):
    """A verb that was waited for did not begin before the command ended."""


class Hub:
    """One hub in a folder of its own."""

    def __init__(self, home: Path, noise: str = "standard") -> None:
        self.settings = Settings(home=home, sandbox_persons=PERSONS, sandbox_noise=noise)  # type: ignore[call-arg, arg-type]
        self.environment = {
            **os.environ, "HUB_HOME": str(home), "HUB_SANDBOX_PERSONS": str(PERSONS), "HUB_SANDBOX_NOISE": noise,
        }  # fmt: skip

    def start(self) -> None:
        self.settings.home.mkdir(parents=True)
        embedded.start(self.settings)
        for stem in stems():  # retries wait shorter than a real agency would like
            provision(stem, self.settings)
            path = self.settings.home / "sources" / f"{stem}.json"
            source = json.loads(path.read_text(encoding="utf-8"))
            source["extra"]["backoff_s"] = 0.01
            path.write_text(json.dumps(source), encoding="utf-8")
        agencies.start(self.settings)

    def night(self, number: int, only: str | None = None, *, still_since: int | None = None) -> run.NightReport:
        """Run the county's night of a number; its books must balance. Since another night nothing may have happened to anybody."""
        clock.set_night(self.settings, number, still_since=still_since)
        day = nights.open_night(self.settings, day=clock.date_of(self.settings, number))
        report = run.run(self.settings, day, only=only)
        oracle.balanced(report.sources)
        return report

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a person runs it."""
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *arguments], cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def invoked(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line in this process, for commands that only ask the pool: no Python is started."""
        out, err, status = io.StringIO(), io.StringIO(), 0
        with (
            patch.dict(os.environ, self.environment, clear=True), patch.object(sys, "argv", ["hub", *arguments]),
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        ):  # fmt: skip
            get_settings.cache_clear()
            try:
                cli.run()
            except SystemExit as ended:
                status = int(ended.code or 0)
            finally:
                get_settings.cache_clear()
                structlog.reset_defaults()  # its log went to a stream that ends here
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    def begun(self, *arguments: str) -> subprocess.Popen[str]:
        """The command line, still at work, in a session of its own and with its log in full."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *arguments], cwd=CHECKOUT, env={**self.environment, "HUB_LOG_LEVEL": "DEBUG"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def struck(self, verb: str, strike: Callable[[subprocess.Popen[str]], None], *arguments: str) -> tuple[int, str]:
        """A command that is struck when its log says that a verb has begun; its exit status and the rest of its log."""
        child = self.begun(*arguments)
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith("{") and {"event": verb, "state": "begun"}.items() <= json.loads(line).items():
                strike(child)
                break
        else:
            raise NeverBegan(f"{verb} never began; status {child.wait()}")
        rest = child.stderr.read()
        return child.wait(), rest

    @contextmanager
    def _server(self) -> Iterator[sa.Connection]:
        """The server's own database, with nobody left in the hub's."""
        embedded.start(self.settings)
        database.engine(self.settings).dispose()
        if "expectations.gate" in sys.modules:  # it keeps a connection of its own; not imported for that, since it takes seconds
            sys.modules["expectations.gate"]._context.cache_clear()
        engine = sa.create_engine(embedded.cluster(self.settings).url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'hub'"))
            yield connection
        engine.dispose()

    def keep(self, name: str) -> None:
        """Keep the warehouse as it is under a name."""
        with self._server() as connection:
            connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{name}"'))
            connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE hub'))

    def restore(self, name: str) -> None:
        """Put a kept warehouse in the place of the present one; agencies are mended, nothing is left half-fetched."""
        with self._server() as connection:
            connection.execute(sa.text("DROP DATABASE hub WITH (FORCE)"))
            connection.execute(sa.text(f'CREATE DATABASE hub TEMPLATE "{name}"'))
        for stem in stems():
            self.mend(stem)
        for folder in ("spool", "sandbox/corrections"):
            shutil.rmtree(self.settings.home / folder, ignore_errors=True)

    @contextmanager
    def landing_kept(self) -> Iterator[None]:
        """Landing is afterwards as it was, whatever was destroyed in it; the warehouse is restored beside it."""
        lay = {path: path.read_bytes() for path in (self.settings.home / "landing").rglob("*.sealed")}
        try:
            yield
        finally:
            for path, content in lay.items():
                path.write_bytes(content)

    def forget_airflow(self) -> None:
        """Drop Airflow's books; it is stopped, and makes them anew when it starts."""
        with self._server() as connection:
            connection.execute(sa.text("DROP DATABASE IF EXISTS airflow WITH (FORCE)"))
        shutil.rmtree(self.settings.home / "airflow", ignore_errors=True)

    def break_by(self, stem: str, fault: str, **arguments: int) -> None:
        """Switch one fault of an agency on, alone."""
        faults.break_source(self.settings, stem, fault)
        faults.switch_file(self.settings, stem).write_text(json.dumps([{"fault": fault, **arguments}]), encoding="ascii")

    def mend(self, stem: str) -> None:
        """Switch all faults of an agency off; returns when it listens again."""
        faults.mend(self.settings, stem)
        port = provision(stem, self.settings).port
        ends_at = time.monotonic() + 20
        while time.monotonic() < ends_at:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return

    def change_endpoint(self, stem: str, **values: object) -> None:
        """Change the hub's own note on how an agency is reached; `extra` is added to."""
        path = self.settings.home / "sources" / f"{stem}.json"
        source = json.loads(path.read_text(encoding="utf-8"))
        extra = {**source["extra"], **values.pop("extra", {})}  # type: ignore[dict-item]
        path.write_text(json.dumps({**source, **values, "extra": extra}), encoding="utf-8")

    def fingerprint(self) -> str:
        """The fingerprint of the warehouse, counted from every row; the one kept on the way must agree."""
        with database.engine(self.settings).connect() as connection:
            counted = fingerprint.scanned(connection)
            assert fingerprint.kept(connection) == counted
            return counted

    def content(self) -> dict[str, int]:
        """A sum over what is true in each table, without quarantine and the days on which the hub came to know it.

        Without ids too: a record's id holds the day it was first seen.
        """
        with database.engine(self.settings).connect() as connection:
            agencies = [
                f'core."{stem}"' for stem in stems() if connection.scalar(sa.text("SELECT to_regclass(:t)"), {"t": f'core."{stem}"'})
            ]
            found = {}
            for table in ["core.person", "core.household", "core.household_member", "identity.link", *agencies]:
                dates = "'{delivery_id,first_seen_date,changed_date,as_of_date,withdrawn_date,known_from}'::text[]"
                dates += " - '{record_id,person_id,household_id,head_person_id}'::text[]"
                living = " WHERE t.withdrawn_date IS NULL" if table in agencies else ""
                query = f"SELECT coalesce(sum(hashtextextended((to_jsonb(t) - {dates})::text, 1)::numeric), 0) FROM {table} t{living}"
                found[table] = connection.scalar(sa.text(query))
            return found

    def screen(self, day: date) -> str:
        """What `hub status` shows of a night."""
        console = Console(file=io.StringIO(), width=200)
        print_summary(console, self.settings, day)
        return console.file.getvalue()  # type: ignore[attr-defined]

    def quarantined(self, stem: str, day: date) -> list[tuple[str, str, str | None, int]]:
        """Rule, stage, field and rows of a source's quarantine of a night."""
        with database.engine(self.settings).connect() as connection:
            found = quarantine.summary(connection, stem=stem, business_date=day)
        return [(r.rule_id, r.stage, r.field, r.rows) for r in found]

    def tickets(self, *, stem: str | None = None) -> dict[str, tickets.Ticket]:
        """Tickets by their numbers, as they stand."""
        with database.engine(self.settings).connect() as connection:
            return {t.ticket_id: t for t in tickets.listed(connection, self.settings, stem=stem)}

    def quarantine_history(self) -> list[str]:
        """Tickets and proofs as text, apart from when and in how many steps the hub learned of them."""
        counts = ("rows", "open", "passed", "withdrawn", "again", "due_date", "closed_date")
        found = [f"{t.ticket_id} {[str(getattr(t, c)) for c in counts]}" for t in self.tickets().values()]
        with database.engine(self.settings).connect() as connection:
            items = connection.execute(
                sa.text(
                    "SELECT stem, rule_id, stage, field, row_number, key_ref, failed_date, proof_kind, proof_row_number, proof_date, opened_date FROM quarantine.ticket_item"
                )
            )  # noqa: E501
            return found + sorted(str(tuple(row)) for row in items)

    def stop(self) -> None:
        agencies.stop(self.settings)
        embedded.stop(self.settings)


@pytest.fixture(scope="session")
def make_hub() -> Iterator[object]:
    """Makes hubs; all are stopped at the end."""
    made: list[Hub] = []
    # As root, PostgreSQL runs as another user, who must be able to pass through the folders above its own.
    top = Path(tempfile.mkdtemp(prefix="hub-tests-"))
    top.chmod(0o711)

    def make(name: str, noise: str = "standard") -> Hub:
        hub = Hub(top / name, noise)
        made.append(hub)
        hub.start()
        return hub

    yield make
    for hub in made:
        hub.stop()
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="session")
def five_nights(make_hub) -> Hub:  # type: ignore[no-untyped-def]
    """A hub that had nights 1 to 5 without any trouble; tests only read it. Kept: the warehouse after nights 0, 1 and 5."""
    hub = make_hub("clean")
    database.migrate(hub.settings)
    hub.keep("night_0")
    hub.reports = {}
    for n in range(1, 6):
        hub.reports[n] = hub.night(n)
        if n in (1, 5):
            hub.keep(f"night_{n}")
    hub.clean_history = hub.quarantine_history()
    return hub


@pytest.fixture(scope="module")
def borrowed(five_nights: Hub) -> Iterator[Hub]:
    """The same hub for stories that change it: they begin by restoring what they need, and after them it is as it was."""
    yield five_nights
    five_nights.restore("night_5")
    clock.set_night(five_nights.settings, 5)
