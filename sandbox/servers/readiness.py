"""How far a simulated agency is: files that are there as long as its server takes calls, and say for which night it has got ready.

Loads nothing of what it serves.
"""

import json
import os
from pathlib import Path
from typing import Any

from hub.settings import Settings
from sandbox import clock


def ready_path(stem: str, settings: Settings) -> Path:
    """File that exists while the agency's server takes calls; holds its process id and port."""
    return settings.home / "sandbox" / "run" / f"{stem}.json"


def prepared_path(stem: str, settings: Settings) -> Path:
    """File that says for which reading of the county's clock the agency has got its stock ready, or found that it cannot."""
    return settings.home / "sandbox" / "run" / f"{stem}.prepared.json"


def is_ready(stem: str, settings: Settings) -> bool:
    """Whether the agency's server process is there and takes calls (or has been told to be down)."""
    return _noted(ready_path(stem, settings)) is not None


def is_prepared(stem: str, settings: Settings) -> bool:
    """Whether the agency has done what it can to have its stock of the county's night at hand: nobody need wait for it any more."""
    note = _noted(prepared_path(stem, settings))
    return note is not None and note["clock"] == clock.reading(settings)


def note_prepared(stem: str, settings: Settings, reading: dict[str, int]) -> None:
    """Say that this process has got ready for a reading of the clock."""
    path = prepared_path(stem, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"pid": os.getpid(), "clock": reading}), encoding="ascii")
    draft.replace(path)


def _noted(path: Path) -> dict[str, Any] | None:
    """What a process of ours that is still there wrote down."""
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        os.kill(int(note["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return note
