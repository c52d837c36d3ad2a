"""How a night goes, on the screen: bars on a terminal, a line a verb where it is piped, nothing for `--json`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from hub import log
from hub.errors import HubError
from hub.progress import Progress
from pipeline.run import ALL, Reporter

_LAST = {"gate", "share"}  # the verb that ends a source, or the night
_NOT_DUE = "not_due"


@dataclass
class _Source:
    """What one source has come to so far."""

    rows: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """Rows and seconds by verb; verbs that had nothing to do are left out."""
        parts = [f"{self.rows:>9,} 行"] if self.rows is not None else []
        parts += [f"{verb} {seconds:.1f}s" for verb, seconds in self.seconds.items() if seconds >= 0.05]
        return "  ".join(parts)


class _Rate(ProgressColumn):
    """Rows or bytes so far, of how many, and how many a second."""

    def render(self, task: Task) -> Text:
        if not task.completed:
            return Text("")
        speed = task.finished_speed or task.speed or 0
        if task.fields["unit"] == "bytes":
            of = f"/{task.total / 1e6:,.1f}" if task.total else ""
            return Text(f"{task.completed / 1e6:,.1f}{of} MB {speed / 1e6:,.1f}/s")
        of = f"/{task.total:,.0f}" if task.total else ""
        return Text(f"{task.completed:,.0f}{of} {speed:,.0f}/s")


class _Lines(Reporter):
    """One line a verb, as it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _say(self, source: str, verb: str, text: str, seconds: float) -> None:
        self._console.print(f"{source:<20} {verb:<8} {seconds:>7.2f} s  {text}", soft_wrap=True, markup=False)

    def ended(self, source: str, verb: str, outcome: dict[str, Any], seconds: float) -> None:
        """Say the state and rows the verb gives."""
        rows = outcome.get("rows")
        self._say(source, verb, str(outcome.get("state", "ok")) + (f"  {rows:,} rows" if rows is not None else ""), seconds)

    def failed(self, source: str, verb: str, error: HubError, seconds: float) -> None:
        """Say why."""
        self._say(source, verb, f"✗ {error}", seconds)


class _Screen(Reporter):
    """A bar for the verb at work, and one line for each source that is done."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}  # by source: several are at work at one time
        self._sources: dict[str, _Source] = {}

    def began(self, source: str, verb: str) -> None:
        """Show the verb."""
        self._drop(source)
        self._tasks[source] = self._bars.add_task(f"{source} {verb}", total=None, unit="rows")

    def _drop(self, source: str) -> None:
        if (task := self._tasks.pop(source, None)) is not None:
            self._bars.remove_task(task)

    def moved(self, source: str, verb: str, progress: Progress) -> None:
        """Move the bar."""
        if (task := self._tasks.get(source)) is not None:
            self._bars.update(task, completed=progress.done, total=progress.total, unit=progress.unit)

    def ended(self, source: str, verb: str, outcome: dict[str, Any], seconds: float) -> None:
        """Note rows and seconds; say them when the source is through."""
        came = self._sources.setdefault(source, _Source())
        came.rows = outcome.get("rows", came.rows)
        if outcome.get("did", True):
            came.seconds[verb] = seconds
        if verb not in _LAST:
            return
        self._drop(source)
        state = outcome.get("state")
        name = "全部 all sources" if source == ALL else source
        mark, note = ("–", "未到期 not due") if state == _NOT_DUE else ("[green]✓[/green]", came.line() or "已完成 done before")
        self._bars.console.print(f"{mark} {name:<17} {note}")

    def failed(self, source: str, verb: str, error: HubError, seconds: float) -> None:
        """Say why, at once."""
        self._drop(source)
        self._bars.console.print(f"[red]✗[/red] {source:<17} {verb}:", Text(str(error)))


@contextmanager
def reporting(console: Console, *, silent: bool = False) -> Iterator[Reporter]:
    """A reporter that suits the console, for as long as the block runs.

    Args:
        console: where to.
        silent: say nothing at all.
    """
    if silent:
        yield Reporter()
    elif not console.is_terminal:
        yield _Lines(console)
    else:
        # The screen tells of failures itself; the same warnings from the log would cut through the bars.
        if sys.stderr.isatty() and "HUB_LOG_LEVEL" not in os.environ:
            log.configure("ERROR")
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=16),
            _Rate(),
            TimeRemainingColumn(compact=True),
        )
        with Bars(*columns, console=console, transient=True) as bars:
            yield _Screen(bars)
