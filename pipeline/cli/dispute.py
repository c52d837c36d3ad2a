"""`hub dispute`: a value somebody says is wrong, asked of its agency (校核纠错, 异议)."""

import getpass
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings

app = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Id = Annotated[str, typer.Argument(metavar="DISPUTE", help="Id of a dispute, see `hub dispute list`.")]
By = Annotated[str | None, typer.Option("--by", help="Who asks or notes it; the account on this machine if not given.")]
KINDS = {"correction": "校核纠错 correction", "objection": "异议 objection", "recheck": "核对复核 recheck"}
REASONS = {"wrong": "有误 wrong", "outdated": "过时 outdated", "not_mine": "非本人 not mine"}
OUTCOMES = {None: "办理中 open", "answered": "已更正 answered", "refused": "不予更正 refused", "withdrawn": "已撤回 withdrawn"}


@app.command("open")
def open_dispute(
    person: Annotated[str, typer.Argument(help="Id of a person.")],
    attribute: Annotated[
        str,
        typer.Argument(
            help="Which value: as `hub person` names it, or SOURCE.FIELD for what an agency's record says, housing.monthly_rent_yuan."
        ),
    ],
    kind: Annotated[str, typer.Option("--kind", help=" | ".join(KINDS))] = "correction",
    reason: Annotated[str, typer.Option("--reason", help=" | ".join(REASONS))] = "wrong",
    record: Annotated[
        str | None, typer.Option("--record", help="Key of the agency's record, where the person has several there; each if not given.")
    ] = None,
    details: Annotated[
        str | None, typer.Option("--details", help="What the agency is told beside; kept sealed, see `hub dispute show`.")
    ] = None,
    by: By = None,
) -> None:
    """Say that a value is wrong: it is asked of the agency it comes from, and marked while that lasts."""
    from pipeline import disputes

    asker = by or getpass.getuser()
    made = disputes.open_dispute(
        get_settings(), person, attribute, kind=kind, reason=reason, asker=asker, record_key=record, details=details
    )
    for done in made:
        screen().print(Text(f"{done.dispute_id} · {KINDS[done.kind]} · {done.stem} · 期限 due {done.due_date}"), soft_wrap=True)


@app.command()
def show(dispute: Id, as_json: AsJson = False) -> None:
    """One dispute, with what the agency is to be told."""
    from pipeline import disputes

    found, details = disputes.details(get_settings(), dispute)
    if as_json:
        print_json({**asdict(found), "details": details})
        return
    rows = {
        "编号 dispute": found.dispute_id, "类别 kind": KINDS[found.kind], "字段 value": found.attribute, "理由 reason": REASONS[found.reason],
        "说明 details": details, "提出 opened": f"{found.opened_date} · {found.department or found.asker}",
        "期限 due": f"{found.due_date}{' 超期 overdue' if found.is_overdue else ''}", "来源 source": f"{found.stem} · {found.owner}",
        "人员 person": found.person_id, "结果 outcome": f"{OUTCOMES[found.outcome]} {found.words or ''}".rstrip(),
        **({"接续 continues": found.continues} if found.continues else {}),
    }  # fmt: skip
    for name, value in rows.items():
        screen().print(Text(f"{name}  {value or '—'}"), soft_wrap=True)


@app.command("list")
def list_disputes(closed: Annotated[bool, typer.Option("--all", help="Ended ones as well.")] = False, as_json: AsJson = False) -> None:
    """Disputes that are open: what, whose agency, how old in working days, until when."""
    from pipeline import disputes
    from warehouse import database

    settings = get_settings()
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        found = disputes.listed(connection, settings, closed=closed)
    if as_json:
        print_json([asdict(d) for d in found])
        return
    table = plain_table("编号 dispute", "类别 kind", "来源 source", "字段 value", "理由 reason", "工作日 days", "期限 due", "结果 outcome")
    for d in found:
        age = f"[red]{d.age_days} 超期[/red]" if d.is_overdue else str(d.age_days)
        told = OUTCOMES[d.outcome] + (f" {d.delivery_id[:8]}" if d.delivery_id else f"：{d.words}" if d.words else "")
        table.add_row(d.dispute_id, KINDS[d.kind], d.stem, d.attribute, REASONS[d.reason], age, str(d.due_date), Text(told))
    screen().print(table)


@app.command()
def refuse(
    dispute: Id, because: Annotated[str, typer.Option("--because", help="What the agency says; no person's data.")] = "", by: By = None
) -> None:
    """Note that the agency stands by its value, with its reason."""
    _end(dispute, "refused", by, because)


@app.command()
def withdraw(dispute: Id, by: By = None) -> None:
    """Note that the asker took it back."""
    _end(dispute, "withdrawn", by)


def _end(dispute: str, outcome: str, by: str | None, words: str | None = None) -> None:
    from pipeline import disputes

    done = disputes.end(get_settings(), dispute, outcome, actor=by or getpass.getuser(), words=words)
    screen().print(Text(f"{done.dispute_id} · {OUTCOMES[done.outcome]}"), soft_wrap=True)
