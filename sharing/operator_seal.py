"""The seal of an operator's name: bound to its request, of one length, opened when access is reviewed."""

from cryptography.exceptions import InvalidTag

from hub.seal import Seal
from hub.settings import Settings

LEAST, MOST = 2, 60  # characters
_SEALED_BYTES = MOST * 4  # of one length, so that it does not tell the name's


def seal(settings: Settings) -> Seal:
    """What names are sealed by."""
    return Seal(settings, "operator.key")


def closed(sealing: Seal, client_id: str, request_id: str, name: str) -> bytes:
    """A name as it is kept of a request."""
    return sealing.close(name.encode().ljust(_SEALED_BYTES, b"\0"), f"{client_id} {request_id}")


def opened(sealing: Seal, client_id: str, request_id: str, sealed: bytes) -> str | None:
    """The name in a seal; None = it was changed or put elsewhere."""
    try:
        return sealing.open(sealed, f"{client_id} {request_id}").rstrip(b"\0").decode()
    except InvalidTag:
        return None
