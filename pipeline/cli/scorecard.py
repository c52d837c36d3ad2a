"""`hub scorecard`: a month of an agency on one page."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hub.errors import ConfigError
from hub.screen import print_json, screen
from hub.settings import get_settings
from schemas.contract import load_contract, stems


def command(
    stem: Annotated[str | None, typer.Argument(help="A source.")] = None,
    month: Annotated[str, typer.Option("--month", help="Month, 2026-03.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every source that had a night in the month.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for STEM-MONTH.html and STEM-MONTH.xlsx.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of writing files.")] = False,
) -> None:
    """An agency's month: timely, complete, valid, consistent, and how long corrections take. Counts only, nobody's values."""
    from pipeline import scorecard

    settings = get_settings()
    if (stem is None) is not every:
        raise ConfigError("name one source, or all", where="STEM", next_step="hub scorecard health --month 2026-03, or --all")
    asked = scorecard.parse_month(month)
    if stem is not None:
        load_contract(stem)
    chosen = [stem] if stem else list(stems())
    cards, without = [], []
    for one in chosen:
        try:
            cards.append(scorecard.scorecard(settings, one, asked))
        except scorecard.NoNight:
            if stem is not None:
                raise
            without.append(one)
    if as_json:
        print_json([card.as_json() for card in cards])
    else:
        for card in cards:
            for path in scorecard.write(card, out):
                screen().print(Text(str(path)), soft_wrap=True)
    if without:
        print(f"当月无已发布的夜，略过 no night of {month} was published, left out: {', '.join(without)}", file=sys.stderr)
    if not cards:
        raise ConfigError(f"no night of {month} was published for any source", where="--month", next_step="see `hub status`")
