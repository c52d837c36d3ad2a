"""The morning on one screen."""

from datetime import date

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hub.dates import shown
from hub.screen import plain_table
from hub.settings import Settings
from pipeline import reports
from pipeline.services import airflow
from pipeline.status import SourceStatus, Status, status

STATES = {
    "ok": "[green]✓ 正常 ok[/green]",
    "not_due": "– 未到期 not due",
    "waiting": "… 待归集 waiting",
    "held": "[red]✗ 扣留 held[/red]",
    "withdrawn": "[yellow]↩ 收回 withdrawn[/yellow]",
    "failed": "[red]✗ 失败 failed[/red]",
}
_BOOKS = {
    "交付\nrows": "delivered", "拒收\nreject": "rejected", "隔离\nquar.": "quarantined", "未变\nsame": "unchanged",
    "新增\nnew": "inserted", "更新\nupd.": "updated", "撤回\nwithdr.": "withdrawn",
}  # fmt: skip
_RARE = {"往日\npast": "past", "删除\nerased": "erased"}  # only where a delivery came late, or with persons erased by law
_WIDE = 124
_RULES_SHOWN = 8


def _table(title: str) -> Table:
    return plain_table(title=title)


def _count(n: int | None) -> str:
    return "" if n is None else f"{n:,}"


def _standing(table: Table) -> None:
    for name in ("来源\nsource", "状态\nstate", "上次合格\nlast good", "截至\nas of", "时限\ndeadline"):
        table.add_column(name, no_wrap=True)
    table.add_column("库内\nin pool", justify="right", no_wrap=True)


def _columns(found: Status) -> dict[str, str]:
    return {**_BOOKS, **{title: name for title, name in _RARE.items() if any(s.books[name] for s in found.sources)}}


def _books(table: Table, columns: dict[str, str]) -> None:
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)


def _stands(s: SourceStatus) -> list[str]:
    as_of = f"{s.as_of_date:%m-%d}" if s.as_of_date else "—"
    return [
        s.stem, STATES.get(s.state, s.state), f"{s.last_good_night:%m-%d}" if s.last_good_night else "—",
        f"[yellow]{as_of} 旧[/yellow]" if s.is_stale and s.as_of_date else as_of, f"{s.deadline:%H:%M}" if s.deadline else "—", f"{s.rows:,}",
    ]  # fmt: skip


def _sources(console: Console, found: Status) -> None:
    title = f"业务日期 {found.night} night" + ("" if found.published_at else " · 未发布 not published")
    columns = _columns(found)
    if console.width >= _WIDE:
        table = _table(title)
        _standing(table)
        _books(table, columns)
        for s in found.sources:
            table.add_row(*_stands(s), *(_count(s.books[name]) for name in columns.values()))
        console.print(table)
        return
    table, books = _table(title), _table("账目 books, 行 rows")
    _standing(table)
    books.add_column("来源\nsource", no_wrap=True)
    _books(books, columns)
    for s in found.sources:
        table.add_row(*_stands(s))
        books.add_row(s.stem, *(_count(s.books[name]) for name in columns.values()))
    console.print(table)
    console.print(books)


def _why(console: Console, found: Status) -> None:
    for s in found.sources:
        if s.error:
            console.print(f"[red]✗ {s.stem}[/red] ", Text(f"{s.error_where or ''}: {s.error}".lstrip(": ")), sep="")
            if s.as_of_date:
                console.print(f"  [yellow]陈旧 stale[/yellow]: 沿用 {s.as_of_date} 的数据 / its data of that day stays in the pool")
            if s.next_step:
                console.print(Text(f"  → {s.next_step}"))
        if s.state == "withdrawn":
            for ruling in s.rulings[:1]:
                said = f"{shown(ruling.ruled_at)} 由 {ruling.ruled_by} 收回 withdrawn: {ruling.reason}"
                console.print(f"[yellow]↩ {s.stem}[/yellow] ", Text(said), sep="")
                console.print(Text(f"  → 恢复 undo: hub release {(s.delivery_id or '')[:8]} --reason …"))
        for zh, en in s.notices:
            console.print(f"[yellow]! {s.stem}[/yellow] ", Text(f"{zh} / {en}"), sep="")


def _quarantine(console: Console, found: Status) -> None:
    if not found.quarantine:
        return
    console.print("[bold]隔离 quarantined tonight[/bold]   hub quarantine list")
    shown = found.quarantine[:_RULES_SHOWN]
    width = max(len(r.stem) + len(r.rule_id) for r in shown) + 1
    for r in shown:
        console.print(Text(f"  {r.rows:>7,}  {r.stem + '/' + r.rule_id:<{width}}  {r.field or ''}"), soft_wrap=True)
    rest = found.quarantine[_RULES_SHOWN:]
    if rest:
        console.print(f"  {sum(r.rows for r in rest):>7,}  其余 {len(rest)} 条规则 more rules")


def _tickets(console: Console, found: Status) -> None:
    if not found.tickets:
        return
    console.print("[bold]工单 tickets not closed[/bold]   hub ticket list")
    width = max(len(t.stem) for t in found.tickets)
    for t in found.tickets:
        late = f"  [yellow]超期 overdue {t.overdue}[/yellow]" if t.overdue else ""
        late += f"  [red]升级 escalated {t.escalated}[/red]" if t.escalated else ""
        said = f"  {t.stem:<{width}}  {t.tickets:>3} 件 tickets  {t.rows:>7,} 行 rows  最久 oldest {t.oldest_days} 个工作日 working days"
        console.print(said + late, soft_wrap=True)


def _disputes(console: Console, found: Status) -> None:
    if not found.disputes:
        return
    console.print("[bold]未办结的异议 open disputes[/bold]   hub dispute list")
    width = max(len(d.stem) for d in found.disputes)
    for d in found.disputes:
        late = f"  [red]超期 overdue {d.overdue}[/red]" if d.overdue else ""
        console.print(
            f"  {d.stem:<{width}}  {d.disputes:>3} 件 disputes  最久 oldest {d.oldest_days} 个工作日 working days" + late, soft_wrap=True
        )


def _recalls(console: Console, found: Status) -> None:
    if not found.recalls:
        return
    console.print("[bold]未确认的更正通知 open recalls[/bold]   hub recall list")
    width = max(len(r.department) for r in found.recalls)
    for r in found.recalls:
        console.print(
            f"  {r.department:<{width}}  {r.recalls:>3} 件 recalls  {r.persons:>5,} 人 persons  最久 oldest {r.oldest_at:%Y-%m-%d}"
        )


def _unusual(console: Console, found: Status) -> None:
    if not found.unusual:
        return
    console.print("[bold]待复核的异常查询 unusual access to be reviewed[/bold]   hub audit unusual")
    width = max(len(u.department) for u in found.unusual)
    for u in found.unusual:
        console.print(
            f"  {u.department:<{width}}  {u.findings:>3} 件 findings  {u.clients:>3} 个客户端 clients  最久 oldest {u.oldest_at:%Y-%m-%d}"
        )


def _receivers(console: Console, found: Status) -> None:
    if not found.receivers:
        return
    console.print("[bold]未收到通知的订阅方 receivers away[/bold]   hub subscription list")
    width = max(len(r.client_id) for r in found.receivers)
    for r in found.receivers:
        said = f"  {r.client_id:<{width}}  {r.waiting:>5,} 件待送 waiting  {r.dead:>5,} 件死信 dead letters  最久 oldest {r.oldest_at:%Y-%m-%d}"
        console.print(said, soft_wrap=True)


def _links(console: Console, settings: Settings, day: date) -> None:
    written = reports.write(settings, day)
    lines = []
    if airflow.service(settings, "api-server").process() is not None:
        lines.append(f"调度 Airflow   {airflow.url(settings)}  用户 user {airflow.ADMIN}")
        lines.append(f"口令 password  {airflow.password_file(settings)}")
    if written:
        folder = next(iter(written.values())).parent
        lines.append(f"报告 reports   {folder.as_uri()}/")
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def print_seconds(console: Console, seconds: dict[str, float], whole: float) -> None:
    """Seconds of the whole, and of each verb added up over sources that worked side by side."""
    parts = " ".join(f"{verb} {s:.1f}" for verb, s in seconds.items())
    console.print(f"用时 [bold]{whole:.1f}s[/bold] {parts}")


def print_summary(console: Console, settings: Settings, day: date | None = None) -> None:
    """Print a night's sources, books, people, quarantine and where to look; the newest night if none is given."""
    found = status(settings, day)
    _sources(console, found)
    _why(console, found)
    if found.persons is not None:
        print_ = f"人员 persons [bold]{found.persons:,}[/bold] · 家庭 households [bold]{found.households or 0:,}[/bold]"
        console.print(print_ + (f" · 指纹 fingerprint {found.fingerprint[:16]}" if found.fingerprint else ""))
    _quarantine(console, found)
    _tickets(console, found)
    _disputes(console, found)
    _recalls(console, found)
    _receivers(console, found)
    if found.erasures:
        console.print(f"[bold]依法删除尚未清理完毕 erasures not whole[/bold]   {found.erasures} 人 persons · hub erasure finish")
    if found.judgements:
        said = (
            f"[bold]待另一人复核的裁定 judgements that wait for another reviewer[/bold]   {found.judgements:,} 对 pairs · hub review list"
        )
        console.print(said, soft_wrap=True)
    lasting, unreviewed = found.emergencies
    if lasting or unreviewed:
        said = (
            f"[bold red]紧急调阅 emergencies[/bold red]   进行中 open {lasting} · 待复核 to be reviewed {unreviewed}   hub emergency list"
        )
        console.print(said, soft_wrap=True)
    _unusual(console, found)
    _links(console, settings, found.night)
