"""`hub backup`, `hub restore`: a sealed copy of the whole pool, and the proof that it can be put back."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hub.screen import plain_table, print_json, screen
from hub.settings import Settings, get_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_STEPS = {
    "manifest": "核对清单 / checking the manifest", "warehouse": "数据库 / the warehouse", "landing": "落地文件 / landed objects",
    "secrets": "密钥与接入配置 / secrets and endpoints", "proof": "逐行重算指纹 / counting every row anew", "in place": "就位 / putting it in place",
}  # fmt: skip


def backup(
    place: Annotated[Path, typer.Argument(help="Folder that holds backups; made if it is not there.")],
    list_only: Annotated[bool, typer.Option("--list", help="Only list the backups of the place.")] = False,
    prune: Annotated[
        int | None, typer.Option("--prune", metavar="DAYS", min=0, help="Only remove backups older than this; the newest stays.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Back up the pool, its landed deliveries, secrets and endpoints: sealed, of one instant, also while a night runs."""
    from warehouse import backup as copies

    settings = get_settings()
    if prune is not None:
        removed = copies.prune(place, before=datetime.now(UTC) - timedelta(days=prune))
        if as_json:
            print_json([_told(m) for m in removed])
        else:
            screen().print(_table(removed) if removed else f"{place}: 无须清除 / nothing to remove", highlight=False)
        return
    if list_only:
        found, erased = copies.listed(place), _erased(settings, place)
        if as_json:
            print_json([{**_told(m), "erased_since": len(erased - _ids(m.erasures))} for m in found])
        else:
            screen().print(_table(found, erased) if found else f"{place}: 没有备份 / no backup")
        return
    made = _in_steps(as_json, lambda told: copies.take(settings, place, told))
    if as_json:
        print_json(_told(made))
        return
    console = screen()
    console.print(f"[green]✓[/green] {place / made.name}", highlight=False, soft_wrap=True)
    console.print(_table([made]))
    if settings.backup_key is None:
        console.print(f"密钥须另存 / keep the key apart: {settings.secrets_dir / 'backup.key'}", highlight=False, soft_wrap=True)


def restore(
    folder: Annotated[Path, typer.Argument(help="One backup: the folder that holds manifest.json.")],
    check: Annotated[bool, typer.Option("--check", help="Only read it to the end; nothing is restored.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of a pool that is there; that one is kept under another name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in place, after every row was counted anew and the fingerprint is that of the backup."""
    from warehouse import backup as copies

    settings = get_settings()
    if check:
        found = _in_steps(as_json, lambda told: copies.check(settings, folder, told))
    else:
        from pipeline import erasure

        # Whoever was erased since it was taken, as this pool and the place's other backups know.
        since = copies.registers(folder.parent) + erasure.registered(settings)
        erased = 0

        def made_ready(beside: Settings) -> None:
            nonlocal erased
            erased = erasure.carry_over(beside, since)

        found = _in_steps(as_json, lambda told: copies.restore(settings, folder, replace=replace, told=told, made_ready=made_ready))
        erasure.finish(settings)
    if as_json:
        print_json(_told(found))
        return
    console = screen()
    done = "完整 / whole" if check else "已恢复，指纹一致 / restored, the same fingerprint"
    console.print(f"[green]✓[/green] {done} {found.fingerprint[:16]}…", highlight=False)
    console.print(_table([found]))
    if not check and erased:
        console.print(f"备份之后依法删除者已再次删除 erased since it was taken, and erased again: {erased}")
    if not check:
        head = folder / copies.HEAD
        witness = f" --head {head}" if head.exists() else ""
        console.print(f"下一步 / next: hub audit verify{witness} · hub up", highlight=False, soft_wrap=True)


def _ids(entries: Iterable[dict[str, Any]]) -> set[str]:
    return {entry["erasure_id"] for entry in entries}


def _erased(settings: Settings, place: Path) -> set[str]:
    """Erasures that the place's backups know, and the pool where there is one."""
    from pipeline import erasure
    from warehouse import backup as copies

    is_here = settings.database_url is not None or (settings.home / "postgres").exists()
    return _ids(copies.registers(place)) | (_ids(erasure.registered(settings)) if is_here else set())


def _in_steps(silent: bool, work: Any) -> Any:
    """Do work that names its steps, with the present one on the screen."""
    console = screen()
    shown = nullcontext() if silent else console.status("…")
    with shown as status:
        return work(lambda step: status.update(_STEPS[step] + " …") if status is not None else None)


def _told(found: Any) -> dict[str, Any]:
    """A manifest, with sums in the place of its long lists."""
    return {**asdict(found), "rows": sum(found.rows.values()), "objects": len(found.objects), "object_bytes": sum(found.objects.values())}


def _table(found: list[Any], erased: set[str] | None = None) -> Table:
    """Backups in rows; with how many persons of each were erased since, where the erasures known are given."""
    columns = ["备份 backup", "夜 night", "行 rows", "落地 objects", "MiB", "指纹 fingerprint"]
    table = plain_table(*columns, *(["此后依法删除 erased since"] if erased else []))
    for m in found:
        size = f"{sum(m.objects.values()) / (1 << 20):,.1f}"
        cells = [m.name, m.business_date or "", f"{sum(m.rows.values()):,}", f"{len(m.objects):,}", size, m.fingerprint[:16]]
        since = len(erased - _ids(m.erasures)) if erased else 0
        table.add_row(*cells, *([f"[yellow]{since}[/yellow]" if since else "0"] if erased else []))
    return table
