"""`hub`: operate the assistance hub."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hub import log
from hub.errors import ConfigError, HubError
from hub.settings import Settings, get_settings
from pipeline.cli import new_agency, sandbox, services
from pipeline.nights import open_night, parse_date

app = typer.Typer(
    help="社会救助资源库 数据枢纽 / the assistance hub.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(sandbox.app, name="sandbox", help="模拟机构 / the simulated agencies.")
services.register(app)
app.command("new-agency")(new_agency.command)
quarantine_app = typer.Typer(help="隔离区 / rows that were not let in.", no_args_is_help=True)
app.add_typer(quarantine_app, name="quarantine")
console = Console()
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DateFlag = Annotated[str | None, typer.Option("--date", help="Business date, 2026-03-01; the next night if not given.")]


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, default=str))


@app.command()
def night(
    date: DateFlag = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this source.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a night through the seven verbs, without Airflow. Running it again is harmless."""
    from pipeline import run as running
    from pipeline.cli.summary import print_summary
    from pipeline.services import agencies
    from sandbox import clock

    settings = get_settings()
    asked = parse_date(date)
    if source is not None:
        from schemas.contract import load_contract

        load_contract(source)
    day = open_night(settings, day=asked)
    if settings.business_clock == "sandbox":
        clock.set_night(settings, max(clock.current_night(settings), clock.night_of(settings, day)))
        agencies.start(settings)

    def told(stem: str, verb: str, outcome: str) -> None:
        if outcome != "…" and not as_json:
            console.print(f"  {stem:<20} {verb:<8} {outcome}", highlight=False, soft_wrap=True)

    found = running.run(settings, day, only=source, reporter=told)
    if as_json:
        _print_json(found.as_json())
    else:
        print_summary(console, settings, day)
    if any(s["state"] in ("failed", "held") for s in found.sources.values()):
        raise typer.Exit(4)


@app.command()
def status(as_json: AsJson = False) -> None:
    """One screen: each source's last good night, books, what is held or stale and why."""
    from pipeline import run as running
    from pipeline.cli.summary import print_summary
    from warehouse import database, ledger

    settings = get_settings()
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        last = ledger.last_night(connection)
    if last is None:
        raise ConfigError("no night was run yet", next_step="run `hub night`")
    if as_json:
        _print_json(running.report(settings, last.business_date).as_json())
    else:
        print_summary(console, settings, last.business_date)


@app.command()
def person(person_id: Annotated[str, typer.Argument(help="Id of a person.")], as_json: AsJson = False) -> None:
    """One person: golden values, records, households. Values are shown; the terminal is the operator's own."""
    _show(get_settings(), "person", person_id, as_json)


@app.command()
def household(household_id: Annotated[str, typer.Argument(help="Id of a household.")], as_json: AsJson = False) -> None:
    """One household and its members."""
    _show(get_settings(), "household", household_id, as_json)


def _show(settings: Settings, kind: str, key: str, as_json: bool) -> None:
    from warehouse import database, questions

    with database.engine(settings).connect() as connection:
        found = (questions.person if kind == "person" else questions.household)(connection, key)
    if as_json:
        _print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            table = Table(*value[0], title=name)
            for row in value:
                table.add_row(*("" if v is None else str(v) for v in row.values()))
            console.print(table)
        else:
            console.print(f"{name:<14} {'' if value is None else value}", highlight=False)


@quarantine_app.command("list")
def quarantine_list(source: Annotated[str | None, typer.Option("--source")] = None, as_json: AsJson = False) -> None:
    """Rows in quarantine by source and rule."""
    from warehouse import database, quarantine

    with database.engine(get_settings()).connect() as connection:
        found = quarantine.summary(connection, stem=source)
    if as_json:
        _print_json([vars(r) if hasattr(r, "__dict__") else r for r in found])
        return
    table = Table("来源 source", "规则 rule", "环节 stage", "字段 field", "行数 rows", "起 since")
    for r in found:
        table.add_row(r.stem, r.rule_id, r.stage, r.field or "", f"{r.rows:,}", str(r.since))
    console.print(table)


@quarantine_app.command("show")
def quarantine_show(
    source: str,
    rule: Annotated[str | None, typer.Option("--rule")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Pointers to quarantined rows: delivery, row number, rule, field. Never a value."""
    from warehouse import database, quarantine

    with database.engine(get_settings()).connect() as connection:
        found = quarantine.pointers(connection, source, rule, limit)
    if as_json:
        _print_json(found)
    else:
        for row in found:
            console.print(f"{row['delivery_id'][:8]}  #{row['row_number']:<8} {row['rule_id']:<28} {row['field'] or ''}", highlight=False)


@app.command()
def deliveries(source: Annotated[str | None, typer.Option("--source")] = None, as_json: AsJson = False) -> None:
    """Landed deliveries, newest first."""
    from dataclasses import asdict

    from warehouse import database, landing

    with database.engine(get_settings()).connect() as connection:
        found = landing.deliveries(connection, stem=source)
    if as_json:
        _print_json([asdict(d) for d in found])
        return
    table = Table(
        "交付 delivery", "来源 source", "业务日 night", "截至 as of", "范围 scope", "声明行数 declared", "原始字节 raw", "存储字节 stored"
    )
    for d in found:
        table.add_row(d.delivery_id[:8], d.stem, str(d.business_date), str(d.as_of_date), d.scope,
                      "" if d.declared_rows is None else f"{d.declared_rows:,}", f"{d.raw_bytes:,}", f"{d.stored_bytes:,}")  # fmt: skip
    console.print(table)


@app.command()
def replay(delivery: Annotated[str, typer.Argument(help="Id of a landed delivery, or its beginning.")], as_json: AsJson = False) -> None:
    """Take a landed delivery through parse, gate, resolve and merge again, as if it had just been landed."""
    from pipeline import run as running

    found = running.replay(get_settings(), delivery)
    if as_json:
        _print_json(found.as_json())
    else:
        from pipeline.cli.summary import print_summary
        from pipeline.nights import parse_date

        day = parse_date(found.night)
        assert day is not None
        print_summary(console, get_settings(), day)


@app.command()
def report(
    source: str,
    date: DateFlag = None,
    out: Annotated[Path | None, typer.Option("--out", help="HTML file; standard output if not given.")] = None,
) -> None:
    """The gate's report on a source's delivery of a night, as a page."""
    from expectations.report import as_html
    from warehouse import database, landing, ledger

    with database.engine(get_settings()).connect() as connection:
        last = ledger.last_night(connection)
        day = parse_date(date) or (last.business_date if last else None)
        intake = ledger.intake(connection, day, source) if day else None
        found = landing.load_report(connection, str(intake.delivery_id)) if intake and intake.delivery_id else None
    if intake is None or found is None:
        raise ConfigError("there is no gate report for that source and night", where=f"{source} {day}", next_step="see `hub deliveries`")
    books = {n: getattr(intake, k) for n, k in (
        ("交付 delivered", "delivered"), ("拒收 rejected", "rejected"), ("隔离 quarantined", "quarantined"),
        ("未变 unchanged", "unchanged"), ("新增 inserted", "inserted"), ("更新 updated", "updated"), ("撤回 withdrawn", "withdrawn"))}  # fmt: skip
    page = as_html(found, books)
    if out:
        out.write_text(page, encoding="utf-8")
    else:
        print(page)


@app.command("fingerprint")
def fingerprint_command() -> None:
    """The fingerprint of the pool, counted anew from every row: equal content, equal fingerprint."""
    from warehouse import database, fingerprint

    with database.engine(get_settings()).connect() as connection:
        print(fingerprint.scanned(connection))


@app.command("config")
def config_command() -> None:
    """Every setting, where it comes from and what it means. Secrets are not shown."""
    settings = get_settings()
    table = Table("变量 variable", "值 value", "含义 meaning")
    for name, spec in Settings.model_fields.items():
        table.add_row(f"HUB_{name.upper()}", str(getattr(settings, name)), spec.description or "")
    console.print(table)


def run() -> None:
    """Entry point: errors of the hub become one sentence and an exit status."""
    try:
        log.configure(get_settings().log_level)
        app(standalone_mode=True)
    except HubError as error:
        print(f"错误 / error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("已中断，可安全重跑 / interrupted; run it again safely", file=sys.stderr, flush=True)
        os._exit(130)  # a thread may be waiting for an agency, and stopping anywhere is safe


if __name__ == "__main__":
    run()
