"""`hub identity`: how persons are found, and by which model."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings

if TYPE_CHECKING:
    from identity.quality import Quality
    from warehouse.identity_figures import Agency

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
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=-20, max=100, help="The model in use, or --version, with this threshold; see `hub review learn`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the whole pool by another model and tell what would change. Nothing is changed without --adopt."""
    from pipeline import retrain as retraining

    found = retraining.retrain(get_settings(), version=version, threshold=threshold, adopt=adopt)
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
        shown = plain_table()
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


_WHY = {"numbers": "多个有效号码 several valid numbers", "sexes": "性别不一 several sexes", "birth_years": "出生年不一 several birth years"}


@app.command()
def report(as_json: AsJson = False) -> None:
    """How good the pool's persons are: sizes, contradictions, what was not compared, precision and recall by judged samples."""
    from pipeline import quality

    found = quality.report(get_settings())
    if as_json:
        print_json(asdict(found))
        return
    console = screen()
    c = found.counts
    console.print(f"记录 records {c.records:,} → 人员 persons [bold]{c.persons:,}[/bold] · 同人记录对 pairs of one person {c.pairs:,}")
    console.print(
        f"确定匹配组 groups of sure links {c.groups:,} · 加权 weighed pairs kept {c.weighed:,}，其中链接 links {c.links:,}"
        f" · 模型 model {found.model or '—'}，门槛 threshold {found.threshold:+.2f}"
    )
    sizes = " · ".join(f"{first if first == last else f'{first}–{last}' if last else f'≥{first}'}: {n:,}" for first, last, n in found.sizes)
    console.print(f"每人记录数 persons by records   {sizes}")
    console.print("[bold]自相矛盾 suspicious persons[/bold]   hub explain PERSON")
    for s in found.suspicious:
        console.print(Text(f"  {s.persons:>7,}  {_WHY[s.why]}  {' '.join(s.examples)}"), soft_wrap=True)
    if found.crowds:
        console.print("[bold]超大分组未比 blocks not compared[/bold]")
        for b in found.crowds:
            console.print(f"  {b.blocks:>7,}  {b.rule_id}  记录 records {b.records:,} · 未比对 pairs left out {b.lost:,}")
    _print_quality(console, found.quality)
    _print_agencies(console, found.agencies)
    console.print(f"核对 review: 待核对 open {found.queued:,} · 待复核 waiting {found.waiting:,} · 生效 in force {found.in_force:,}")


def _print_quality(console: Console, found: "Quality") -> None:
    words = {"precision": "查准率 precision", "recall": "查全率（仅就已比对者）recall among compared pairs"}
    told = {
        name: "裁定不足 not enough judgements" if i is None else f"{i.value:.4f} (95 %: {i.low:.4f} … {i.high:.4f})"
        for name, i in (("precision", found.precision), ("recall", found.recall))
    }
    console.print("[bold]抽样估计 estimated from judged samples[/bold]   hub review queue --sample")
    for name, text in told.items():
        console.print(f"  {words[name]}  {text}")
    for s in found.strata:
        now = "同一人 one" if s.is_one else "两人 two"
        lacking = "" if s.is_known else "  ← 尚需裁定 judge more"
        console.print(
            f"  {now:<10} {s.band.value:<26} {s.pairs:>9,}  已裁定 judged {s.judged:,}，同一人 one person {s.one_person:,}{lacking}"
        )


def _print_agencies(console: Console, rows: "tuple[Agency, ...]") -> None:
    shown = plain_table()
    columns = ("来源\nsource", "记录\nrecords", "已归并\nlinked", "单独\nalone", "无可信号码\nno believed number")
    for n, name in enumerate(columns):
        shown.add_column(name, justify="right" if n else "left")
    for a in rows:
        shares = (f"{100 * n / max(a.records, 1):.1f} %" for n in (a.linked, a.alone, a.unbelieved))
        shown.add_row(a.stem, f"{a.records:,}", *shares)
    console.print(shown)
