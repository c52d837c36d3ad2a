"""The service's own keys that are kept for good, in the home folder's `secrets/`: what signs tree heads, what hides persons in the log."""

import hashlib
import hmac

from hub.crypto_suite import SigningKey, Suite, SuiteName
from hub.settings import Settings

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
