"""Access tokens (RFC 6749 client credentials, RFC 9068 in form): signed, short-lived, for this service alone."""

import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from hub.settings import Settings
from sharing import signing_keys
from sharing.signing_keys import SigningKey, Use

LIFETIME_S = 300
ALGORITHM = "Ed25519"
_LEEWAY_S = 5
_KEPT = 4096
_LOOK_S = 2.0  # after which it is looked whether keys were rotated


@dataclass(frozen=True)
class Caller:
    """Who a token was given to.

    Attributes:
        generation: of the client when it was given; an earlier one is refused.
        purposes: it may name; None = all its department has.
        certificate: thumbprint of the certificate the token is bound to; None = it is good by itself.
    """

    client_id: str
    department: str
    generation: int
    purposes: frozenset[str] | None
    expires_at: float
    certificate: str | None = None


class Tokens:
    """Gives and reads tokens."""

    def __init__(self, settings: Settings, audience: str) -> None:
        self._settings = settings
        self.audience = audience
        self._read: OrderedDict[str, Caller] = OrderedDict()
        self._held: list[SigningKey] = []
        self._usable: dict[str, OKPKey] = {}
        self._looked_at = 0.0
        self.reload()

    def reload(self) -> None:
        """Take up keys that were rotated meanwhile, here or by another program."""
        self._looked_at = time.time()
        held = signing_keys.held(self._settings, Use.TOKENS)
        if [(k.key_id, k.counts_until) for k in held] == [(k.key_id, k.counts_until) for k in self._held]:
            return
        self._held = held
        self._usable = {key.key_id: _usable(key) for key in held}
        self._read.clear()

    def _counting(self) -> list[SigningKey]:
        self._follow()
        return signing_keys.counting(self._held, time.time())

    def _follow(self) -> None:
        if abs(time.time() - self._looked_at) >= _LOOK_S:
            self.reload()

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [key.jwk for key in self._counting()]}

    def give(
        self, client_id: str, department: str, generation: int, purposes: frozenset[str] | None, certificate: str | None = None
    ) -> str:
        """A token for a client; bound to a certificate, where a thumbprint is given (RFC 8705)."""
        now = int(time.time())
        key = self._counting()[-1]
        claims: dict[str, Any] = {
            "iss": self.audience, "aud": self.audience, "sub": client_id, "client_id": client_id, "iat": now, "exp": now + LIFETIME_S,
            "jti": str(uuid.uuid4()), "department": department, "generation": generation,
        }  # fmt: skip
        if purposes is not None:
            claims["scope"] = " ".join(sorted(purposes))
        if certificate is not None:
            claims["cnf"] = {"x5t#S256": certificate}
        return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key.key_id}, claims, self._usable[key.key_id], algorithms=[ALGORITHM])

    def caller(self, token: str) -> Caller | None:
        """Whom a token was given to; None if it is none of ours, for another audience, or has run out."""
        self._follow()
        now = time.time()
        known = self._read.get(token)
        if known is None:
            known = self._verified(token)
            if known is None:
                return None
            self._read[token] = known
            if len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return known if now < known.expires_at + _LEEWAY_S else None

    def _verified(self, token: str) -> Caller | None:
        if len(token) > 4096:
            return None
        try:
            read = jwt.decode(token, KeySet([self._usable[k.key_id] for k in self._counting()]), algorithms=[ALGORITHM])
            claims = read.claims
            if read.header.get("typ") != "at+jwt" or claims["aud"] != self.audience or claims["iss"] != self.audience:
                return None
            scope = claims.get("scope")
            purposes = None if scope is None else frozenset(scope.split())
            bound = claims.get("cnf", {}).get("x5t#S256")
            return Caller(claims["sub"], claims["department"], int(claims["generation"]), purposes, float(claims["exp"]), bound)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _usable(key: SigningKey) -> OKPKey:
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return OKPKey.import_key(pem, {"kid": key.key_id, "use": "sig", "alg": ALGORITHM})


def asserted(assertion: str, client_id: str, public_keys: Any, audience: set[str]) -> tuple[str, float] | None:
    """Id and end of a client's signed assertion (RFC 7523 private_key_jwt); None if it is not good now.

    Args:
        assertion: the JWT.
        client_id: who is said to have signed it.
        public_keys: the client's JSON Web Key Set.
        audience: what this service may be called in it.
    """
    try:
        key_set = KeySet.import_key_set(public_keys)
        claims = jwt.decode(assertion, key_set, algorithms=["Ed25519", "EdDSA", "ES256", "PS256"]).claims
        now = time.time()
        named = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        ends = float(claims["exp"])
        if claims["iss"] != client_id or claims["sub"] != client_id or not audience & set(named):
            return None
        if not now - _LEEWAY_S < ends <= now + 600 or float(claims.get("nbf", 0)) > now + _LEEWAY_S:
            return None
        jti = str(claims["jti"])
        return (jti, ends) if 0 < len(jti) <= 200 else None
    except (JoseError, ValueError, KeyError, TypeError):
        return None
