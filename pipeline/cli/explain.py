"""`hub explain`: why records are one person or not, of the pool or of files. Pointers and words; values on request, by those with the right."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import jinja2
import polars as pl
import typer
from rich.console import Console
from rich.text import Text

from hub.errors import ConfigError
from hub.screen import print_json, screen
from hub.settings import get_settings

if TYPE_CHECKING:
    from identity.explain import Explanation
    from pipeline.explanation import Pointer, Told

_TEMPLATES = Path(__file__).parent / "templates"
JUDGEMENTS = {"must": "同一人 must", "cannot": "不是同一人 cannot", "unsure": "无法判断 unsure"}
STATES = {
    "in force": "生效 in force", "waits": "待复核 waits for another reviewer", "nothing follows": "不产生结果 nothing follows",
    "outvoted": "未获多数 outvoted", "retracted": "已撤回 retracted",
}  # fmt: skip
Values = Annotated[
    bool, typer.Option("--values", help="Show the records' values as well: for those HUB_VALUE_VIEWERS names, and written down.")
]
Viewer = Annotated[str | None, typer.Option("--viewer", help="Who looks at values; the account of the machine if not given.")]
Why = Annotated[str | None, typer.Option("--why", help="Why values are looked at.")]


def _row(records: pl.DataFrame, name: str) -> int:
    from pipeline.cli.match import KEYS

    found = records.select((pl.concat_str(KEYS, separator=":") == name).arg_true()).to_series()
    if found.len() != 1:
        raise ConfigError("there is no such record in the files", where=name, next_step="write it as source:record_id")
    return int(found[0])


def _of_files(one: str, other: str | None, files: list[Path], config: Path | None, mapped: list[str]) -> "Told":
    from identity import explain as explaining
    from pipeline.cli import match
    from pipeline.explanation import Link, Pointer, Told

    if other is None:
        raise ConfigError("in files, two records are explained", where="OTHER", next_step="name a second one, as source:record_id")
    records = match.read_records(files, match.configured(config, mapped).map)
    a, b = _row(records, one), _row(records, other)
    found = match.run(records)[1]
    why = explaining.explain(found, a, b)
    ends = [
        Pointer(name, str(records["source"][n]), str(records["record_id"][n]), "", str(found.nodes[n]), "")
        for name, n in ((one, a), (other, b))
    ]
    return Told(None, tuple(ends), (Link(ends[0], ends[1], why),), ())


def command(
    one: Annotated[str, typer.Argument(help="A person's id; or a record: its id, stem:key, or source:record_id of a file.")],
    other: Annotated[str | None, typer.Argument(help="Another record.")] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--file", help="Files of records, as for `hub match`, instead of the pool. May be repeated.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file: map.")] = None,
    mapped: Annotated[list[str] | None, typer.Option("--map", help="theirs=ours. May be repeated.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with waterfall charts.")] = None,
    values: Values = False,
    viewer: Viewer = None,
    why: Why = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Why records are one person or not: each field's agreement and weight, what decided, what would turn it. Shows no value unless asked.

    `hub explain PERSON` explains every link of a person, `hub explain RECORD RECORD` two records; with `--file`, two records of files.
    """
    shown: dict[str, dict[str, str | None]] = {}
    if files:
        if values:
            raise ConfigError("values of files are not shown; they are in the files", where="--values")
        told = _of_files(one, other, files, config, mapped or [])
    else:
        from pipeline import explanation, review

        settings = get_settings()
        told = explanation.person(settings, one) if other is None else explanation.pair(settings, one, other)
        if values:
            shown = review.values(settings, [r.record_id for r in told.records], viewer=viewer, reason=why)
    if html:
        _write(html, told)
    if as_json:
        print_json(as_object(told, shown))
    elif not html:
        print_told(screen(), told, shown)


def as_object(told: "Told", shown: dict[str, dict[str, str | None]]) -> dict[str, Any]:
    """Two records: the explanation itself, as of files; a person: everything."""
    whole = asdict(told) | ({"values": shown} if shown else {})
    if told.person_id is None:
        return asdict(told.links[0].why) | {k: v for k, v in whole.items() if k not in ("links", "person_id")}
    return whole


def pointed(one: "Pointer") -> str:
    """A record in a line: agency and key, day, id."""
    name = f"{one.source}:{one.record_key}"
    told = (name, f"截至 as of {one.as_of_date}" if one.as_of_date else "", one.record_id if one.record_id != name else "")
    return " · ".join(filter(None, told))


def print_told(console: Console, told: "Told", shown: dict[str, dict[str, str | None]]) -> None:
    """Print an explanation for a person at a terminal."""
    if told.person_id:
        console.print(Text(f"人员 person {told.person_id} · 记录 records {len(told.records)}"), soft_wrap=True)
    for record in told.records:
        console.print(Text(f"  {pointed(record)}"), soft_wrap=True)
        for name, value in (shown.get(record.record_id) or {}).items():
            console.print(Text(f"      {name:<12} {value or '—'}"), soft_wrap=True)
    if told.person_id and not told.links:
        console.print("只有一条记录，无需归并 one record: nothing was joined")
    for link in told.links:
        if told.person_id:
            console.print(Text(f"\n{link.one.source}:{link.one.record_key} ↔ {link.other.source}:{link.other.record_key}"), soft_wrap=True)
        console.print(Text(link.why.as_text()), soft_wrap=True)
    print_judgements(console, told.judgements)


def print_judgements(console: Console, rows: "tuple[dict[str, Any], ...] | list[dict[str, Any]]") -> None:
    """Print judgements, each with what became of it."""
    for row in rows:
        head = f"{JUDGEMENTS[row['judgement']]} · {STATES[row['state']]} · {row['reviewer']} · {row['judged_at']:%Y-%m-%d %H:%M}"
        console.print(Text(head), Text(f"  {row['judgement_id']}: {row['record_a']} {row['record_b']}"), sep="\n", soft_wrap=True)
        console.print(Text(f"  理由 reason: {row['reason']}"), soft_wrap=True)
        if row["retracted_at"]:
            console.print(Text(f"  撤回 retracted: {row['retracted_by']}, {row['retracted_for']}"), soft_wrap=True)


def page(told: "Told") -> str:
    """An explanation as a page that needs nothing beside itself."""
    from identity.waterfall import lay_out

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True
    )

    def charted(why: "Explanation") -> Any:
        return lay_out(why)

    return environment.get_template("explanation.html.jinja").render(
        told=told, chart=charted, pointed=pointed, judgements=JUDGEMENTS, states=STATES
    )  # fmt: skip


def _write(path: Path, told: "Told") -> None:
    text = page(told)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        raise ConfigError("this file cannot be written", where=str(path)) from None
    print(f"已写入 written to {path}")
