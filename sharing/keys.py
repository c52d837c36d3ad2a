"""The service's own keys, in the home folder's `secrets/`: what signs tokens, what signs tree heads, what hides persons in the log."""

import hashlib
import hmac
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import KeySet, OKPKey

from hub.crypto_suite import SigningKey, Suite, SuiteName
from hub.settings import Settings

_FOLDER = "token_keys"
_KEPT = 2  # the key that signs and the one before it, whose tokens may not have run out


def _token_files(settings: Settings) -> list[Path]:
    return sorted((settings.secrets_dir / _FOLDER).glob("*.key"))


def rotate_token_key(settings: Settings) -> str:
    """Make a new key that signs tokens from now on; the one before still verifies, older ones are removed. Its id."""
    folder = settings.secrets_dir / _FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = _token_files(settings)
    number = int(files[-1].stem.split("-")[0]) + 1 if files else 1
    path = folder / f"{number:06d}-{secrets.token_hex(4)}.key"
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32), encoding="ascii")
    for old in _token_files(settings)[:-_KEPT]:
        old.unlink()
    return path.stem


def token_keys(settings: Settings) -> KeySet:
    """The keys tokens are verified by; the last one signs. Made at the first use."""
    if not _token_files(settings):
        rotate_token_key(settings)
    found = []
    for path in _token_files(settings)[-_KEPT:]:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii")))
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        found.append(OKPKey.import_key(pem, {"kid": path.stem, "use": "sig", "alg": "Ed25519"}))
    return KeySet(list(found))


_HEAD_KEYS = {SuiteName.INTERNATIONAL: "audit_head.key", SuiteName.SM: "audit_head_sm2.key"}


def head_key(settings: Settings, suite: Suite) -> SigningKey:
    """The key that signs tree heads of a log of a suite. It is kept for good: witnesses know its public half.

    Raises:
        ConfigError: the file holds no key, or the suite needs a package that is not installed.
    """
    kept = settings.kept_secret(_HEAD_KEYS[suite.name], lambda: suite.new_secret().hex())
    return suite.signing_key(bytes.fromhex(kept))


def origin(settings: Settings) -> str:
    """Name of the log in its checkpoints."""
    return "assistance-hub/" + "".join(c if c.isalnum() or c in "-_." else "-" for c in settings.pool_id)


class Pseudonyms:
    """Keyed hashes by which the log names persons: whoever holds the key finds a person's entries, nobody reads a person from one."""

    def __init__(self, settings: Settings) -> None:
        self._key = bytes.fromhex(settings.secret("audit_subject.key"))

    def of(self, name: str) -> bytes:
        """Of an id or number."""
        return hmac.digest(self._key, name.encode(), hashlib.sha256)
