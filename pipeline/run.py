"""A whole night without a scheduler: the same verbs, some sources side by side, then all together."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from typing import Any, Protocol

from hub.errors import ConfigError, GateHeld, HubError, SourceError, TakenOver
from hub.progress import Progress
from hub.settings import Settings
from pipeline import steps
from schemas.contract import stems
from warehouse import database, landing, ledger

# Sources in work at one time: agencies are waited for, while PostgreSQL, the gate and this process each keep a core busy.
_SIDE_BY_SIDE = 5
_BOOKS = ("delivered", "rejected", "quarantined", "unchanged", "inserted", "updated", "past", "erased", "withdrawn")
# States of a source after a run that call for nobody.
_AS_IT_SHOULD = ("ok", "not_due", "withdrawn")


class Keeper(Protocol):
    """Judges deliveries in a process of its own."""

    def __call__(self, stem: str, day: date) -> dict[str, Any]:
        """Judge a source's delivery."""

    def end(self) -> None:
        """Nothing more will be asked."""


ALL = "all"  # stands for the source where a verb works on all of them


class Reporter:
    """Told how a night goes, verb by verb; this one says nothing."""

    def began(self, source: str, verb: str) -> None:
        """A verb of a source starts; the source is :data:`ALL` where the verb works on all."""

    def moved(self, source: str, verb: str, progress: Progress) -> None:
        """A verb has come this far."""

    def ended(self, source: str, verb: str, outcome: dict[str, Any], seconds: float) -> None:
        """A verb is done, with the counts it gives."""

    def failed(self, source: str, verb: str, error: HubError, seconds: float) -> None:
        """A verb failed; the other sources go on."""


@dataclass(frozen=True)
class NightReport:
    """What a night came to; the object `hub night --json` prints.

    Attributes:
        seconds: per verb, added up over the sources; as sources run side by side, the sum may exceed the night's own length.
        only: the one source that was run; None = all, or none.
    """

    night: str
    sources: dict[str, dict[str, Any]]
    persons: int
    households: int
    fingerprint: str
    seconds: dict[str, float]
    only: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def exit_code(self, stem: str) -> int:
        """How a source stands, as an exit status: 0 as a night should leave it, 3 it failed, 4 it was held or is still on its way."""
        state = self.sources[stem]["state"]
        if state in _AS_IT_SHOULD:
            return 0
        return SourceError.exit_code if state == "failed" else GateHeld.exit_code


def run(
    settings: Settings, day: date, *, only: str | None = None, reporter: Reporter | None = None, keeper: Keeper | None = None
) -> NightReport:
    """Take a night through the seven verbs. A broken source never stops the others.

    Args:
        settings: whose pool.
        day: an open night.
        only: one source; None = all.
        reporter: told how it goes; None = nobody asks.
        keeper: judges deliveries in a process of its own; None = this process does.

    Raises:
        MergeError: the night cannot be published; nothing was.
        AlreadyRunning: another run takes a night through the verbs; this one changed nothing.
        TakenOver: another run began while this one was frozen; this one changed nothing since.
        ConfigError: `only` is no source.
    """
    known = stems()
    if only is not None and only not in known:
        raise ConfigError(f"there is no source {only!r}", where="--source", next_step=f"one of: {', '.join(known)}")
    seconds: dict[str, float] = dict.fromkeys(("fetch", "land", "parse", "gate", "resolve", "merge", "share"), 0.0)

    with database.alone(settings, "night"):
        _through(settings, day, [only] if only else list(known), seconds, reporter or Reporter(), keeper)
    return replace(report(settings, day, seconds), only=only)


def _through(
    settings: Settings, day: date, sources: list[str], seconds: dict[str, float], reporter: Reporter, keeper: Keeper | None
) -> None:
    adding = threading.Lock()

    def timed(source: str, verb: str, call: Callable[..., Any], *arguments: Any) -> None:
        reporter.began(source, verb)
        started = time.perf_counter()
        try:
            outcome = call(*arguments, settings)
        except HubError as error:
            reporter.failed(source, verb, error, time.perf_counter() - started)
            raise
        finally:
            with adding:
                seconds[verb] += time.perf_counter() - started
        reporter.ended(source, verb, outcome, time.perf_counter() - started)

    def intake(stem: str) -> None:
        moved = {verb: partial(reporter.moved, stem, verb) for verb in ("fetch", "parse")}
        try:
            timed(stem, "fetch", partial(steps.fetch, progress=moved["fetch"]), stem, day)
            timed(stem, "land", steps.land, stem, day)
            timed(stem, "parse", partial(steps.parse, progress=moved["parse"]), stem, day)
            timed(stem, "gate", partial(steps.gate, keeper=keeper), stem, day)
        except TakenOver:
            raise
        except HubError:
            pass  # told, and in the ledger: the other sources go on

    workers = ThreadPoolExecutor(_SIDE_BY_SIDE + 1, thread_name_prefix="intake")
    try:
        workers.submit(steps.warm_resolve if keeper is not None else steps.warm_gate)
        for done in [workers.submit(copy_context().run, intake, stem) for stem in sources]:  # each knows what this run holds
            done.result()
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
    if keeper is not None:
        keeper.end()
    for verb, call in (("resolve", steps.resolve), ("merge", steps.merge), ("share", steps.share)):
        timed(ALL, verb, call, day)


def replay(settings: Settings, delivery_id: str) -> NightReport:
    """Take a landed delivery through the verbs after land again.

    Args:
        settings: whose pool.
        delivery_id: its id, or a beginning that names one delivery only.

    Raises:
        ConfigError: no such delivery, more than one, or a later one took its place in its night.
    """
    with database.alone(settings, "night"):
        with database.engine(settings).begin() as connection:
            found = landing.deliveries(connection, delivery=delivery_id)
            if len(found) != 1:
                raise ConfigError(f"{len(found)} deliveries begin with that id", where="DELIVERY", next_step="see `hub deliveries`")
            intake = ledger.intake(connection, found[0].business_date, found[0].stem)
            if intake is None or intake.delivery_id != found[0].delivery_id:
                raise ConfigError("another delivery took its place in its night", where="DELIVERY", next_step="see `hub deliveries`")
            ledger.note(connection, intake.business_date, intake.stem, state="landed")
        return run(settings, found[0].business_date, only=found[0].stem)


def report(settings: Settings, day: date, seconds: dict[str, float] | None = None) -> NightReport:
    """The report of a night as the ledger has it.

    Raises:
        ConfigError: the night was never opened.
    """
    with database.engine(settings).connect() as connection:
        night = next((n for n in ledger.nights(connection, limit=4000) if n.business_date == day), None)
        intakes = ledger.intakes(connection, day)
    if night is None:
        raise ConfigError(f"the night {day} was never opened", where="--date")
    sources = {}
    for intake in intakes:
        state = "ok" if intake.state == "merged" else intake.state
        sources[intake.stem] = {"state": state, **{name: getattr(intake, name) or 0 for name in _BOOKS}}
        if intake.error:
            sources[intake.stem]["error"] = intake.error
        if intake.notices:
            sources[intake.stem]["notices"] = intake.notices
    return NightReport(
        str(day), sources, night.persons or 0, night.households or 0, night.fingerprint or "",
        {k: round(v, 3) for k, v in (seconds or night.seconds).items()},
    )  # fmt: skip
