"""The tree is that of RFC 6962: held against its definition written down a second time, and against published roots."""

import hashlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.crypto_suite import INTERNATIONAL, SM
from sharing import merkle
from sharing.offline import verify_log
from tests.examples import examples

TREE = merkle.Tree(INTERNATIONAL.digest)

# The leaves of the Certificate Transparency reference tests and their roots.
PUBLISHED = (
    (b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    (b"\x00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    (b"\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    (b"\x20\x21", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    (b"\x30\x31", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    (b"\x40\x41\x42\x43", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    (b"\x50\x51\x52\x53\x54\x55\x56\x57", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (bytes(range(0x60, 0x70)), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def defined(leaves: list[bytes], digest: Callable[[bytes], bytes] = sha256) -> bytes:
    """Section 2.1 of the RFC, word for word."""
    n = len(leaves)
    if n == 0:
        return digest(b"")
    if n == 1:
        return digest(b"\x00" + leaves[0])
    k = 1
    while k * 2 < n:
        k *= 2
    return digest(b"\x01" + defined(leaves[:k], digest) + defined(leaves[k:], digest))


def defined_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Section 2.1.1."""
    n = len(leaves)
    if n <= 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    if m < k:
        return [*defined_path(m, leaves[:k]), defined(leaves[k:])]
    return [*defined_path(m - k, leaves[k:]), defined(leaves[:k])]


def defined_proof(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """Section 2.1.2."""
    n = len(leaves)
    if m == n:
        return [] if whole else [defined(leaves)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*defined_proof(m, leaves[:k], whole), defined(leaves[k:])]
    return [*defined_proof(m - k, leaves[k:], False), defined(leaves[:k])]


class Grown:
    """A tree grown in batches."""

    def __init__(self, leaves: list[bytes], batches: list[int]) -> None:
        self.tiles: merkle.Tiles = {}
        edge: dict[int, bytes] = {}
        done = 0
        for batch in [*batches, len(leaves)]:
            part = leaves[done : done + batch]
            edge, changed = TREE.grow(done, edge, [TREE.leaf_hash(d) for d in part])
            for place, hashes in changed.items():
                assert hashes.startswith(self.tiles.get(place, b"")), "a tile changed what it held"
            self.tiles.update(changed)
            done += len(part)

    def read(self, level: int, number: int) -> bytes:
        return self.tiles[level, number]


def some(n: int) -> list[bytes]:
    return [i.to_bytes(4, "big") for i in range(n)]


def test_the_roots_are_those_published() -> None:
    leaves = [leaf for leaf, _ in PUBLISHED]
    assert TREE.root(0, lambda *_: b"") == hashlib.sha256().digest()
    tree = Grown(leaves, [1, 3])
    for n, (_, root) in enumerate(PUBLISHED, start=1):
        assert defined(leaves[:n]).hex() == root
        assert TREE.root(n, tree.read).hex() == root


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 31, 255, 256, 257, 511, 513, 700])
def test_roots_and_proofs_follow_the_definition_over_tiles_and_their_borders(n: int) -> None:
    leaves = some(n)
    tree = Grown(leaves, [7, 100])
    root = TREE.root(n, tree.read)
    assert root == defined(leaves)
    for m in {0, n // 3, n // 2, n - 1}:
        path = TREE.inclusion(m, n, tree.read)
        assert path == defined_path(m, leaves)
        assert TREE.includes(m, n, TREE.leaf_hash(leaves[m]), path, root)
    for m in {1, n // 2 or 1, max(n - 1, 1), n}:
        proof = TREE.consistency(m, n, tree.read)
        assert proof == (defined_proof(m, leaves) if m < n else [])
        assert TREE.extends(m, TREE.root(m, tree.read), n, root, proof)


def test_a_large_tree_grown_in_batches_of_any_size_has_the_same_root() -> None:
    leaves = some(66_000)
    assert TREE.root(66_000, Grown(leaves, [65_536]).read) == TREE.root(66_000, Grown(leaves, [1, 255, 256, 40_000]).read)


@examples(150)
@given(n=st.integers(1, 600), batches=st.lists(st.integers(0, 300), max_size=6), data=st.data())
def test_every_leaf_is_proved_and_no_other_leaf_place_or_root_is(n: int, batches: list[int], data: st.DataObject) -> None:
    leaves = some(n)
    tree = Grown(leaves, batches)
    root, m = TREE.root(n, tree.read), data.draw(st.integers(0, n - 1))
    path, leaf = TREE.inclusion(m, n, tree.read), TREE.leaf_hash(leaves[m])
    assert TREE.includes(m, n, leaf, path, root)
    assert not TREE.includes(m, n, TREE.leaf_hash(b"another"), path, root)
    assert not TREE.includes(n, n, leaf, path, root)
    assert not TREE.includes(m, n, leaf, [*path, root], root)
    if path:
        assert not TREE.includes(m, n, leaf, path[:-1], root)
        spoilt = data.draw(st.integers(0, len(path) - 1))
        assert not TREE.includes(m, n, leaf, [*path[:spoilt], bytes(32), *path[spoilt + 1 :]], root)
    if n > 1:
        other = data.draw(st.integers(0, n - 1).filter(lambda i: i != m))
        assert not TREE.includes(other, n, leaf, path, root)


@examples(150)
@given(new=st.integers(1, 600), data=st.data())
def test_a_tree_that_only_grew_is_told_from_one_that_was_rewritten(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    leaves = some(new)
    changed = data.draw(st.integers(0, old - 1))
    rewritten = [*leaves[:changed], b"rewritten", *leaves[changed + 1 :]]
    tree, other = Grown(leaves, []), Grown(rewritten, [])
    held = TREE.root(old, tree.read)
    proof = TREE.consistency(old, new, tree.read)
    assert TREE.extends(old, held, new, TREE.root(new, tree.read), proof)
    assert not TREE.extends(old, held, new, TREE.root(new, other.read), TREE.consistency(old, new, other.read))
    assert not TREE.extends(old, held, new, TREE.root(new, other.read), proof)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    tree = Grown(some(5), [])
    for m, n in ((5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="no such leaf"):
            TREE.inclusion(m, n, tree.read)
    with pytest.raises(ValueError, match="larger"):
        TREE.consistency(6, 5, tree.read)


def test_a_tree_of_random_batches_needs_only_its_edge_to_grow() -> None:
    dice = random.Random(1)
    edge, tiles, size = {}, {}, 0
    for _ in range(40):
        leaves = [TREE.leaf_hash(dice.randbytes(8)) for _ in range(dice.randrange(0, 90))]
        read_back = {level: tiles[level, number] for level, number in merkle.edge_tiles(size)}
        assert {level: h for level, h in edge.items() if h} == read_back
        edge, changed = TREE.grow(size, read_back, leaves)
        tiles.update(changed)
        size += len(leaves)


@pytest.mark.parametrize("n", [0, 1, 5, 33])
def test_a_tree_by_sm3_follows_the_same_definition(n: int) -> None:
    tree, leaves = merkle.Tree(SM.digest), some(n)
    _, tiles = tree.grow(0, {}, [tree.leaf_hash(d) for d in leaves])
    root = tree.root(n, lambda level, number: tiles[level, number])
    assert root == defined(leaves, verify_log.sm3) != defined(leaves)
    for m in range(n):
        path = tree.inclusion(m, n, lambda level, number: tiles[level, number])
        assert verify_log.root_of(m, n, tree.leaf_hash(leaves[m]), path, verify_log.sm3) == root
