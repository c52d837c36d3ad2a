"""What a department has of its own, a page at a time or one by its id."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Response

from sharing.problems import Problem
from sharing.routes.persons import json


def page(name: str, rows: Sequence[Any], limit: int, key: str, shown: Callable[[Any], dict[str, Any]]) -> Response:
    """A page of rows, of which one more than the limit was read.

    Args:
        name: of the list in the answer.
        rows: in their order.
        limit: how many are shown.
        key: column by which the next page begins.
        shown: a row as it leaves.
    """
    following = rows[limit - 1][key] if len(rows) > limit else None
    return json({name: [shown(r) for r in rows[:limit]], "next_cursor": following})


def one(row: Any | None, shown: Callable[[Any], dict[str, Any]]) -> Response:
    """A row as it leaves.

    Raises:
        Problem: there is none.
    """
    if row is None:
        raise Problem("not-found")
    return json(shown(row))
