"""Write the generated pages, or with ``--check`` say which of them are stale."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from hub.settings import CHECKOUT
from manual import catalogue, cli, dags, errors, problems, schema, settings

# File under docs/ → what makes it.
PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli.page,
    "settings.md": settings.page,
    "catalogue.md": catalogue.page,
    "schema.md": schema.page,
    "errors.md": errors.page,
    "dags.md": dags.page,
    "problems.md": problems.page,
}
_NOTICE = "<!-- Made from the code by `make docs`; edits here are lost. -->\n\n"


def rendered() -> dict[str, str]:
    """All pages by file name."""
    return {name: _NOTICE + make().rstrip("\n") + "\n" for name, make in PAGES.items()}


def stale(folder: Path) -> list[str]:
    """Names of pages in a folder that are missing or not what the code says."""
    found = []
    for name, text in rendered().items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(name)
    return found


def main(arguments: list[str]) -> int:
    """Returns the exit status: 1 when a page is stale, 2 for a wrong flag."""
    folder = CHECKOUT / "docs"
    if arguments not in ([], ["--check"]):
        print("usage: python -m manual [--check]", file=sys.stderr)
        return 2
    if arguments:
        old = stale(folder)
        if old:
            print(f"过期 / stale: {', '.join('docs/' + name for name in old)} — run `make docs`", file=sys.stderr)
        return 1 if old else 0
    for name, text in rendered().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main(sys.argv[1:]))
