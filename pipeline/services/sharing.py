"""The sharing service of this machine: one process, known by its address alone."""

import ssl
import sys
import urllib.error
import urllib.request

from hub.settings import Settings
from pipeline.services.process import Service
from warehouse import embedded

NAME = "sharing"


def url(settings: Settings) -> str:
    """Its local address."""
    scheme = "http" if settings.sharing_tls_certificate is None else "https"
    return f"{scheme}://127.0.0.1:{embedded.remembered_port(settings, NAME, settings.sharing_port)}"


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
        # Only whether it is up is asked, of this very machine: its certificate is made out to another name.
        with urllib.request.urlopen(address, timeout=5, context=ssl._create_unverified_context()) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
