"""A whole night through the real scheduler, one agency broken: what becomes of it, and that no person is in anything it leaves."""

import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from hub.settings import CHECKOUT
from pipeline.services import sharing
from schemas.contract import stems
from tests import population
from warehouse import database, embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DAY = "2026-03-01"
BROKEN = "housing"


@dataclass(frozen=True)
class Scheduled:
    """What the night left.

    Attributes:
        broken: exit status of the night with a broken agency; `mended` of the same night afterwards.
        runs: (DAG, run type, state) and tasks: (DAG, task, state), after the first of them.
        departments: what the service for departments says of itself after the first of them.
        texts: name of an artefact → everything in it.
    """

    hub: Any
    broken: int
    mended: int
    runs: set[tuple[str, str, str]]
    tasks: set[tuple[str, str, str]]
    departments: str
    texts: dict[str, str]
    fingerprint: str


def rows_of(connection: sa.Connection, query: str) -> set[tuple[str, ...]]:
    return {tuple(map(str, row)) for row in connection.execute(sa.text(query))}


def dump(engine: sa.Engine, *schemas: str) -> dict[str, str]:
    """Every table of some schemas as text."""
    found = {}
    with engine.connect() as connection:
        tables = connection.execute(
            sa.text("SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables WHERE table_schema = ANY(:s)"),
            {"s": list(schemas)},
        )
        for table in list(tables.scalars()):
            found[table] = "\n".join(connection.execute(sa.text(f"SELECT t::text FROM {table} t")).scalars())
    return found


@pytest.fixture(scope="module")
def night(make_hub):
    hub = make_hub("scheduled")
    home = hub.settings.home
    hub.break_by(BROKEN, "shifted_column")
    try:
        printed = [hub.command("run", "--date", DAY)]
        with urllib.request.urlopen(f"{sharing.url(hub.settings)}/healthz", timeout=30) as answer:
            departments = answer.read().decode()
        airflow = sa.create_engine(embedded.cluster(hub.settings).url("airflow"))
        with airflow.connect() as connection:
            runs = rows_of(connection, "SELECT dag_id, run_type, state FROM dag_run")
            tasks = rows_of(connection, "SELECT dag_id, task_id, state FROM task_instance")
        hub.mend(BROKEN)
        printed.append(hub.command("night", "--date", DAY))
        for arguments in (
            "status",
            "quarantine list",
            f"quarantine show {BROKEN}",
            "deliveries",
            f"report {BROKEN}",
            "report health",
            "doctor",
        ):
            printed.append(hub.command(*arguments.split()))
        texts = {
            str(p.relative_to(home)): p.read_text(errors="replace")
            for f in ("logs", "airflow", "reports")
            for p in (home / f).rglob("*")
            if p.is_file()
        }
        texts |= {f"airflow database {name}": text for name, text in dump(airflow, "public").items()}
        texts |= {f"warehouse {name}": text for name, text in dump(database.engine(hub.settings), "ops", "landing", "quarantine").items()}
        texts |= {" ".join(done.args[3:]): done.stdout + done.stderr for done in printed}
        airflow.dispose()
        yield Scheduled(hub, printed[0].returncode, printed[1].returncode, runs, tasks, departments, texts, hub.fingerprint())
    finally:
        hub.command("down")


def test_every_intake_and_unify_ran_and_the_broken_one_alone_failed(night):
    states = {dag: state for dag, _, state in night.runs}
    assert states == {**{f"intake_{s}": "success" for s in stems()}, f"intake_{BROKEN}": "failed", "unify": "success"}
    assert night.broken == 4


def test_departments_are_answered_of_the_night_that_was_run(night):
    assert DAY in night.departments


def test_unify_was_started_by_the_assets(night):
    assert {kind for dag, kind, _ in night.runs if dag == "unify"} == {"asset_triggered"}


def test_the_failed_verb_is_red_and_the_source_reported_all_the_same(night):
    tasks = {task: state for dag, task, state in night.tasks if dag == f"intake_{BROKEN}"}
    assert (tasks["parse"], tasks["gate"], tasks["report"], tasks["watcher"]) == ("success", "failed", "success", "failed")


def test_the_failed_tasks_log_says_what_where_and_what_to_do(night):
    log = "".join(text for name, text in night.texts.items() if f"dag_id=intake_{BROKEN}" in name and "task_id=gate" in name)
    for said in ("the gate holds this delivery", "delivery ", f"hub report {BROKEN}"):
        assert said in log


def test_after_the_agency_is_mended_the_same_night_is_that_of_a_quiet_hub(night, five_nights):
    assert night.mended == 0
    assert night.fingerprint == five_nights.reports[1].fingerprint


def test_no_person_is_in_anything_the_night_left(night):
    people = population.of(night.hub.settings, [1])
    assert sum(map(len, people.values())) > 2000 and sum(len(text) for text in night.texts.values()) > 200_000
    assert any(name.startswith("airflow database") and "xcom" in name and text for name, text in night.texts.items())
    assert population.told(population.search(people, night.texts)) == {}


def test_an_interrupted_run_says_one_sentence(night):
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", "run", "--date", DAY], cwd=CHECKOUT, env=night.hub.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    next(line for line in child.stdout if "intake_" in line)
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate()
    assert child.returncode == 130, said
    assert said.strip() == "已中断，可安全重跑 / interrupted; run it again safely"
    assert night.hub.fingerprint() == night.fingerprint
