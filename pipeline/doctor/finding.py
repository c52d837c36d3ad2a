"""One thing `hub doctor` looked at."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is."""

    OK = "ok"
    IDLE = "idle"  # not started yet, or stopped: nothing is wrong
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """What was looked at and how it is.

    Attributes:
        check: short name of the check.
        zh, en: what was found, without any secret.
        next_step: how to mend it; None when nothing needs mending.
    """

    check: str
    state: State
    zh: str
    en: str
    next_step: str | None = None
