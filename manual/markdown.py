"""Markdown, as the generated pages write it."""

from collections.abc import Iterable, Sequence


def cell(value: object) -> str:
    """A value in a table: one line, no bar that would end the cell."""
    return "" if value is None else " ".join(str(value).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; empty text when there are no rows."""
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines]) + "\n"
