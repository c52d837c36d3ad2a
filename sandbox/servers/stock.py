"""What one simulated agency holds tonight, as it would put it on the wire."""

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from hub.settings import Settings
from sandbox import clock, corrections
from sandbox.agency import CHANGED, snapshot
from sandbox.servers.switches import Switches
from schemas.contract import Contract, Scope

Snapshot = Callable[[Contract, int, Settings], pl.DataFrame]


@dataclass(frozen=True)
class Tonight:
    """The stock of one night.

    Attributes:
        night: number of the night, from 1.
        lived: the night up to which anything happened to anybody.
        as_of: the night's business date.
        rows: one row a record, text columns under the agency's names, and the night it last changed.
        spoiled_by: content faults in these rows.
        corrected: names what the agency had put right by then; empty = nothing.
    """

    night: int
    lived: int
    as_of: date
    rows: pl.DataFrame
    spoiled_by: tuple[str, ...]
    corrected: str

    @property
    def version(self) -> str:
        """Names this state of the stock in this process: equal versions hold equal rows."""
        return "-".join([f"{self.night:04d}", f"{self.lived:04d}", *filter(None, [self.corrected]), *self.spoiled_by])

    @cached_property
    def digest(self) -> str:
        """Names the rows: files made of equal rows may be kept when the process starts again."""
        columns = zlib.crc32("\0".join(self.rows.columns).encode())
        return f"{self.night:04d}-{int(self.rows.hash_rows(seed=1).sum()):016x}-{columns:08x}"


class Stock:
    """An agency's records through time; only the current night can be had."""

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        switches: Switches,
        *,
        snapshot: Snapshot = snapshot,
        is_scheduled: bool = False,
    ) -> None:
        """Open the stock.

        Args:
            contract: what the agency delivers.
            settings: the county's size, seed and clock.
            switches: faults, some of which spoil the rows.
            snapshot: the county.
            is_scheduled: whether the stock is that of the last day the agency owes a delivery, rather than of the day.
        """
        self.contract = contract
        self.settings = settings
        self._switches = switches
        self._snapshot = snapshot
        self._is_scheduled = is_scheduled
        self._lock = threading.Lock()
        self._held: Tonight | None = None
        self._selected: dict[tuple[str, date | None], pl.DataFrame] = {}

    def night(self) -> int:
        """The night whose stock is offered; 0 before the county's first."""
        now = clock.current_night(self.settings) - self._switches.is_on("yesterdays_stock")
        if not self._is_scheduled:
            return now
        due = (n for n in range(now, 0, -1) if self.contract.delivery.is_due(clock.date_of(self.settings, n)))
        return next(due, min(now, 1))

    def tonight(self) -> Tonight | None:
        """The stock as it is offered now; None before the county's first night."""
        with self._lock:
            night, faults = self.night(), self._switches.content()
            if night < 1:
                return None
            lived = clock.lived_until(self.settings, night)
            corrected = corrections.digest(corrections.in_force(self.settings, self.contract.stem, lived))
            now, held = (night, lived, faults, corrected), self._held
            if held is None or (held.night, held.lived, held.spoiled_by, held.corrected) != now:
                rows = self._snapshot(self.contract, lived, self.settings)
                if faults:
                    rows = _spoiled(rows, self.contract, faults)
                held = Tonight(night, lived, clock.date_of(self.settings, night), rows, faults, corrected)
                self._held = held
                self._selected.clear()
            return held

    def select(self, stock: Tonight, scope: Scope, since: date | None) -> pl.DataFrame:
        """Rows of a full or delta delivery, in the agency's columns.

        Args:
            stock: the night's stock.
            scope: full, or what changed.
            since: a delta holds what changed after this day; None = everything.
        """
        since = since if scope is Scope.DELTA else None
        with self._lock:
            found = self._selected.get((stock.version, since))
            if found is None:
                found = stock.rows
                if since is not None:
                    found = found.filter(pl.col(CHANGED) > clock.night_of(self.settings, since))
                found = found.drop(CHANGED)
                self._selected[stock.version, since] = found
            return found


def _spoiled(rows: pl.DataFrame, contract: Contract, faults: tuple[str, ...]) -> pl.DataFrame:
    from sandbox.spoiling import spoil

    return spoil(rows, contract, frozenset(faults))
