"""Which cryptography the hub works with: the international algorithms, or China's commercial ones (商用密码).

A suite names three things: how what is at rest is sealed, what the log's tree and commitments hash with, what signs tree heads.

=============  =====================  =======  =========================================
suite          sealing                digest   signature
=============  =====================  =======  =========================================
international  AES-256-GCM            SHA-256  Ed25519 (RFC 8032)
sm             SM4-GCM (GB/T 32907,   SM3      SM2 with SM3 (GB/T 32918.2, curve of
               mode as in RFC 8998)            GB/T 32918.5), signer 1234567812345678
=============  =====================  =======  =========================================

SM3 (GB/T 32905) and SM4 come from `cryptography`, SM2 from `gmssl-pyx`; neither is loaded before the suite is used.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from types import ModuleType
from typing import ClassVar, Final, Protocol, cast

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.errors import ConfigError
from hub.settings import Settings

SIGNER = b"1234567812345678"  # the signer's id where none is agreed (GM/T 0009)
_TAG_BYTES = 16


class SuiteName(StrEnum):
    """The suites by the value of ``HUB_CRYPTO_SUITE``."""

    INTERNATIONAL = "international"
    SM = "sm"


class Aead(Protocol):
    """Encryption that also proves that nothing was changed."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Sealed bytes, the tag behind them. A nonce must never be used twice with a key."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Plain bytes. Raises InvalidTag when they are not what was sealed."""


@dataclass(frozen=True)
class VerifyingKey(ABC):
    """The public half of a key that signs tree heads.

    Attributes:
        raw: the key's bytes.
        kind: what stands before them in the key line of a signed note, and says the algorithm (C2SP signed-note, signature types).
        suite: of the log whose heads it signs.
    """

    raw: bytes
    kind: ClassVar[bytes]
    suite: ClassVar[SuiteName]

    @abstractmethod
    def verifies(self, signature: bytes, text: bytes) -> bool:
        """Whether the key signed a text."""


@dataclass(frozen=True)
class SigningKey(ABC):
    """A key that signs tree heads; never shown."""

    secret: bytes = field(repr=False)

    @abstractmethod
    def sign(self, text: bytes) -> bytes:
        """The signature of a text, 64 bytes."""

    @abstractmethod
    def public_key(self) -> VerifyingKey:
        """Its public half."""


class Suite(ABC):
    """One suite.

    Attributes:
        name: as in the setting.
        magic: first 8 bytes of an object sealed under it.
    """

    name: ClassVar[SuiteName]
    magic: ClassVar[bytes]

    @staticmethod
    @abstractmethod
    def digest(data: bytes) -> bytes:
        """The 32-byte hash of data."""

    @abstractmethod
    def aead(self, key: bytes) -> Aead:
        """A cipher by a 32-byte key."""

    @abstractmethod
    def new_secret(self) -> bytes:
        """What a new signing key is made of."""

    @abstractmethod
    def signing_key(self, secret: bytes) -> SigningKey:
        """The key made of a secret.

        Raises:
            ConfigError: it is none of this suite.
        """


# -- international -------------------------------------------------------------------------------------------------------------------------
class Ed25519Verifying(VerifyingKey):
    """32 bytes (RFC 8032)."""

    kind = b"\x01"
    suite = SuiteName.INTERNATIONAL

    def verifies(self, signature: bytes, text: bytes) -> bool:
        """See :class:`VerifyingKey`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text)
        except InvalidSignature:
            return False
        return True


class Ed25519Signing(SigningKey):
    """A seed of 32 bytes."""

    def sign(self, text: bytes) -> bytes:
        """See :class:`SigningKey`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.secret).sign(text)

    def public_key(self) -> Ed25519Verifying:
        """See :class:`SigningKey`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519Verifying(Ed25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw())


class _International(Suite):
    name = SuiteName.INTERNATIONAL
    magic = b"HUBLAND1"

    @staticmethod
    def digest(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    def aead(self, key: bytes) -> Aead:
        return AESGCM(key)

    def new_secret(self) -> bytes:
        return os.urandom(32)

    def signing_key(self, secret: bytes) -> SigningKey:
        if len(secret) != 32:
            raise ConfigError("this is no Ed25519 key", where="the key that signs tree heads")
        return Ed25519Signing(secret)


# -- sm ------------------------------------------------------------------------------------------------------------------------------------
class _Sm4Gcm:
    """SM4-GCM with a key of 16 bytes, derived of 32 (HKDF with SM3, RFC 5869, as RFC 8998 derives its keys)."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.hashes import SM3
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        self._cipher, self._gcm = Cipher, modes.GCM
        self._algorithm = algorithms.SM4(HKDF(SM3(), 16, salt=None, info=b"assistance-hub SM4-GCM").derive(key))

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        sealing = self._cipher(self._algorithm, self._gcm(nonce)).encryptor()
        sealing.authenticate_additional_data(associated_data or b"")
        return sealing.update(data) + sealing.finalize() + sealing.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        if len(data) < _TAG_BYTES:
            raise InvalidTag
        opening = self._cipher(self._algorithm, self._gcm(nonce, data[-_TAG_BYTES:])).decryptor()
        opening.authenticate_additional_data(associated_data or b"")
        return opening.update(data[:-_TAG_BYTES]) + opening.finalize()


class Sm2Verifying(VerifyingKey):
    """64 bytes: the point's x and y. A signature is r and s, 32 bytes each."""

    kind = b"\xffassistance-hub/sm2-with-sm3\n"
    suite = SuiteName.SM

    def verifies(self, signature: bytes, text: bytes) -> bool:
        """See :class:`VerifyingKey`."""
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        gmssl_pyx = _gmssl()
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            point = gmssl_pyx.normalize_sm2_public_key(self.raw)
            return bool(gmssl_pyx.sm2_verify(point, text, encode_dss_signature(r, s), SIGNER))
        except gmssl_pyx.GmsslInnerError:
            return False


class Sm2Signing(SigningKey):
    """96 bytes: the private key and its point, which the library does not compute of it."""

    def sign(self, text: bytes) -> bytes:
        """See :class:`SigningKey`."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        r, s = decode_dss_signature(_gmssl().sm2_sign(self.secret[:32], self.secret[32:], text, SIGNER))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def public_key(self) -> Sm2Verifying:
        """See :class:`SigningKey`."""
        return Sm2Verifying(self.secret[32:])


class _Sm(Suite):
    name = SuiteName.SM
    magic = b"HUBLSM41"

    @staticmethod
    def digest(data: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SM3, Hash

        hashed = Hash(SM3())
        hashed.update(data)
        return hashed.finalize()

    def aead(self, key: bytes) -> Aead:
        return _Sm4Gcm(key)

    def new_secret(self) -> bytes:
        public, private = _gmssl().sm2_key_generate()
        return bytes(private + public)

    def signing_key(self, secret: bytes) -> SigningKey:
        if len(secret) != 96:
            raise ConfigError("this is no SM2 key", where="the key that signs tree heads")
        return Sm2Signing(secret)


def _gmssl() -> ModuleType:
    try:
        import gmssl_pyx
    except ImportError:
        raise ConfigError(
            "signatures by SM2 need the package gmssl-pyx", where="HUB_CRYPTO_SUITE", next_step="install it, or leave the setting out"
        ) from None
    return cast(ModuleType, gmssl_pyx)


INTERNATIONAL: Final[Suite] = _International()
SM: Final[Suite] = _Sm()


def named(name: str) -> Suite:
    """The suite of a name. Raises ValueError when there is none."""
    return SM if SuiteName(name) is SuiteName.SM else INTERNATIONAL


def chosen(settings: Settings) -> Suite:
    """The suite that ``HUB_CRYPTO_SUITE`` names: what is sealed from now on, and what a new log begins with."""
    return named(settings.crypto_suite)
