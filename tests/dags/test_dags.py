"""The DAGs: what runs when, and nothing else."""

import ast
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.contract import load_contract, stems

DAGS = Path(__file__).resolve().parents[2] / "dags"
CHAIN = ["fetch", "land", "parse", "gate", "report", "watcher"]


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Airflow reads its configuration at import: this module's own folder, no examples, no database."""
    patch = pytest.MonkeyPatch()
    patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def intakes(airflow_home: None) -> dict[str, Any]:
    """Intake DAGs by stem."""
    from dags import intake

    return {stem: getattr(intake, f"intake_{stem}") for stem in stems()}


@pytest.fixture(scope="module")
def unify(airflow_home: None) -> Any:
    """The DAG that publishes."""
    from dags.unify import unify

    return unify


def test_there_is_one_intake_per_contract_and_one_unify(intakes: dict[str, Any], unify: Any) -> None:
    assert {d.dag_id for d in intakes.values()} == {f"intake_{stem}" for stem in stems()}
    assert unify.dag_id == "unify"


def test_the_verbs_are_the_tasks_in_order(intakes: dict[str, Any]) -> None:
    for dag in intakes.values():
        assert sorted(dag.task_ids) == sorted(CHAIN)
        for before, after in zip(CHAIN, CHAIN[1:], strict=False):
            assert after in dag.get_task(before).downstream_task_ids, f"{dag.dag_id}: {before} → {after}"
        assert dag.get_task("fetch").upstream_task_ids == set()
        assert dag.get_task("watcher").upstream_task_ids == set(CHAIN[:-1])


def test_unify_resolves_then_merges_then_shares(unify: Any) -> None:
    assert unify.get_task("resolve").downstream_task_ids == {"merge"}
    assert unify.get_task("merge").downstream_task_ids == {"share"}
    assert len(unify.task_ids) == 3


def test_every_intake_runs_nightly_in_chinese_time_and_is_never_caught_up(intakes: dict[str, Any]) -> None:
    for dag in intakes.values():
        assert dag.schedule.expression.split()[2:] == ["*", "*", "*"]
        assert "Asia/Shanghai" in str(dag.schedule.timezone)
        assert dag.start_date is None and dag.schedule.run_immediately == timedelta(0), "a new DAG waits for its next time"
        assert not dag.catchup
        assert dag.max_active_runs == 1


def test_a_run_ends_by_the_deadline_of_its_contract(intakes: dict[str, Any]) -> None:
    for stem, dag in intakes.items():
        minute, hour = (int(x) for x in load_contract(stem).delivery.schedule.split()[:2])
        deadline = load_contract(stem).delivery.deadline
        minutes = (deadline.hour * 60 + deadline.minute - hour * 60 - minute) % 1440
        assert dag.dagrun_timeout.total_seconds() == minutes * 60


def test_only_fetch_takes_a_slot_of_the_agency(intakes: dict[str, Any]) -> None:
    for stem, dag in intakes.items():
        assert dag.get_task("fetch").pool == f"agency_{stem}"
        assert {t.pool for t in dag.tasks if t.task_id != "fetch"} == {"default_pool"}


def test_fetch_is_retried_as_the_contract_says_with_growing_delay(intakes: dict[str, Any]) -> None:
    for stem, dag in intakes.items():
        fetch = dag.get_task("fetch")
        assert fetch.retries == load_contract(stem).delivery.retries
        assert fetch.retry_exponential_backoff
        assert fetch.execution_timeout is not None
        assert all(t.execution_timeout for t in dag.tasks if t.task_id != "watcher")


def test_the_source_reports_whatever_became_of_its_verbs(intakes: dict[str, Any]) -> None:
    for stem, dag in intakes.items():
        report = dag.get_task("report")
        assert report.trigger_rule == "all_done"
        assert [a.uri for a in report.outlets] == [f"hub://source/{stem}"]
        assert dag.get_task("watcher").trigger_rule == "one_failed"
        assert dag.get_task("watcher").retries == 0


def test_unify_waits_for_every_source_or_the_latest_deadline(unify: Any) -> None:
    assets = {a.uri for a in unify.schedule.asset_condition.objects}
    assert assets == {f"hub://source/{stem}" for stem in stems()}
    latest = max(load_contract(stem).delivery.deadline for stem in stems())
    assert unify.schedule.timetable.expression == f"{latest.minute} {latest.hour} * * *"


def test_every_dag_and_task_says_in_both_languages_what_to_do_when_it_fails(intakes: dict[str, Any], unify: Any) -> None:
    for dag in [*intakes.values(), unify]:
        assert "失败" in dag.doc_md and "When it fails" in dag.doc_md
        assert dag.tags
        for task in dag.tasks:
            assert task.doc_md and task.doc_md.isascii() is False, f"{dag.dag_id}.{task.task_id}"
            assert task.owner == "assistance-hub"


def test_a_hub_error_becomes_a_page_that_says_what_to_do(airflow_home: None) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from dags.failures import explained
    from hub.errors import GateHeld, SourceUnavailable

    def raising(error: Exception) -> Any:
        @explained
        def body() -> None:
            raise error

        return body

    with pytest.raises(AirflowFailException, match="GateHeld: delivery x: held — ask the agency"):
        raising(GateHeld("held", where="delivery x", next_step="ask the agency"))()
    with pytest.raises(AirflowException, match="down — wait") as passing:
        raising(SourceUnavailable("down", next_step="wait"))()
    assert not isinstance(passing.value, AirflowFailException), "what may pass by itself is retried"


def test_the_log_says_what_where_and_next_in_lines_that_fit_the_page(airflow_home: None, caplog: pytest.LogCaptureFixture) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from dags.failures import explained
    from hub.errors import GateHeld

    @explained
    def body() -> None:
        raise GateHeld("held because " + "of many rows " * 20, where="delivery x", next_step="ask the agency")

    with pytest.raises(AirflowFailException):
        body()
    lines = [r.getMessage() for r in caplog.records]
    assert lines[0].startswith("出错 what: held") and "位置 where: delivery x" in lines and lines[-1] == "下一步 next: ask the agency"
    assert max(map(len, lines)) < 100


def test_every_task_has_a_name_in_both_languages(intakes: dict[str, Any], unify: Any) -> None:
    for dag in [*intakes.values(), unify]:
        for task in dag.tasks:
            assert task.task_display_name.endswith(f" {task.task_id}") and not task.task_display_name.isascii()


def test_the_text_of_an_unforeseen_error_is_withheld(airflow_home: None) -> None:
    from airflow.sdk.exceptions import AirflowException

    from dags.failures import explained

    @explained
    def body() -> None:
        raise ValueError("a row's value")

    with pytest.raises(AirflowException) as found:
        body()
    assert "a row's value" not in str(found.value)
    assert "ValueError" in str(found.value)
    assert found.value.__suppress_context__


def test_a_task_body_is_one_call_into_the_pipeline() -> None:
    tree = ast.parse((DAGS / "factory.py").read_text(encoding="utf-8"))
    bodies = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and any("task" in ast.unparse(d) for d in node.decorator_list)
    ]
    assert len(bodies) == 9
    for node in bodies:
        *imports, last = node.body
        assert all(isinstance(s, ast.ImportFrom) and s.module == "pipeline" for s in imports), node.name
        if node.name == "watcher":
            assert isinstance(last, ast.Raise)
        else:
            assert isinstance(last, ast.Return) and isinstance(last.value, ast.Call), node.name


@pytest.mark.slow
def test_reading_a_dag_file_imports_nothing_heavy_and_is_quick(airflow_home: None) -> None:
    code = (
        "import sys, time; import airflow.sdk; from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, task;"
        " began = time.perf_counter(); import dags.intake, dags.unify; print(time.perf_counter() - began);"
        " print([m for m in ('pandas', 'polars', 'duckdb', 'great_expectations', 'sqlalchemy.orm', 'pipeline') if m in sys.modules"
        " and m not in before])"
    ).replace("began =", "before = set(sys.modules); began =", 1)
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=DAGS.parent, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    seconds, heavy = done.stdout.strip().splitlines()[-2:]
    assert heavy == "[]"
    assert float(seconds) < 10, f"{seconds} s of {time.monotonic() - began:.1f} s"
