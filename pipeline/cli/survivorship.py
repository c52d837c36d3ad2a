"""`hub survivorship`, `hub policy dry-run`, `hub disagreements`: which of several values of a person is the golden one."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hub.dates import parse_date
from hub.errors import ConfigError
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from schemas.codes import load_code_set

if TYPE_CHECKING:
    from pipeline.survivorship import Outcome
    from schemas.survivorship import Survivorship

app = typer.Typer(help="金值取舍 / which of several values of a person is the golden one.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
File = Annotated[Path, typer.Argument(help="A survivorship policy: YAML as schemas/survivorship.yml.")]
_ATTRIBUTES = {
    "resident_id": "身份号码 id", "name": "姓名 name", "sex": "性别 sex", "birth_date": "出生 born", "phone": "电话 phone",
    "address": "住址 address", "area_code": "区划 area",
}  # fmt: skip
_REASONS = {
    "valid_number": "号码有效 valid number", "authority": "机构权威 authority", "recency": "时间较新 recency",
    "agreement": "多数一致 agreement", "oldest_record": "最早记录 oldest record",
}  # fmt: skip
_KINDS = {"registered": "户籍 registered", "living": "共同生活 living"}
_SHOWN_PLACES, _SHOWN_PERSONS = 20, 3


def _table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    table = plain_table()
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def _told(found: "Outcome", as_json: bool) -> None:
    if as_json:
        print_json(asdict(found))
        return
    console, effect = screen(), found.effect
    console.print(
        f"取舍策略 survivorship policy {found.former} → {found.version} · "
        + ("已采用 adopted" if found.is_adopted else "试算，未作改动 dry run: nothing was changed")
    )
    homes = " · ".join(f"{_KINDS[kind]} {n:,}" for kind, n in effect.households.items())
    console.print(
        f"金值变更的人 persons whose golden values change: {effect.persons:,} · 其所在家庭 households with such a member: {homes}"
    )
    console.print("户成员、户主与研判结果均不取自金值，不变 · no member, head or finding hangs on golden values: they stay", style="dim")
    values = _table(
        "字段\nattribute",
        "金值变更\nvalues",
        "例：人员、现胜记录、改由何者\nexamples: person, record that wins now, then",
        numbers=["金值变更\nvalues"],
    )
    for attribute, n in effect.values.items():
        shown = [
            f"{e.person_id}\n  现 {e.former_stem or '—'}\n    {e.former_record_id or '—'}\n  则 {e.stem or '—'}\n    {e.record_id or '—'}"
            for e in effect.examples.get(attribute, [])[:_SHOWN_PERSONS]
        ]
        values.add_row(_ATTRIBUTES[attribute], f"{n:,}", "\n".join(shown))
    console.print(values)
    if effect.where:
        places = _table("乡镇\ntownship", "字段\nattribute", "金值变更\nvalues", numbers=["金值变更\nvalues"])
        areas = load_code_set("area")
        for place in effect.where[:_SHOWN_PLACES]:
            entry = areas.get(place.township or "")
            places.add_row(
                f"{place.township or '—'} {entry.zh if entry else ''}".strip(), _ATTRIBUTES[place.attribute], f"{place.values:,}"
            )
        console.print(places)
        if len(effect.where) > _SHOWN_PLACES:
            console.print(f"另有 {len(effect.where) - _SHOWN_PLACES} 行，见 more rows: --json")
    if found.fingerprint:
        console.print(f"指纹 fingerprint {found.fingerprint}")


@app.command("dry-run")
def dry_run(file: File, as_json: AsJson = False) -> None:
    """金值取舍策略试算 / what a new survivorship policy (which value is the golden one) would change; nothing is changed."""
    from pipeline import survivorship

    _told(survivorship.dry_run(get_settings(), file), as_json)


@app.command("adopt")
def adopt(
    file: File,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed, no value of a person.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who adopts it; the account of the operating system if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make all golden values by another policy, and keep to it from now on. Undone by adopting the former one again."""
    from pipeline import survivorship

    _told(survivorship.adopt(get_settings(), file, reason=reason, by=by), as_json)


@app.command("show")
def show(
    version: Annotated[
        int | None, typer.Option("--version", help="Only this one, as the file it was adopted from: to keep, or to adopt again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The policy in force, and those before it: who adopted each, when and why."""
    import yaml

    from pipeline import survivorship

    def as_file(policy: "Survivorship") -> str:
        return yaml.safe_dump(policy.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)

    found = survivorship.adoptions(get_settings())
    if version is not None:
        found = [a for a in found if a.policy.version == version][:1]
        if not found:
            raise ConfigError(
                f"no policy of version {version} was ever in force", where="--version", next_step="see `hub survivorship show`"
            )
        if not as_json:
            print(as_file(found[0].policy), end="")
            return
    if as_json:
        print_json([{**asdict(a), "policy": a.policy.model_dump(mode="json")} for a in found])
        return
    table = _table("版本\nversion", "始于发布\nsince publication", "采用人\nadopted by", "时间\nat", "理由\nreason")
    for n, a in enumerate(found):
        # of two of one publication the higher version counts
        since = "从未 never" if n and a.publication == found[n - 1].publication else str(a.publication)
        table.add_row(str(a.policy.version), since, a.adopted_by, f"{a.adopted_at:%Y-%m-%d %H:%M}", a.reason or "")
    screen().print(table)
    print(as_file(found[0].policy), end="")
    if survivorship.is_shipped_newer(found):
        told = "hub 自带更新的策略，尚未采用 the hub comes with a newer policy that was not adopted: hub policy dry-run schemas/survivorship.yml"
        typer.echo(told, err=True)


def disagreements(
    person: Annotated[str | None, typer.Option("--person", help="Of this person: each value that lost, by pointer, and why.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this source.")] = None,
    as_of: Annotated[
        list[str] | None,
        typer.Option("--as-of", help="As it stood after the last night up to this date; may be repeated, to see a rate over time."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How often an agency tells something else than the golden value, by attribute; now, or as of other days."""
    from pipeline import survivorship
    from schemas.contract import load_contract

    settings = get_settings()
    if source is not None:
        load_contract(source)
    if person is not None:
        rows = [d for d in survivorship.of_person(settings, person) if source in (None, d.stem)]
        if as_json:
            print_json([asdict(d) for d in rows])
            return
        shown = _table("字段\nattribute", "来源\nsource", "记录\nrecord", "金值来源\ngolden", "其记录\nits record", "取舍依据\nreason")
        for d in rows:
            reason = _REASONS[d.reason] + (" · 仅写法不同 other writing" if d.is_variant else "")
            shown.add_row(_ATTRIBUTES[d.attribute], d.stem, d.record_id, d.golden_stem, d.golden_record_id, reason)
        screen().print(shown)
        return
    days = [parse_date(day, "--as-of") for day in as_of or ()] or [None]
    found = {day: [r for r in survivorship.rates(settings, day) if source in (None, r.stem)] for day in days}
    if as_json:
        print_json([{"as_of": day, **asdict(r)} for day, rates in found.items() for r in rates])
        return
    heads = [f"{day or '现在 now'}\n不一致 lost" for day in days]
    table = _table(
        "来源\nsource", "字段\nattribute", "提供\ntold", *heads, "仅写法\nwriting", numbers=["提供\ntold", *heads, "仅写法\nwriting"]
    )
    told = {day: {(r.stem, r.attribute): r for r in rates} for day, rates in found.items()}
    for key, last in told[days[-1]].items():
        rates = [told[day].get(key) for day in days]
        shares = [f"{r.lost:,} ({r.lost / max(r.told, 1):.2%})" if r else "—" for r in rates]
        table.add_row(key[0], _ATTRIBUTES[key[1]], f"{last.told:,}", *shares, f"{last.variants:,}")
    screen().print(table)
