"""What a simulated agency has put right at its source: record keys, each from a night on."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from hub.errors import ConfigError
from hub.settings import Settings

ALL = "*"  # stands for every record of the agency


def path_of(settings: Settings, stem: str) -> Path:
    """The agency's own list: a JSON object of record key and night."""
    return settings.home / "sandbox" / "corrections" / f"{stem}.json"


def _load(settings: Settings, stem: str) -> dict[str, int]:
    path = path_of(settings, stem)
    try:
        return {str(key): int(night) for key, night in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError):
        raise ConfigError("this file is damaged", where=str(path), next_step="delete it: the agency then has corrected nothing") from None


def correct(settings: Settings, stem: str, keys: Iterable[str], night: int) -> int:
    """Put records right from a night on; how many were not yet. What is right already stays so."""
    known = _load(settings, stem)
    new = {key: night for key in keys if known.get(key, night + 1) > night}
    path = path_of(settings, stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(known | new, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(path)
    return len(new)


def in_force(settings: Settings, stem: str, night: int) -> frozenset[str]:
    """Keys of the records that are right on a night; :data:`ALL` may be among them."""
    return frozenset(key for key, since in _load(settings, stem).items() if since <= night)


def digest(corrected: frozenset[str]) -> str:
    """Names a set of corrections; empty for none."""
    return hashlib.sha256("\n".join(sorted(corrected)).encode()).hexdigest()[:16] if corrected else ""


def is_in(corrected: frozenset[str], keys: pl.Series) -> pl.Series:
    """Which records are among the corrected ones."""
    if ALL in corrected:
        return pl.repeat(True, keys.len(), eager=True)
    return keys.is_in(sorted(corrected)).fill_null(False)
