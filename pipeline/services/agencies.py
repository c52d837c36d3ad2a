"""The simulated agencies, a process each. Production has none of them: there, `sources/` points at the real ones."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from hub.errors import ConfigError
from hub.log import get_logger
from hub.settings import Settings, load_endpoint
from pipeline.services.process import Service
from sandbox import clock
from sandbox.endpoints import provision
from sandbox.servers.readiness import is_prepared, is_ready
from schemas.contract import stems

# A county of a million persons needs about three minutes for its first night on two cores.
_STOCK_S = 600.0


def start(settings: Settings) -> None:
    """Start every simulated agency and wait until each takes calls and, for ten minutes at most, until it has its stock of the night at hand."""
    settings.settle()
    for stem in stems():
        provision(stem, settings)
        Service(settings, f"agency-{stem}").start([sys.executable, "-m", "sandbox.servers", stem])
    # Not by a call: an agency that was told to be down takes none, and is to be found down by the night.
    for stem in stems():
        Service(settings, f"agency-{stem}").wait(lambda stem=stem: is_ready(stem, settings), timeout_s=60)  # type: ignore[misc]
    if late := unprepared(settings, within_s=_STOCK_S):
        get_logger("agencies").warning("agencies.unprepared", stems=late, waited_s=_STOCK_S)  # the night will find them slow


def unprepared(settings: Settings, *, within_s: float) -> list[str]:
    """Wait for the agencies' stock of the county's night; whose is not at hand by then, among those whose process is there.

    An agency works its stock out when the night changes, which takes the longer the more persons there are and the more nights lie
    between. A real one has its own computers for that; this one is not to be found slow for sharing ours.
    """
    ends_at = time.monotonic() + within_s
    while True:
        late = [s for s in stems() if is_ready(s, settings) and not is_prepared(s, settings)]
        if not late or time.monotonic() > ends_at:
            return late
        time.sleep(0.05)


def stop(settings: Settings) -> None:
    """Stop them, together: each takes a moment to finish what it does."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda stem: Service(settings, f"agency-{stem}").stop(), stems()))


def url(settings: Settings, stem: str) -> str | None:
    """Address of a simulated agency; None before its first start."""
    try:
        return load_endpoint(stem, settings).url
    except ConfigError:
        return None


def reach(settings: Settings, day: date) -> None:
    """Let the simulated county live up to a business date; does nothing by the wall clock, or when it is there."""
    if settings.business_clock == "sandbox":
        night = clock.night_of(settings, day)
        if clock.current_night(settings) < night:
            clock.set_night(settings, night)
