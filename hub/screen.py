"""What the command line writes on: a terminal as it is, or plain text in whole columns where it is piped."""

import json
import sys
from typing import Any

from rich.console import Console

_PIPED_COLUMNS = 160


def screen() -> Console:
    """Standard output. Piped, lines keep their columns, whatever the width, and carry no control characters."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_PIPED_COLUMNS, no_color=True, force_terminal=False)


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output, and nothing else."""
    print(json.dumps(value, ensure_ascii=False, default=str))
