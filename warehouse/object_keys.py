"""The keys of landed objects: one each, made of the landing key and a salt that is kept here alone.

Destroying the salt destroys the key, and with it every copy of the object: in the store, on its replicas, in whatever versions a store keeps.
"""

import hashlib
import os

import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SALT_BYTES = 32


def new_salt() -> bytes:
    """The salt of an object that is to be made."""
    return os.urandom(_SALT_BYTES)


def tag(salt: bytes) -> str:
    """What an object's name tells of its key, so that the same content under two keys is two objects: 8 hex digits."""
    return hashlib.sha256(salt).hexdigest()[:8]


def derived(landing_key: bytes, salt: bytes) -> bytes:
    """The 32-byte key of an object (HKDF, RFC 5869)."""
    return HKDF(hashes.SHA256(), 32, salt=salt, info=b"assistance-hub landing object").derive(landing_key)


def salt(connection: sa.Connection, name: str) -> bytes | None:
    """The salt of an object; None = it was destroyed, or the object is from before there were any and sealed with the landing key."""
    found = connection.scalar(sa.text("SELECT salt FROM landing.object_key WHERE object = :name"), {"name": name})
    return None if found is None else bytes(found)


def salts(connection: sa.Connection) -> dict[str, bytes]:
    """The salts of all objects by name."""
    return {row.object: bytes(row.salt) for row in connection.execute(sa.text("SELECT object, salt FROM landing.object_key"))}


def of_content(connection: sa.Connection, sha256: str) -> list[str]:
    """Names of the objects of a content that can be opened."""
    query = "SELECT object FROM landing.object_key WHERE starts_with(object, :head) ORDER BY object"
    return list(connection.scalars(sa.text(query), {"head": f"{sha256[:2]}/{sha256}-"}))


def keep(connection: sa.Connection, name: str, value: bytes) -> None:
    """Write down the salt of an object; does nothing where it stands."""
    connection.execute(
        sa.text("INSERT INTO landing.object_key VALUES (:name, :salt) ON CONFLICT (object) DO NOTHING"), {"name": name, "salt": value}
    )


def destroy(connection: sa.Connection, name: str) -> None:
    """Forget the salt of an object for good."""
    connection.execute(sa.text("DELETE FROM landing.object_key WHERE object = :name"), {"name": name})
