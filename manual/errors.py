"""docs/errors.md: the error tree, with exit statuses."""

from hub.errors import HubError
from manual.markdown import table


def _tree(kind: type[HubError], depth: int = 0) -> list[tuple[int, type[HubError]]]:
    below = [k for k in kind.__subclasses__() if k.__module__ == HubError.__module__]
    return [(depth, kind), *(found for k in below for found in _tree(k, depth + 1))]


def page() -> str:
    """The page."""
    rows = [
        [
            "&nbsp;" * 4 * depth + f"`{kind.__name__}`", (kind.__doc__ or "").strip().splitlines()[0], kind.exit_code,
            "yes" if kind.is_transient else "",
        ]
        for depth, kind in _tree(HubError)
    ]  # fmt: skip
    return f"""# Errors

A message says what happened, where (file and field, delivery or row, never a person's value) and what to do next. On the command line
an error is one sentence on standard error and the exit status below; in Airflow it is the red task's log, and only what may pass by itself
is tried again.

{table(["error", "meaning", "exit status", "may pass by itself"], rows)}
Exit status 4 also means: the night was published, and a source of it was held, failed or is still on its way. 130: interrupted; run it again.
"""
