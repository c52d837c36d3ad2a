"""`hub subscription`: who wants to be told of changes, and what became of it."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Column, Table

from hub.dates import shown
from hub.screen import print_json, screen
from hub.settings import get_settings
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SubscriptionId = Annotated[str, typer.Argument(help="Id of a subscription.", metavar="SUBSCRIPTION")]
app = typer.Typer(help="变更订阅 / who is told of changes, and what became of it.", no_args_is_help=True)


def _id(text: str) -> str:
    from warehouse.questions import as_uuid

    return as_uuid(text, "SUBSCRIPTION", "see `hub subscription list`")


@app.command("list")
def subscription_list(as_json: AsJson = False) -> None:
    """All subscriptions, how their receivers fare, and how many notices wait, were taken or given up."""
    from dataclasses import asdict

    from warehouse import subscriptions

    with migrated(get_settings()).connect() as connection:
        found = subscriptions.listed(connection)
    if as_json:
        print_json([asdict(s) for s in found])
        return
    if not found:
        print("没有订阅 / no subscription")
        return
    table = Table(
        Column("订阅 subscription", no_wrap=True, min_width=36),  # it is what other commands are given
        "客户端 client",
        "用途 purpose",
        "对象 of",
        "状态 state",
        "待送 waiting",
        "已送 taken",
        "死信 dead",
        "失败 failures",
        "下次 next",
    )
    for s in found:
        state = "停用 revoked" if s.is_revoked else "暂停 paused" if s.is_paused else "推送 sent" if s.address else "拉取 fetched"
        table.add_row(
            s.subscription_id, s.client_id, s.purpose, f"{s.kind} {s.watched:,}", state, f"{s.waiting:,}", f"{s.delivered:,}", f"{s.dead:,}",
            str(s.tries or ""), shown(s.next_try_at) if s.next_try_at else "",
        )  # fmt: skip
    screen().print(table)


@app.command("pause")
def subscription_pause(subscription_id: SubscriptionId) -> None:
    """Send nothing until it is resumed; changes are noted meanwhile."""
    from warehouse import subscriptions

    with migrated(get_settings()).begin() as connection:
        subscriptions.set_paused(connection, subscriptions.known(connection, _id(subscription_id)), None)
    print(f"已暂停 paused: {subscription_id}")


@app.command("resume")
def subscription_resume(subscription_id: SubscriptionId) -> None:
    """Send again what waits, at once; also ends the waiting after failures."""
    from warehouse import subscriptions

    with migrated(get_settings()).begin() as connection:
        subscriptions.set_paused(connection, subscriptions.known(connection, _id(subscription_id)), datetime.now(UTC))
    print(f"已恢复 resumed: {subscription_id}")


@app.command("rotate")
def subscription_rotate(
    subscription_id: SubscriptionId,
    keep_hours: Annotated[
        int, typer.Option("--keep-hours", min=0, max=720, help="How long notices are signed by the former secret as well.")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Give a subscription a new secret, for its department to verify notices by. With --keep-hours 0 the former one ends at once."""
    from sharing import webhook
    from warehouse import subscriptions

    settings = get_settings()
    until = datetime.now(UTC) + timedelta(hours=keep_hours) if keep_hours else None
    with migrated(settings).begin() as connection:
        known = subscriptions.known(connection, _id(subscription_id))
        secret = webhook.secret(settings, known, subscriptions.rotate_secret(connection, known, until))
    if as_json:
        print_json({"subscription_id": known, "secret": secret, "former_secret_until": until})
        return
    print(f"subscription_id={known}\nsecret={secret}")
    print("密钥只显示这一次 / the secret is shown this once", file=sys.stderr)


@app.command("replay")
def subscription_replay(
    subscription_id: SubscriptionId,
    since: Annotated[int, typer.Option("--since", min=0, help="Cursor behind which notices are sent again.")] = 0,
    dead: Annotated[bool, typer.Option("--dead", help="Only those that were given up.")] = False,
) -> None:
    """Send notices again, in their order and with the ids they had."""
    from warehouse import notices, subscriptions

    with migrated(get_settings()).begin() as connection:
        known = subscriptions.known(connection, _id(subscription_id))
        found = notices.replayed(connection, known, since, datetime.now(UTC), dead_only=dead)
    print(f"重新排队 wait again: {found:,}")


@app.command("dead-letter")
def subscription_dead_letter(
    subscription_id: Annotated[str | None, typer.Argument(help="Id of a subscription; all if not given.", metavar="SUBSCRIPTION")] = None,
    as_json: AsJson = False,
) -> None:
    """Notices that were given up, and how the last try ended. `hub subscription replay SUBSCRIPTION --dead` sends them again."""
    from warehouse import notices

    key = None if subscription_id is None else _id(subscription_id)
    with migrated(get_settings()).connect() as connection:
        found = notices.dead(connection, key)
    if as_json:
        print_json([dict(r._mapping) for r in found])
        return
    if not found:
        print("没有死信 / no dead letter")
        return
    table = Table("游标 cursor", "订阅 subscription", "变化 change", "业务日 night", "产生 made", "次数 tries", "原因 fault")
    for r in found:
        table.add_row(str(r.cursor), r.subscription_id, r.change, str(r.night or ""), shown(r.made_at), str(r.tries), r.fault or "")
    screen().print(table)
