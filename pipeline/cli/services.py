"""`hub up`, `hub down`, `hub run`, `hub services`: what runs on this machine, and a night through the scheduler."""

import json
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from hub.screen import screen
from hub.settings import get_settings
from schemas.contract import load_contracts

console = screen()
_MARKS = {"success": "✓", "failed": "✗", "skipped": "–", "upstream_failed": "–", "up_for_retry": "↻"}
_OVER = ("success", "failed", "upstream_failed", "up_for_retry")
# Tasks that end in a good night: the four verbs and the report of an intake, the three verbs of the night.
_INTAKE_TASKS, _UNIFY_TASKS = 5, 3


def up(
    airflow: Annotated[bool, typer.Option("--airflow/--no-airflow", help="Start Airflow as well.")] = True,
) -> None:
    """Start PostgreSQL, the simulated agencies (sandbox only), the sharing service and Airflow; what runs is left alone."""
    from pipeline.services import up as local

    settings = get_settings()
    with console.status("启动服务 / starting services …"):
        local.up(settings, with_airflow=airflow)
    services()


def down() -> None:
    """Stop what `hub up` started; the data stays."""
    from pipeline.services import up as local

    with console.status("停止服务 / stopping services …"):
        local.down(get_settings())
    console.print("已停止 / down.")


def services(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """The local services: state, process, address, log."""
    from pipeline.services import up as local

    found = local.running(get_settings())
    if as_json:
        print(json.dumps([asdict(s) for s in found], ensure_ascii=False))
        return
    table = Table("服务 service", "状态 state", "进程 pid", "地址 address", box=None, padding=(0, 2, 0, 0))
    for s in found:
        table.add_row(s.name, s.state, "" if s.pid is None else str(s.pid), s.url or "")
    console.print(table)


def run(
    date: Annotated[str | None, typer.Option("--date", help="Business date, 2026-03-01; the next night if not given.")] = None,
) -> None:
    """Run the next night through Airflow's scheduler, starting what is needed; the services stay up."""
    from hub.dates import parse_date
    from pipeline.cli.summary import print_summary
    from pipeline.nights import open_night
    from pipeline.services import agencies, airflow, nightly
    from pipeline.services import up as local

    settings = get_settings()
    asked = parse_date(date)
    load_contracts()  # a wrong contract is told before anything is done
    # Opened first: what the scheduler finds to do by itself when it starts then belongs to the same night.
    day = open_night(settings, day=asked)
    agencies.reach(settings, day)
    with console.status("启动服务（首次约一分钟）/ starting services (about a minute the first time) …"):
        local.up(settings)
    console.print(f"业务日期 {day} night · {airflow.url(settings)}", highlight=False)

    def told(dag: str, task: str, state: str, *, bars: Bars | None = None) -> None:
        if state in _OVER:
            console.print(f"  {_MARKS[state]} {dag:<26} {task:<8} {state}", soft_wrap=True)
            if bars is not None and state != "skipped":
                bars.advance(bars.task_ids[0])

    if console.is_terminal:
        total = len(airflow.dag_ids()) * _INTAKE_TASKS + _UNIFY_TASKS
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
        with Bars(*columns, console=console, transient=True) as bars:
            bars.add_task("调度器运行中 the scheduler is at work", total=total)
            outcome = nightly.through_scheduler(settings, day, reporter=partial(told, bars=bars))
    else:
        outcome = nightly.through_scheduler(settings, day, reporter=told)
    print_summary(console, settings, day)
    console.print("下一步 next: hub status · hub quarantine list · make run (下一夜 next night) · make stop", soft_wrap=True)
    for dag, tasks in outcome.failed.items():
        console.print(f"✗ {dag}: {', '.join(tasks)} → {airflow.url(settings)}/dags/{dag}", highlight=False, soft_wrap=True)
    if outcome.runs.get("unify") != "success":
        raise typer.Exit(6)
    if outcome.failed:
        raise typer.Exit(4)


def register(app: typer.Typer) -> None:
    """Add these commands to the `hub` command line."""
    for command in (up, down, run, services):
        app.command()(command)
