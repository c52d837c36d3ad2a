"""Keys that sign for the service and are changed from time to time: of access tokens, of DCI messages.

A new key is published before it signs, so that whoever keeps the published set for its minute knows it in time; the former one is published for as long
after as was said when it was followed. Programs that run see it by themselves: they look at the folder.
"""

import base64
import hashlib
import math
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.settings import Settings

PUBLISHED_S = 120.0  # twice what the published set may be kept for: /.well-known/jwks.json is good for a minute


class Use(StrEnum):
    """What a key signs; its folder in `secrets/`."""

    TOKENS = "tokens"
    DCI = "dci"


_FOLDERS = {Use.TOKENS: "token_keys", Use.DCI: "dci_keys"}
_FORMER_DCI = "dci_message.key"  # the one key there was before there were several


@dataclass(frozen=True)
class SigningKey:
    """One key of a use.

    Attributes:
        signs_from: seconds since 1970.
        counts_until: seconds since 1970 until when what it signed is to be verified; infinity = no other follows.
    """

    key_id: str
    signs_from: float
    counts_until: float
    private: Ed25519PrivateKey = field(repr=False, compare=False)

    @property
    def jwk(self) -> dict[str, str]:
        """Its public half, as a JSON Web Key (RFC 8037)."""
        x = base64.urlsafe_b64encode(self.private.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.key_id, "use": "sig", "alg": "Ed25519"}


def held(settings: Settings, use: Use) -> list[SigningKey]:
    """All keys of a use, in the order in which they sign, those whose time is over among them. The first is made at the first use."""
    files = _files(settings, use)
    if not files:
        _write(settings, use, 1, 0.0, 0.0)
        files = _files(settings, use)
    found: list[SigningKey] = []
    ends = math.inf
    for path in reversed(files):
        words = path.read_text(encoding="ascii").split()
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(words[0]))
        signs_from, former_until = (float(w) for w in words[1:]) if len(words) == 3 else (0.0, math.inf)
        found.append(SigningKey(_key_id(use, private), signs_from, ends, private))
        ends = min(ends, former_until)
    return found[::-1]


def counting(keys: list[SigningKey], now: float) -> list[SigningKey]:
    """Those by which signatures are verified at an instant; the one that signs is the last."""
    signs = signing(keys, now)
    return [*(k for k in keys if k.counts_until > now and k is not signs), signs]


def signing(keys: list[SigningKey], now: float) -> SigningKey:
    """The one that signs at an instant: the newest whose time has come."""
    alive = [k for k in keys if k.counts_until > now]
    return next((k for k in reversed(alive) if k.signs_from <= now), alive[0])


def rotate(settings: Settings, use: Use, now: float, keep_s: float) -> SigningKey:
    """Have a new key follow; those whose time is over are removed.

    Args:
        settings: whose keys.
        use: what it signs.
        now: seconds since 1970.
        keep_s: how long what the former one signed is verified once this one signs; 0 = this one signs at once, and nothing of the former counts.
    """
    known = held(settings, use)
    files = _files(settings, use)
    for path, key in zip(files, known, strict=True):
        if key.counts_until <= now:
            path.unlink()
    signs_from = now + PUBLISHED_S if keep_s else now
    _write(settings, use, int(files[-1].name.split("-")[0]) + 1, signs_from, signs_from + keep_s)
    return held(settings, use)[-1]


def _files(settings: Settings, use: Use) -> list[Path]:
    folder = settings.secrets_dir / _FOLDERS[use]
    former = settings.secrets_dir / _FORMER_DCI
    if use is Use.DCI and former.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):  # another program was first
            former.rename(folder / "000000-former.key")
    return sorted(folder.glob("*.key"))


def _key_id(use: Use, private: Ed25519PrivateKey) -> str:
    return f"{use}-{hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest()[:8]}"


def _write(settings: Settings, use: Use, number: int, signs_from: float, former_until: float) -> None:
    """Put a key down as a whole: its private half, from when it signs, until when the keys before it count."""
    folder = settings.secrets_dir / _FOLDERS[use]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = secrets.token_hex(32)
    path = folder / f"{number:06d}-{secrets.token_hex(4)}.key"
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(f"{private} {signs_from!r} {former_until!r}\n", encoding="ascii")
    draft.replace(path)
