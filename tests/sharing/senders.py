"""A sender of DCI messages, written from the profile in docs/dci.md, apart from the product's code."""

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.sharing.conftest import Asker, Pool
from warehouse import senders

HUB = "assistance-hub"


def now() -> str:
    return datetime.now(UTC).isoformat()


def lines(created: int, expires: int, covered: bytes) -> bytes:
    digest = base64.b64encode(hashlib.sha256(covered).digest()).decode()
    return f"(created): {created}\n(expires): {expires}\ndigest: SHA-256={digest}".encode()


@dataclass
class Sender:
    """One registered sender."""

    asker: Asker
    sender_id: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def jwks(self) -> dict[str, Any]:
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1", "use": "sig", "alg": "Ed25519"}]}

    def header(self, action: str, count: int = 1, **changed: Any) -> dict[str, Any]:
        return {
            "version": "1.0.0", "message_id": str(uuid4()), "message_ts": now(), "action": action, "sender_id": self.sender_id,
            "receiver_id": HUB, "total_count": count, **changed,
        }  # fmt: skip

    def signature(self, header: str, message: str, *, at: float | None = None, lifetime_s: int = 60, **changed: str) -> str:
        created = int(time.time() if at is None else at)
        value = self.key.sign(lines(created, created + lifetime_s, f'{{"header":{header},"message":{message}}}'.encode()))
        parts = {
            "namespace": "dci", "kidId": f"{self.sender_id}|k1|ed25519", "algorithm": "ed25519", "created": str(created),
            "expires": str(created + lifetime_s), "headers": "(created) (expires) digest", "signature": base64.b64encode(value).decode(), **changed,
        }  # fmt: skip
        return "Signature: " + ", ".join(f'{name}="{part}"' for name, part in parts.items())

    def body(self, header: dict[str, Any], message: Any, **how: Any) -> bytes:
        """A signed body, written as a sender may: with space, and not in ASCII."""
        top, inner = (json.dumps(part, ensure_ascii=False, indent=how.get("indent")) for part in (header, message))
        how.pop("indent", None)
        return f'{{"signature": {json.dumps(self.signature(top, inner, **how))},\n "header": {top}, "message": {inner}}}'.encode()

    def send(self, path: str, body: bytes, **headers: str) -> Any:
        return self.asker.http.post(path, content=body, headers={**self.asker.headers, "Content-Type": "application/json", **headers})

    def ask(self, path: str, action: str, message: Any, count: int = 1, *, changed: dict[str, Any] | None = None, **how: Any) -> Any:
        return self.send(path, self.body({**self.header(action, count), **(changed or {})}, message, **how))

    def search(self, *criteria: dict[str, Any], path: str = "/registry/sync/search", **how: Any) -> Any:
        return self.ask(path, "search", searches(*criteria), len(criteria), **how)

    def records(self, *criteria: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Records found by each search, all of which must have been answered."""
        answer = self.search(*criteria)
        assert answer.status_code == 200, answer.text
        found = answer.json()["message"]["search_response"]
        assert [f["status"] for f in found] == ["succ"] * len(criteria), answer.text
        return [f["data"]["reg_records"] for f in found]


def searches(*criteria: dict[str, Any]) -> dict[str, Any]:
    items = [{"reference_id": f"row-{n}", "timestamp": now(), "search_criteria": c} for n, c in enumerate(criteria)]
    return {"transaction_id": str(uuid4()), "search_request": items}


def by_id(kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {"query_type": "idtype-value", "query": {"type": kind, "value": value}, **more}


def authorised(code: str) -> dict[str, Any]:
    return {"purpose": {"code": code, "text": "test"}}


def register(pool: Pool, asker: Asker, sender_id: str, **how: Any) -> Sender:
    """A client registered as a sender."""
    made = Sender(asker, sender_id)
    values = {"address": None, "purpose": None, "public_keys": made.jwks, "may_leave_unsigned": False, **how}
    with pool.engine.begin() as connection:
        senders.register(connection, asker.client_id, sender_id, **values)
    return made


def is_the_hubs(http: Any, body: bytes) -> bool:
    """Whether a message is signed by the hub, by the keys it publishes, over the very bytes."""
    text = body.decode()
    found = json.loads(text)
    parts = dict(part.split("=", 1) for part in found["signature"].removeprefix("Signature: ").split(", "))
    parts = {name: part.strip('"') for name, part in parts.items()}
    sender, kid, algorithm = parts["kidId"].split("|")
    (jwk,) = (k for k in http.get("/.well-known/jwks.json").json()["keys"] if k["kid"] == kid)
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "=="))
    covered = "{" + text[text.index('"header":') :]
    key.verify(base64.b64decode(parts["signature"]), lines(int(parts["created"]), int(parts["expires"]), covered.encode()))
    return (sender, algorithm) == (HUB, "ed25519") and int(parts["created"]) <= time.time() < int(parts["expires"])
