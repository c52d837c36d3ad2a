"""Whether a simulated agency takes calls: a file that is there as long as its server does. Loads nothing of what it serves."""

import json
import os
from pathlib import Path

from hub.settings import Settings


def ready_path(stem: str, settings: Settings) -> Path:
    """File that exists while the agency's server takes calls; holds its process id and port."""
    return settings.home / "sandbox" / "run" / f"{stem}.json"


def is_ready(stem: str, settings: Settings) -> bool:
    """Whether the agency's server process is there and takes calls (or has been told to be down)."""
    try:
        pid = int(json.loads(ready_path(stem, settings).read_text(encoding="ascii"))["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError):
        return False
    return True
