"""`hub ticket`: quarantine as a loop with the agency. Pointers and counts are shown, never a value."""

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from schemas.contract import load_contract

app = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Number = Annotated[str, typer.Argument(metavar="TICKET", help="Number of a ticket, see `hub ticket list`.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it; the account on this machine if not given.")]

STATES = {
    "open": "待退回 open", "sent": "已退回 sent", "answered": "部分更正 answered", "closed": "[green]✓ 已关闭 closed[/green]",
    "reopened": "[red]重新打开 reopened[/red]", "exported": "导出 exported",
    "escalated": "[red]升级 escalated[/red]",
}  # fmt: skip
_PROOFS = {
    "passed": "已通过 passed",
    "withdrawn": "机构已撤回 withdrawn",
    "delivered": "已另行交付 delivered",
    "taken_out": "整批已收回 taken out",
    "erased": "依法删除 erased",
    None: "[red]未更正 open[/red]",
}
_SHOWN = 20


def _table(*columns: str) -> Table:
    return plain_table(*(c.replace(" ", "\n", 1) for c in columns))


@app.command("list")
def list_tickets(
    source: Annotated[str | None, typer.Option("--source", help="Only this source.")] = None,
    closed: Annotated[bool, typer.Option("--all", help="Closed ones as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tickets that are not closed: what is asked of which agency, how old in working days, until when."""
    from pipeline import tickets
    from warehouse import database

    settings = get_settings()
    if source is not None:
        load_contract(source)
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        found = [t for t in tickets.listed(connection, settings, stem=source) if closed or t.state is not tickets.State.CLOSED]
    if as_json:
        print_json([asdict(t) for t in found])
        return
    if not found:
        screen().print("没有未关闭的工单 / no ticket is open")
        return
    table = _table("工单 ticket", "状态 state", "事由 rule", "未更正/全部 open/rows", "工作日 days", "期限 due")
    for t in found:
        age = (
            f"[red]{t.age_days} 升级[/red]"
            if t.is_escalated
            else f"[yellow]{t.age_days} 超期[/yellow]"
            if t.is_overdue and t.open
            else str(t.age_days)
        )
        due = f"{t.due_date}{' ?' if t.is_due_provisional else ''}"
        table.add_row(t.ticket_id, STATES[t.state], Text(t.title_zh), f"{t.open:,}/{t.rows:,}", age, due)
    screen().print(table)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """One ticket: what happened to it, and for each row how it was settled, by pointer."""
    from pipeline import tickets
    from warehouse import database
    from warehouse import tickets as ledger

    settings = get_settings()
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        ticket, group = tickets.find(connection, settings, number)
        events, items = ledger.events(connection, number), ledger.proofs(connection, group)
    if as_json:
        print_json({**asdict(ticket), "events": [asdict(e) for e in events], "items": items})
        return
    console = screen()
    grid = Table.grid(padding=(0, 2))
    for title, value in (
        ("工单 ticket", ticket.ticket_id), ("机构 agency", f"{ticket.agency_zh} {ticket.stem}"), ("联系人 owner", ticket.owner),
        ("事由 rule", f"{ticket.title_zh} / {ticket.title_en}"), ("字段 field", ticket.field or "—"), ("状态 state", STATES[ticket.state]),
        ("行数 rows", f"{ticket.rows:,}：未更正 open {ticket.open:,} · 已通过 passed {ticket.passed:,} · 已撤回 withdrawn {ticket.withdrawn:,}"
                     f" · 再次不符 again {ticket.again:,}"),
        ("开立 opened", str(ticket.opened_date)),
        ("期限 due", f"{ticket.due_date}" + (" （节假日安排未公布，暂计 provisional: holidays not announced）" if ticket.is_due_provisional else "")),
        ("历时 age", f"{ticket.age_days} 个工作日 working days"),
        *([("升级 escalated", f"[red]{ticket.escalated_date} → {escape(ticket.escalated_to or '')}[/red]")] if ticket.is_escalated else []),
    ):  # fmt: skip
        grid.add_row(title, value)
    console.print(grid)
    table = _table("日期 date", "事项 event", "经办 by", "未更正 open", "说明 note")
    for e in events:
        words = (
            e.detail.get("words")
            or e.detail.get("owner")
            or (f"{e.detail['rows']} 行 rows · SHA-256 {e.detail['sha256'][:16]}…" if "sha256" in e.detail else "")
        )
        table.add_row(str(e.business_date), STATES[e.event], e.actor, str(e.detail.get("open", "")), Text(words))
    console.print(table)
    rows = _table("交付 delivery", "行 row", "结果 outcome", "凭证交付 by delivery", "凭证行 by row", "日期 on")
    for i in items[:_SHOWN]:
        rows.add_row(
            (i["delivery_id"] or "—")[:8], f"#{i['row_number']}" if i["row_number"] else "整批 whole", _PROOFS[i["proof_kind"]],
            (i["proof_delivery_id"] or "")[:8], f"#{i['proof_row_number']}" if i["proof_row_number"] else "", str(i["proof_date"] or ""),
        )  # fmt: skip
    console.print(rows)
    if len(items) > _SHOWN:
        console.print(f"其余 {len(items) - _SHOWN:,} 行见 --json / the rest by --json")


@app.command()
def export(
    number: Number,
    out: Annotated[Path, typer.Option("--out", help="Folder for TICKET.zip.")] = Path(),
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """The failing rows of a ticket in the agency's own format, with the reason, encrypted with the agency's password."""
    from pipeline import sendback

    done = sendback.export(get_settings(), number, out, actor=by or getpass.getuser())
    if as_json:
        print_json({**asdict(done), "path": str(done.path)})
        return
    screen().print(Text(f"{done.path}  {done.rows:,} 行 rows · SHA-256 {done.sha256[:16]}…"), soft_wrap=True)
    screen().print(Text(f"密码另行告知，见 the password goes by another way, see {done.password_at}"), soft_wrap=True)


@app.command()
def send(
    number: Number,
    note: Annotated[str | None, typer.Option("--note", help="By which way and to whom; no person's data.")] = None,
    by: By = None,
) -> None:
    """Note that the agency was told; again = a reminder. A ticket is closed by proof alone, never by hand."""
    from pipeline import tickets

    ticket = tickets.send(get_settings(), number, actor=by or getpass.getuser(), words=note)
    screen().print(f"{ticket.ticket_id} {STATES[ticket.state]} · 期限 due {ticket.due_date}")


@app.command()
def books(as_json: AsJson = False) -> None:
    """The books of quarantine: what came in is open, passed or withdrawn; nothing else."""
    from warehouse import database, items

    settings = get_settings()
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        found = items.books(connection)
    if as_json:
        print_json([asdict(b) for b in found])
        return
    table = _table("来源 source", "进入 opened", "未更正 open", "已通过 passed", "已撤回 withdrawn", "无工单 unaccounted")
    for b in found:
        table.add_row(b.stem, *(f"{n:,}" for n in (b.opened, b.open, b.passed, b.withdrawn, b.unaccounted)))
    screen().print(table)
