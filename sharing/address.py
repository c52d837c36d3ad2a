"""Where the service is reached."""

from hub.settings import Settings
from warehouse import embedded


def port(settings: Settings) -> int:
    """The configured port, else a free one that is kept."""
    return embedded.remembered_port(settings, "sharing", settings.sharing_port)


def audience(settings: Settings) -> str:
    """The address departments use; it is what tokens are good for."""
    scheme = "http" if settings.sharing_tls_certificate is None else "https"
    return (settings.sharing_url or f"{scheme}://127.0.0.1:{port(settings)}").rstrip("/")
