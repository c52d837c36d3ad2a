"""`hub withdraw`, `hub release`: overrule the gate on a whole delivery."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hub.dates import parse_date
from hub.errors import GateHeld
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from schemas.codes import load_code_set

if TYPE_CHECKING:
    from pipeline.rulings import Release

Delivery = Annotated[str, typer.Argument(help="Id of a landed delivery, or its beginning; see `hub deliveries`.")]
By = Annotated[str | None, typer.Option("--by", help="Who rules so; the account of the operating system if not given.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_COUNTS = {
    "persons": "人员 persons", "households": "家庭 households", "records": "记录 records", "records_of_source": "该来源记录 records of the source",
    "past_versions": "其往日版本 its past versions", "withdrawn_keys": "其已撤回主键 its keys no longer held",
    "to_be_mended": "其待更正行 its rows to be mended",
}  # fmt: skip


def withdraw(
    delivery: Delivery,
    reason: Annotated[str, typer.Option("--reason", help="Why; no value of a person.")] = "",
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    confirm: Annotated[
        str | None, typer.Option("--confirm", help="The code of the dry run, where a large share of the source changes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a delivery out of the pool as if it had never come; its bytes stay landed. Undone by `hub release`."""
    from pipeline import rulings

    found = rulings.withdraw(get_settings(), delivery, reason=reason, by=by, confirm=confirm, dry_run=dry_run)
    if as_json:
        print_json(asdict(found))
        return
    console = screen()
    table = plain_table()
    for column in ("", "之前 before", "之后 after"):
        table.add_column(column, justify="left" if not column else "right")
    for name, title in _COUNTS.items():
        table.add_row(title, f"{found.before[name]:,}", f"{found.after[name]:,}")
    console.print(table)
    console.print(f"涉及主键 keys concerned {found.keys:,} ({found.share:.1%})")
    if not found.is_done:
        code = f" --confirm {found.confirm}" if found.confirm else ""
        console.print(f"未改动 nothing was changed; to do it: hub withdraw {found.delivery_id[:8]} --reason …{code}")
    else:
        console.print(f"已收回 withdrawn · 指纹 fingerprint {(found.fingerprint or '')[:16]}")


_KINDS = {"all": "全部 all keys", "township": "乡镇 township", "range": "主键区段 range of keys"}


def release(
    delivery: Delivery,
    reason: Annotated[str, typer.Option("--reason", help="Why; no value of a person.")] = "",
    by: By = None,
    confirm: Annotated[
        str | None, typer.Option("--confirm", help="The code of the first release, where more is withdrawn than usual; by another person.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a delivery in that the gate held, or that was withdrawn; bad rows still go to quarantine.

    Where it would withdraw more keys than usual, it is shown where, and another person must confirm that.
    """
    from pipeline import rulings
    from pipeline.cli.summary import print_summary

    found = rulings.release(get_settings(), delivery, reason=reason, by=by, confirm=confirm)
    if as_json:
        print_json({**found.night.as_json(), "confirm": found.confirm, "withdrawals": [asdict(g) for g in found.withdrawals]})
    else:
        print_summary(screen(), get_settings(), parse_date(found.night.night))
        if found.confirm is not None:
            _print_withdrawals(found, delivery)
    if found.confirm is not None:
        raise typer.Exit(GateHeld.exit_code)
    if status := found.night.exit_code(found.stem):
        raise typer.Exit(status)


def _print_withdrawals(found: "Release", delivery: str) -> None:
    from expectations.turnover import RANGES

    console, areas = screen(), load_code_set("area")
    table = plain_table()
    for column in ("将撤回\nwould withdraw", "", "主键\nkeys", "在库\nin the pool", "占比\nshare", "限度\nlimit"):
        table.add_column(column, justify="right" if column and "would" not in column else "left")
    for g in found.withdrawals:
        name = f"{g.name}/{RANGES}" if g.kind == "range" else " ".join([g.name or "", areas[g.name].zh if g.name in areas else ""])
        table.add_row(_KINDS[g.kind], name, f"{g.absent:,}", f"{g.held:,}", f"{g.absent / g.held:.1%}", f"{g.limit:.1%}")
    console.print(table)
    console.print(f"未放行，须另一人确认 not let in; another person confirms: hub release {delivery} --by NAME --confirm {found.confirm}")


def register(app: typer.Typer) -> None:
    """Add these commands to the `hub` command line."""
    for command in (withdraw, release):
        app.command()(command)
