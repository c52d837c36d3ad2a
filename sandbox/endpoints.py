"""Ports and credentials of the simulated agencies, made once, on both sides of the wire."""

import json
import secrets
from pathlib import Path
from typing import Any

from hub.postgres import free_port
from hub.settings import Settings
from schemas.contract import load_contract


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(path)


def provision(stem: str, settings: Settings) -> dict[str, Any]:
    """The endpoint of a simulated agency: made at the first call, for the server and for the hub.

    Returns:
        ``port``, ``username``, ``secret``.
    """
    path = settings.home / "sandbox" / "endpoints" / f"{stem}.json"
    if not path.exists():
        load_contract(stem)
        made = {"port": free_port(), "username": f"hub-{secrets.token_hex(3)}", "secret": secrets.token_urlsafe(24)}
        _write(path, made)
    endpoint: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    hub_side = settings.home / "sources" / f"{stem}.json"
    if not hub_side.exists():
        _write(
            hub_side,
            {"url": f"http://127.0.0.1:{endpoint['port']}", "username": endpoint["username"], "secret": endpoint["secret"]},
        )
    return endpoint
