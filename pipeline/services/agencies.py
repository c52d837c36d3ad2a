"""The simulated agencies, a process each. Production has none of them: there, `sources/` points at the real ones."""

import socket
import sys

from hub.settings import Settings
from pipeline.services.process import Service
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


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
