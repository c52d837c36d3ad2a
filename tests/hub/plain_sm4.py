"""SM4 (GB/T 32907) and its GCM mode (NIST SP 800-38D, RFC 8998) written down a second time: slow, and like the standards read."""

_MASK = 0xFFFFFFFF


def _affine(value: int) -> int:
    """The linear layer on both sides of the S-box's inversion: by a circulant matrix of 0xA7, then 0xD3 added."""
    rows = ((0xA7 << i | 0xA7 >> (8 - i)) & 0xFF for i in range(8))
    return sum((bin(row & value).count("1") & 1) << i for i, row in enumerate(rows)) ^ 0xD3


def _times(a: int, b: int) -> int:
    """In GF(2^8) by x^8 + x^7 + x^6 + x^5 + x^4 + x^2 + 1."""
    found = 0
    while b:
        found ^= a if b & 1 else 0
        a = a << 1 ^ (0x1F5 if a & 0x80 else 0)
        b >>= 1
    return found


def _inverse(a: int) -> int:
    found = 1
    for _ in range(254):
        found = _times(found, a)
    return found


SBOX = bytes(_affine(_inverse(_affine(value))) for value in range(256))


def _turned(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _MASK


def _substituted(word: int) -> int:
    return int.from_bytes(bytes(SBOX[b] for b in word.to_bytes(4, "big")), "big")


def _words(block: bytes) -> list[int]:
    return [int.from_bytes(block[i : i + 4], "big") for i in range(0, 16, 4)]


def round_keys(key: bytes) -> list[int]:
    """The 32 round keys of a 16-byte key."""
    k = [word ^ system for word, system in zip(_words(key), (0xA3B1BAC6, 0x56AA3350, 0x677D9197, 0xB27022DC), strict=True)]
    for i in range(32):
        fixed = int.from_bytes(bytes((4 * i + j) * 7 % 256 for j in range(4)), "big")
        t = _substituted(k[i + 1] ^ k[i + 2] ^ k[i + 3] ^ fixed)
        k.append(k[i] ^ t ^ _turned(t, 13) ^ _turned(t, 23))
    return k[4:]


def encrypted(keys: list[int], block: bytes) -> bytes:
    """One block of 16 bytes."""
    x = _words(block)
    for i in range(32):
        t = _substituted(x[i + 1] ^ x[i + 2] ^ x[i + 3] ^ keys[i])
        x.append(x[i] ^ t ^ _turned(t, 2) ^ _turned(t, 10) ^ _turned(t, 18) ^ _turned(t, 24))
    return b"".join(word.to_bytes(4, "big") for word in reversed(x[-4:]))


def _product(x: int, y: int) -> int:
    """In GF(2^128), bits from the left."""
    found = 0
    for i in range(127, -1, -1):
        found ^= y if x >> i & 1 else 0
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return found


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def gcm(key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
    """Sealed bytes and the 16-byte tag, under a nonce of 12 bytes."""
    keys = round_keys(key)
    sealed = b"".join(
        bytes(a ^ b for a, b in zip(plain[i : i + 16], encrypted(keys, nonce + (i // 16 + 2).to_bytes(4, "big")), strict=False))
        for i in range(0, len(plain), 16)
    )
    hashed, h = 0, int.from_bytes(encrypted(keys, bytes(16)), "big")
    told = _padded(associated) + _padded(sealed) + (8 * len(associated)).to_bytes(8, "big") + (8 * len(sealed)).to_bytes(8, "big")
    for i in range(0, len(told), 16):
        hashed = _product(hashed ^ int.from_bytes(told[i : i + 16], "big"), h)
    return sealed + (hashed ^ int.from_bytes(encrypted(keys, nonce + b"\x00\x00\x00\x01"), "big")).to_bytes(16, "big")
