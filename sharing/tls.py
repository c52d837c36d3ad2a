"""TLS of the service itself, and tokens that are good only with the certificate they were given to (RFC 8705).

Where a proxy ends TLS, it must bind clients itself: a certificate told in a header would be one anybody can write.
"""

import base64
import hashlib
import ssl
from asyncio import Transport
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hub.errors import ConfigError
from hub.settings import Settings

_SCOPE = "tls_client_certificate"
_CLOSING_S = 5  # a client that keeps its connection does not keep the service from stopping


class Protocol(HttpToolsProtocol):
    """The HTTP of uvicorn, which also tells which certificate a connection's client showed."""

    _certificate: bytes | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Note the certificate, which TLS has verified."""
        super().connection_made(transport)
        shown = transport.get_extra_info("ssl_object")
        self._certificate = None if shown is None else shown.getpeercert(binary_form=True)

    def on_message_begin(self) -> None:
        """Tell it to the application."""
        super().on_message_begin()
        self.scope[_SCOPE] = self._certificate  # type: ignore[literal-required]


def thumbprint(certificate: bytes) -> str:
    """What a token is bound to (RFC 8705 section 3.1): SHA-256 over the DER certificate, base64url, 43 characters."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()


def shown(scope: Any) -> str | None:
    """Thumbprint of the certificate a request's client showed; None = it showed none."""
    certificate = scope.get(_SCOPE)
    return None if not certificate else thumbprint(certificate)


def read(path: Path) -> str:
    """Thumbprint of the certificate in a PEM file.

    Raises:
        ConfigError: there is none in it.
    """
    try:
        return thumbprint(x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER))
    except (OSError, ValueError):
        raise ConfigError("not a certificate in PEM", where=str(path)) from None


def options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is to be started with; nothing where the service speaks plain HTTP, to a proxy beside it.

    Raises:
        ConfigError: a file is missing or unfit.
    """
    certificate, key, authorities = settings.sharing_tls_certificate, settings.sharing_tls_key, settings.sharing_tls_client_authorities
    if certificate is None and key is None and authorities is None:
        return {}
    if certificate is None or key is None:
        raise ConfigError("a certificate and its key are needed together", where="HUB_SHARING_TLS_CERTIFICATE, HUB_SHARING_TLS_KEY")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
        if authorities is not None:
            context.load_verify_locations(authorities)
    except (OSError, ssl.SSLError) as error:
        told = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"certificate, key or authorities cannot be used: {told}", where="HUB_SHARING_TLS_*") from None
    found: dict[str, Any] = {
        "ssl_certfile": str(certificate),
        "ssl_keyfile": str(key),
        "http": Protocol,
        "timeout_graceful_shutdown": _CLOSING_S,
    }
    if authorities is not None:  # asked for, and needed by clients that are bound to one
        found |= {"ssl_ca_certs": str(authorities), "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    return found
