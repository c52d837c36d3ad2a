"""A hub that had five nights without any trouble: what a battery of faults holds other nights to."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import oracle
from tests.conftest import Hub
from warehouse import database

NIGHTS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Expected:
    """What a night leaves that nobody disturbs: the pool's fingerprint, quarantine and tickets."""

    fingerprint: str
    history: list[str]

    def is_even(self, hub: Hub, sources: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the books of a night's sources balance, and quarantine and tickets are these."""
        return not oracle.imbalance(sources) and history(hub) == self.history


def history(hub: Hub) -> list[str]:
    """Quarantine and tickets; without those of a source that was away when a night was published, which are closed again."""
    return [line for line in hub.quarantine_history() if "missing" not in line]


@contextlib.contextmanager
def clean_hub() -> Iterator[tuple[Hub, dict[int, Expected]]]:
    """The hub, and what each night left. Kept: the warehouse after nights 0, 1 and 5."""
    top = Path(tempfile.mkdtemp(prefix="hub-faults-"))
    top.chmod(0o711)
    hub = Hub(top / "clean")
    hub.start()
    try:
        database.migrate(hub.settings)
        expected = {}
        hub.keep("night_0")
        for night in NIGHTS:
            expected[night] = Expected(str(hub.night(night).fingerprint), history(hub))
            if night in (1, 5):
                hub.keep(f"night_{night}")
        yield hub, expected
    finally:
        hub.stop()
        shutil.rmtree(top, ignore_errors=True)
