#!/usr/bin/env python3
"""Verify what the hub handed out, without the hub: one file, which needs Python 3.9 and, for logs signed by Ed25519, the package `cryptography`.

    verify_log.py receipt RECEIPT.json --key KEY            a receipt, as GET /v1/receipts/{id} gave it
    verify_log.py consistency OLD NEW PROOF.json --key KEY   two signed tree heads and the proof between them

KEY is the one line of GET /v1/log/key, got over a way you trust. Status 0: it is so. 1: it is not.

Tree: RFC 6962 section 2.1, proofs checked as in RFC 9162 sections 2.1.3.2 and 2.1.4.2. Heads: C2SP tlog-checkpoint and signed-note.
A leaf is H(0x00 || H(salt || body)). What stands first in the key says which algorithms the log has: 0x01 = Ed25519, and H is SHA-256;
0xff "assistance-hub/sm2-with-sm3" newline = SM2 (GB/T 32918.2, curve of GB/T 32918.5, signer 1234567812345678), and H is SM3 (GB/T 32905), both below.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

ED25519, SM2 = b"\x01", b"\xffassistance-hub/sm2-with-sm3\n"
BAD = "签名无效 the signature is not good"
Hash = Callable[[bytes], bytes]


# -- SM3, GB/T 32905-2016 ------------------------------------------------------------------------------------------------------------------
def _turn(word: int, by: int) -> int:
    by %= 32
    return (word << by | word >> (32 - by)) & 0xFFFFFFFF


def sm3(data: bytes) -> bytes:
    """Hash of data, 32 bytes."""
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + (8 * len(data)).to_bytes(8, "big")
    v = [0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E]
    for start in range(0, len(padded), 64):
        w = [int.from_bytes(padded[i : i + 4], "big") for i in range(start, start + 64, 4)]
        for j in range(16, 68):
            x = w[j - 16] ^ w[j - 9] ^ _turn(w[j - 3], 15)
            w.append(x ^ _turn(x, 15) ^ _turn(x, 23) ^ _turn(w[j - 13], 7) ^ w[j - 6])
        a, b, c, d, e, f, g, h = v
        for j in range(64):
            s1 = _turn(_turn(a, 12) + e + _turn(0x79CC4519 if j < 16 else 0x7A879D8A, j) & 0xFFFFFFFF, 7)
            s2 = s1 ^ _turn(a, 12)
            t1 = (a ^ b ^ c if j < 16 else a & b | a & c | b & c) + d + s2 + (w[j] ^ w[j + 4])
            t2 = (e ^ f ^ g if j < 16 else e & f | ~e & g) + h + s1 + w[j]
            a, b, c, d = t1 & 0xFFFFFFFF, a, _turn(b, 9), c
            e, f, g, h = (t2 ^ _turn(t2 & 0xFFFFFFFF, 9) ^ _turn(t2 & 0xFFFFFFFF, 17)) & 0xFFFFFFFF, e, _turn(f, 19), g
        v = [v[i] ^ new for i, new in enumerate((a, b, c, d, e, f, g, h))]
    return b"".join(word.to_bytes(4, "big") for word in v)


# -- SM2, GB/T 32918.1, 32918.2 and 32918.5 ------------------------------------------------------------------------------------------------
P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
Point = Any  # x and y; None = the point at infinity


def add(one: Point, two: Point) -> Point:
    """Sum of two points of the curve."""
    if one is None or two is None:
        return two if one is None else one
    if one[0] == two[0]:
        if (one[1] + two[1]) % P == 0:
            return None
        slope = (3 * one[0] * one[0] + A) * pow(2 * one[1], -1, P) % P
    else:
        slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, P) % P
    x = (slope * slope - one[0] - two[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


def times(number: int, point: Point) -> Point:
    """A point so many times: not in constant time, and for public values alone."""
    found = None
    for bit in bin(number)[2:]:
        found = add(found, found)
        if bit == "1":
            found = add(found, point)
    return found


def sm2_hash(key: bytes, text: bytes, signer: bytes = b"1234567812345678") -> int:
    """What is signed: the hash of signer, curve, key and text (section 5.5 and step A2), as a number."""
    z = sm3((8 * len(signer)).to_bytes(2, "big") + signer + b"".join(n.to_bytes(32, "big") for n in (A, B, *G)) + key)
    return int.from_bytes(sm3(z + text), "big")


def sm2_verifies(key: bytes, signature: bytes, text: bytes) -> bool:
    """Whether a key (x and y) signed a text; the signature is r and s (section 7)."""
    if len(key) != 64 or len(signature) != 64:
        return False
    x, y, r, s = (int.from_bytes(half, "big") for both in (key, signature) for half in (both[:32], both[32:]))
    if x >= P or y >= P or (y * y - x * x * x - A * x - B) % P or not (0 < r < N and 0 < s < N):
        return False
    t = (r + s) % N
    found = add(times(s, G), times(t, (x, y))) if t else None
    return found is not None and (sm2_hash(key, text) + found[0]) % N == r


# -- the tree ------------------------------------------------------------------------------------------------------------------------------
def sha256(data: bytes) -> bytes:
    """Hash of data, 32 bytes."""
    return hashlib.sha256(data).digest()


def root_of(index: int, size: int, leaf: bytes, path: Sequence[bytes], digest: Hash = sha256) -> bytes | None:
    """Root an audit path leads to; None if the path has not the length the place asks for."""
    if not 0 <= index < size:
        return None
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if place % 2 or place == last:
            found = digest(b"\x01" + sibling + found)
            while place and place % 2 == 0:
                place, last = place // 2, last // 2
        else:
            found = digest(b"\x01" + found + sibling)
        place, last = place // 2, last // 2
    return found if last == 0 else None


def is_extension(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes], digest: Hash = sha256) -> bool:
    """Whether a proof shows that the old tree is the beginning of the new one."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    path = list(path)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    place, last = old - 1, new - 1
    while place % 2:
        place, last = place // 2, last // 2
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            first, second = digest(b"\x01" + sibling + first), digest(b"\x01" + sibling + second)
            while place and place % 2 == 0:
                place, last = place // 2, last // 2
        else:
            second = digest(b"\x01" + second + sibling)
        place, last = place // 2, last // 2
    return last == 0 and first == old_root and second == new_root


def read_key(line: str) -> tuple[str, str, bytes, Hash]:
    """Name, mark, bytes and hash of a key's line."""
    name, mark, encoded = line.strip().split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    if sha256(name.encode() + b"\n" + raw)[:4].hex() != mark or not raw.startswith((ED25519, SM2)):
        raise ValueError("the key's line is damaged")
    return name, mark, raw, sha256 if raw.startswith(ED25519) else sm3


def check_signature(key: bytes, signature: bytes, text: bytes) -> None:
    """Raise ValueError unless a key signed a text."""
    if key.startswith(SM2):
        if not sm2_verifies(key[len(SM2) :], signature, text):
            raise ValueError(BAD)
        return
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key[len(ED25519) :]).verify(signature, text)
    except InvalidSignature:
        raise ValueError(BAD) from None


def read_head(text: str, line: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint, after its signature by the key of a line was checked."""
    name, mark, raw, _ = read_key(line)
    body, _, signatures = text.partition("\n\n")
    body += "\n"
    for signature in signatures.splitlines():
        dash, signer, value = signature.split(" ")
        signed = base64.b64decode(value, validate=True)
        if dash == "\u2014" and signer == name and signed[:4].hex() == mark:
            check_signature(raw, signed[4:], body.encode())
            origin, size, root = body.split("\n")[:3]
            if origin != name:
                raise ValueError("the head is another log's")
            return int(size), base64.b64decode(root, validate=True)
    raise ValueError("the head is not signed by this key")


def check_receipt(receipt: Any, key: str) -> None:
    """Raise ValueError unless a receipt is in the tree its signed head names."""
    size, root = read_head(receipt["checkpoint"], key)
    if receipt["body"] is None:
        raise ValueError("the entry was erased by law: there is nothing to verify")
    digest = read_key(key)[3]
    leaf = digest(b"\x00" + digest(bytes.fromhex(receipt["salt"]) + receipt["body"].encode()))
    if root_of(int(receipt["leaf_index"]), size, leaf, [bytes.fromhex(h) for h in receipt["inclusion"]], digest) != root:
        raise ValueError("the receipt is not in the tree")


def main() -> int:
    """Exit status 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("receipt")
    one.add_argument("file")
    two = commands.add_parser("consistency")
    for name in ("old", "new", "proof"):
        two.add_argument(name)
    for command in (one, two):
        command.add_argument("--key", required=True)
    given = parser.parse_args()

    def text(path: str) -> str:
        with open(path, encoding="utf-8") as file:
            return file.read()

    try:
        key = text(given.key)
        if given.what == "receipt":
            check_receipt(json.loads(text(given.file)), key)
        else:
            old, new = read_head(text(given.old), key), read_head(text(given.new), key)
            proof = [bytes.fromhex(h) for h in json.loads(text(given.proof))["hashes"]]
            if not is_extension(*old, *new, proof, read_key(key)[3]):
                raise ValueError("the log was rewritten between the two heads")
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        print(f"✗ {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("✓ 核验通过 verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
