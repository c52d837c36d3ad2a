#!/usr/bin/env python3
"""Verify what the hub handed out, without the hub: one file, which needs Python 3.9 and the package `cryptography`.

    verify_log.py receipt RECEIPT.json --key KEY            a receipt, as GET /v1/receipts/{id} gave it
    verify_log.py consistency OLD NEW PROOF.json --key KEY   two signed tree heads and the proof between them

KEY is the one line of GET /v1/log/key, got over a way you trust. Status 0: it is so. 1: it is not.

Tree: RFC 6962 section 2.1, proofs checked as in RFC 9162 sections 2.1.3.2 and 2.1.4.2. Heads: C2SP tlog-checkpoint and signed-note.
A leaf is SHA-256(0x00 || SHA-256(salt || body)).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def node(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """Root an audit path leads to; None if the path has not the length the place asks for."""
    if not 0 <= index < size:
        return None
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if place % 2 or place == last:
            found = node(sibling, found)
            while place and place % 2 == 0:
                place, last = place // 2, last // 2
        else:
            found = node(found, sibling)
        place, last = place // 2, last // 2
    return found if last == 0 else None


def is_extension(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
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
            first, second = node(sibling, first), node(sibling, second)
            while place and place % 2 == 0:
                place, last = place // 2, last // 2
        else:
            second = node(second, sibling)
        place, last = place // 2, last // 2
    return last == 0 and first == old_root and second == new_root


def read_head(text: str, line: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint, after its signature by the key of a line was checked."""
    name, digest, encoded = line.strip().split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    if raw[:1] != b"\x01" or hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() != digest:
        raise ValueError("the key's line is damaged")
    body, _, signatures = text.partition("\n\n")
    body += "\n"
    for signature in signatures.splitlines():
        dash, signer, value = signature.split(" ")
        signed = base64.b64decode(value, validate=True)
        if dash == "\u2014" and signer == name and signed[:4].hex() == digest:
            Ed25519PublicKey.from_public_bytes(raw[1:]).verify(signed[4:], body.encode())
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
    inner = hashlib.sha256(bytes.fromhex(receipt["salt"]) + receipt["body"].encode()).digest()
    leaf = hashlib.sha256(b"\x00" + inner).digest()
    if root_of(int(receipt["leaf_index"]), size, leaf, [bytes.fromhex(h) for h in receipt["inclusion"]]) != root:
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
            if not is_extension(old[0], old[1], new[0], new[1], [bytes.fromhex(h) for h in json.loads(text(given.proof))["hashes"]]):
                raise ValueError("the log was rewritten between the two heads")
    except InvalidSignature:
        print("✗ 签名无效 the signature is not good", file=sys.stderr)
        return 1
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        print(f"✗ {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("✓ 核验通过 verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
