"""docs/settings.md: every setting, from `hub.settings`."""

from pathlib import Path
from typing import Any, get_args

from hub.settings import CHECKOUT, COUNTY_FILE, Settings
from manual.markdown import table


def _kind(annotation: Any) -> str:
    names = [a for a in get_args(annotation) if a is not type(None)] or [annotation]
    return ", ".join(n if isinstance(n, str) else {"SecretStr": "secret text"}.get(n.__name__, n.__name__.lower()) for n in names)


def _default(value: Any) -> str:
    if value is None:
        return ""
    return f"`{value.relative_to(CHECKOUT)}/` in the checkout" if isinstance(value, Path) else f"`{value}`"


def page() -> str:
    """The page."""
    rows = [
        [f"`HUB_{name.upper()}`", spec.description, _kind(spec.annotation), _default(spec.default)]
        for name, spec in Settings.model_fields.items()
    ]
    return f"""# Settings

Each setting is read from the environment. `hub config` shows the value in force and where it comes from; secrets are never shown.

{table(["variable", "meaning", "kind", "default"], rows)}
The size, seed, noise and first day of the simulated county are fixed in `{COUNTY_FILE}` under the home folder when it is first
started: later runs need not repeat them, and a different value is refused. Ports that are not set are chosen free at the first start
and kept in `run/ports.json`. Secrets that are not set are made at their first use and kept in `secrets/`, readable by the owner alone.

Where an agency is reached is in `sources/STEM.json` under the home folder: `url`, `username`, `secret`, `extra`.
"""
