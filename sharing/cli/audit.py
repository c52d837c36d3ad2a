"""`hub audit`: the log of who was told what."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hub.dates import parse_date, parse_instant, shown
from hub.errors import ConfigError
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from sharing.cli import reviewing
from sharing.cli.pool import migrated

if TYPE_CHECKING:
    from sharing.unusual import Unusual

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Id = Annotated[str, typer.Argument(metavar="FINDING", help="Id of a finding, or its beginning; see `hub audit unusual`.")]
app = typer.Typer(help="查询留痕 / the log of who was told what.", no_args_is_help=True)
unusual_app = typer.Typer()
app.add_typer(unusual_app, name="unusual")


@app.command("verify")
def audit_verify(
    head: Annotated[list[Path] | None, typer.Option("--head", help="A signed tree head somebody kept; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the whole log and hold it against its tree, its signed heads, and those of witnesses. Status 1 = it was changed."""
    from sharing import verify

    notes = []
    for path in head or ():
        try:
            notes.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError):
            raise ConfigError("this file cannot be read", where=str(path)) from None
    settings = get_settings()
    with migrated(settings).connect() as connection:
        found = verify.verified(connection, settings, notes)
    if as_json:
        print_json(
            {
                "suite": found.suite,
                "entries": found.entries,
                "erased": found.erased,
                "root": found.root.hex(),
                "heads": found.heads,
                "faults": found.faults,
            }
        )
    else:
        for fault in found.faults:
            print(f"✗ {fault}")
        state = "留痕完整 intact" if not found.faults else "留痕被改动 CHANGED"
        print(
            f"{state}: {found.entries} 条 entries · {found.erased} 条依法删除 erased by law · {found.heads} 个签名树头 signed heads · {found.suite} · {found.root.hex()[:16]}"
        )
    if found.faults:
        raise typer.Exit(1)


@app.command("checkpoint")
def audit_checkpoint(out: Annotated[Path | None, typer.Option("--out", help="File; standard output if not given.")] = None) -> None:
    """Sign the tree head of the log as it is now: to be handed to witnesses."""
    from sharing import verify

    settings = get_settings()
    with migrated(settings).begin() as connection:
        note = verify.signed_head(connection, settings)
    if out is None:
        print(note, end="")
    else:
        out.write_text(note, encoding="utf-8")


@app.command("key")
def audit_key() -> None:
    """The public key of signed tree heads, one line: witnesses need it once."""
    from sharing import checkpoint, keys, log_suite

    settings = get_settings()
    with migrated(settings).connect() as connection:
        suite = log_suite.of(connection, settings)
    print(checkpoint.verifier_key(keys.origin(settings), keys.head_key(settings, suite).public_key()))


_HEADINGS = {
    "day": "日\nday", "hour": "时\nhour", "department": "部门\ndepartment", "client": "客户端\nclient", "purpose": "用途\npurpose", "decision": "决定\ndecision",
}  # fmt: skip


@app.command("report")
def audit_report(
    since: Annotated[str | None, typer.Option("--since", help="First day or instant, of China.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Day or instant before which.")] = None,
    department: Annotated[str | None, typer.Option("--department", help="Only this department.")] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", help="Only this purpose.")] = None,
    by: Annotated[
        str, typer.Option("--by", help=f"Counted by these, the first first, with commas between: {', '.join(_HEADINGS)}.")
    ] = "department,client,purpose,decision",
    as_json: AsJson = False,
) -> None:
    """Who asked what for, and when: entries and persons by department, client, purpose and decision, or by day and hour."""
    from warehouse import audit_log

    named = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    if unknown := [name for name in named if name not in _HEADINGS]:
        raise ConfigError(f"entries are not counted by {unknown[0]!r}", where="--by", next_step=f"some of: {', '.join(_HEADINGS)}")
    columns = [audit_log.By("client_id" if name == "client" else name) for name in named]
    with migrated(get_settings()).connect() as connection:
        found = audit_log.counts(
            connection,
            columns,
            since=parse_instant(since, "--since"),
            until=parse_instant(until, "--until"),
            department=department,
            purpose=purpose,
        )
    if as_json:
        print_json([dict(r._mapping) for r in found])
        return
    if not found:
        print("没有留痕 / no entry")
        return
    table = plain_table()
    for name in named:  # a name that is cut off is none
        table.add_column(_HEADINGS[name], overflow="fold", no_wrap=name in ("day", "hour"))
    for name in ("次数\nentries", "人数\npersons"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("最近\nlast", no_wrap=True)
    for r in found:
        table.add_row(*(getattr(r, column.value) or "—" for column in columns), f"{r.entries:,}", f"{r.persons:,}", shown(r.last_at))
    screen().print(table)


@unusual_app.callback(invoke_without_command=True)
def audit_unusual(
    context: typer.Context,
    department: Annotated[str | None, typer.Option("--department", help="Only of this department.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were reviewed as well.")] = False,
    on: Annotated[
        str | None, typer.Option("--date", help="Instead, what the whole log says of a day in Shanghai, 2026-03-01, reviewed or not.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Access that somebody should look at, until somebody has: far more than a client's own habit, misses, refusals, off hours, one person or household over and over, neighbours, namesakes."""
    from sharing import unusual
    from warehouse import unusual as findings

    if context.invoked_subcommand is not None:
        return
    settings = get_settings()
    if (day := parse_date(on)) is not None:
        with migrated(settings).connect() as connection:
            _show_day(day, unusual.found(connection, settings, day), as_json=as_json)
        return
    with migrated(settings).connect() as connection:
        found = findings.listed(connection, department=department, open_only=not everything)
    if as_json:
        print_json([vars(f) for f in found])
        return
    if not found:
        print("没有待复核的异常查询 / no unusual access waits" if not everything else "没有异常查询 / no unusual access")
        return
    console = screen()
    for f in found:
        state = (
            Text(f"{reviewing.FINDINGS[f.finding]} {f.reviewed_by}: {f.words}") if f.finding else "[yellow]待复核 to be reviewed[/yellow]"
        )
        days = f"{f.first_day}" if f.days == 1 else f"{f.first_day} – {f.last_day}, {f.days} 天 days"
        usual = "" if f.usual is None else f" · 往日 usual {f.usual:,.0f}"
        console.print(f"[bold]{f.unusual_id}[/bold]  {f.department} {f.client_id}  ", state, sep="", soft_wrap=True)
        console.print(f"  {' / '.join(unusual.RULES[f.rule])}", soft_wrap=True)
        said = f"  {days} · {f.found:,} 次 found · 界限 bound {f.bound:,.0f}{usual} · 留痕 entries {f.first_leaf:,}–{f.last_leaf:,}"
        console.print(said, soft_wrap=True)
    print(_NEXT)


_NEXT = "应由部门说明 / the department is to explain; 按日见 see `hub audit report --by day --department NAME`; 复核 then `hub audit unusual review`"


def _show_day(day: date, found: list["Unusual"], *, as_json: bool) -> None:
    if as_json:
        print_json([vars(u) for u in found])
        return
    if not found:
        print(f"{day}: 没有异常查询 / nothing unusual")
        return
    table = plain_table("日 day", "客户端 client", "部门 department", "异常 unusual", "次数 found", "界限 bound", "往日 usual")
    for u in found:
        usual = "" if u.usual is None else f"{u.usual:,.0f}"
        table.add_row(str(u.day), u.client_id, u.department, " / ".join(u.told), f"{u.found:,}", f"{u.bound:,.0f}", usual)
    screen().print(table)
    print(_NEXT)


@unusual_app.command("scan")
def audit_unusual_scan() -> None:
    """Look now at what nobody has looked at. The service does it by itself after each publication and once an hour; running it again is harmless."""
    from sharing import lookout

    settings = get_settings()
    migrated(settings)
    print(f"新增待复核 new findings: {lookout.look(settings)}")


@unusual_app.command("review")
def audit_unusual_review(
    finding_id: Id,
    finding: reviewing.Finding = "",
    words: reviewing.Words = "",
    by: reviewing.By = None,
) -> None:
    """Write down what a review found. What was looked at is not raised again; what goes on afterwards is."""
    from warehouse import unusual as findings

    said = reviewing.given(finding, words, by)
    with migrated(get_settings()).begin() as connection:
        done = findings.review(connection, finding_id, **said)
    reviewing.tell(done.unusual_id, finding, done.client_id)


@app.command("person")
def audit_person(person_id: Annotated[str, typer.Argument(help="Id of a person.")], as_json: AsJson = False) -> None:
    """Who looked at a person, when, and what for; refusals and questions by number included."""
    from sharing import verify
    from warehouse import questions

    questions.as_uuid(person_id)
    settings = get_settings()
    with migrated(settings).connect() as connection:
        found = verify.about(connection, settings, person_id)
    if as_json:
        print_json(found)
        return
    if not found:
        print("没有查询记录 / nobody looked")
    for row in found:
        print(
            f"{shown(datetime.fromisoformat(row['at']))}  {row['department_zh']} {row['department_en']}  {row['purpose_zh']} / {row['purpose_en']}  {row['decision']}  {', '.join(row['told'])}"
        )


@app.command("watermark")
def audit_watermark(
    file: Annotated[Path, typer.Argument(help="A copy of an export, in any format that holds the persons' ids as text.")],
    as_json: AsJson = False,
) -> None:
    """Whose export a copy was made of, by the order of its rows."""
    import re

    from sharing import watermark
    from warehouse import clients, exports

    settings = get_settings()
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise ConfigError("this file cannot be read", where=str(file)) from None
    with migrated(settings).connect() as connection:
        names = [c.client_id for c in clients.listed(connection)]
        named = dict.fromkeys(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))
        known = exports.ever(connection, list(named))
    ids = [i for i in named if i in known]
    found = {name: round(far, 1) for name in names if (far := watermark.followed(settings, name, ids)) > watermark.SURE}
    if as_json:
        print_json({"persons": len(ids), "clients": found})
        return
    print(f"{len(ids):,} 人 persons")
    for name, far in sorted(found.items(), key=lambda f: -f[1]):
        print(f"{name}: 次序吻合，偏离随机 {far} 个标准差 / its order, {far} standard deviations from chance")
    if not found:
        print("不是任何客户端的次序 / no client's order")


@app.command("erase")
def audit_erase(
    receipt_id: str,
    reason: Annotated[str, typer.Option("--reason", help="The law or decision that asks for it.")],
    by: Annotated[str, typer.Option("--by", help="Who erases.")],
) -> None:
    """Erase what an entry says, by law; its place in the tree stays, and the log still verifies."""
    from warehouse import audit_log, questions

    questions.as_uuid(receipt_id, "RECEIPT", "receipts are UUIDs")
    with migrated(get_settings()).begin() as connection:
        audit_log.erase(connection, receipt_id, reason=reason, erased_by=by)
    print(f"已删除 erased: {receipt_id}")
