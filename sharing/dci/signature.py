"""Signatures of messages: Ed25519 over the envelope, in the string the standard shows.

The standard names the parts (namespace, kidId, algorithm, created, expires, headers, signature) and leaves digest and canonical form open.
This profile: ``digest`` is SHA-256, written as in RFC 3230, over the JSON object of header and message exactly as they are sent, and what
is signed are the lines ``(created)``, ``(expires)`` and ``digest`` as in draft-cavage-http-signatures-12 section 2.3.
"""

import base64
import binascii
import hashlib
import re
import time
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.settings import Settings
from sharing import signing_keys
from sharing.signing_keys import Use

NAMESPACE = "dci"
ALGORITHM = "ed25519"
LIFETIME_S = 300
LONGEST_S = 600  # a signature that holds for longer is refused: the replay store forgets
LEEWAY_S = 30  # clocks of two offices
_HEADERS = "(created) (expires) digest"
_PART = re.compile(r'\s*([A-Za-z]+)="([^"]*)"\s*(?:,|$)')
_LONGEST_CHARS = 2000


@dataclass(frozen=True)
class Signature:
    """A signature's parts; ``created`` and ``expires`` are seconds since 1970."""

    sender_id: str
    key_id: str
    created: int
    expires: int
    value: bytes


def digest(signed: bytes) -> str:
    """Of what a signature covers."""
    return "SHA-256=" + base64.b64encode(hashlib.sha256(signed).digest()).decode()


def _lines(created: int, expires: int, signed: bytes) -> bytes:
    return f"(created): {created}\n(expires): {expires}\ndigest: {digest(signed)}".encode()


def read(text: str) -> Signature | None:
    """A signature out of its string; None if it is none of this profile."""
    if len(text) > _LONGEST_CHARS:
        return None
    rest, parts = re.sub(r"^Signature:?\s*", "", text.strip()), {}
    while rest:
        match = _PART.match(rest)
        if match is None or match[1] in parts:
            return None
        parts[match[1]] = match[2]
        rest = rest[match.end() :]
    try:
        sender_id, key_id, algorithm = parts["kidId"].split("|")
        found = Signature(
            sender_id, key_id, int(parts["created"]), int(parts["expires"]), base64.b64decode(parts["signature"], validate=True)
        )
    except (KeyError, ValueError, binascii.Error):
        return None
    fits = parts.get("headers") == _HEADERS and {algorithm, parts.get("algorithm")} == {ALGORITHM}
    return found if fits else None


def is_timely(signature: Signature, now: float) -> bool:
    """Whether a signature may be used now."""
    return (
        signature.created <= now + LEEWAY_S and signature.expires > now - LEEWAY_S
        and 0 < signature.expires - signature.created <= LONGEST_S
    )  # fmt: skip


def holds(signature: Signature, signed: bytes, keys: Any) -> bool:
    """Whether one of a sender's keys made a signature.

    Args:
        signature: in question.
        signed: what it covers.
        keys: the sender's JSON Web Key Set; a key without an id is tried for every id.
    """
    for key in keys.get("keys", ()):
        if key.get("kty") != "OKP" or key.get("crv") != "Ed25519" or key.get("use", "sig") != "sig":
            continue
        if key.get("kid", signature.key_id) != signature.key_id:
            continue
        try:
            raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
            Ed25519PublicKey.from_public_bytes(raw).verify(signature.value, _lines(signature.created, signature.expires, signed))
        except (InvalidSignature, ValueError, KeyError, TypeError):
            continue
        return True
    return False


def made(key: Ed25519PrivateKey, sender_id: str, key_id: str, signed: bytes, now: int, lifetime_s: int = LIFETIME_S) -> str:
    """A signature's string."""
    value = base64.b64encode(key.sign(_lines(now, now + lifetime_s, signed))).decode()
    return (
        f'Signature: namespace="{NAMESPACE}", kidId="{sender_id}|{key_id}|{ALGORITHM}", algorithm="{ALGORITHM}", created="{now}",'
        f' expires="{now + lifetime_s}", headers="{_HEADERS}", signature="{value}"'
    )


def own_key(settings: Settings) -> tuple[str, Ed25519PrivateKey]:
    """The key by which the hub signs messages now, and its id. Tokens and tree heads have keys of their own."""
    key = signing_keys.signing(signing_keys.held(settings, Use.DCI), time.time())
    return key.key_id, key.private


def own_jwks(settings: Settings) -> list[dict[str, str]]:
    """The public halves of all by which messages of the hub are to be verified now; of the one that signs, the last."""
    return [key.jwk for key in signing_keys.counting(signing_keys.held(settings, Use.DCI), time.time())]
