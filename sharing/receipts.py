"""What a leaf of the log commits to: a salted hash, so that an entry can be erased and nothing be guessed from what is left."""

from collections.abc import Callable


def commitment(body: str, salt: bytes, digest: Callable[[bytes], bytes]) -> bytes:
    """The commitment to an entry: what its leaf hashes. the hash of the salt's 32 bytes and the entry's canonical JSON."""
    return digest(salt + body.encode())
