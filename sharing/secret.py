"""A client's secret: made once, kept as a scrypt hash (RFC 7914), compared in one time."""

import base64
import binascii
import os
import secrets

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

# 16 MiB and about 50 ms a guess; a secret has 256 random bits, so the hash guards against more than guessing.
_COST, _BLOCK, _PARALLEL, _BYTES = 2**14, 8, 1, 32
PREFIX = "hub_"  # scanners for leaked secrets know it by this


def make() -> str:
    """A new secret."""
    return PREFIX + secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """The hash that is stored."""
    salt = os.urandom(16)
    found = Scrypt(salt=salt, length=_BYTES, n=_COST, r=_BLOCK, p=_PARALLEL).derive(secret.encode())
    return "$".join(["scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), *(base64.b64encode(b).decode() for b in (salt, found))])


# Compared where there is no client, so that its absence takes as long as a wrong secret.
NOBODY = hashed(make())


def matches(secret: str, stored: str) -> bool:
    """Whether a secret is the one a hash was made of."""
    try:
        _, cost, block, parallel, salt, expected = stored.split("$")
        Scrypt(salt=base64.b64decode(salt), length=_BYTES, n=int(cost), r=int(block), p=int(parallel)).verify(
            secret.encode(), base64.b64decode(expected)
        )
    except (InvalidKey, ValueError, binascii.Error):
        return False
    return True
