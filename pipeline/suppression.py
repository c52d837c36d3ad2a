"""Keeping out what was erased by law: rows and fields about an erased person are known by keyed hashes, in text as an agency sends it.

Nothing but hashes is kept of whom they are about, and the key is a secret of the hub; to be forgotten is to be unguessable as well.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import sqlalchemy as sa

from hub.settings import Settings
from identity.normalise import normalise
from schemas.contract import Contract
from warehouse import erasures
from warehouse.erasures import Mark

# A column no agency can have: true where a retained row is what is left of an erased one.
ERASED = "\x1ferased"
_GUARDIAN = "guardian."
_SEPARATOR = "\x1f"


def _marked(key: bytes, kind: str, *parts: str) -> bytes:
    return hmac.digest(key, _SEPARATOR.join((kind, *parts)).encode(), "sha256")


@dataclass(frozen=True)
class Suppression:
    """What is to be kept out of the deliveries of all sources."""

    key: bytes
    marks: tuple[Mark, ...]

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str | None], frozenset[bytes]]:
        found: dict[tuple[str, str | None], set[bytes]] = {}
        for mark in self.marks:
            found.setdefault((mark.kind, mark.stem), set()).add(mark.mark)
        return {kind: frozenset(of) for kind, of in found.items()}

    def of_key(self, stem: str, record_key: str) -> Mark:
        """The mark of a record's key."""
        return Mark("key", stem, _marked(self.key, "key", stem, record_key))

    def of_person(self, id_key: str, name_key: str | None) -> tuple[Mark, ...]:
        """The marks of a person as identity compares it."""
        number = Mark("number", None, _marked(self.key, "number", id_key))
        return (number,) if name_key is None else (number, Mark("person", None, _marked(self.key, "person", id_key, name_key)))

    def check(self, erasure_id: str) -> Mark:
        """The mark by which it is seen whether an erasure's marks were made with this key."""
        return Mark("check", None, _marked(self.key, "check", erasure_id))

    def rows(self, stem: str, record_keys: pl.Series) -> pl.Series:
        """Which rows are of erased records; ``record_keys`` are texts, null where none can be read."""
        wanted = self._by_kind.get(("key", stem))
        if not wanted:
            return pl.repeat(False, record_keys.len(), dtype=pl.Boolean, eager=True)
        return pl.Series([k is not None and _marked(self.key, "key", stem, k) in wanted for k in record_keys], dtype=pl.Boolean)

    def persons(self, resident_ids: pl.Series, names: pl.Series) -> pl.Series:
        """Which rows show number and name of an erased person; both as sent, null where there is none."""
        wanted = self._by_kind.get(("person", None), frozenset())
        keys = normalise(pl.DataFrame({"person.resident_id": resident_ids, "person.name": names}))
        pairs = zip(keys["_id_key"], keys["_name_key"], strict=True)
        return pl.Series([None not in p and _marked(self.key, "person", *p) in wanted for p in pairs], dtype=pl.Boolean)

    def guardians(self, contract: Contract, text: pl.DataFrame) -> pl.Series | None:
        """In which rows an erased person is named as guardian; None where the source tells no guardian's number.

        Args:
            contract: of the source.
            text: its fields by name, as text.
        """
        number, wanted = contract.by_concept(f"{_GUARDIAN}resident_id"), self._by_kind.get(("number", None))
        if number is None or not wanted:
            return None
        keys = normalise(pl.DataFrame({"person.resident_id": text[number.name]}))["_id_key"]
        return pl.Series([k is not None and _marked(self.key, "number", k) in wanted for k in keys], dtype=pl.Boolean)


def guardian_fields(contract: Contract) -> tuple[str, ...]:
    """Names of a source's fields about the guardian of the person a row is about."""
    return tuple(f.name for f in contract.fields if f.concept and f.concept.startswith(_GUARDIAN))


def secret(settings: Settings) -> bytes:
    """The key of all marks. Lost, nobody who was erased is known again."""
    return bytes.fromhex(settings.secret(erasures.SECRET))


def in_force(settings: Settings, connection: sa.Connection) -> Suppression | None:
    """What is kept out now; None = nobody was erased."""
    marks = erasures.marks(connection)
    return Suppression(secret(settings), tuple(marks)) if marks else None


def over(settings: Settings, marks: Iterable[Mark]) -> Suppression:
    """What some marks keep out."""
    return Suppression(secret(settings), tuple(marks))


def without(text: pl.DataFrame, columns: Sequence[str], rows: pl.Series) -> pl.DataFrame:
    """A table with some columns empty in some rows."""
    return text.with_columns(pl.when(~rows).then(pl.col(c)).alias(c) for c in columns)
