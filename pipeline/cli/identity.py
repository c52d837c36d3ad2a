"""`hub identity`: how persons are found, and by which model."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from hub.settings import get_settings
from pipeline.cli.screen import print_json, screen

app = typer.Typer(help="身份识别 / how persons are found.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_SHOWN_PLACES, _SHOWN_PAIRS = 20, 5


@app.command()
def retrain(
    adopt: Annotated[bool, typer.Option("--adopt", help="Publish it: nights weigh by it from now on.")] = False,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, help="A model known already; 1 comes with the hub. Not given: fit a new one to the pool."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the whole pool by another model and tell what would change. Nothing is changed without --adopt."""
    from pipeline import retrain as retraining

    found = retraining.retrain(get_settings(), version=version, adopt=adopt)
    if as_json:
        print_json(asdict(found))
        return
    console = screen()
    counts = found.counts
    console.print(
        f"模型 model {found.former or '—'} → {found.version} · "
        + ("已采用 adopted" if adopt else "试算，未作改动 dry run: nothing was changed")
    )
    console.print(
        f"换人的记录 records that change person: {counts['links']:,} · 人员 persons: {counts['persons_before']:,} → {counts['persons_after']:,}"
        f" · 拆分 parted {counts['parted']:,} · 合并 joined {counts['joined']:,} · 加权链接 bonds: {counts['bonds_before']:,} → {counts['bonds_after']:,}"
    )
    if found.where:
        shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name, side in (("来源 source", "left"), ("乡镇 township", "left"), ("记录 records", "right")):
            shown.add_column(name, justify=side)  # type: ignore[arg-type]
        for row in found.where[:_SHOWN_PLACES]:
            shown.add_row(row["source"], row["township"] or "—", f"{row['links']:,}")
        console.print(shown)
    for kind, words in (("joined", "合并 joined"), ("parted", "拆分 parted")):
        for one, other in found.examples[kind][:_SHOWN_PAIRS]:
            console.print(f"{words}: {one} {other}", soft_wrap=True)
    if found.fingerprint:
        console.print(f"指纹 fingerprint {found.fingerprint}")
