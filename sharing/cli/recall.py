"""`hub recall`: what departments were told that turned out otherwise."""

from typing import Annotated

import typer
from rich.table import Table

from hub.dates import shown
from hub.screen import print_json, screen
from hub.settings import get_settings
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="更正通知 / what departments were told that turned out otherwise.", no_args_is_help=True)


@app.command("list")
def recall_list(
    department: Annotated[str | None, typer.Option("--department", help="Only to this department.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were acknowledged as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """What departments were told that turned out otherwise, and whether they have acknowledged it. Names of attributes and how they were told, no value."""
    from sharing.recall import told_as
    from warehouse import recalls

    with migrated(get_settings()).connect() as connection:
        found = recalls.listed(connection, department=department, open_only=not everything)
    if as_json:
        print_json([vars(r) for r in found])
        return
    if not found:
        print("没有未确认的更正通知 / no open recall" if not everything else "没有更正通知 / no recall")
        return
    table = Table(
        "通知 recall", "部门 department", "告知 told", "变更及告知方式 changed, and how it was told", "原因 cause", "确认 acknowledged"
    )
    for r in found:
        state = f"{shown(r.acknowledged_at)} {r.acknowledged_by}" if r.acknowledged_at else "未 open"
        cause = f"{r.cause}{' · 原告知成立 stands' if r.stands else ''}"
        changed = ", ".join(f"{n} ({told_as(n, e) or '已删除 erased'})" for n, e in zip(r.changed, r.effects, strict=True))
        table.add_row(r.recall_id, r.department, shown(r.told_at), changed, cause, state)
    screen().print(table)


@app.command("scan")
def recall_scan() -> None:
    """Look now whether what was told still stands. The service does it by itself after each publication; running it again is harmless."""
    from sharing import recall

    settings = get_settings()
    migrated(settings)
    print(f"新增更正通知 new recalls: {recall.scan(settings)}")
