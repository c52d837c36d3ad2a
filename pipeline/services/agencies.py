"""The simulated agencies, a process each. Production has none of them: there, `sources/` points at the real ones."""

import socket
import sys
from datetime import date

from hub.errors import ConfigError
from hub.settings import Settings, load_endpoint
from pipeline.services.process import Service
from sandbox import clock
from sandbox.endpoints import provision
from schemas.contract import stems


def start(settings: Settings) -> None:
    """Start every simulated agency and wait until each answers."""
    ports = {}
    for stem in stems():
        ports[stem] = provision(stem, settings).port
        Service(settings, f"agency-{stem}").start([sys.executable, "-m", "sandbox.servers", stem])
    for stem, port in ports.items():
        Service(settings, f"agency-{stem}").wait(lambda port=port: _answers(port), timeout_s=60)  # type: ignore[misc]


def stop(settings: Settings) -> None:
    """Stop them."""
    for stem in stems():
        Service(settings, f"agency-{stem}").stop()


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


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
