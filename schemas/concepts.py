"""The canonical concepts: the meaning of fields that several agencies share."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Concept:
    """One shared meaning; `source` is the standard that defines it, None when there is none."""

    name: str
    zh: str
    en: str
    source: str | None


@cache
def load_concepts() -> dict[str, Concept]:
    """All concepts by name."""
    path = Path(__file__).with_name("concepts.yml")
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Concept(name, entry["zh"], entry["en"], entry.get("source")) for name, entry in entries.items()}
