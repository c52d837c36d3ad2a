"""`hub changes`: the change feed. Pointers and names of attributes; values on request, by those with the right."""

from typing import Annotated

import typer

from hub.errors import ConfigError
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from pipeline.cli.explain import Viewer, Why
from schemas.contract import load_contracts

_CHANGES = {"came": "新增 came", "changed": "变更 changed", "gone": "消失 gone"}
_KINDS = {"person": "人员 person", "household": "家庭 household", "record": "记录 record"}
_REASONS = {
    "record_came": "新记录 record came", "record_changed": "记录变更 record changed", "record_gone": "记录撤回 record gone",
    "joined": "归并 joined", "left": "拆分 left", "policy": "取舍策略 policy", "judged": "人工裁定 judged", "member_came": "成员加入 member came",
    "member_left": "成员离开 member left", "members_changed": "成员变更 members changed", "delivered": "交付 delivered",
    "withdrawn": "撤回 withdrawn", "past": "往日 past", "erased": "依法删除 erased",
}  # fmt: skip
_CAUSES = {
    "night": "夜间 night",
    "model": "模型 model",
    "policy": "取舍策略 policy",
    "withdrawal": "收回 withdrawal",
    "erasure": "依法删除 erasure",
}


def changes(
    since: Annotated[
        str, typer.Option("--since", help="A publication's number, or the cursor of the last entry read; entries after it are told.")
    ] = "0",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Entries at most.")] = 1000,
    values: Annotated[
        bool,
        typer.Option(
            "--values", help="With --json, what each subject became as well: for those HUB_VALUE_VIEWERS names, and written down."
        ),
    ] = False,
    viewer: Viewer = None,
    why: Why = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: the entries, and the cursor to read on from.")] = False,
) -> None:
    """What publications changed, oldest first: persons, households, records, and why. Read on from the last cursor, or again from any.

    Ids, reasons and the names of the attributes that changed; no value of anybody unless asked.
    """
    from pipeline import review
    from warehouse import database, feed

    if values and not as_json:
        raise ConfigError("values are told in JSON alone", where="--values", next_step="add --json")
    settings = get_settings()
    with database.engine(settings).connect() as connection:
        found = feed.since(connection, load_contracts().values(), since, limit=limit, values=values)
        told = feed.records_behind(connection, found) if values else []
        loaded = feed.is_before_first_load(connection, since)
    if values:
        review.note_view(settings, told, viewer=viewer, reason=why)
    if loaded:
        typer.echo("首次装载无变更条目，请自现有数据池开始 / the first load has no entry: begin with the pool as it stands", err=True)
    cursor = found[-1]["cursor"] if found else since
    if as_json:
        print_json({"cursor": cursor, "entries": found})
        return
    table = plain_table()
    for column in ("发布\npublication", "因\ncause", "对象\nsubject", "编号\nid", "变更\nchange", "原因\nreasons", "字段\nattributes"):
        table.add_column(column, overflow="fold")
    for e in found:
        table.add_row(
            str(e["publication"]), _CAUSES.get(e["cause"], e["cause"]), _KINDS[e["kind"]], e["subject_id"], _CHANGES[e["change"]],
            ", ".join(_REASONS[r] for r in e["reasons"]), ", ".join(e["attributes"]),
        )  # fmt: skip
    console = screen()
    console.print(table)
    console.print(f"下一次 read on: hub changes --since {cursor}" if found else "没有新的变更 nothing since")
