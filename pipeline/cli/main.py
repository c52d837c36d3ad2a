"""`hub`: operate the assistance hub."""

import gc
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from hub import log
from hub.dates import parse_date, shown
from hub.errors import ConfigError, GateHeld, HubError, unforeseen
from hub.screen import plain_table, print_json, screen
from hub.settings import Settings, get_settings, origin
from pipeline.cli import (
    backup,
    changes,
    dispute,
    doctor,
    erasure,
    explain,
    history,
    identity,
    match,
    migrate,
    new_agency,
    people,
    review,
    rulings,
    sandbox,
    scorecard,
    services,
    survivorship,
    ticket,
)
from pipeline.nights import open_night
from schemas.contract import load_contract, load_contracts
from sharing import cli as sharing

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

# Every error of the hub has one: hub/errors.py.
_EXITS = (
    "退出码 exit status: 0 done · 1 unforeseen, or `doctor` found a fault · 2 wrong input, setting or contract · 3 a source could not be read"
    " · 4 the night is published, a source of it was held, failed or is still on its way · 5 contradicting evidence about persons · 6 the night was not published"
    " · 7 a local service did not answer · 8 a question was refused · 9 another run is at the same work · 130 interrupted"
)
RULINGS = {"withdrawn": "收回 withdrawn", "released": "放行 released"}


class _Group(TyperGroup):
    """The commands; one that stands in a group is pointed to when it is asked for by its own name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # typer keeps the types of its click to itself
        groups = {name: group.commands for name, group in self.commands.items() if isinstance(group, TyperGroup)}
        if args and args[0] not in self.commands and (within := [name for name, commands in groups.items() if args[0] in commands]):
            said = " / ".join(f"hub {name} {args[0]}" for name in within)
            ctx.fail(f"没有此命令 no such command {args[0]!r}: {said}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Group,
    help="社会救助资源库 数据枢纽 / the assistance hub.",
    epilog=_EXITS, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(sandbox.app, name="sandbox", help="模拟机构 / the simulated agencies.")
services.register(app)
people.register(app)
sharing.register(app)
rulings.register(app)
app.command("doctor")(doctor.command)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("migrate")(migrate.command)
app.command("new-agency")(new_agency.command)
app.command("changes")(changes.changes)
app.command("match")(match.match)
app.command("explain")(explain.command)
app.command("scorecard")(scorecard.command)
app.add_typer(history.app, name="history", help="往日全库 / the whole pool as of another time.")
app.add_typer(identity.app, name="identity", help="身份识别 / how persons are found.")
app.add_typer(survivorship.app, name="survivorship", help="金值取舍 / which of several values of a person is the golden one.")
app.command("disagreements")(survivorship.disagreements)
# Beside the sharing policy's commands, because both are looked for there.
sharing.policy.app.command("dry-run")(survivorship.dry_run)
app.add_typer(review.app, name="review", help="人工核对 / what people say of pairs of records.")
quarantine_app = typer.Typer(help="隔离区 / rows that were not let in.", no_args_is_help=True)
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(dispute.app, name="dispute", help="校核纠错与异议 / values somebody says are wrong.")
app.add_typer(erasure.app, name="erasure", help="依法删除 / persons whose values the law wants gone.")
app.add_typer(ticket.app, name="ticket", help="退回更正工单 / what agencies are asked to mend.")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DateFlag = Annotated[str | None, typer.Option("--date", help="Business date, 2026-03-01; the next night if not given.")]


@app.command()
def night(
    date: DateFlag = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this source.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a night through the seven verbs, without Airflow. Running it again is harmless."""
    from pipeline.gatekeeper import Gatekeeper

    settings = get_settings()
    asked = parse_date(date)
    # A wrong contract is told before anything is done.
    load_contracts() if source is None else load_contract(source)
    with Gatekeeper(settings) as keeper:  # first, because it takes the longest to get ready
        from pipeline import run as running
        from pipeline.cli.progress import reporting
        from pipeline.cli.summary import print_seconds, print_summary
        from pipeline.services import agencies
        from sandbox import clock

        day = open_night(settings, day=asked)
        if settings.business_clock == "sandbox":
            clock.set_night(settings, max(clock.current_night(settings), clock.night_of(settings, day)))
            agencies.start(settings)
        console = screen()
        started = time.perf_counter()
        with reporting(console, silent=as_json) as reporter:
            found = running.run(settings, day, only=source, reporter=reporter, keeper=keeper)
    if as_json:
        print_json(found.as_json())
    else:
        print_summary(console, settings, day)
        print_seconds(console, found.seconds, time.perf_counter() - started)
    if source is not None and (status := found.exit_code(source)):
        raise typer.Exit(status)
    if any(s["state"] in ("failed", "held") or (source is None and found.exit_code(stem)) for stem, s in found.sources.items()):
        raise typer.Exit(GateHeld.exit_code)


@app.command()
def status(as_json: AsJson = False) -> None:
    """One screen: each source's last good night, books, what is held or stale and why."""
    from pipeline import status as standing
    from pipeline.cli.summary import print_summary

    settings = get_settings()
    if as_json:
        print_json(standing.status(settings).as_json())
    else:
        print_summary(screen(), settings)


@quarantine_app.command("list")
def quarantine_list(source: Annotated[str | None, typer.Option("--source")] = None, as_json: AsJson = False) -> None:
    """Rows in quarantine by source and rule."""
    from warehouse import database, quarantine

    if source is not None:
        load_contract(source)
    with database.engine(get_settings()).connect() as connection:
        found = quarantine.summary(connection, stem=source)
    if as_json:
        print_json([vars(r) if hasattr(r, "__dict__") else r for r in found])
        return
    table = Table("来源 source", "规则 rule", "环节 stage", "字段 field", "行数 rows", "起 since")
    for r in found:
        table.add_row(r.stem, r.rule_id, r.stage, r.field or "", f"{r.rows:,}", str(r.since))
    screen().print(table)


@quarantine_app.command("show")
def quarantine_show(
    source: str,
    rule: Annotated[str | None, typer.Option("--rule")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Pointers to quarantined rows: delivery, row number, rule, field. Never a value."""
    from warehouse import database, quarantine

    load_contract(source)
    with database.engine(get_settings()).connect() as connection:
        found = quarantine.pointers(connection, source, rule, limit)
    if as_json:
        print_json(found)
    else:
        for row in found:
            screen().print(f"{row['delivery_id'][:8]}  #{row['row_number']:<8} {row['rule_id']:<28} {row['field'] or ''}", highlight=False)


@app.command()
def deliveries(source: Annotated[str | None, typer.Option("--source")] = None, as_json: AsJson = False) -> None:
    """Landed deliveries, newest first: how each stands in its night, and who withdrew or released it, when and why."""
    from dataclasses import asdict

    from pipeline.cli.summary import STATES
    from pipeline.status import STANDS
    from warehouse import database, landing, ledger, rulings

    if source is not None:
        load_contract(source)
    with database.engine(get_settings()).connect() as connection:
        found, states, ruled = landing.deliveries(connection, stem=source), ledger.states(connection), rulings.by_delivery(connection)
    # A delivery whose place in its night another one took is none of the night's any more.
    stands = {d.delivery_id: STANDS.get(s, s) if (s := states.get(d.delivery_id)) else "replaced" for d in found}
    if as_json:
        print_json(
            [{**asdict(d), "state": stands[d.delivery_id], "rulings": [asdict(r) for r in ruled.get(d.delivery_id, ())]} for d in found]
        )
        return
    table = Table(
        "交付 delivery", "来源 source", "业务日 night", "截至 as of", "范围 scope", "状态 state", "裁定 ruling", "声明行数 declared",
        "原始字节 raw", "存储字节 stored",
    )  # fmt: skip
    for d in found:
        table.add_row(d.delivery_id[:8], d.stem, str(d.business_date), str(d.as_of_date), d.scope,
                      STATES.get(stands[d.delivery_id], "另有交付取代 replaced"), ruled[d.delivery_id][0].ruling if d.delivery_id in ruled else "",
                      "" if d.declared_rows is None else f"{d.declared_rows:,}", f"{d.raw_bytes:,}", f"{d.stored_bytes:,}")  # fmt: skip
    console = screen()
    console.print(table)
    for d in found:
        for r in ruled.get(d.delivery_id, ()):
            console.print(Text(f"{d.delivery_id[:8]}  {shown(r.ruled_at)}  {RULINGS[r.ruling]}  {r.ruled_by}: {r.reason}"), soft_wrap=True)


@app.command()
def replay(delivery: Annotated[str, typer.Argument(help="Id of a landed delivery, or its beginning.")], as_json: AsJson = False) -> None:
    """Take a landed delivery through parse, gate, resolve and merge again, as if it had just been landed."""
    from pipeline import run as running

    found = running.replay(get_settings(), delivery)
    if as_json:
        print_json(found.as_json())
    else:
        from pipeline.cli.summary import print_summary

        day = parse_date(found.night)
        assert day is not None
        print_summary(screen(), get_settings(), day)
    if found.only is not None and (status := found.exit_code(found.only)):
        raise typer.Exit(status)


@app.command()
def report(
    source: str,
    date: DateFlag = None,
    out: Annotated[Path | None, typer.Option("--out", help="HTML file; standard output if not given.")] = None,
) -> None:
    """The gate's report on a source's delivery of a night, as a page."""
    from pipeline import reports
    from warehouse import database, ledger

    settings = get_settings()
    load_contract(source)
    day = parse_date(date)
    if day is None:
        with database.engine(settings).connect() as connection:
            last = ledger.last_night(connection)
        day = last.business_date if last else None
    page = reports.page(settings, source, day) if day else None
    if page is None:
        raise ConfigError("there is no gate report for that source and night", where=f"{source} {day}", next_step="see `hub deliveries`")
    if out:
        out.write_text(page, encoding="utf-8")
    else:
        print(page)


@app.command("fingerprint")
def fingerprint_command() -> None:
    """The fingerprint of the pool, counted anew from every row: equal content, equal fingerprint. Status 1 if the one kept is another."""
    from warehouse import database, fingerprint

    with database.engine(get_settings()).connect() as connection:
        counted, kept = fingerprint.scanned(connection), fingerprint.kept(connection)
    print(counted)
    if counted != kept:
        _say(
            f"与随写随记者不符 the one kept while the pool changed is another, {kept[:16]}…: something wrote past the hub; see docs/operations.md"
        )
        raise typer.Exit(1)


@app.command("config")
def config_command(as_json: AsJson = False) -> None:
    """Every setting: its value, where that comes from, what it means. Secrets are not shown."""
    from warehouse import embedded

    settings = get_settings()
    chosen = embedded.known_ports(settings)
    # A port that is not set was chosen free at the first start and kept.
    ports = {"database_port": chosen.get("postgres"), "airflow_port": chosen.get("airflow"), "sharing_port": chosen.get("sharing")}
    found = []
    for name, spec in Settings.model_fields.items():
        value, source = getattr(settings, name), str(origin(settings, name))
        if value is None and ports.get(name):
            value, source = ports[name], "run/ports.json"
        found.append({"variable": f"HUB_{name.upper()}", "value": value, "from": source, "meaning": spec.description or ""})
    if as_json:
        print_json(found)
        return
    table = plain_table("变量 variable", "值 value", "来自 from", "含义 meaning")
    for row in found:
        table.add_row(row["variable"], "" if row["value"] is None else str(row["value"]), row["from"], row["meaning"])
    screen().print(table)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")  # one write: threads may still be at their log
    sys.stderr.flush()


def run() -> None:
    """Entry point: errors of the hub become one sentence and an exit status."""
    # A command makes many objects and few cycles: looking for them as often as Python does by itself takes a tenth of its time.
    gc.set_threshold(50_000, 20, 50)
    try:
        try:
            log.configure(get_settings().log_level)
        except ConfigError:
            log.configure()  # the command says what is wrong, or, as `--help` and `doctor`, works without settings
        app(standalone_mode=True)
    except HubError as error:
        _say(f"错误 / error: {error}")
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != _INTERRUPTED:  # typer ends with it when interrupted
            raise
        _say("已中断，可安全重跑 / interrupted; run it again safely")
        os._exit(_INTERRUPTED)  # a thread may be waiting for an agency, and stopping anywhere is safe
    except Exception as error:
        _say(f"错误 / error: {unforeseen(error)}; running it again is harmless")
        raise SystemExit(1) from None


if __name__ == "__main__":
    run()
