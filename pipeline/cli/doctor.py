"""`hub doctor`: the findings, a line each."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from hub.screen import print_json, screen

_MARKS = {"ok": "[green]✓[/green]", "idle": "–", "warning": "[yellow]![/yellow]", "fault": "[red]✗[/red]"}


def command(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """What is wrong with this machine or configuration, and how to mend it. Status 0 = nothing or warnings, 1 = a fault."""
    from pipeline import doctor

    console, findings = screen(), []
    for finding in doctor.examine():
        findings.append(finding)
        if as_json:
            continue
        console.print(_MARKS[finding.state], Text(finding.zh if finding.zh == finding.en else f"{finding.zh} / {finding.en}"))
        if finding.next_step:
            console.print("  →", Text(finding.next_step))
    faults = sum(f.state == "fault" for f in findings)
    warnings = sum(f.state == "warning" for f in findings)
    if as_json:
        print_json({"ok": faults == 0, "faults": faults, "warnings": warnings, "findings": [asdict(f) for f in findings]})
    else:
        console.print(f"{faults} 项故障 faults · {warnings} 项警告 warnings")
    if faults:
        raise typer.Exit(1)
