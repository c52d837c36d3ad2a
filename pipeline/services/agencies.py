"""The simulated agencies, a process each. Production has none of them: there, `sources/` points at the real ones."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from hub.errors import ConfigError
from hub.settings import Settings, load_endpoint
from pipeline.services.process import Service
from sandbox import clock
from sandbox.endpoints import provision
from sandbox.servers.readiness import is_ready
from schemas.contract import stems


def start(settings: Settings) -> None:
    """Start every simulated agency and wait until each is ready."""
    settings.settle()
    for stem in stems():
        provision(stem, settings)
        Service(settings, f"agency-{stem}").start([sys.executable, "-m", "sandbox.servers", stem])
    # Not by a call: an agency that was told to be down takes none, and is to be found down by the night.
    for stem in stems():
        Service(settings, f"agency-{stem}").wait(lambda stem=stem: is_ready(stem, settings), timeout_s=60)  # type: ignore[misc]


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
