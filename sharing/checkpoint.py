"""Signed tree heads, as checkpoints in the signed-note format (C2SP tlog-checkpoint and signed-note): text anybody can keep and check.

::

    ORIGIN
    SIZE
    base64 of the root
    signed-at 2026-03-01T08:00:00+08:00

    — ORIGIN base64 of key hash and Ed25519 signature
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.errors import ConfigError

_ED25519 = b"\x01"
_FORM = re.compile(
    r"(?P<text>(?P<origin>[^\n+\s]+)\n(?P<size>0|[1-9]\d*)\n(?P<root>[A-Za-z0-9+/=]{44})\n(signed-at (?P<at>\S+)\n)?)\n(?P<signatures>(— \S+ \S+\n)+)"
)


@dataclass(frozen=True)
class Checkpoint:
    """A tree head that a key vouches for."""

    origin: str
    size: int
    root: bytes
    signed_at: datetime | None
    text: str


def _key_hash(origin: str, key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:4]


def verifier_key(origin: str, key: Ed25519PublicKey) -> str:
    """The public key as one line: ``ORIGIN+hash+base64``."""
    return f"{origin}+{_key_hash(origin, key).hex()}+{base64.b64encode(_ED25519 + key.public_bytes_raw()).decode()}"


def sign(origin: str, size: int, root: bytes, signed_at: datetime, key: Ed25519PrivateKey) -> str:
    """The checkpoint of a tree head."""
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\nsigned-at {signed_at.isoformat(timespec='seconds')}\n"
    signature = _key_hash(origin, key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {origin} {base64.b64encode(signature).decode()}\n"


def read(note: str, key: Ed25519PublicKey) -> Checkpoint:
    """What a checkpoint says, if a key signed it.

    Raises:
        ConfigError: it is no checkpoint, or that key did not sign it.
    """
    found = _FORM.fullmatch(note)
    if found is None:
        raise ConfigError("not a checkpoint", where="checkpoint")
    for line in found["signatures"].splitlines():
        _, name, encoded = line.split(" ")
        try:
            signature = base64.b64decode(encoded, validate=True)
            if name == found["origin"] and signature[:4] == _key_hash(name, key):
                key.verify(signature[4:], found["text"].encode())
                at = datetime.fromisoformat(found["at"]) if found["at"] else None
                return Checkpoint(name, int(found["size"]), base64.b64decode(found["root"]), at, note)
        except (InvalidSignature, binascii.Error, ValueError):
            pass
    raise ConfigError("this checkpoint is not signed by that key", where="checkpoint")
