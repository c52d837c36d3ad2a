"""`hub key`: the keys by which the hub signs for others, and their change."""

import time
from datetime import datetime
from typing import Annotated

import typer

from hub.dates import CHINA, shown
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from sharing.signing_keys import SigningKey, Use

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="签名密钥 / keys by which the hub signs tokens and DCI messages.", no_args_is_help=True)
_STATES = {"next": "待用 published, signs later", "signs": "签发 signs", "former": "仅验证 verifies only", "over": "已失效 over"}


def _state(key: SigningKey, keys: list[SigningKey], now: float) -> str:
    from sharing import signing_keys

    if key.counts_until <= now:
        return "over"
    if key is signing_keys.signing(keys, now):
        return "signs"
    return "next" if key.signs_from > now else "former"


def _instant(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, CHINA) if 0 < seconds < float("inf") else None


@app.command("list")
def key_list(as_json: AsJson = False) -> None:
    """The keys that sign, signed or will sign, by their ids; nothing private."""
    from sharing import signing_keys

    now, settings = time.time(), get_settings()
    rows = [
        {"use": str(use), "key_id": key.key_id, "state": _state(key, keys, now), "signs_from": _instant(key.signs_from), "counts_until": _instant(key.counts_until)}
        for use in Use
        for keys in [signing_keys.held(settings, use)]
        for key in keys
    ]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    table = plain_table("用途 signs", "密钥 key", "状态 state", "起 signs from", "止 verified until")
    for s in rows:
        begins, ends = (shown(at) if isinstance(at, datetime) else "—" for at in (s["signs_from"], s["counts_until"]))
        table.add_row(str(s["use"]), str(s["key_id"]), _STATES[str(s["state"])], begins, ends)
    screen().print(table)


@app.command("rotate")
def key_rotate(
    use: Annotated[Use, typer.Argument(help="tokens = access tokens; dci = DCI messages.")],
    keep_hours: Annotated[
        int, typer.Option("--keep-hours", min=0, max=720, help="How long the former key still verifies once the new one signs.")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Have a new key follow: it is published at once and signs two minutes later. With --keep-hours 0 it signs at once, and nothing the former one signed counts."""
    from sharing import signing_keys

    made = signing_keys.rotate(get_settings(), use, time.time(), keep_hours * 3600.0)
    begins = datetime.fromtimestamp(made.signs_from, CHINA)
    if as_json:
        print_json({"use": str(use), "key_id": made.key_id, "signs_from": begins})
        return
    print(f"{made.key_id}: {begins:%H:%M:%S} 起签发 signs from then on")
