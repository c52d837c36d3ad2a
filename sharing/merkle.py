"""The Merkle tree of RFC 6962 section 2.1 (RFC 9162 says the same): hashes, growth, proofs and their checking. Pure.

The hash is SHA-256 as in the RFC, or another of 32 bytes.

The tree is kept as tiles of 256 hashes: level 0 holds leaf hashes, each level above the roots of full tiles below. A proof over
ten million leaves then reads a handful of tiles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

HASH_BYTES = 32
TILE = 256  # hashes; 2 to the power of _TILE_BITS
_TILE_BITS = 8

# Level and number → the hashes of that tile, side by side.
ReadTile = Callable[[int, int], bytes]
Tiles = dict[tuple[int, int], bytes]


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]


def _largest_power_below(n: int) -> int:
    return 1 << ((n - 1).bit_length() - 1)


def edge_tiles(size: int) -> list[tuple[int, int]]:
    """The tiles at the right edge of a tree that are not full: what growing it needs."""
    found, level, entries = [], 0, size
    while entries:
        if entries % TILE:
            found.append((level, entries // TILE))
        entries //= TILE
        level += 1
    return found


@dataclass(frozen=True)
class Tree:
    """Trees by one hash.

    Attributes:
        digest: the 32-byte hash of data.
    """

    digest: Callable[[bytes], bytes]

    def empty_root(self) -> bytes:
        """Root of the tree without leaves."""
        return self.digest(b"")

    def leaf_hash(self, data: bytes) -> bytes:
        """Hash of a leaf."""
        return self.digest(b"\x00" + data)

    def node_hash(self, left: bytes, right: bytes) -> bytes:
        """Hash of an inner node."""
        return self.digest(b"\x01" + left + right)

    def grow(self, size: int, edge: dict[int, bytes], leaves: Sequence[bytes]) -> tuple[dict[int, bytes], Tiles]:
        """Append leaf hashes.

        Args:
            size: leaves so far.
            edge: level → the hashes in that level's tile that is not full; a level without one may be left out.
            leaves: leaf hashes.

        Returns:
            The new edge, and every tile that is new or longer.
        """
        edge, changed = dict(edge), Tiles()
        level, incoming = 0, list(leaves)
        while incoming:
            number = (size >> (_TILE_BITS * level)) // TILE
            hashes = edge.get(level, b"") + b"".join(incoming)
            incoming = []
            full = TILE * HASH_BYTES
            for start in range(0, len(hashes) - full + 1, full):
                tile = hashes[start : start + full]
                changed[level, number] = tile
                incoming.append(self._fold(_split(tile)))
                number += 1
            rest = hashes[len(hashes) - len(hashes) % full :]
            edge[level] = rest
            if rest:
                changed[level, number] = rest
            level += 1
        return edge, changed

    def root(self, size: int, read: ReadTile) -> bytes:
        """Root of the first so many leaves."""
        return self.empty_root() if size == 0 else self._range_hash(0, size, read)

    def inclusion(self, index: int, size: int, read: ReadTile) -> list[bytes]:
        """Audit path of a leaf in the tree of the first so many leaves (section 2.1.1).

        Raises:
            ValueError: there is no such leaf in that tree.
        """
        if not 0 <= index < size:
            raise ValueError("there is no such leaf in that tree")
        path: list[bytes] = []
        start, end = 0, size
        while end - start > 1:
            middle = start + _largest_power_below(end - start)
            if index < middle:
                path.append(self._range_hash(middle, end, read))
                end = middle
            else:
                path.append(self._range_hash(start, middle, read))
                start = middle
        return path[::-1]

    def consistency(self, old: int, new: int, read: ReadTile) -> list[bytes]:
        """Proof that the first ``new`` leaves begin with the first ``old`` (section 2.1.2); empty for equal or empty trees.

        Raises:
            ValueError: the old tree is the larger one.
        """
        if not 0 <= old <= new:
            raise ValueError("the old tree is larger than the new one")
        if old in (0, new):
            return []
        path: list[bytes] = []
        start, end, is_whole = 0, new, True
        while old != end:
            middle = start + _largest_power_below(end - start)
            if old <= middle:
                path.append(self._range_hash(middle, end, read))
                end = middle
            else:
                path.append(self._range_hash(start, middle, read))
                start, is_whole = middle, False
        if not is_whole:
            path.append(self._range_hash(start, end, read))
        return path[::-1]

    def includes(self, index: int, size: int, leaf: bytes, path: Sequence[bytes], expected_root: bytes) -> bool:
        """Whether an audit path leads from a leaf's hash to a root (RFC 9162 section 2.1.3.2)."""
        return 0 <= index < size and self._root_from_path(index, size, leaf, path) == expected_root

    def extends(self, old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
        """Whether a proof shows that a tree is the beginning of another (RFC 9162 section 2.1.4.2)."""
        if old == new:
            return not path and old_root == new_root
        if old == 0:
            return not path and old_root == self.empty_root()
        if not 0 < old < new or not path:
            return False
        path = list(path) if old & (old - 1) else [old_root, *path]
        place, last = old - 1, new - 1
        while place & 1:
            place >>= 1
            last >>= 1
        of_old = of_new = path[0]
        for sibling in path[1:]:
            if last == 0:
                return False
            if place & 1 or place == last:
                of_old, of_new = self.node_hash(sibling, of_old), self.node_hash(sibling, of_new)
                while place and not place & 1:
                    place >>= 1
                    last >>= 1
            else:
                of_new = self.node_hash(of_new, sibling)
            place >>= 1
            last >>= 1
        return last == 0 and of_old == old_root and of_new == new_root

    def _fold(self, hashes: list[bytes]) -> bytes:
        """Root over a number of hashes that is a power of two."""
        digest = self.digest  # node_hash, without a call more: most of what growing costs
        while len(hashes) > 1:
            hashes = [digest(b"\x01" + hashes[i] + hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    def _range_hash(self, start: int, end: int, read: ReadTile) -> bytes:
        """MTH over leaves start to end, end left out."""
        n = end - start
        if n & (n - 1) == 0 and start % n == 0:
            level = (n.bit_length() - 1) // _TILE_BITS
            first, count = start >> (_TILE_BITS * level), n >> (_TILE_BITS * level)
            tile, place = read(level, first // TILE), first % TILE
            return self._fold(_split(tile[place * HASH_BYTES : (place + count) * HASH_BYTES]))
        k = _largest_power_below(n)
        return self.node_hash(self._range_hash(start, start + k, read), self._range_hash(start + k, end, read))

    def _root_from_path(self, index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
        place, last, found = index, size - 1, leaf
        for sibling in path:
            if last == 0:
                return None
            if place & 1 or place == last:
                found = self.node_hash(sibling, found)
                while place and not place & 1:
                    place >>= 1
                    last >>= 1
            else:
                found = self.node_hash(found, sibling)
            place >>= 1
            last >>= 1
        return found if last == 0 else None
