"""`hub audit`: the log of who was told what."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hub.dates import CHINA, parse_date, parse_instant, shown
from hub.errors import ConfigError
from hub.screen import print_json, screen
from hub.settings import get_settings
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="查询留痕 / the log of who was told what.", no_args_is_help=True)


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


@app.command("report")
def audit_report(
    since: Annotated[str | None, typer.Option("--since", help="First day or instant.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Day or instant before which.")] = None,
    department: Annotated[str | None, typer.Option("--department", help="Only this department.")] = None,
    as_json: AsJson = False,
) -> None:
    """Who asked what for: entries and persons by department, client, purpose and decision."""
    from warehouse import audit_log

    with migrated(get_settings()).connect() as connection:
        found = audit_log.counts(
            connection, since=parse_instant(since, "--since"), until=parse_instant(until, "--until"), department=department
        )
    if as_json:
        print_json([dict(r._mapping) for r in found])
        return
    table = Table("部门 department", "客户端 client", "用途 purpose", "决定 decision", "次数 entries", "人数 persons", "最近 last")
    for r in found:
        table.add_row(
            r.department or "—",
            r.client_id or "—",
            r.purpose or "—",
            r.decision,
            f"{r.entries:,}",
            f"{r.persons:,}",
            shown(r.last_at),
        )
    screen().print(table)


@app.command("unusual")
def audit_unusual(
    on: Annotated[str | None, typer.Option("--date", help="Day in Shanghai, 2026-03-01; today if not given.")] = None, as_json: AsJson = False
) -> None:  # fmt: skip
    """Access that somebody should look at: far more than a client's own habit, misses, refusals, off hours, one person or household over and over, neighbours, namesakes."""
    from sharing import unusual

    settings = get_settings()
    day = parse_date(on) or datetime.now(CHINA).date()
    with migrated(settings).connect() as connection:
        found = unusual.found(connection, settings, day)
    if as_json:
        print_json([vars(u) for u in found])
        return
    unnamed = [u for u in found if u.rule == "unnamed"]
    found = [u for u in found if u.rule != "unnamed"]
    for u in unnamed:
        print(
            f"{u.client_id}: {u.found:,} 次逐个查询未报经办人，同姓一项看不到 / asked one at a time without naming an operator, so family names are not watched"
        )
    if not found:
        print(f"{day}: 没有异常查询 / nothing unusual")
        return
    table = Table("日 day", "客户端 client", "部门 department", "异常 unusual", "次数 found", "往日 usual")
    for u in found:
        table.add_row(
            str(u.day), u.client_id, u.department, " / ".join(u.told), f"{u.found:,}", "" if u.usual is None else f"{u.usual:,.0f}"
        )
    screen().print(table)
    print("逐条见 hub audit report；应由部门说明 / the department is to explain; see `hub audit report --since DAY --department NAME`")


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
