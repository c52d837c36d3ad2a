"""`hub review`: what people say of pairs of records. Pointers only; values on request, by those with the right."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from hub.settings import get_settings
from pipeline.cli.explain import JUDGEMENTS, STATES, print_judgements
from pipeline.cli.screen import print_json, screen

app = typer.Typer(help="人工核对 / what people say of pairs of records.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Record = Annotated[str, typer.Argument(help="A record: its id, or stem:key.")]
Reviewer = Annotated[str, typer.Option("--reviewer", help="Who says so.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; without a value of a person.")]


@app.command()
def judge(
    one: Record,
    other: Record,
    judgement: Annotated[str, typer.Argument(help="must = one person, cannot = two, unsure = nothing follows.")],
    reviewer: Reviewer,
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Say whether two records are one person. The next night applies it; some pairs need a second reviewer first."""
    from pipeline import review

    entered = review.judge(get_settings(), one, other, judgement, reviewer=reviewer, reason=reason)
    if as_json:
        print_json(asdict(entered))
        return
    print(f"{JUDGEMENTS[judgement]} · {STATES[entered.standing]}")
    print(f"裁定编号 judgement {entered.judgement_id}")
    if entered.needs_second:
        print("抽样双人复核 in the sample on which two reviewers must agree")


@app.command()
def retract(
    judgement: Annotated[str, typer.Argument(help="Id of a judgement.")], reviewer: Reviewer, reason: Reason, as_json: AsJson = False
) -> None:
    """Take a judgement back: from the next night on it is as if it had never been made."""
    from pipeline import review

    review.retract(get_settings(), judgement, reviewer=reviewer, reason=reason)
    if as_json:
        print_json({"judgement_id": judgement, "standing": "retracted"})
    else:
        print(f"{STATES['retracted']} {judgement}")


@app.command("list")
def list_(
    record: Annotated[str | None, typer.Option("--record", help="Only those on this record.")] = None,
    reviewer: Annotated[str | None, typer.Option("--reviewer", help="Only theirs.")] = None,
    retracted: Annotated[bool, typer.Option("--retracted", help="Also those taken back.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """Judgements, newest first, and what became of each."""
    from pipeline import review

    found = review.listed(get_settings(), record=record, reviewer=reviewer, retracted=retracted, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        print("尚无裁定 no judgement yet")
    console = screen()
    print_judgements(console, found)


def table(*columns: str) -> Table:
    """A plain table; the first column is text, the others are figures."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for n, name in enumerate(columns):
        shown.add_column(name.replace(" ", "\n", 1), justify="right" if n else "left")
    return shown


def _kappa(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"


@app.command()
def figures(as_json: AsJson = False) -> None:
    """How well reviewers agree (Cohen's kappa), what each got done, how long the queue is."""
    from pipeline import review

    found = review.figures(get_settings())
    if as_json:
        print_json(asdict(found))
        return
    console = screen()
    kinds = " · ".join(f"{JUDGEMENTS[k]} {n:,}" for k, n in found.judgements.items())
    console.print(f"裁定 judgements: {kinds} · 生效 in force {found.in_force:,}")
    whole = found.agreement
    console.print(
        f"双人一致 agreement: {whole.agreed:,} / {whole.pairs:,} · Cohen κ {_kappa(whole.kappa)}"
        + (" (尚无双人裁定 no pair was judged twice yet)" if not whole.pairs else "")
    )
    if found.couples:
        console.print(_couples(found.couples))
    if found.reviewers:
        console.print(_reviewers(found.reviewers))


def _couples(rows: list[Any]) -> Table:
    shown = table("双人 two reviewers", "", "对 pairs", "一致 agreed", "κ")
    for r in rows:
        shown.add_row(Text(r.one), Text(r.other), f"{r.pairs:,}", f"{r.agreed:,}", _kappa(r.kappa))
    return shown


def _reviewers(rows: list[Any]) -> Table:
    shown = table("核对人 reviewer", "裁定 judgements", "无法判断 unsure", "撤回 retracted", "天 days", "日均 a day")
    for r in rows:
        shown.add_row(Text(r.reviewer), f"{r.judgements:,}", f"{r.unsure:,}", f"{r.retracted:,}", f"{r.days:,}", f"{r.per_day:g}")
    return shown
