"""The switchboard of faults: which agency misbehaves how, switched from outside while it serves."""

import json
from pathlib import Path

from hub.settings import Settings
from sandbox.servers.catalogue import check
from schemas.contract import load_contract


def switch_file(settings: Settings, stem: str) -> Path:
    """The file an agency's server reads at each call: a JSON list of fault names."""
    return settings.home / "sandbox" / "faults" / f"{stem}.json"


def active(settings: Settings, stem: str) -> tuple[str, ...]:
    """Names of the faults that are on for an agency."""
    path = switch_file(settings, stem)
    return tuple(json.loads(path.read_text(encoding="ascii"))) if path.exists() else ()


def break_source(settings: Settings, stem: str, name: str) -> None:
    """Switch a fault on.

    Raises:
        ConfigError: there is no such fault, or this agency's protocol cannot have it.
        ContractError: there is no such source.
    """
    check(load_contract(stem), name)
    path = switch_file(settings, stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(sorted({*active(settings, stem), name})), encoding="ascii")
    draft.replace(path)


def mend(settings: Settings, stem: str) -> None:
    """Switch all faults of an agency off."""
    switch_file(settings, stem).unlink(missing_ok=True)
