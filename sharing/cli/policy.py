"""`hub policy`: who may see what, for which purpose."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hub.dates import parse_date
from hub.screen import print_json, screen
from hub.settings import get_settings
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="共享策略 / who may see what, for which purpose.", no_args_is_help=True)


def _policy(file: Path | None, on: str | None = None) -> Any:
    from sharing import enforcement
    from sharing import policy as policies

    if file is not None:
        return policies.load(file)
    day = parse_date(on, "--on")
    if day is not None:
        return policies.in_force(day)
    return enforcement.policy_today(get_settings())[0]


FileOption = Annotated[Path | None, typer.Option("--file", help="A policy file; the one in force if not given.")]


@app.command("check")
def policy_check(file: Annotated[Path | None, typer.Argument(help="A policy file; all of the hub's own if not given.")] = None) -> None:
    """Read a policy and complain of what cannot be meant."""
    from sharing import policy as policies

    found = [policies.load(file)] if file is not None else [policies.load(p) for p in sorted(policies.FOLDER.glob("*.yml"))]
    for one in found:
        print(
            f"有效 valid: {one.version} · {len(one.departments)} 个部门 departments · {len(one.purposes)} 个用途 purposes · {len(one.grants)} 项授权 grants"
        )


@app.command("show")
def policy_show(file: FileOption = None) -> None:
    """The grants of a policy, a line each."""
    policy = _policy(file)
    table = Table("部门 department", "用途 purpose", "属性 attributes", "问题 questions", "人群 rows")
    for g in policy.grants:
        told = sum(e != "refused" for e in g.attributes.values())
        rows = ", ".join(f"{k}={v}" for k, v in g.rows.model_dump(exclude_defaults=True).items()) or "—"
        table.add_row(g.department, g.purpose, str(told), str(len(g.questions)), rows)
    screen().print(table)


@app.command("schema")
def policy_schema() -> None:
    """The JSON Schema of a policy file, for editors that check while one writes; `hub policy check` says more."""
    from sharing.policy import Policy

    print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Policy.model_json_schema()})


@app.command("attributes")
def policy_attributes(as_json: AsJson = False) -> None:
    """Every attribute a policy can name, its class and the forms in which it can be told."""
    from sharing.attributes import catalogue

    found = list(catalogue().values())
    if as_json:
        print_json(
            [
                {
                    "attribute": a.name,
                    "classification": a.classification,
                    "forms": ["clear", *sorted(a.forms)],
                    "zh": a.title_zh,
                    "en": a.title_en,
                }
                for a in found
            ]
        )
        return
    table = Table("属性 attribute", "级别 class", "形式 forms", "名称 title")
    for a in found:
        table.add_row(a.name, a.classification, " ".join(["clear", *sorted(a.forms)]), f"{a.title_zh} / {a.title_en}")
    screen().print(table)


@app.command("explain")
def policy_explain(
    department: str,
    purpose: str,
    attribute: Annotated[list[str] | None, typer.Argument(help="Attributes; all the grant names if not given.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="Day, 2026-03-01; today's policy if not given.")] = None,
    area: Annotated[str | None, typer.Option("--area", help="Decide for a person who lives in this area,")] = None,
    born: Annotated[str | None, typer.Option("--born", help="born on this day,")] = None,
    known_to: Annotated[list[str] | None, typer.Option("--known-to", help="known to this source,")] = None,
    program: Annotated[list[str] | None, typer.Option("--program", help="of whom this question is answered yes,")] = None,
    registered: Annotated[bool, typer.Option("--registered", help="of whom a consent is registered.")] = False,
    consent: Annotated[bool, typer.Option("--consent/--no-consent", help="With the person's authorisation.")] = True,
    file: FileOption = None,
    as_json: AsJson = False,
) -> None:
    """What a department is told for a purpose, and why; in words, or decided for a person you describe."""
    from sharing import decide, enforcement, explain

    policy = _policy(file, on)
    day = parse_date(on, "--on") or (policy.valid_from if file else enforcement.policy_today(get_settings())[1])
    subject = None
    if area or born or known_to or program or registered:
        subject = decide.Subject(area, parse_date(born, "--born"), frozenset(known_to or ()), frozenset(program or ()), registered)
    told = explain.explained(policy, department, purpose, attribute or None, subject, day, has_consent=consent)
    if as_json:
        print_json(told)
        return
    print(told["summary"])
    for row in told["decisions"]:
        print(f"  {row['attribute']:<44} {row['effect']:<8} {row['why']}")


@app.command("diff")
def policy_diff(old: Path, new: Path) -> None:
    """What a new policy gives that the old one does not, and what it takes away, in words."""
    from sharing import explain
    from sharing import policy as policies

    lines = explain.differences(policies.load(old), policies.load(new))
    print("\n".join(lines) or "无变化 / nothing changes")


@app.command("apply")
def policy_apply() -> None:
    """Make PostgreSQL hold the policy of the day: roles, column grants, row-level security. `hub serve` does it by itself."""
    from sharing import enforcement

    settings = get_settings()
    migrated(settings)
    policy, day = enforcement.policy_today(settings)
    changed = enforcement.ensure(settings, policy, day)
    print(f"{'已应用 applied' if changed else '已是最新 held already'}: {policy.version} ({day})")
