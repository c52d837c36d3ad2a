"""The sharing service of this machine: one process, known by its address alone."""

import sys
import urllib.error
import urllib.request

from hub.settings import Settings
from pipeline.services.process import Service
from warehouse import embedded

NAME = "sharing"


def url(settings: Settings) -> str:
    """Its local address."""
    return f"http://127.0.0.1:{embedded.remembered_port(settings, NAME, settings.sharing_port)}"


def service(settings: Settings) -> Service:
    """Its process."""
    return Service(settings, NAME)


def start(settings: Settings) -> None:
    """Start it and wait until it answers; does nothing when it runs.

    Raises:
        ServiceError: it does not come up; its log is named.
    """
    process = service(settings)
    process.start([sys.executable, "-m", "sharing"])
    process.wait(lambda: _answers(f"{url(settings)}/healthz"), timeout_s=60)


def stop(settings: Settings) -> None:
    """Stop it."""
    service(settings).stop()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
