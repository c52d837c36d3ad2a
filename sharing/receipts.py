"""What a leaf of the log commits to: a salted hash, so that an entry can be erased and nothing be guessed from what is left."""

import hashlib


def commitment(body: str, salt: bytes) -> bytes:
    """The commitment to an entry: what its leaf hashes. SHA-256 over the salt's 32 bytes and the entry's canonical JSON."""
    return hashlib.sha256(salt + body.encode()).digest()
