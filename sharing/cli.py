"""`hub serve`, `hub client`, `hub policy`, `hub audit`: the sharing side of the command line."""

import sys
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from hub.errors import ConfigError
from hub.screen import print_json, screen
from hub.settings import Settings, get_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
client_app = typer.Typer(help="接入客户端 / programs of departments that may ask.", no_args_is_help=True)
policy_app = typer.Typer(help="共享策略 / who may see what, for which purpose.", no_args_is_help=True)
audit_app = typer.Typer(help="查询留痕 / the log of who was told what.", no_args_is_help=True)
recall_app = typer.Typer(help="更正通知 / what departments were told that turned out otherwise.", no_args_is_help=True)


def serve() -> None:
    """Serve departments over HTTP, in the foreground, until interrupted. `hub up` starts it in the background."""
    from sharing import address
    from sharing.__main__ import serve as run

    settings = get_settings()
    print(f"共享服务 sharing: {address.audience(settings)}/openapi.json", file=sys.stderr)
    run(settings, host="127.0.0.1")


def _migrated(settings: Settings) -> Any:
    from warehouse import database

    database.migrate(settings)
    return database.engine(settings)


def _told_secret(client_id: str, secret: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"client_id": client_id, "client_secret": secret})
    elif secret is not None:
        print(f"client_id={client_id}\nclient_secret={secret}")
        print("密钥只显示这一次 / the secret is shown this once", file=sys.stderr)
    else:
        print(f"client_id={client_id}")


@client_app.command("add")
def client_add(
    client_id: Annotated[str, typer.Argument(help="Name of the program: 3–40 lower-case letters, digits and -.")],
    department: Annotated[str, typer.Option("--department", help="Department of the policy it belongs to.")],
    title: Annotated[str, typer.Option("--title", help="What the program is.")] = "",
    purpose: Annotated[
        list[str] | None, typer.Option("--purpose", help="Only this purpose; may be repeated. All of the department if not given.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="JSON Web Key Set of public keys: it signs assertions and has no secret.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a client; its secret is shown once, and kept as a hash."""
    import json
    import re

    from joserfc.jwk import KeySet

    from sharing import enforcement, secret
    from warehouse import clients

    settings = get_settings()
    engine = _migrated(settings)
    policy, _ = enforcement.policy_today(settings)
    if not re.fullmatch(r"[a-z][a-z0-9-]{2,39}", client_id):
        raise ConfigError("a client's name is 3–40 lower-case letters, digits and -", where="CLIENT")
    if department not in policy.departments:
        raise ConfigError("the policy has no such department", where="--department", next_step=f"known: {', '.join(policy.departments)}")
    for code in purpose or ():
        if (department, code) not in {(g.department, g.purpose) for g in policy.grants}:
            raise ConfigError("the department has no grant for this purpose", where=f"--purpose {code}", next_step="see `hub policy show`")
    public = None
    if keys is not None:
        try:
            public = json.loads(keys.read_text(encoding="utf-8"))
            if any(k.is_private for k in KeySet.import_key_set(public).keys):
                raise ConfigError("this file holds private keys; give the public ones", where=str(keys))
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError("not a JSON Web Key Set", where=str(keys)) from None
    made = None if public is not None else secret.make()
    with engine.begin() as connection:
        clients.add(
            connection, client_id, department=department, title=title, purposes=tuple(purpose) if purpose else None, public_keys=public
        )
        if made is not None:
            clients.add_secret(connection, client_id, secret.hashed(made), keep_former_s=0)
    _told_secret(client_id, made, as_json)


@client_app.command("rotate")
def client_rotate(
    client_id: str,
    keep_hours: Annotated[int, typer.Option("--keep-hours", min=0, max=720, help="How long the former secret still works.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Give a client a new secret. With --keep-hours 0 the former one and every token are refused at once."""
    from sharing import secret
    from warehouse import clients

    made = secret.make()
    with _migrated(get_settings()).begin() as connection:
        found = clients.one(connection, client_id)
        if found.revoked_at is not None:
            raise ConfigError("this client is revoked", where="CLIENT", next_step="add another")
        if found.has_keys:
            raise ConfigError(
                "this client signs with its own keys and has no secret", where="CLIENT", next_step="add another with new keys"
            )
        clients.add_secret(connection, client_id, secret.hashed(made), keep_former_s=keep_hours * 3600)
        if keep_hours == 0:
            clients.end_tokens(connection, client_id)
    _told_secret(client_id, made, as_json)


@client_app.command("revoke")
def client_revoke(client_id: str) -> None:
    """Refuse a client from now on, its tokens too."""
    from warehouse import clients

    with _migrated(get_settings()).begin() as connection:
        clients.one(connection, client_id)
        clients.revoke(connection, client_id)
    print(f"已停用 revoked: {client_id}")


@client_app.command("list")
def client_list(as_json: AsJson = False) -> None:
    """All clients; secrets are not shown, not even their hashes."""
    from dataclasses import asdict

    from warehouse import clients

    with _migrated(get_settings()).connect() as connection:
        found = clients.listed(connection)
    if as_json:
        print_json([asdict(c) for c in found])
        return
    table = Table("客户端 client", "部门 department", "用途 purposes", "凭证 proves by", "状态 state", "说明 title")
    for c in found:
        proof = "keys" if c.has_keys else f"{c.secrets} secret(s)"
        table.add_row(
            c.client_id, c.department, ", ".join(c.purposes or ["*"]), proof, "停用 revoked" if c.revoked_at else "有效 in force", c.title
        )
    screen().print(table)


@client_app.command("rotate-token-key")
def rotate_token_key() -> None:
    """Sign tokens with a new key; the former one still verifies until the next rotation. Running services take it up when restarted."""
    from sharing import keys

    print(keys.rotate_token_key(get_settings()))


def _policy(file: Path | None, on: str | None = None) -> Any:
    from sharing import enforcement
    from sharing import policy as policies

    if file is not None:
        return policies.load(file)
    if on is not None:
        return policies.in_force(_date(on))
    return enforcement.policy_today(get_settings())[0]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError("not a date: write 2026-03-01", where="--on") from None


FileOption = Annotated[Path | None, typer.Option("--file", help="A policy file; the one in force if not given.")]


@policy_app.command("check")
def policy_check(file: Annotated[Path | None, typer.Argument(help="A policy file; all of the hub's own if not given.")] = None) -> None:
    """Read a policy and complain of what cannot be meant."""
    from sharing import policy as policies

    found = [policies.load(file)] if file is not None else [policies.load(p) for p in sorted(policies.FOLDER.glob("*.yml"))]
    for one in found:
        print(
            f"有效 valid: {one.version} · {len(one.departments)} 个部门 departments · {len(one.purposes)} 个用途 purposes · {len(one.grants)} 项授权 grants"
        )


@policy_app.command("show")
def policy_show(file: FileOption = None) -> None:
    """The grants of a policy, a line each."""
    policy = _policy(file)
    table = Table("部门 department", "用途 purpose", "属性 attributes", "问题 questions", "人群 rows")
    for g in policy.grants:
        told = sum(e != "refused" for e in g.attributes.values())
        rows = ", ".join(f"{k}={v}" for k, v in g.rows.model_dump(exclude_defaults=True).items()) or "—"
        table.add_row(g.department, g.purpose, str(told), str(len(g.questions)), rows)
    screen().print(table)


@policy_app.command("attributes")
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


@policy_app.command("explain")
def policy_explain(
    department: str,
    purpose: str,
    attribute: Annotated[list[str] | None, typer.Argument(help="Attributes; all the grant names if not given.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="Day, 2026-03-01; today's policy if not given.")] = None,
    area: Annotated[str | None, typer.Option("--area", help="Decide for a person who lives in this area,")] = None,
    born: Annotated[str | None, typer.Option("--born", help="born on this day,")] = None,
    known_to: Annotated[list[str] | None, typer.Option("--known-to", help="known to this source.")] = None,
    consent: Annotated[bool, typer.Option("--consent/--no-consent", help="With the person's authorisation.")] = True,
    file: FileOption = None,
    as_json: AsJson = False,
) -> None:
    """What a department is told for a purpose, and why; in words, or decided for a person you describe."""
    from sharing import decide, enforcement, explain

    policy = _policy(file, on)
    day = _date(on) if on else (policy.valid_from if file else enforcement.policy_today(get_settings())[1])
    subject = None
    if area or born or known_to:
        subject = decide.Subject(area, _date(born) if born else None, frozenset(known_to or ()))
    told = explain.explained(policy, department, purpose, attribute or None, subject, day, has_consent=consent)
    if as_json:
        print_json(told)
        return
    print(told["summary"])
    for row in told["decisions"]:
        print(f"  {row['attribute']:<44} {row['effect']:<8} {row['why']}")


@policy_app.command("diff")
def policy_diff(old: Path, new: Path) -> None:
    """What a new policy gives that the old one does not, and what it takes away, in words."""
    from sharing import explain
    from sharing import policy as policies

    lines = explain.differences(policies.load(old), policies.load(new))
    print("\n".join(lines) or "无变化 / nothing changes")


@policy_app.command("apply")
def policy_apply() -> None:
    """Make PostgreSQL hold the policy of the day: roles, column grants, row-level security. `hub serve` does it by itself."""
    from sharing import enforcement

    settings = get_settings()
    _migrated(settings)
    policy, day = enforcement.policy_today(settings)
    changed = enforcement.ensure(settings, policy, day)
    print(f"{'已应用 applied' if changed else '已是最新 held already'}: {policy.version} ({day})")


def _instant(text: str | None, where: str) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("not a date or instant: write 2026-03-01 or 2026-03-01T08:00:00+08:00", where=where) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    return found


@audit_app.command("verify")
def audit_verify(
    head: Annotated[list[Path] | None, typer.Option("--head", help="A signed tree head somebody kept; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the whole log and hold it against its tree, its signed heads, and those of witnesses. Status 1 = it was changed."""
    from sharing import verify

    notes = []
    for path in head or ():
        try:
            notes.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError):
            raise ConfigError("this file cannot be read", where=str(path)) from None
    settings = get_settings()
    with _migrated(settings).connect() as connection:
        found = verify.verified(connection, settings, notes)
    if as_json:
        print_json(
            {"entries": found.entries, "erased": found.erased, "root": found.root.hex(), "heads": found.heads, "faults": found.faults}
        )
    else:
        for fault in found.faults:
            print(f"✗ {fault}")
        state = "留痕完整 intact" if not found.faults else "留痕被改动 CHANGED"
        print(
            f"{state}: {found.entries} 条 entries · {found.erased} 条依法删除 erased by law · {found.heads} 个签名树头 signed heads · {found.root.hex()[:16]}"
        )
    if found.faults:
        raise typer.Exit(1)


@audit_app.command("checkpoint")
def audit_checkpoint(out: Annotated[Path | None, typer.Option("--out", help="File; standard output if not given.")] = None) -> None:
    """Sign the tree head of the log as it is now: to be handed to witnesses."""
    from sharing import verify

    settings = get_settings()
    with _migrated(settings).begin() as connection:
        note = verify.signed_head(connection, settings)
    if out is None:
        print(note, end="")
    else:
        out.write_text(note, encoding="utf-8")


@audit_app.command("key")
def audit_key() -> None:
    """The public key of signed tree heads, one line: witnesses need it once."""
    from sharing import checkpoint, keys

    settings = get_settings()
    print(checkpoint.verifier_key(keys.origin(settings), keys.head_key(settings).public_key()))


@audit_app.command("report")
def audit_report(
    since: Annotated[str | None, typer.Option("--since", help="First day or instant.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Day or instant before which.")] = None,
    department: Annotated[str | None, typer.Option("--department", help="Only this department.")] = None,
    as_json: AsJson = False,
) -> None:
    """Who asked what for: entries and persons by department, client, purpose and decision."""
    from warehouse import audit_log

    with _migrated(get_settings()).connect() as connection:
        found = audit_log.counts(connection, since=_instant(since, "--since"), until=_instant(until, "--until"), department=department)
    if as_json:
        print_json([dict(r._mapping) for r in found])
        return
    table = Table("部门 department", "客户端 client", "用途 purpose", "决定 decision", "次数 entries", "人数 persons", "最近 last")
    for r in found:
        table.add_row(
            r.department or "—",
            r.client_id or "—",
            r.purpose or "—",
            r.decision,
            f"{r.entries:,}",
            f"{r.persons:,}",
            f"{r.last_at:%Y-%m-%d %H:%M}",
        )
    screen().print(table)


@audit_app.command("unusual")
def audit_unusual(
    on: Annotated[str | None, typer.Option("--date", help="Day in Shanghai, 2026-03-01; today if not given.")] = None, as_json: AsJson = False
) -> None:  # fmt: skip
    """Access that somebody should look at: far more than a client's own habit, misses, refusals, off hours, one person over and over."""
    from sharing import unusual

    settings = get_settings()
    day = _date(on) if on else datetime.now(ZoneInfo("Asia/Shanghai")).date()
    with _migrated(settings).connect() as connection:
        found = unusual.found(connection, settings, day)
    if as_json:
        print_json([vars(u) for u in found])
        return
    if not found:
        print(f"{day}: 没有异常查询 / nothing unusual")
        return
    table = Table("日 day", "客户端 client", "部门 department", "异常 unusual", "次数 found", "往日 usual")
    for u in found:
        table.add_row(
            str(u.day), u.client_id, u.department, " / ".join(u.told), f"{u.found:,}", "" if u.usual is None else f"{u.usual:,.0f}"
        )
    screen().print(table)
    print("逐条见 hub audit report；应由部门说明 / the department is to explain; see `hub audit report --since DAY --department NAME`")


@audit_app.command("person")
def audit_person(person_id: Annotated[str, typer.Argument(help="Id of a person.")], as_json: AsJson = False) -> None:
    """Who looked at a person, when, and what for; refusals and questions by number included."""
    from sharing import verify
    from warehouse import questions

    questions.as_uuid(person_id)
    settings = get_settings()
    with _migrated(settings).connect() as connection:
        found = verify.about(connection, settings, person_id)
    if as_json:
        print_json(found)
        return
    if not found:
        print("没有查询记录 / nobody looked")
    for row in found:
        print(
            f"{row['at'][:19]}  {row['department_zh']} {row['department_en']}  {row['purpose_zh']} / {row['purpose_en']}  {row['decision']}  {', '.join(row['told'])}"
        )


@audit_app.command("erase")
def audit_erase(
    receipt_id: str,
    reason: Annotated[str, typer.Option("--reason", help="The law or decision that asks for it.")],
    by: Annotated[str, typer.Option("--by", help="Who erases.")],
) -> None:
    """Erase what an entry says, by law; its place in the tree stays, and the log still verifies."""
    from warehouse import audit_log, questions

    questions.as_uuid(receipt_id, "RECEIPT", "receipts are UUIDs")
    with _migrated(get_settings()).begin() as connection:
        audit_log.erase(connection, receipt_id, reason=reason, erased_by=by)
    print(f"已删除 erased: {receipt_id}")


@recall_app.command("list")
def recall_list(
    department: Annotated[str | None, typer.Option("--department", help="Only to this department.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were acknowledged as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """What departments were told that turned out otherwise, and whether they have acknowledged it. Names of attributes, no value."""
    from warehouse import recalls

    with _migrated(get_settings()).connect() as connection:
        found = recalls.listed(connection, department=department, open_only=not everything)
    if as_json:
        print_json([vars(r) for r in found])
        return
    if not found:
        print("没有未确认的更正通知 / no open recall" if not everything else "没有更正通知 / no recall")
        return
    table = Table("通知 recall", "部门 department", "告知 told", "变更 changed", "原因 cause", "确认 acknowledged")
    for r in found:
        state = f"{r.acknowledged_at:%Y-%m-%d %H:%M} {r.acknowledged_by}" if r.acknowledged_at else "未 open"
        cause = f"{r.cause}{' · 原告知成立 stands' if r.stands else ''}"
        table.add_row(r.recall_id, r.department, f"{r.told_at:%Y-%m-%d %H:%M}", ", ".join(r.changed), cause, state)
    screen().print(table)


@recall_app.command("scan")
def recall_scan() -> None:
    """Look now whether what was told still stands. The service does it by itself after each publication; running it again is harmless."""
    from sharing import recall

    settings = get_settings()
    _migrated(settings)
    print(f"新增更正通知 new recalls: {recall.scan(settings)}")


def register(app: typer.Typer) -> None:
    """Add these commands to the `hub` command line."""
    app.command()(serve)
    app.add_typer(client_app, name="client")
    app.add_typer(policy_app, name="policy")
    app.add_typer(audit_app, name="audit")
    app.add_typer(recall_app, name="recall")
