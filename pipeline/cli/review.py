"""`hub review`: what people say of pairs of records. Pointers only; values on request, by those with the right."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from pipeline.cli.explain import JUDGEMENTS, STATES, Values, Viewer, Why, as_object, print_judgements, print_told

app = typer.Typer(help="人工核对 / what people say of pairs of records.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Record = Annotated[str, typer.Argument(help="A record: its id, or stem:key.")]
Reviewer = Annotated[str, typer.Option("--reviewer", help="Who says so.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; without a value of a person.")]

WHY = {
    "weight": "权重 weight", "numbers": "多个有效号码 several numbers", "sexes": "性别不一 several sexes",
    "birth_years": "出生年不一 several birth years",
}  # fmt: skip


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
    if entered.standing == review.Standing.WAITS:
        print(
            f"尚未生效，须另一人 nothing follows until another reviewer says so too: hub review judge {one} {other} {judgement} --reviewer …"
        )


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
    shown = plain_table()
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
    console.print(f"待核对 open pairs {found.queued:,} · 待复核 waiting for another reviewer {found.waiting:,}")
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


@app.command()
def queue(
    reviewer: Annotated[str | None, typer.Option("--reviewer", help="Leave out what they have judged.")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Instead, pairs of the random samples that precision and recall are estimated from.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Pairs of records that somebody should look at, the one first whose answer mends most: chance of error × records × households."""
    from pipeline import review

    if sample:
        _sample(limit, as_json=as_json)
        return
    found = review.queue(get_settings(), reviewer=reviewer)
    if as_json:
        print_json({"open": len(found), "pairs": [asdict(q) for q in found[:limit]]})
        return
    console = screen()
    console.print(f"待核对 open pairs {len(found):,}" + (f" · 显示前 the first {limit}" if len(found) > limit else ""))
    for n, q in enumerate(found[:limit], 1):
        now = "同一人 one person" if q.person_a == q.person_b else "两人 two persons"
        weight = "" if q.bits is None else f" · {q.bits:+.1f} bits"
        wanted = f" · 待另一人复核 waits for another reviewer ({q.waits})" if q.waits else ""
        console.print(
            Text(
                f"{n:>3}  影响 effect {q.effect:.2f} = {q.chance:.2f} × {q.records} 记录 records × {q.households} 户 households"
                f" · {WHY[q.why]}{weight} · 现为 now {now}{wanted}\n     {q.record_a} {q.record_b}"
            ),
            soft_wrap=True,
        )
    if found:
        console.print("逐对查看 look at one: hub review show RECORD RECORD")


def _sample(limit: int, *, as_json: bool) -> None:
    from pipeline import quality

    strata = quality.strata(get_settings())
    rows = [(s, pair) for s in strata for pair in s.next[:limit]]
    if as_json:
        print_json([{"band": s.band, "is_one": s.is_one, "record_a": a, "record_b": b} for s, (a, b) in rows])
        return
    console = screen()
    for s in strata:
        now = "同一人 one person" if s.is_one else "两人 two persons"
        console.print(Text(f"{now} · {s.band.value} · 已核对 judged {s.judged:,} / {s.pairs:,}"), soft_wrap=True)
        for a, b in s.next[:limit]:
            console.print(Text(f"     {a} {b}"), soft_wrap=True)


@app.command()
def show(
    one: Record, other: Record, values: Values = False, viewer: Viewer = None, why: Why = None, as_json: AsJson = False
) -> None:  # fmt: skip
    """One pair: how each field agrees, in words and weights, what decided, and what others said. Values only with --values."""
    from pipeline import explanation, review

    settings = get_settings()
    told = explanation.pair(settings, one, other)
    shown = review.values(settings, [r.record_id for r in told.records], viewer=viewer, reason=why) if values else {}
    if as_json:
        print_json(as_object(told, shown))
        return
    console = screen()
    print_told(console, told, {})
    if shown:
        console.print(_side_by_side(*(shown[r.record_id] for r in told.records)))
    a, b = (r.record_id for r in told.records)
    if review.is_in_sample(settings, a, b):
        console.print("抽样双人复核 in the sample on which two reviewers must agree")
    console.print(Text(f"裁定 judge: hub review judge {a} {b} must|cannot|unsure --reviewer … --reason …"), soft_wrap=True)


def _side_by_side(one: dict[str, str | None], other: dict[str, str | None]) -> Table:
    shown = plain_table()
    for name in ("字段\nfield", "", "一\none", "二\nother"):
        shown.add_column(name, overflow="fold")
    for field, value in one.items():
        differs = value != other[field]
        shown.add_row(field, "≠" if differs else "", Text(value or "—"), Text(other[field] or "—"), style="bold" if differs else "")
    return shown


@app.command()
def learn(as_json: AsJson = False) -> None:
    """Where judgements say the threshold should be. Proposes only: nothing changes before a model with it is tried and adopted."""
    from pipeline import review

    found = review.learn(get_settings())
    if as_json:
        print_json(asdict(found))
        return
    print(f"现用门槛 threshold in use {found.present:+.2f} · 可用裁定 judged pairs that were weighed {found.judged:,}")
    if found.proposal is None:
        from identity.calibration import FEWEST, FEWEST_OF_A_KIND

        print(f"裁定不足 not enough judgements: {FEWEST} at least, {FEWEST_OF_A_KIND} of either kind")
        return
    p = found.proposal
    print(f"建议门槛 proposed {p.threshold_bits:+.2f}  (95 %: {p.low:+.2f} … {p.high:+.2f}) · must {p.must:,} · cannot {p.cannot:,}")
    print(
        f"校准 calibration: {p.shift:+.2f} + {p.slope:.2f} × bits · 已裁定对的误判代价 cost of errors among judged pairs {p.cost_now:g} → {p.cost_then:g}"
    )
    print(f"试算 try it: hub identity retrain --threshold {p.threshold_bits}")
