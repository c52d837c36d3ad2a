"""Signed tree heads, as checkpoints in the signed-note format (C2SP tlog-checkpoint and signed-note): text anybody can keep and check.

::

    ORIGIN
    SIZE
    base64 of the root
    signed-at 2026-03-01T08:00:00+08:00

    — ORIGIN base64 of key hash and signature

The key's kind says the algorithm, and with it the hash of the log's tree: Ed25519 and SHA-256, or SM2 and SM3. The key hash is the format's own mark of a key (SHA-256,
four bytes) and proves nothing.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from hub.crypto_suite import SigningKey, VerifyingKey
from hub.errors import ConfigError

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


def _key_hash(origin: str, key: VerifyingKey) -> bytes:
    return hashlib.sha256(origin.encode() + b"\n" + key.kind + key.raw).digest()[:4]


def verifier_key(origin: str, key: VerifyingKey) -> str:
    """The public key as one line: ``ORIGIN+hash+base64``."""
    return f"{origin}+{_key_hash(origin, key).hex()}+{base64.b64encode(key.kind + key.raw).decode()}"


def sign(origin: str, size: int, root: bytes, signed_at: datetime, key: SigningKey) -> str:
    """The checkpoint of a tree head."""
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\nsigned-at {signed_at.isoformat(timespec='seconds')}\n"
    signature = _key_hash(origin, key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {origin} {base64.b64encode(signature).decode()}\n"


def read(note: str, key: VerifyingKey) -> Checkpoint:
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
            if name == found["origin"] and signature[:4] == _key_hash(name, key) and key.verifies(signature[4:], found["text"].encode()):
                at = datetime.fromisoformat(found["at"]) if found["at"] else None
                return Checkpoint(name, int(found["size"]), base64.b64decode(found["root"]), at, note)
        except (binascii.Error, ValueError):
            pass
    raise ConfigError("this checkpoint is not signed by that key", where="checkpoint")
