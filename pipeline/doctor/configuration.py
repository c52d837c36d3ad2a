"""What is configured: contracts, secrets, endpoints."""

import importlib.util
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from hub.errors import ConfigError, HubError
from hub.settings import CHECKOUT, Settings, load_endpoint
from pipeline.doctor.finding import Finding, State
from schemas.contract import load_contract, stems
from warehouse import embedded

_KNOCK_S = 2.0


def _line(where: str) -> str:
    """Adds the line to a pointer that names a contract's file and field."""
    found = re.match(r"(schemas/\w+\.yml) (?:field|quality) (\w+)", where)
    if found is None:
        return where
    path, name = found.groups()
    for number, text in enumerate((CHECKOUT / path).read_text(encoding="utf-8").splitlines(), start=1):
        if re.search(rf"\b(name|id): {re.escape(name)}\b", text):
            return f"{where} (line {number})"
    return where


def contracts() -> Iterator[Finding]:
    """Each contract, and the other files of its source."""
    for stem in stems():
        try:
            fields = len(load_contract(stem).fields)
        except HubError as error:
            where = _line(error.where or f"schemas/{stem}.yml")
            yield Finding("contract", State.FAULT, f"契约 {stem} 有误", f"contract {stem}: {where}: {error.message}", error.next_step)
            continue
        missing = [f"{room}/{stem}.py" for room in ("connectors", "expectations") if importlib.util.find_spec(f"{room}.{stem}") is None]
        if missing:
            step = "write it; docs/adding-an-agency.md"
            yield Finding("contract", State.FAULT, f"来源 {stem} 缺少文件", f"source {stem} lacks {', '.join(missing)}", step)
        else:
            yield Finding("contract", State.OK, f"契约 {stem} 有效，{fields} 个字段", f"contract {stem} is valid, {fields} fields")


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def secrets(settings: Settings) -> Iterator[Finding]:
    """Secrets are there and readable by the owner alone."""
    folder = settings.secrets_dir
    files = [*sorted(folder.glob("*")), *sorted((settings.home / "sources").glob("*.json"))] if settings.home.exists() else []
    if not files:
        yield Finding("secrets", State.IDLE, "密钥尚未生成", "no secrets yet: they are made at the first start")
        return
    loose = [str(p.relative_to(settings.home)) for p in files if _open_to_others(p)]
    if loose:
        step = f"chmod 600 {' '.join(loose)} (in {settings.home}); change them if others may have read them"
        yield Finding("secrets", State.FAULT, f"{len(loose)} 个密钥文件他人可读", f"others can read {', '.join(loose)}", step)
    else:
        yield Finding(
            "secrets", State.OK, f"{len(files)} 个密钥文件仅所有者可读", f"{len(files)} secret files, readable by their owner alone"
        )
    if (settings.home / "postgres").exists() and not embedded.was_started(settings):
        yield Finding(
            "database password", State.FAULT, "数据库口令缺失", f"{folder}/postgres.password is gone: nobody gets into the database",
            "put it back from your backup",
        )  # fmt: skip
    key = folder / "landing.key"
    if settings.landing_key is None and not key.exists():
        if (settings.home / "landing").exists():
            yield Finding(
                "landing key", State.FAULT, "落地密钥缺失", f"{key} is gone: what was landed cannot be read",
                "put the key back from your backup, or set HUB_LANDING_KEY",
            )  # fmt: skip
        return
    try:
        settings.landing_key_bytes()
    except ConfigError as error:
        yield Finding("landing key", State.FAULT, "落地密钥格式有误", error.message, f"correct {error.where} or {key}")
    else:
        yield Finding("landing key", State.OK, "落地密钥有效", "the landing key is valid")


def _knock(url: str) -> str | None:
    """Why nobody answers at an address; None when somebody does."""
    address = urlsplit(url)
    port = address.port or {"https": 443, "http": 80, "sftp": 22, "postgresql": 5432}.get(address.scheme)
    if not address.hostname or port is None:
        return "the address has no host or port"
    try:
        socket.create_connection((address.hostname, port), _KNOCK_S).close()
    except OSError as error:
        return f"{address.hostname}:{port} does not answer ({type(error).__name__})"
    return None


def endpoints(settings: Settings) -> Iterator[Finding]:
    """Each agency has an endpoint, and somebody answers there."""
    is_sandbox = settings.business_clock == "sandbox"
    if is_sandbox and not (settings.home / "sources").exists():
        yield Finding("endpoint", State.IDLE, "模拟机构尚未启动", "the simulated agencies were not started yet")
        return
    for stem in stems():
        try:
            endpoint = load_endpoint(stem, settings)
        except ConfigError as error:
            is_missing = not (settings.home / "sources" / f"{stem}.json").exists()
            state = State.IDLE if is_sandbox and is_missing else State.FAULT
            yield Finding("endpoint", state, f"{stem} 没有可用的接口配置", f"{error.where}: {error.message}", error.next_step)
            continue
        silence = _knock(endpoint.url)
        if silence is None:
            yield Finding("endpoint", State.OK, f"{stem} 有应答", f"{stem} answers")
        elif is_sandbox and not (settings.home / "sandbox" / "run" / f"{stem}.json").exists():
            yield Finding("endpoint", State.IDLE, f"模拟机构 {stem} 未运行", f"the simulated agency {stem} does not run", None)
        else:
            step = f"`hub sandbox mend {stem}`, `hub up`" if is_sandbox else "call the agency, or correct the address in its endpoint file"
            yield Finding("endpoint", State.WARNING, f"{stem} 无应答", f"{stem}: {silence}", step)
