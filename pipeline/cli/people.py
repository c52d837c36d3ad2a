"""`hub person`, `hub household`: one person or household, readable. Values are shown; the terminal is the operator's own."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hub.dates import parse_date, parse_instant, shown_exactly
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from schemas.codes import load_code_set

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_TITLES = {
    "person_id": "人员编号 person", "household_id": "家庭编号 household", "head_person_id": "户主 head", "resident_id": "身份号码 id",
    "name": "姓名 name", "sex": "性别 sex", "birth_date": "出生 born", "death_date": "死亡 died", "phone": "电话 phone",
    "address": "住址 address", "area_code": "区划 area", "as_of_date": "截至 as of", "size": "人数 members", "kind": "类别 kind",
    "relation": "关系 relation", "evidence": "依据 evidence", "stem": "来源 source", "record_key": "记录 record",
    "rule_id": "归并规则 rule", "delivery_id": "交付 delivery", "records": "记录 records", "households": "家庭 households",
    "members": "成员 members", "disputes": "办理中的异议 disputes", "attribute": "字段 value", "opened_date": "提出 opened",
    "due_date": "期限 due", "dispute_id": "编号 dispute", "merged": "所查编号已并入 the id asked for was merged", "into": "并入 into", "since": "自 since",
    "record_id": "记录编号 record id",
    "valid_on": "有效日 valid on", "publication": "发布 publication", "known_at": "知悉 known at",
    "valid_from": "有效自 valid from", "valid_to": "有效至 valid to",
}  # fmt: skip
_CODES = {"sex": "sex", "relation": "relation_to_head"}
_KINDS = {"registered": "户籍 registered", "living": "共同生活 living"}


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "—"
    if name in _CODES and (entry := load_code_set(_CODES[name]).get(str(value))):
        return f"{value} {entry.zh}"
    if isinstance(value, datetime):
        return shown_exactly(value)
    if name == "kind":
        return _KINDS.get(value, str(value))
    return str(value)[:8] if name == "delivery_id" else str(value)


def _title(name: str) -> str:
    return _TITLES.get(name, name)


def _marked(name: str, value: Any, disputed: Collection[str]) -> Text:
    mark = Text.assemble("  ", ("⚠ 有异议 disputed", "yellow")) if f"person.{name}" in disputed else Text()
    return Text(_shown(name, value)) + mark


def print_found(console: Console, found: dict[str, Any]) -> None:
    """Print single values as a list, lists of rows as tables."""
    values = Table.grid(padding=(0, 2))
    disputed = {d["attribute"] for d in found.get("disputes", ())}
    for name, value in found.items():
        if not isinstance(value, list):
            values.add_row(_title(name), _marked(name, value, disputed))
    console.print(values)
    for name, rows in found.items():
        if not isinstance(rows, list):
            continue
        if not rows or not isinstance(rows[0], dict):
            console.print(_title(name) + ": " + (", ".join(map(str, rows)) or "—"))
            continue
        title = f"{_title(name)} ({len(rows)})"
        # a member's disputed values are marked where they stand
        cells = [{k: _marked(k, v, row.get("disputed", ())) for k, v in row.items() if k != "disputed"} for row in rows]
        if console.width >= sum(2 + max(len(row[k]) for row in cells) for k in cells[0]) + 8:
            table = plain_table(title=title)
            for key in map(str, cells[0]):
                table.add_column(_title(key).replace(" ", "\n", 1), overflow="fold")
            for row in cells:
                table.add_row(*row.values())
            console.print(table)
            continue
        console.print(f"\n[bold]{title}[/bold]")  # too narrow for columns: one block a row
        for row in cells:
            block = Table.grid(padding=(0, 2))
            for key, cell in row.items():
                block.add_row("  " + _title(key), cell)
            console.print(block, "")


AsOf = Annotated[str | None, typer.Option("--as-of", help="What was true on this date, 2026-03-02; the newest if not given.")]
KnownAt = Annotated[
    str | None,
    typer.Option(
        "--known-at", help="By what the hub knew at this instant, 2026-03-03T08:00 (China, if no zone is given); now if not given."
    ),
]


def person(
    person_id: Annotated[str, typer.Argument(help="Id of a person.")], as_of: AsOf = None, known_at: KnownAt = None, as_json: AsJson = False
) -> None:
    """One person: golden values, records, households; today's, or those of another day, by what was known at another time."""
    from pipeline import identify
    from warehouse import database, disputes, past, questions
    from warehouse.questions import as_uuid

    settings = get_settings()
    day, instant = parse_date(as_of, "--as-of"), parse_instant(known_at, "--known-at")
    with database.engine(settings).connect() as connection:
        if day is None and instant is None:
            found = questions.person(connection, person_id)
        else:
            at = past.moment(connection, as_of=day, known_at=instant)
            found = past.person(connection, person_id, at, identify.homes_rule(settings.pool_id))
            found["disputes"] = disputes.marks(connection, [r["record_id"] for r in found["records"]], instant)
            asked = as_uuid(person_id)
            if found["person_id"] != asked:
                found["merged"] = [{"person_id": asked, "into": found["person_id"]}]
    print_json(found) if as_json else print_found(screen(), found)


def household(
    household_id: Annotated[str, typer.Argument(help="Id of a household.")],
    as_of: AsOf = None,
    known_at: KnownAt = None,
    as_json: AsJson = False,
) -> None:
    """One household and its members; today's, or those of another day, by what was known at another time."""
    from pipeline import identify
    from warehouse import database, disputes, past, questions

    settings = get_settings()
    day, instant = parse_date(as_of, "--as-of"), parse_instant(known_at, "--known-at")
    with database.engine(settings).connect() as connection:
        if day is None and instant is None:
            found = questions.household(connection, household_id)
        else:
            at = past.moment(connection, as_of=day, known_at=instant)
            found = past.household(connection, household_id, at, identify.homes_rule(settings.pool_id))
            records = past.records(connection, at, [m["person_id"] for m in found["members"]])
            disputes.mark_members(connection, found, records, instant)
    print_json(found) if as_json else print_found(screen(), found)


def register(app: typer.Typer) -> None:
    """Add these commands to the `hub` command line."""
    for command in (person, household):
        app.command()(command)
