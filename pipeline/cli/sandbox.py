"""`hub sandbox`: the simulated county and its agencies."""

from typing import Annotated

import typer
from rich.table import Table

from hub.screen import screen
from hub.settings import get_settings
from sandbox import clock, corrections, faults
from sandbox.servers.catalogue import FAULTS
from schemas.contract import load_contract, stems

app = typer.Typer(no_args_is_help=True)
console = screen()


@app.command("night")
def night(number: Annotated[int, typer.Argument(help="The county's night, from 1.")]) -> None:
    """Move the county to a night."""
    clock.set_night(get_settings(), number)
    console.print(f"{clock.date_of(get_settings(), number)}")


@app.command("break")
def break_source(stem: str, fault: Annotated[str, typer.Option("--fault", help="See `hub sandbox faults`.")]) -> None:
    """Switch a fault on."""
    faults.break_source(get_settings(), stem, fault)
    console.print(f"{stem}: {', '.join(sorted(faults.active(get_settings(), stem)))}")


@app.command("mend")
def mend(stem: str) -> None:
    """Switch all faults of an agency off."""
    load_contract(stem)
    faults.mend(get_settings(), stem)
    console.print(f"{stem}: ok")


@app.command("correct")
def correct(
    stem: str,
    ticket: Annotated[str | None, typer.Option("--ticket", help="Only the rows of this ticket; all that are wrong if not given.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only so many of the ticket's rows.")] = None,
) -> None:
    """The agency puts wrong rows right at its source: from the county's next night on it sends what is true."""
    settings, contract = get_settings(), load_contract(stem)
    keys = [corrections.ALL]
    if ticket is not None:
        from pipeline import sendback

        keys = sendback.keys(settings, ticket, stem)[:limit]
    night = clock.current_night(settings) + 1
    n_new = corrections.correct(settings, contract.stem, keys, night)
    what = "全部错误行 all wrong rows" if ticket is None else f"{n_new} 行 rows"
    console.print(f"{stem}: {what} · 自 from {clock.date_of(settings, night)}")


@app.command("faults")
def list_faults() -> None:
    """The faults there are, and which are on."""
    table = Table("故障 fault", "含义", "meaning", "开启 on for")
    for name, fault in FAULTS.items():
        table.add_row(name, fault.zh, fault.en, ", ".join(s for s in stems() if name in faults.active(get_settings(), s)))
    console.print(table)
