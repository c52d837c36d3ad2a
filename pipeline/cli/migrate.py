"""`hub migrate`: the warehouse to the newest version, or back to a former one."""

from dataclasses import asdict
from typing import Annotated

import typer

from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings


def command(
    to: Annotated[str | None, typer.Option("--to", help="A former version, 0025, for a former version of the hub.")] = None,
    confirm: Annotated[str | None, typer.Option("--confirm", help="The code that was shown with what would be forgotten.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Bring the warehouse to the newest version; with --to, show what going back would forget, and go with --confirm."""
    from warehouse import database, rollback

    settings = get_settings()
    if to is None:
        before = database.condition(settings).version
        database.migrate(settings)
        if as_json:
            print_json({"from": before, "version": database.head()})
        else:
            print(f"数据仓版本 warehouse version {before or '—'} → {database.head()}")
        return
    found = rollback.back(settings, to, confirm=confirm)
    if as_json:
        print_json(asdict(found))
        return
    console, steps, losses = screen(), plain_table(), plain_table()
    for column in ("版本\nversion", "曾带来 it brought", "退回即 going back"):
        steps.add_column(column, overflow="fold")
    for step in found.steps:
        steps.add_row(step.revision, step.brought, step.back)
    console.print(steps)
    for column in ("表\ntable", "行数\nrows forgotten", "列\ncolumns forgotten"):
        losses.add_column(column, overflow="fold", justify="right" if "rows" in column else "left")
    for loss in found.losses:
        losses.add_row(loss.table, f"{loss.rows:,}", ", ".join(loss.columns))
    console.print(losses if found.losses else "不丢失任何内容 nothing is forgotten")
    if found.is_done:
        print(f"已退回 the warehouse is at {found.former}: 此版本任一命令会再升级，请先装旧版")
        print("any command of this version of the hub brings it up again: install the former version first")
    else:
        print(f"未改动 nothing was changed; to do it: hub backup PLACE, hub down, hub migrate --to {to} --confirm {found.confirm}")
