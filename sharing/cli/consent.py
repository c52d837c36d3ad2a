"""`hub consent`: authorisations of persons that departments registered."""

import getpass
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from hub.dates import shown
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="本人授权 / consents: who may be asked about, as departments registered it.", no_args_is_help=True)


@app.command("list")
def consent_list(
    department: Annotated[str | None, typer.Option("--department", help="Only this department.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that hold no longer, or not yet, as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Consents that hold, by reference; whose they are the department knows."""
    from warehouse import consents

    with migrated(get_settings()).connect() as connection:
        found = consents.listed(connection, department=department, everything=everything)
    if as_json:
        print_json([asdict(c) for c in found])
        return
    if not found:
        print("没有登记的授权 / no consent is registered" if everything else "没有有效的授权 / no consent holds")
        return
    table = plain_table("编号 consent", "部门 department", "用途 purpose", "授权书 reference", "起 from", "止 to", "状态 state")
    for c in found:
        state = f"已撤回 withdrawn {shown(c.withdrawn_at)}" if c.withdrawn_at else "有效 holds" if c.holds else "不在有效期 not in force"
        table.add_row(
            c.consent_id, f"{c.department} {c.client_id}", c.purpose, Text(c.reference), str(c.valid_from), str(c.valid_to), state
        )
    screen().print(table)


@app.command("withdraw")
def consent_withdraw(
    consent: Annotated[str, typer.Argument(metavar="CONSENT", help="Id of a consent, or its beginning; see `hub consent list`.")],
    by: Annotated[str | None, typer.Option("--by", help="Who withdraws it here; the account on this machine if not given.")] = None,
) -> None:
    """Withdraw one for a person who came to you instead of the department. It decides nothing from then on."""
    from warehouse import consents

    with migrated(get_settings()).begin() as connection:
        done = consents.end(connection, consent, f"operator {(by or getpass.getuser()).strip()}")
    print(f"已撤回 withdrawn: {done.consent_id} ({done.department} × {done.purpose} {done.reference})")
