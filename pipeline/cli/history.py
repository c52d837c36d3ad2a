"""`hub history`: the whole pool as of another time, in counts, and who may ask more by SQL."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hub.dates import parse_date, parse_instant, shown_exactly
from hub.errors import ConfigError
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from pipeline.cli.people import AsJson, AsOf, KnownAt
from schemas.codes import load_code_set

if TYPE_CHECKING:
    from warehouse.census import Figure
    from warehouse.past import Moment

app = typer.Typer(no_args_is_help=True)
_NAMES = {"": "", "township": "乡镇街道\ntownship", "sex": "性别\nsex", "source": "来源\nsource"}
_ALL = "全部 all"
_UNKNOWN = "不详 unknown"


def _figure(figure: "Figure") -> str:
    if figure.came is None:
        return f"{figure.now:,}"
    return f"{figure.now:,} (+{figure.came:,} −{figure.gone:,} ~{figure.changed:,})"


def _when(at: "Moment") -> str:
    day = "最新 newest" if at.valid is None else str(at.valid)
    known = "—" if at.published_at is None else shown_exactly(at.published_at)
    return f"有效日 valid on {day} · 知悉 known at {known} · 发布 publication {at.number}"


@app.command()
def count(
    as_of: AsOf = None,
    known_at: KnownAt = None,
    by: Annotated[str | None, typer.Option("--by", help="Count each township, sex or source apart.")] = None,
    against_as_of: Annotated[
        str | None, typer.Option("--against-as-of", help="Tell the difference from this date; the moment's own if not given.")
    ] = None,
    against_known_at: Annotated[
        str | None,
        typer.Option("--against-known-at", help="Tell the difference from what was known at this instant; the moment's own if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How many persons, households and members there were on a day, by what was known at an instant; with --against-…, how many came, went, changed.

    Counts alone, no value of anybody. Somebody of whom two sources tell is counted with each; a household with every group it has a member in.
    """
    from pipeline import identify
    from warehouse import census, database, past

    if by is not None and by not in list(census.By):
        raise ConfigError(f"{by!r} is not known", where="--by", next_step=f"one of: {', '.join(census.By)}")
    settings = get_settings()
    day, instant = parse_date(as_of, "--as-of"), parse_instant(known_at, "--known-at")
    other_day, other_instant = parse_date(against_as_of, "--against-as-of"), parse_instant(against_known_at, "--against-known-at")
    with database.engine(settings).connect() as connection:
        at = past.moment(connection, as_of=day, known_at=instant)
        against = None
        if other_day is not None or other_instant is not None:
            against = past.moment(connection, as_of=other_day or day, known_at=other_instant or instant)
        groups = census.count(connection, identify.homes_rule(settings.pool_id), at, by=census.By(by) if by else None, against=against)
    if as_json:
        print_json(
            {"at": asdict(at), "against": None if against is None else asdict(against), "by": by, "groups": [asdict(g) for g in groups]}
        )
        return
    table = plain_table(
        _NAMES[by or ""], "人员\npersons", "户籍家庭\nregistered", "户籍成员\nmembers", "共同生活家庭\nliving", "共同生活成员\nmembers"
    )
    sexes = load_code_set("sex")
    for group in groups:
        name = _ALL if by is None else group.name or _UNKNOWN
        if by == "sex" and (entry := sexes.get(name)):
            name = f"{name} {entry.zh}"
        figures = [group.persons, *(part[kind] for kind in ("registered", "living") for part in (group.households, group.members))]
        table.add_row(name, *map(_figure, figures))
    console = screen()
    console.print(_when(at), soft_wrap=True)
    if against is not None:
        console.print(f"对比 against {_when(against)}", soft_wrap=True)
        console.print("现有 now (+新增 came −消失 gone ~变更 changed)")
    console.print(table)


@app.command()
def reader() -> None:
    """Make, or bring up to date, the role of PostgreSQL that may read the pool and its history, and nothing else; say how somebody is given it."""
    from warehouse import database, historian

    settings = get_settings()
    database.migrate(settings)
    with database.engine(settings).begin() as connection:
        role = historian.ensure(connection)
    screen().print(f'{role}\n授予 give it: GRANT "{role}" TO somebody', soft_wrap=True)
