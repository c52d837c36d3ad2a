"""`hub client`: programs of departments that may ask."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hub.errors import ConfigError
from hub.screen import print_json, screen
from hub.settings import get_settings
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="接入客户端 / programs of departments that may ask.", no_args_is_help=True)


def public_keys(path: Path) -> Any:
    """The public keys in a file, a JSON Web Key Set.

    Raises:
        ConfigError: it is none, or holds private keys.
    """
    import json

    from joserfc.jwk import KeySet

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if any(k.is_private for k in KeySet.import_key_set(found).keys):
            raise ConfigError("this file holds private keys; give the public ones", where=str(path))
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError("not a JSON Web Key Set", where=str(path)) from None
    return found


def _told_secret(client_id: str, secret: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"client_id": client_id, "client_secret": secret})
    elif secret is not None:
        print(f"client_id={client_id}\nclient_secret={secret}")
        print("密钥只显示这一次 / the secret is shown this once", file=sys.stderr)
    else:
        print(f"client_id={client_id}")


@app.command("add")
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
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="PEM certificate it must show in TLS, beside proving itself.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a client; its secret is shown once, and kept as a hash."""
    import re

    from sharing import enforcement, secret, tls
    from warehouse import clients

    settings = get_settings()
    bound = None if certificate is None else tls.read(certificate)
    engine = migrated(settings)
    policy, _ = enforcement.policy_today(settings)
    if not re.fullmatch(r"[a-z][a-z0-9-]{2,39}", client_id):
        raise ConfigError("a client's name is 3–40 lower-case letters, digits and -", where="CLIENT")
    if department not in policy.departments:
        raise ConfigError("the policy has no such department", where="--department", next_step=f"known: {', '.join(policy.departments)}")
    for code in purpose or ():
        if (department, code) not in {(g.department, g.purpose) for g in policy.grants}:
            raise ConfigError("the department has no grant for this purpose", where=f"--purpose {code}", next_step="see `hub policy show`")
    public = None if keys is None else public_keys(keys)
    made = None if public is not None else secret.make()
    with engine.begin() as connection:
        clients.add(
            connection, client_id, department=department, title=title, purposes=tuple(purpose) if purpose else None, public_keys=public
        )
        if made is not None:
            clients.add_secret(connection, client_id, secret.hashed(made), keep_former_s=0)
        if bound is not None:
            clients.bind(connection, client_id, bound)
    _told_secret(client_id, made, as_json)


@app.command("certificate")
def client_certificate(
    client_id: str,
    file: Annotated[Path | None, typer.Argument(help="PEM certificate it must show from now on; none if left out.")] = None,
) -> None:
    """Bind a client to another certificate, or to none; every token it was given so far is refused."""
    from sharing import tls
    from warehouse import clients

    bound = None if file is None else tls.read(file)
    with migrated(get_settings()).begin() as connection:
        clients.one(connection, client_id)
        clients.bind(connection, client_id, bound)
    print(f"{client_id}: {bound or '不要求证书 no certificate is asked of it'}")


@app.command("rotate")
def client_rotate(
    client_id: str,
    keep_hours: Annotated[int, typer.Option("--keep-hours", min=0, max=720, help="How long the former secret still works.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Give a client a new secret. With --keep-hours 0 the former one and every token are refused at once."""
    from sharing import secret
    from warehouse import clients

    made = secret.make()
    with migrated(get_settings()).begin() as connection:
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


@app.command("revoke")
def client_revoke(client_id: str) -> None:
    """Refuse a client from now on, its tokens too."""
    from warehouse import clients

    with migrated(get_settings()).begin() as connection:
        clients.one(connection, client_id)
        clients.revoke(connection, client_id)
    print(f"已停用 revoked: {client_id}")


@app.command("list")
def client_list(as_json: AsJson = False) -> None:
    """All clients; secrets are not shown, not even their hashes."""
    from dataclasses import asdict

    from warehouse import clients

    with migrated(get_settings()).connect() as connection:
        found = clients.listed(connection)
    if as_json:
        print_json([asdict(c) for c in found])
        return
    table = Table("客户端 client", "部门 department", "用途 purposes", "凭证 proves by", "状态 state", "说明 title")
    for c in found:
        proof = ("keys" if c.has_keys else f"{c.secrets} secret(s)") + (" + certificate" if c.certificate else "")
        table.add_row(
            c.client_id, c.department, ", ".join(c.purposes or ["*"]), proof, "停用 revoked" if c.revoked_at else "有效 in force", c.title
        )
    screen().print(table)


@app.command("sandbox")
def client_sandbox(as_json: AsJson = False) -> None:
    """A client for each department and purpose of the policy, and a person each is told of (where the grant asks for it, once an emergency is open or a consent registered), to try things with; for a sandbox alone. Running it again gives new secrets."""
    import json

    from sharing import enforcement, secret
    from warehouse import clients

    settings = get_settings()
    if settings.business_clock != "sandbox":
        raise ConfigError("clients to try things with are for a sandbox", where="HUB_BUSINESS_CLOCK", next_step="use `hub client add`")
    engine = migrated(settings)
    policy, day = enforcement.policy_today(settings)
    enforcement.ensure(settings, policy, day)  # whom a grant covers may follow from columns it makes
    made = {}
    with engine.begin() as connection:
        known = {c.client_id for c in clients.listed(connection)}
        for grant in policy.grants:
            name = f"try-{grant.department}-{grant.purpose}".replace("_", "-")[:40].rstrip("-")
            if name not in known:
                clients.add(connection, name, department=grant.department, title="sandbox", purposes=(grant.purpose,))
            secret_ = secret.make()
            clients.add_secret(connection, name, secret.hashed(secret_), keep_former_s=0)
            person = enforcement.somebody(connection, policy, grant)
            made[name] = {
                "client_secret": secret_, "department": grant.department, "purpose": grant.purpose,
                "person_id": person and person[0], "resident_id": person and person[1],
            }  # fmt: skip
    path = settings.secrets_dir / "sandbox-clients.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(made, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(path)
    if as_json:
        print_json({"file": str(path), "clients": list(made)})
        return
    table = Table("客户端 client", "部门 department", "用途 purpose")
    for name, of in made.items():
        table.add_row(name, of["department"], of["purpose"])
    screen().print(table)
    print(f"密钥 secrets: {path}")
