"""What the service keeps for a while and may hold a person's value: sealed under a secret of its own, bound to what it is of."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.settings import Settings

_NONCE_BYTES = 12


class Seal:
    """AES-256-GCM by one of the hub's secrets; a nonce by chance stands before the sealed bytes."""

    def __init__(self, settings: Settings, secret: str) -> None:
        """Take the secret of a name, which is made at its first use."""
        self._cipher = AESGCM(bytes.fromhex(settings.secret(secret)))

    def close(self, content: bytes, of: str) -> bytes:
        """A content as it is kept; it opens as what it is of and as nothing else."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, of.encode())

    def open(self, sealed: bytes, of: str) -> bytes:
        """A content that was kept.

        Raises:
            InvalidTag: it was changed, or is of something else.
        """
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.encode())
