"""What the command line writes on: a terminal as it is, or plain text in whole columns where it is piped."""

import json
import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_PIPED_COLUMNS = 160


def screen() -> Console:
    """Standard output. Piped, lines keep their columns, whatever the width, and carry no control characters."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_PIPED_COLUMNS, no_color=True, force_terminal=False)


def plain_table(*columns: str, title: str | None = None) -> Table:
    """An empty table as all commands show them; None = without a title."""
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output, and nothing else."""
    print(json.dumps(value, ensure_ascii=False, default=str))
