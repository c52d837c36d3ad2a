"""Ports and credentials between the hub and the simulated agencies: made once, readable by the owner alone."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import ConfigError
from hub.postgres import free_port
from hub.settings import Settings
from schemas.contract import Contract, load_contract

HOST = "127.0.0.1"
DATABASE = "exchange"


@dataclass(frozen=True)
class Access:
    """Where a simulated agency listens and whom it lets in.

    Attributes:
        port: TCP port on 127.0.0.1.
        username: account or client id of the hub.
        secret: its password, client secret or signing key.
        extra: what else the protocol needs, on the server's side.
    """

    port: int
    username: str
    secret: str = field(repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)


def view_name(stem: str) -> str:
    """Name of the view an exchange database offers."""
    return f"v_{stem}"


def _rest(_stem: str, access: Access) -> tuple[str, dict[str, Any]]:
    return f"http://{HOST}:{access.port}", {}


def _gateway(_stem: str, access: Access) -> tuple[str, dict[str, Any]]:
    return f"http://{HOST}:{access.port}", {"sid": access.extra["sid"]}


def _sftp(_stem: str, access: Access) -> tuple[str, dict[str, Any]]:
    key = serialization.load_ssh_private_key(access.extra["private_key"].encode("ascii"), None)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"sftp://{HOST}:{access.port}/outbox", {"host_key": public.decode("ascii")}


def _host_key() -> str:
    private = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(*private).decode("ascii")


def _exchange(stem: str, access: Access) -> tuple[str, dict[str, Any]]:
    return f"postgresql://{HOST}:{access.port}/{DATABASE}", {"view": view_name(stem)}


def _zip(_stem: str, access: Access) -> tuple[str, dict[str, Any]]:
    return f"http://{HOST}:{access.port}", {"zip_password": access.extra["zip_password"]}


# Protocol → (what the server needs beside port and credential, what the hub is told).
_PROTOCOLS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[str, Access], tuple[str, dict[str, Any]]]]] = {
    "rest-oauth": (dict, _rest),
    "signed-gateway": (lambda: {"sid": f"svc-{secrets.token_hex(8)}"}, _gateway),
    "sftp-drop": (lambda: {"private_key": _host_key()}, _sftp),
    "exchange-database": (lambda: {"admin_secret": secrets.token_hex(16)}, _exchange),
    "zip-basic": (lambda: {"zip_password": secrets.token_urlsafe(12)}, _zip),
}


def access_path(stem: str, settings: Settings) -> Path:
    """The server's own file: port and credentials."""
    return settings.home / "sandbox" / "endpoints" / f"{stem}.json"


def provision(stem: str, settings: Settings, *, contract: Contract | None = None) -> Access:
    """Give a simulated agency a free port and random secrets, and tell the hub; what exists is kept.

    Args:
        stem: name of the source.
        settings: says where the home folder is.
        contract: to read the protocol from; the one of ``stem`` when None.

    Returns:
        The server's side; the hub's side is ``sources/STEM.json``.

    Raises:
        ConfigError: the contract names a protocol without a simulated server.
    """
    contract = contract or load_contract(stem)
    try:
        make, tell = _PROTOCOLS[contract.delivery.protocol]
    except KeyError:
        raise ConfigError(
            f"no simulated agency speaks {contract.delivery.protocol!r}",
            where=f"schemas/{stem}.yml delivery.protocol",
            next_step=f"one of {', '.join(_PROTOCOLS)}",
        ) from None
    path = access_path(stem, settings)
    if not path.exists():
        access = Access(_unused_port(path.parent), f"hub-{secrets.token_hex(4)}", secrets.token_hex(24), make())
        _write(path, asdict(access))
    access = load_access(stem, settings)
    source = settings.home / "sources" / f"{stem}.json"
    if not source.exists():
        url, extra = tell(stem, access)
        _write(source, {"url": url, "username": access.username, "secret": access.secret, "extra": extra})
    return access


def load_access(stem: str, settings: Settings) -> Access:
    """The server's side, as provisioned.

    Raises:
        ConfigError: this agency has not been provisioned, or its file is damaged.
    """
    path = access_path(stem, settings)
    try:
        return Access(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError("this simulated agency has no port yet", where=str(path), next_step="run `hub up`") from None
    except (ValueError, TypeError):
        raise ConfigError("this file is damaged", where=str(path), next_step="delete it and run `hub up`") from None


def _unused_port(folder: Path) -> int:
    """A free port that no other agency of this hub was given."""
    taken = {json.loads(p.read_text(encoding="utf-8"))["port"] for p in folder.glob("*.json")} if folder.exists() else set()
    while (port := free_port()) in taken:
        pass
    return port


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=2)
    draft.replace(path)
