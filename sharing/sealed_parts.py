"""A stream of bytes kept in sealed parts: compressed, then AES-256-GCM, each bound to its place; read again as a file."""

import bisect
import io
from collections.abc import Callable, Sequence

import zstandard

from hub.seal import Seal
from hub.settings import Settings

PART = 1 << 20  # plain bytes of a part


class PartSeal:
    """Seals and opens parts of jobs."""

    def __init__(self, settings: Settings) -> None:
        self._seal = Seal(settings, "compare_job.key")

    def close(self, job_id: str, kind: str, number: int, plain: bytes) -> bytes:
        """A part as it is kept."""
        return self._seal.close(zstandard.ZstdCompressor(level=1).compress(plain), f"{job_id} {kind} {number}")

    def open(self, job_id: str, kind: str, number: int, sealed: bytes) -> bytes:
        """Its plain bytes."""
        return zstandard.ZstdDecompressor().decompress(self._seal.open(sealed, f"{job_id} {kind} {number}"))


class Parts(io.RawIOBase):
    """Parts side by side as one file, of which one part at a time is in memory."""

    def __init__(self, starts: Sequence[int], size: int, read: Callable[[int], bytes]) -> None:
        """Open.

        Args:
            starts: where each part begins.
            size: bytes of all.
            read: plain bytes of a part by its number.
        """
        super().__init__()
        self._starts, self._size, self._read = starts, size, read
        self._at = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Read on, at most to the end of a part."""
        if self._at >= self._size:
            return 0
        number = bisect.bisect_right(self._starts, self._at) - 1
        if self._held[0] != number:
            self._held = (number, self._read(number))
        begin = self._at - self._starts[number]
        found = self._held[1][begin : begin + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)
