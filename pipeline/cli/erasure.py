"""`hub erasure`: persons whose values the law wants gone, out of everything (个人信息保护法第四十七条)."""

import getpass
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings

app = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Person = Annotated[str, typer.Argument(metavar="PERSON", help="Id of a person.")]
By = Annotated[str | None, typer.Option("--by", help="Who carries it out; the account on this machine if not given.")]


@app.command("plan")
def show_plan(person: Person, as_json: AsJson = False) -> None:
    """What erasing a person would take out, and the code that confirms it. Nothing is changed."""
    from pipeline import erasure

    found = erasure.plan(get_settings(), person)
    if as_json:
        print_json(asdict(found))
        return
    console, table = screen(), plain_table("来源 source", "记录 records")
    for stem, n in found.records.items():
        table.add_row(stem, f"{n:,}")
    console.print(table)
    console.print(f"往日版本 past versions {found.versions:,} · 须通读的交付 deliveries to read through {found.deliveries:,}")
    console.print(Text(
        "未改动；删除后不可恢复 nothing was changed; what is erased cannot be brought back. To do it: "
        f"hub erasure carry-out {found.person_id} --basis … --reason … --confirmed-by … --confirm {found.confirm}"
    ), soft_wrap=True)  # fmt: skip


@app.command("carry-out")
def carry_out(
    person: Person,
    basis: Annotated[str, typer.Option("--basis", help="Ground of art. 47: purpose | retention | consent | unlawful | law.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="The decision that asks for it; no value of a person.")] = "",
    by: By = None,
    confirmed_by: Annotated[str, typer.Option("--confirmed-by", help="Another person, who confirms it.")] = "",
    confirm: Annotated[str, typer.Option("--confirm", help="The code that `hub erasure plan` shows.")] = "",
    as_json: AsJson = False,
) -> None:
    """Erase a person: pool, history, staging, landed deliveries. It cannot be undone, and what agencies go on sending is kept out."""
    from pipeline import erasure

    settings = get_settings()
    done = erasure.carry_out(
        settings, person, basis=basis, reason=reason, by=by or getpass.getuser(), confirmed_by=confirmed_by, confirm=confirm
    )
    if as_json:
        print_json(asdict(done))
        return
    zh, en = erasure.BASES[done.basis]
    console = screen()
    console.print(Text(f"已删除 erased {done.person_id} · {done.records} 条记录 records · {zh} {en}"), soft_wrap=True)
    if done.traces_in:
        said = f"{len(done.traces_in)} 表文件待清 traces are left in files of tables {', '.join(done.traces_in)}: hub erasure finish"
        console.print(Text(said), soft_wrap=True)
    console.print("备份仍含其数据，直至清除 backups hold it until they are pruned: hub backup PLACE --list", soft_wrap=True)


@app.command("list")
def list_erasures(as_json: AsJson = False) -> None:
    """Who was erased, on what ground, by whom, and whether it is whole."""
    from pipeline import erasure
    from warehouse import database

    settings = get_settings()
    database.migrate(settings)
    found = erasure.listed(settings)
    if as_json:
        print_json([asdict(e) for e in found])
        return
    table = plain_table("编号 erasure", "人员 person", "依据 ground", "日期 on", "执行/确认 by", "记录 records", "状态 state")
    for e in found:
        state = "解除 lifted" if e.lifted_at else "完成 whole" if e.is_whole else ""
        if e.finished_at is None:
            state = "[yellow]落地待清 landing to be done[/yellow]"
        elif e.traces_in:
            state = f"{state} [yellow]{len(e.traces_in)} 表文件待清 traces in files of tables[/yellow]".strip()
        names = Text(f"{e.erased_by} / {e.confirmed_by}")
        table.add_row(e.erasure_id[:13], e.person_id, erasure.BASES[e.basis][0], f"{e.erased_at:%Y-%m-%d}", names, f"{e.records:,}", state)
    screen().print(table)


@app.command()
def finish(
    rewrite: Annotated[bool, typer.Option("--rewrite", help="Write large tables anew as well; their readers wait meanwhile.")] = False,
) -> None:
    """Do what erasures left to do: in landing, and in the files of tables. The next night does it as well, except for large tables."""
    from pipeline import erasure
    from warehouse import database

    settings = get_settings()
    database.migrate(settings)
    n = erasure.finish(settings, rewrite=rewrite)
    console = screen()
    console.print(f"改写交付 deliveries put down anew {n:,}")
    left = erasure.traced(settings)
    if not left:
        console.print("数据库文件无残留 no traces in the database's files")
        return
    table = plain_table("表 table", "MB")
    for each in left:
        table.add_row(each.name, f"{each.size_bytes / 2**20:,.1f}")
    console.print(table)
    if rewrite:
        console.print(
            "这些表正被使用，请稍后再试 these are in use, or somebody reads the pool as it was before: try again later", soft_wrap=True
        )
    else:
        console.print(
            "以上各表文件的空闲处可能仍有其数据；重写期间读者须等待，每 GB 约一分钟 free space in their files may still hold values; readers of a table wait while it is"
            " written anew, about a minute a GB: hub erasure finish --rewrite", soft_wrap=True,
        )  # fmt: skip


@app.command()
def lift(
    erasure_id: Annotated[str, typer.Argument(metavar="ERASURE", help="Id of an erasure, or its beginning.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; no value of a person.")] = "",
    by: By = None,
) -> None:
    """Let in again what agencies send of the person from now on: it asked for help anew. What was erased stays erased."""
    from pipeline import erasure

    done = erasure.lift(get_settings(), erasure_id, by=by or getpass.getuser(), reason=reason)
    screen().print(Text(f"{done.erasure_id} · 解除 lifted"), soft_wrap=True)
