"""`hub emergency`: uses of emergency grants, seen and reviewed."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from hub.dates import shown
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from sharing.cli import reviewing
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Id = Annotated[str, typer.Argument(metavar="EMERGENCY", help="Id of an emergency, or its beginning; see `hub emergency list`.")]
app = typer.Typer(help="紧急调阅 / emergencies: who broke the glass, and what the review found.", no_args_is_help=True)


@app.command("list")
def emergency_list(
    everything: Annotated[bool, typer.Option("--all", help="Those that were reviewed as well.")] = False, as_json: AsJson = False
) -> None:
    """Emergencies that last or wait for their review: who, why, until when, of how many persons it was told."""
    from warehouse import emergencies

    with migrated(get_settings()).connect() as connection:
        found = emergencies.listed(connection, waiting_only=not everything)
    if as_json:
        print_json([asdict(e) for e in found])
        return
    if not found:
        print("没有待复核的紧急调阅 / no emergency waits" if not everything else "没有紧急调阅 / no emergency")
        return
    table = plain_table(
        "编号 emergency", "部门 department", "用途 purpose", "经办 operator", "事由 reason", "起 opened", "人数 persons", "状态 state"
    )
    for e in found:
        state = (
            "[red]进行中 open[/red]"
            if e.is_open
            else reviewing.FINDINGS[e.finding]
            if e.finding
            else "[yellow]待复核 to be reviewed[/yellow]"
        )
        table.add_row(
            e.emergency_id, f"{e.department} {e.client_id}", e.purpose, Text(e.operator), Text(e.reason), shown(e.opened_at),
            f"{e.told}/{e.persons}", state,
        )  # fmt: skip
    screen().print(table)


@app.command("end")
def emergency_end(emergency: Id) -> None:
    """End one before its time."""
    from warehouse import emergencies

    with migrated(get_settings()).begin() as connection:
        done = emergencies.end(connection, emergency)
    print(f"已结束 ended: {done.emergency_id}")


@app.command("review")
def emergency_review(
    emergency: Id,
    finding: reviewing.Finding = "",
    words: reviewing.Words = "",
    by: reviewing.By = None,
) -> None:
    """Write down what a review found. What was told meanwhile: `hub audit report`; who looked at a person: `hub audit person`."""
    from warehouse import emergencies

    said = reviewing.given(finding, words, by)
    with migrated(get_settings()).begin() as connection:
        done = emergencies.review(connection, emergency, **said)
    reviewing.tell(done.emergency_id, finding, done.client_id)
