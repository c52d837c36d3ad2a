"""`hub dci`: clients that speak the DCI interface."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hub.errors import ConfigError
from hub.screen import print_json, screen
from hub.settings import get_settings
from sharing.cli.client import public_keys
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="DCI 接口发送方 / clients that speak the DCI interface.", no_args_is_help=True)


@app.command("register")
def dci_register(
    client_id: Annotated[str, typer.Argument(help="A client, see `hub client list`.")],
    sender: Annotated[str, typer.Option("--sender", help="Its sender_id.")],
    address: Annotated[
        str | None, typer.Option("--address", help="Where its answers are sent: https, without the path of the interface.")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option("--purpose", help="Of questions that name none; such are not answered if not given.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="JSON Web Key Set its messages are verified by; the client's own keys if not given.")
    ] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Take its messages without a signature while HUB_DCI_IS_LENIENT: for conformance tests.")
    ] = False,
) -> None:
    """Register a client as a sender of DCI messages, or change how it is registered."""
    import re

    from sharing import enforcement, webhook
    from warehouse import clients, senders

    settings = get_settings()
    engine = migrated(settings)
    policy, _ = enforcement.policy_today(settings)
    if not re.fullmatch(r"[A-Za-z0-9._:/-]{1,99}", sender):
        raise ConfigError("a sender_id is 1–99 letters, digits and . _ : / -", where="--sender")
    if address is not None and not webhook.is_sound(address, settings):
        raise ConfigError("answers are not sent to this address", where="--address", next_step="give a full address that begins with https")
    public = None if keys is None else public_keys(keys)
    with engine.begin() as connection:
        client = clients.one(connection, client_id)
        if purpose is not None and (client.department, purpose) not in {(g.department, g.purpose) for g in policy.grants}:
            raise ConfigError("the department has no grant for this purpose", where="--purpose", next_step="see `hub policy show`")
        if public is None and not client.has_keys and not unsigned:
            raise ConfigError("its messages could not be verified", where="--keys", next_step="give its public keys")
        senders.register(
            connection, client_id, sender, address=None if address is None else address.rstrip("/"), purpose=purpose, public_keys=public,
            may_leave_unsigned=unsigned,
        )  # fmt: skip
    print(f"已登记 registered: {sender}")


@app.command("remove")
def dci_remove(client_id: str) -> None:
    """Take no more DCI messages from a client; it may still ask in the native way."""
    from warehouse import senders

    with migrated(get_settings()).begin() as connection:
        senders.remove(connection, client_id)
    print(f"已取消登记 removed: {client_id}")


@app.command("list")
def dci_list(as_json: AsJson = False) -> None:
    """All senders, and how many of their messages wait to be answered or were given up."""
    from warehouse import senders

    with migrated(get_settings()).connect() as connection:
        found = senders.listed(connection)
    if as_json:
        print_json([asdict(s) for s in found])
        return
    table = Table(
        "客户端 client",
        "发送方 sender",
        "部门 department",
        "回调 address",
        "用途 purpose",
        "签名 signature",
        "待答 waiting",
        "放弃 given up",
        "状态 state",
    )
    for s in found:
        proof = "可免 may be left out" if s.may_leave_unsigned else "须签 required" if s.has_keys else "无密钥 no keys"
        state = "停用 revoked" if s.is_revoked else f"未送达 {s.fault}" if s.fault else "有效 in force"
        table.add_row(
            s.client_id, s.sender_id, s.department, s.address or "—", s.purpose or "—", proof, f"{s.waiting:,}", f"{s.dead:,}", state
        )  # fmt: skip
    screen().print(table)
