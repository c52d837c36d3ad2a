"""Landing: what an agency sent, byte for byte, immutable, addressed by content, compressed, sealed.

An object is the sequence of an agency's parts (pages or files). Plain layout: per part a 2-byte name length and name, then
chunks of 4-byte length and bytes, ended by a zero length; SHA-256 is taken over that, Zstandard and :mod:`warehouse.vault` around it.

Each object has a key of its own (:mod:`warehouse.object_keys`). What the law wants erased is erased by destroying that: the object is put down anew
without it, as *retained* rows, and of the former one no copy anywhere can be opened any more.
"""

import contextlib
import hashlib
import io
import json
import struct
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import sqlalchemy as sa
import zstandard

from hub.crypto_suite import Suite, chosen
from hub.errors import ConfigError
from hub.settings import Settings
from warehouse import database, object_keys, vault

_NAMESPACE = uuid.UUID("6f8d1c1e-6b0a-5d0e-9a55-9b1f2c9f5a10")


@dataclass(frozen=True)
class Spooled:
    """A delivery as fetched, not yet landed.

    Attributes:
        sha256: over the plain object, hex.
        parts: number of pages or files.
        raw_bytes: of all parts, as sent.
        declared_rows: rows the agency said it sent; None when it does not say.
    """

    sha256: str
    parts: int
    raw_bytes: int
    stored_bytes: int
    scope: str
    as_of_date: date
    since_date: date | None
    declared_rows: int | None


@dataclass(frozen=True)
class Delivery:
    """One landed delivery: a row of ``landing.delivery``.

    Attributes:
        is_retained: whether the object holds rows without what was erased, in the hub's own format.
    """

    delivery_id: str
    stem: str
    scope: str
    business_date: date
    as_of_date: date
    sha256: str
    object: str
    parts: int
    raw_bytes: int
    stored_bytes: int
    declared_rows: int | None
    contract_version: str
    is_retained: bool = False


def seal(path: Path, key: bytes, suite: Suite, parts: Iterable[tuple[str, Iterable[bytes]]]) -> tuple[str, int, int, int]:
    """Write parts into a sealed file as they come.

    Returns:
        SHA-256 of the plain object, number of parts, raw bytes, stored bytes.
    """
    digest, n_parts, raw = hashlib.sha256(), 0, 0
    with path.open("wb") as target:
        sealer = vault.Sealer(target, key, suite)
        compressor = zstandard.ZstdCompressor(level=3).compressobj()

        def put(data: bytes) -> None:
            digest.update(data)
            sealer.write(compressor.compress(data))

        for name, chunks in parts:
            encoded = name.encode()
            put(struct.pack(">H", len(encoded)) + encoded)
            for chunk in chunks:
                if chunk:
                    put(struct.pack(">I", len(chunk)))
                    put(bytes(chunk))
                    raw += len(chunk)
            put(struct.pack(">I", 0))
            n_parts += 1
        sealer.write(compressor.flush())
        sealer.close()
    return digest.hexdigest(), n_parts, raw, sealer.bytes_written


class Spool:
    """The local place of one source and night where a fetch writes, sealed from the first byte.

    Each run has files of its own there, named by its number: one that was frozen and wakes writes into its own, and what counts is the newest run's.
    """

    def __init__(self, settings: Settings, stem: str, business_date: date, number: int = 0) -> None:
        self._landing_key, self._suite = settings.landing_key_bytes(), chosen(settings)
        self._folder, self._stem = settings.home / "spool", f"{stem}-{business_date}"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._number = number
        self.salt = object_keys.new_salt()

    @property
    def path(self) -> Path:
        """The sealed bytes."""
        return self._folder / f"{self._stem}.{self._number}.sealed"

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".json")

    def _runs(self) -> list[int]:
        """Numbers of the runs that left something, the newest last."""
        return sorted({int(path.suffixes[-2][1:]) for path in self._folder.glob(f"{self._stem}.*.*")})

    def write(self, parts: Iterable[tuple[str, Iterable[bytes]]]) -> tuple[str, int, int, int]:
        """Write parts as they come, under a new key; nothing of a former try is kept. Returns what :func:`seal` does."""
        self.clear()
        return seal(self.path, object_keys.derived(self._landing_key, self.salt), self._suite, parts)

    def finish(self, spooled: Spooled) -> None:
        """Mark the fetch as whole."""
        note = self._note.with_suffix(".draft")
        note.write_text(json.dumps({**asdict(spooled), "salt": self.salt.hex()}, default=str), encoding="utf-8")
        note.replace(self._note)

    def read(self) -> Spooled | None:
        """What the newest run fetched, whose files these are from now on; None when no fetch has come to its end."""
        self._number = self._runs()[-1] if self._runs() else self._number
        if not self._note.exists() or not self.path.exists():
            return None
        note: dict[str, Any] = json.loads(self._note.read_text(encoding="utf-8"))
        if "salt" not in note:  # fetched by a version that knew no key but one: fetched again
            return None
        self.salt = bytes.fromhex(note.pop("salt"))
        note["as_of_date"] = date.fromisoformat(note["as_of_date"])
        note["since_date"] = date.fromisoformat(note["since_date"]) if note["since_date"] else None
        return Spooled(**note)

    def clear(self) -> None:
        """Forget the fetch, and those of former runs."""
        for number in self._runs():
            if number <= self._number:
                for ending in ("json", "draft", "sealed"):
                    (self._folder / f"{self._stem}.{number}.{ending}").unlink(missing_ok=True)


class Store:
    """The landing store: a local folder or any fsspec file system; objects are written once and never changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._landing_key = settings.landing_key_bytes()
        address = settings.landing_url or str((settings.home / "landing").resolve())
        try:
            self._files, self._root = fsspec.core.url_to_fs(address)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"no such landing store: {error}", where="HUB_LANDING_URL") from None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def put(self, sha256: str, source: Path, salt: bytes) -> str:
        """Take a sealed file under its content's hash; does nothing when an object of that content is there. Returns the object's name.

        Args:
            sha256: over the plain object, hex.
            source: the file.
            salt: of the key it is sealed with.
        """
        with database.engine(self._settings).begin() as connection:
            known = object_keys.of_content(connection, sha256)
            for there in (*known, f"{sha256[:2]}/{sha256}.sealed"):
                if self._files.exists(self._path(there)):
                    return there
            name = f"{sha256[:2]}/{sha256}-{object_keys.tag(salt)}.sealed"
            object_keys.keep(connection, name, salt)  # before the object: one without its key is of no use to anybody
        self._place(name, source)
        return name

    def put_back(self, name: str, source: Path) -> None:
        """Take an object from a backup, whose key is in the pool that is restored with it."""
        self._place(name, source)

    def _place(self, name: str, source: Path) -> None:
        self._files.makedirs(self._path(name[:2]), exist_ok=True)
        draft = self._path(f"{name[:2]}/.{Path(name).stem}.{uuid.uuid4().hex}")
        self._files.put_file(str(source), draft)
        self._files.mv(draft, self._path(name))

    def leave(self, name: str) -> None:
        """Take out an object this run put down and was not let enter as a delivery's; does nothing when another run's delivery has it by now."""
        with database.engine(self._settings).connect() as connection:
            if connection.scalar(sa.text("SELECT EXISTS (SELECT FROM landing.delivery WHERE object = :name)"), {"name": name}):
                return
        self.remove(name)

    def remove(self, name: str) -> None:
        """Take an object out whose key is destroyed; does nothing when it is not there."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def _key(self, name: str) -> bytes:
        with database.engine(self._settings).connect() as connection:
            salt = object_keys.salt(connection, name)
        return self._landing_key if salt is None else object_keys.derived(self._landing_key, salt)

    @contextlib.contextmanager
    def sealed(self, name: str) -> Iterator[BinaryIO]:
        """An object as it lies in the store.

        Raises:
            VaultDamaged: it is missing.
        """
        try:
            source = self._files.open(self._path(name), "rb")
        except FileNotFoundError:
            raise vault.VaultDamaged("the object is missing from the landing store", where=_where(name)) from None
        with contextlib.closing(source):
            yield source

    def parts(self, name: str) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The agency's parts of an object, streamed; each part must be read to its end before the next.

        Raises:
            VaultDamaged: the object is not whole.
        """
        with self.sealed(name) as source:
            reader = _Reader(vault.unseal(source, self._key(name), where=_where(name)))
            while head := reader.take(2, may_end=True):
                yield reader.take(struct.unpack(">H", head)[0]).decode(), _chunks(reader)


def _where(name: str) -> str:
    return f"landing object {name[:11]}…"


def check(source: BinaryIO, name: str, key: bytes) -> None:
    """Whether a sealed object is whole and is what its name says.

    Args:
        source: the object, at its beginning.
        name: of the object: begins with its content's SHA-256.
        key: 32 bytes.

    Raises:
        VaultDamaged: it is not.
    """
    digest, decompressor = hashlib.sha256(), zstandard.ZstdDecompressor().decompressobj()
    for chunk in vault.unseal(source, key, where=_where(name)):
        digest.update(decompressor.decompress(chunk))
    if digest.hexdigest() != Path(name).stem.partition("-")[0]:
        raise vault.VaultDamaged("the object is not what its name says", where=_where(name))


def _chunks(reader: "_Reader") -> Iterator[bytes]:
    while size := struct.unpack(">I", reader.take(4))[0]:
        yield reader.take(size)


class _Reader:
    """Plain bytes of an object, as many as asked for."""

    def __init__(self, sealed: Iterator[bytes]) -> None:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        self._plain = (decompressor.decompress(chunk) for chunk in sealed)
        self._buffer = io.BytesIO()

    def take(self, size: int, *, may_end: bool = False) -> bytes:
        found = self._buffer.read(size)
        while len(found) < size:
            more = next(self._plain, None)
            if more is None:
                if may_end and not found:
                    return b""
                raise vault.VaultDamaged("the object ends too early")
            self._buffer = io.BytesIO(more)
            found += self._buffer.read(size - len(found))
        return found


def delivery_id(stem: str, spooled: Spooled) -> str:
    """Id of a delivery: a pure function of source, scope, as-of date, content and the number of rows stated with it."""
    return str(uuid.uuid5(_NAMESPACE, f"{stem}|{spooled.scope}|{spooled.as_of_date}|{spooled.sha256}|{spooled.declared_rows}"))


def record_delivery(connection: sa.Connection, stem: str, business_date: date, spooled: Spooled, name: str, contract_version: str) -> str:
    """Write the delivery's row; its business date is the first night it was landed for. Returns its id."""
    key = delivery_id(stem, spooled)
    connection.execute(
        sa.text(
            "INSERT INTO landing.delivery (delivery_id, stem, scope, business_date, as_of_date, since_date, sha256, object, parts,"
            " raw_bytes, stored_bytes, declared_rows, contract_version) VALUES (:key, :stem, :scope, :business_date, :as_of_date,"
            " :since_date, :sha256, :object, :parts, :raw_bytes, :stored_bytes, :declared_rows, :contract_version)"
            " ON CONFLICT (delivery_id) DO UPDATE SET business_date = excluded.business_date"
            " WHERE excluded.business_date < delivery.business_date"
        ),
        {
            **asdict(spooled), "key": key, "stem": stem, "business_date": business_date, "object": name,
            "contract_version": contract_version,
        },
    )  # fmt: skip
    return key


def retain(connection: sa.Connection, delivery_id: str, name: str, stored_bytes: int) -> str | None:
    """Let a delivery's object be another one, of retained rows; the key of the former one is destroyed unless another delivery has it as well.

    Returns:
        The former object's name, to be taken out of the store once this is committed; None = it stays.
    """
    values = {"id": delivery_id, "name": name, "stored": stored_bytes}
    former = str(connection.scalar(sa.text("SELECT object FROM landing.delivery WHERE delivery_id = CAST(:id AS uuid) FOR UPDATE"), values))
    connection.execute(
        sa.text(
            "UPDATE landing.delivery SET object = :name, stored_bytes = :stored, retained_at = now(), holds_erased = false WHERE delivery_id = CAST(:id AS uuid)"
        ),
        values,
    )
    return former if discard_unused(connection, former) else None


def mark_holding_erased(connection: sa.Connection, delivery_id: str) -> None:
    """Note that a delivery's object holds something of an erased person: it is to be retained without."""
    connection.execute(
        sa.text("UPDATE landing.delivery SET holds_erased = true WHERE delivery_id = CAST(:id AS uuid)"), {"id": delivery_id}
    )


def discard_unused(connection: sa.Connection, name: str) -> bool:
    """Destroy the key of an object that is no delivery's; whether it was so. The object itself is taken out once this is committed."""
    if connection.scalar(sa.text("SELECT EXISTS (SELECT FROM landing.delivery WHERE object = :name)"), {"name": name}):
        return False
    object_keys.destroy(connection, name)
    return True


def deliveries(connection: sa.Connection, *, stem: str | None = None, delivery: str | None = None) -> list[Delivery]:
    """Landed deliveries, newest first.

    Args:
        connection: an open connection.
        stem: only of this source.
        delivery: only this one; its id or the beginning of it.
    """
    rows = connection.execute(
        sa.text(
            "SELECT delivery_id::text, stem, scope, business_date, as_of_date, sha256, object, parts, raw_bytes, stored_bytes,"
            " declared_rows, contract_version, retained_at IS NOT NULL AS is_retained FROM landing.delivery"
            " WHERE (CAST(:stem AS text) IS NULL OR stem = :stem)"
            " AND (CAST(:delivery AS text) IS NULL OR starts_with(delivery_id::text, :delivery))"
            " ORDER BY business_date DESC, stem"
        ),
        {"stem": stem, "delivery": delivery},
    )
    return [Delivery(**row._mapping) for row in rows]


def store_report(connection: sa.Connection, delivery: str, verdict: dict[str, Any]) -> None:
    """Keep the gate's report of a delivery; the newest replaces the former."""
    connection.execute(
        sa.text(
            "INSERT INTO landing.report VALUES (:delivery, CAST(:verdict AS jsonb))"
            " ON CONFLICT (delivery_id) DO UPDATE SET verdict = excluded.verdict"
        ),
        {"delivery": delivery, "verdict": json.dumps(verdict, ensure_ascii=False, default=str)},
    )


def load_report(connection: sa.Connection, delivery: str) -> dict[str, Any] | None:
    """The gate's report of a delivery; None when the gate has not seen it."""
    found: dict[str, Any] | None = connection.scalar(
        sa.text("SELECT verdict FROM landing.report WHERE delivery_id = :delivery"), {"delivery": delivery}
    )
    return found
