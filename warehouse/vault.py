"""Encryption at rest: AES-256-GCM or SM4-GCM over chunks, so that a file of any size is read and written as a stream.

Layout: 8-byte magic, which says the suite (`hub.crypto_suite`), so that an object opens whatever suite is in force; 12-byte random prefix nonce base, then chunks of 4-byte length and sealed bytes. Each chunk's nonce is the
base with its counter added in; the associated data carries counter and whether it is the last, so that a chunk that is cut
off, moved or doubled does not open (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag

from hub.crypto_suite import INTERNATIONAL, SM, Suite
from hub.errors import HubError

_SUITES = (INTERNATIONAL, SM)
_CHUNK = 1 << 20


class VaultDamaged(HubError):
    """A landed object cannot be opened: cut off, changed, or sealed with another key."""


def _nonce(base: bytes, counter: int) -> bytes:
    return (int.from_bytes(base, "big") ^ counter).to_bytes(12, "big")


class Sealer:
    """Writes sealed chunks to a binary file; must be closed for the file to be complete."""

    def __init__(self, target: BinaryIO, key: bytes, suite: Suite) -> None:
        self._target = target
        self._cipher = suite.aead(key)
        self._base = os.urandom(12)
        self._counter = 0
        self._buffer = bytearray()
        self.bytes_written = target.write(suite.magic + self._base)

    def write(self, data: bytes) -> int:
        """Take plain bytes; sealed as chunks fill."""
        self._buffer += data
        while len(self._buffer) > _CHUNK:
            self._seal(bytes(self._buffer[:_CHUNK]), is_last=False)
            del self._buffer[:_CHUNK]
        return len(data)

    def close(self) -> None:
        """Seal what is left, marked as the end."""
        self._seal(bytes(self._buffer), is_last=True)

    def _seal(self, plain: bytes, *, is_last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._base, self._counter), plain, struct.pack(">QB", self._counter, is_last))
        self._counter += 1
        self.bytes_written += self._target.write(struct.pack(">I", len(sealed)) + sealed)


def unseal(source: BinaryIO, key: bytes, *, where: str) -> Iterator[bytes]:
    """The plain bytes of a sealed file, chunk by chunk.

    Args:
        source: file at its beginning.
        key: 32 bytes, whatever the suite.
        where: pointer for the error.

    Raises:
        VaultDamaged: the file is not whole or the key is another one.
    """
    head = source.read(20)
    suite = next((s for s in _SUITES if head[:8] == s.magic), None)
    if len(head) != 20 or suite is None:
        raise VaultDamaged("not a sealed object", where=where)
    cipher, base, counter = suite.aead(key), head[8:], 0
    length = source.read(4)
    while length:
        size = struct.unpack(">I", length)[0] if len(length) == 4 else 0
        sealed = source.read(size)
        length = source.read(4)
        is_last = not length
        try:
            yield cipher.decrypt(_nonce(base, counter), sealed, struct.pack(">QB", counter, is_last))
        except InvalidTag:
            raise VaultDamaged(
                "the object does not open", where=where, next_step="check HUB_LANDING_KEY, or fetch the delivery again"
            ) from None
        counter += 1
    if counter == 0:
        raise VaultDamaged("the object is empty", where=where)
