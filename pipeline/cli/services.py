"""`hub up`, `hub down`, `hub run`, `hub services`: what runs on this machine, and a night through the scheduler."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hub.settings import get_settings

console = Console(width=None if sys.stdout.isatty() else 140)  # piped, a table keeps its columns
_MARKS = {"success": "✓", "failed": "✗", "running": "…", "skipped": "–", "upstream_failed": "–", "up_for_retry": "↻"}


def up(
    airflow: Annotated[bool, typer.Option("--airflow/--no-airflow", help="Start Airflow as well.")] = True,
) -> None:
    """Start PostgreSQL, the simulated agencies (sandbox only) and Airflow; what runs is left alone."""
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
    from pipeline.cli.summary import print_summary
    from pipeline.nights import open_night, parse_date
    from pipeline.services import agencies, airflow, nightly
    from pipeline.services import up as local

    settings = get_settings()
    asked = parse_date(date)
    # Opened first: what the scheduler finds to do by itself when it starts then belongs to the same night.
    day = open_night(settings, day=asked)
    agencies.reach(settings, day)
    with console.status("启动服务（首次约一分钟）/ starting services (about a minute the first time) …"):
        local.up(settings)
    console.print(f"业务日期 {day} night · {airflow.url(settings)}", highlight=False)

    def told(dag: str, task: str, state: str) -> None:
        if state in _MARKS and state not in ("running", "skipped"):
            console.print(f"  {_MARKS[state]} {dag:<28} {task:<8} {state}", highlight=False, soft_wrap=True)

    with console.status("调度器运行中 / the scheduler is at work …"):
        outcome = nightly.through_scheduler(settings, day, reporter=told)
    print_summary(console, settings, day)
    console.print(
        f"\nAirflow   {airflow.url(settings)}   用户 user: {airflow.ADMIN}   口令 password: 见 see {airflow.password_file(settings)}\n"
        f"状态 status: hub status · 隔离 quarantine: hub quarantine list · 停止 stop: make stop · 下一夜 next night: make run",
        highlight=False,
        soft_wrap=True,
    )
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
