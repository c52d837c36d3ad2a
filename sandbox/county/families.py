"""The forms families have, read from the YAML file beside this module."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict


class Member(BaseModel):
    """One member of a form of family; the meaning of each entry is at the head of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: str
    sex: float = 0.5
    age: tuple[float, float] | None = None
    than: str | None = None
    years: tuple[float, float] = (0, 0)
    twin_of: str | None = None
    line: Literal["family", "own", "other"]
    father: str | None = None
    mother: str | None = None
    spouse: str | None = None
    marital: str = "10"
    chance: float = 1
    home: int
    dwells: int | None = None
    register_: int
    shares_register: float = 0
    away: float = 0

    def __init__(self, **entries: object) -> None:
        """Read the entries; ``register`` is a method's name in Python's models."""
        super().__init__(**{"register_" if name == "register" else name: value for name, value in entries.items()})


class Form(BaseModel):
    """One form of family."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: str
    share: float
    homes_away: tuple[int, ...] = ()
    members: tuple[Member, ...]

    def place_of(self, role: str) -> int:
        """The position of a role in the family."""
        return [m.role for m in self.members].index(role)


@cache
def forms() -> tuple[Form, ...]:
    """All forms of families."""
    entries = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    return tuple(Form(**{**e, "members": tuple(Member(**m) for m in e["members"])}) for e in entries)
