"""The morning on one screen."""

from datetime import date

from rich import box
from rich.console import Console
from rich.table import Table

from hub.settings import Settings
from warehouse import database, ledger, quarantine

_STATES = {"merged": "✓ ok", "not_due": "– 未到期", "held": "✗ 扣留 held", "failed": "✗ 失败 failed"}


def print_summary(console: Console, settings: Settings, day: date) -> None:
    """Print a night's sources, books, people and quarantine."""
    with database.engine(settings).connect() as connection:
        night = next(n for n in ledger.nights(connection, limit=4000) if n.business_date == day)
        intakes = ledger.intakes(connection, day)
        good = ledger.last_good(connection)
        rules = quarantine.summary(connection, business_date=day)
    table = Table(title=f"业务日期 {day} night", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("来源\nsource", "状态\nstate", "数据截至\nas of"):
        table.add_column(name, no_wrap=True)
    for name in ("交付\nrows", "拒收\nreject", "隔离\nquar.", "未变\nsame", "新增\nnew", "更新\nupd.", "撤回\nwithdr."):
        table.add_column(name, justify="right", no_wrap=True)
    for i in intakes:
        as_of = good.get(i.stem, (None, None))[1]
        stale = "" if i.state in ("merged", "not_due") else " stale"
        counts = (i.delivered, i.rejected, i.quarantined, i.unchanged, i.inserted, i.updated, i.withdrawn)
        table.add_row(
            i.stem,
            _STATES.get(i.state, i.state),
            f"{as_of:%m-%d}{stale}" if as_of else "—",
            *("" if c is None else f"{c:,}" for c in counts),
        )
    console.print(table)
    for i in intakes:
        if i.error:
            console.print(
                f"[red]✗ {i.stem}[/red] {i.error_where or ''}: {i.error}\n  → {i.next_step or ''}", highlight=False, soft_wrap=True
            )
    if night.persons is not None:
        console.print(f"人员 persons {night.persons:,} · 家庭 households {night.households or 0:,}", highlight=False)
    if rules:
        console.print("隔离原因 quarantined by rule: " + ", ".join(f"{r.stem}/{r.rule_id} {r.rows:,}" for r in rules[:8]), highlight=False)
    if night.fingerprint:
        console.print(f"指纹 fingerprint {night.fingerprint[:16]}…", highlight=False)
