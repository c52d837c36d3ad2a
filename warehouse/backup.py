"""A backup: the warehouse as one snapshot saw it, the landed objects it names, and the hub's secrets, sealed under one key.

Layout of a backup place, which holds any number of backups::

    landing/ab/abc…-key.sealed    objects, as they lie in the landing store; shared by all backups of the place
    NAME/warehouse.sealed         pg_dump's custom format, sealed
    NAME/secrets.sealed           tar of `secrets/` and `sources/`, sealed
    NAME/object-keys.sealed       what the keys of its landed objects are made of, sealed
    NAME/manifest.json            what the backup holds, readable by anybody; no person's value
    NAME/manifest.hmac            SHA-256 HMAC of the manifest
    NAME/checkpoint               the newest signed head of the disclosure log, if there is one

A backup may be taken while a night runs: everything in it is of one snapshot. Landed objects are written before the row that
names them and never change, so those of the snapshot are there when it is taken.
"""

import contextlib
import fcntl
import hashlib
import hmac
import io
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import psycopg2.errors
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from hub.crypto_suite import chosen
from hub.errors import ConfigError, ServiceError
from hub.postgres import PROGRAMS
from hub.settings import Settings
from warehouse import database, disclosure, erasures, fences, fingerprint, landing, ledger, object_keys, vault

_EDITION = 1
_KEY_FILE = "backup.key"
# What belongs to one installation, not to the pool.
_LEFT_OUT = {"postgres.password", _KEY_FILE}
_PACKED = ("secrets", "sources")
_DUMP, _SECRETS, _OBJECT_KEYS = "warehouse.sealed", "secrets.sealed", "object-keys.sealed"
_MANIFEST, _PROOF = "manifest.json", "manifest.hmac"
HEAD = "checkpoint"
_CHUNK = 1 << 20
_SWAPS = 20
_DRAFT = ".draft-"
# Locked in a draft for as long as somebody is at work at it.
_AT_WORK = "at-work"


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes:
        edition: of the layout.
        name: of the backup, from the instant it was begun.
        taken_at: instant of the snapshot, UTC, ISO 8601.
        pool_id: salts the ids of persons; another pool's backup is refused.
        database: name of the database it was taken from.
        schema_version: newest migration applied.
        publication: how many publishes are in it.
        business_date: the newest night published; None = none.
        fingerprint: of the pool, as the warehouse kept it.
        rows: rows of each table.
        roles: roles of the server that rights are granted to.
        objects: landed objects by name, with their size in bytes.
        files: sealed files by name, with their SHA-256.
        erasures: everybody who was erased by law until then, so that an older backup of the place is not restored with them.
    """

    edition: int
    name: str
    taken_at: str
    pool_id: str
    database: str
    schema_version: str
    publication: int
    business_date: str | None
    fingerprint: str
    rows: dict[str, int]
    roles: list[str]
    objects: dict[str, int]
    files: dict[str, str]
    erasures: list[dict[str, Any]] = field(default_factory=list)


Told = Callable[[str], None]


def _quiet(_step: str) -> None:
    pass


def _derived(settings: Settings, use: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=f"assistance-hub backup {use}".encode()).derive(settings.backup_key_bytes())


def take(settings: Settings, place: Path, told: Told = _quiet) -> Manifest:
    """Back the pool up into a place; other backups there are left alone, and objects they share are not copied again.

    Args:
        settings: whose pool.
        place: folder; made if it is not there.
        told: is told each step.

    Raises:
        ConfigError: there is no pool to back up, or the place is a file.
        ServiceError: the disk is full, or a landed object is missing.
    """
    with _written(place), _room(place) as draft:
        with database.connected(database.engine(settings), isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
            if not connection.scalar(sa.text("SELECT to_regclass('ops.publication')")):
                raise ConfigError("there is no warehouse yet", next_step="run a night first")
            snapshot = str(connection.scalar(sa.text("SELECT pg_export_snapshot()")))
            told("warehouse")
            files = {_DUMP: _sealed(settings, draft / _DUMP, "warehouse", lambda out: _dump(settings, snapshot, out))}
            told("landing")
            objects = _objects(connection)
            _copy(landing.Store(settings), objects, place / "landing", draft)
            told("secrets")
            files[_SECRETS] = _sealed(settings, draft / _SECRETS, "secrets", lambda out: _pack(settings, out))
            salts = {name: salt.hex() for name, salt in object_keys.salts(connection).items() if name in objects}
            files[_OBJECT_KEYS] = _sealed(settings, draft / _OBJECT_KEYS, "object keys", lambda out: out.write(json.dumps(salts).encode()))
            found = _manifest(connection, settings, objects, files)
            head = connection.scalar(sa.text("SELECT checkpoint FROM audit.head ORDER BY size DESC, signed_at DESC LIMIT 1"))
        if head is not None:
            (draft / HEAD).write_text(str(head), encoding="utf-8")
        text = json.dumps(asdict(found), ensure_ascii=False, indent=1).encode()
        (draft / _MANIFEST).write_bytes(text)
        (draft / _PROOF).write_text(hmac.new(_derived(settings, "manifest"), text, "sha256").hexdigest(), encoding="ascii")
        (draft / _AT_WORK).unlink()
        draft.rename(place / found.name)
    return found


@contextlib.contextmanager
def _written(place: Path) -> Iterator[None]:
    """A disk that is full or a folder that is closed is told in one sentence."""
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"the backup cannot be written or read: {error.strerror}", where=str(place), next_step="free the disk, or choose another folder"
        ) from None


@contextlib.contextmanager
def _room(place: Path) -> Iterator[Path]:
    """A draft's folder; what was not finished is removed, and what others left who were killed."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    _clear(place)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=place))
    try:
        with (draft / _AT_WORK).open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _clear(place: Path) -> None:
    """Remove drafts at which nobody is at work: the lock of a process that was killed goes with it."""
    for draft in place.glob(f"{_DRAFT}*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), (draft / _AT_WORK).open("rb+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(draft, ignore_errors=True)


def _sealed(settings: Settings, path: Path, use: str, write: Callable[[Any], None]) -> str:
    """Write a sealed file; its SHA-256."""
    with path.open("wb") as target:
        sealer = vault.Sealer(target, _derived(settings, use), chosen(settings))
        write(sealer)
        sealer.close()
        target.flush()
        os.fsync(target.fileno())
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _program(settings: Settings, name: str, *arguments: str, database_name: str | None = None) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of one of PostgreSQL's programs; the password is in the environment alone."""
    url = sa.make_url(database.url(settings))
    if database_name is not None:
        url = url.set(database=database_name)
    address = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query).render_as_string()
    environment = {**os.environ, "PGPASSWORD": url.password or "", "LC_ALL": "C"}
    return [str(PROGRAMS / name), f"--dbname={address}", "--no-password", *arguments], environment


def _dump(settings: Settings, snapshot: str, out: Any) -> None:
    # Staging is made anew from landing when a night needs it, and a night that is at work drops its tables.
    command, environment = _program(
        settings, "pg_dump", "--format=custom", f"--snapshot={snapshot}", "--no-owner", "--exclude-table=staging.*", "--lock-wait-timeout=60000",
    )  # fmt: skip
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        with process:
            for chunk in iter(lambda: cast(BinaryIO, process.stdout).read(_CHUNK), b""):
                out.write(chunk)
        complaints.seek(0)
        reasons = [line.partition("error: ")[2].strip() for line in complaints if "error: " in line]  # names of tables, no row
    if process.returncode != 0:
        reason = reasons[0] if reasons else f"status {process.returncode}"
        raise ServiceError(f"pg_dump failed: {reason}", where="warehouse", next_step="see `hub doctor`; is a first load under way?")


def _pack(settings: Settings, out: Any) -> None:
    settings.secret(erasures.SECRET)  # made now if nobody was erased yet: whoever will be is to be known in this backup as well
    with tarfile.open(fileobj=out, mode="w|") as archive:
        for folder in _PACKED:
            for path in sorted((settings.home / folder).rglob("*")):
                if path.is_file() and path.name not in _LEFT_OUT and not path.name.startswith("."):
                    archive.add(path, arcname=str(path.relative_to(settings.home)))


def _objects(connection: sa.Connection) -> dict[str, int]:
    found = connection.execute(
        sa.text("SELECT object, max(stored_bytes) AS stored_bytes FROM landing.delivery GROUP BY object ORDER BY object")
    )
    return {row.object: int(row.stored_bytes) for row in found}


def _copy(store: landing.Store, objects: dict[str, int], folder: Path, draft: Path) -> None:
    for name, size in objects.items():
        path = folder / name
        if path.exists() and path.stat().st_size == size:
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with store.sealed(name) as source, (draft / path.name).open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        (draft / path.name).replace(path)


def _manifest(connection: sa.Connection, settings: Settings, objects: dict[str, int], files: dict[str, str]) -> Manifest:
    now = connection.execute(sa.text("SELECT now() AS at, current_database() AS name")).one()
    taken_at: datetime = now.at.astimezone(UTC)
    night = connection.scalar(sa.text("SELECT max(business_date) FROM ops.night WHERE published_at IS NOT NULL"))
    return Manifest(
        edition=_EDITION, name=f"{taken_at:%Y%m%dT%H%M%S}Z-{secrets.token_hex(3)}", taken_at=taken_at.isoformat(), pool_id=settings.pool_id,
        database=now.name, schema_version=str(connection.scalar(sa.text("SELECT version_num FROM public.schema_version"))),
        publication=ledger.publication(connection), business_date=None if night is None else str(night),
        fingerprint=fingerprint.kept(connection), rows=_rows(connection), roles=_roles(connection, now.name), objects=objects, files=files,
        erasures=erasures.register(connection),
    )  # fmt: skip


def _rows(connection: sa.Connection) -> dict[str, int]:
    """Rows of every table that is backed up, counted."""
    names = connection.scalars(
        sa.text(
            "SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind = 'r' AND relpersistence = 'p' AND nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'staging') ORDER BY 1"
        )
    ).all()
    return {name: int(connection.scalar(sa.text(f"SELECT count(*) FROM {name}")) or 0) for name in names}


def _roles(connection: sa.Connection, name: str) -> list[str]:
    return list(
        connection.scalars(sa.text("SELECT rolname FROM pg_roles WHERE starts_with(rolname, :head) ORDER BY 1"), {"head": f"{name}_"})
    )


def listed(place: Path) -> list[Manifest]:
    """The backups of a place, oldest first; their manifests are not checked.

    Raises:
        ConfigError: a manifest cannot be read.
    """
    return [_parsed(path) for path in _manifests(place)]


def _manifests(place: Path) -> list[Path]:
    """Of the backups of a place that were finished."""
    return sorted(path for path in place.glob(f"*/{_MANIFEST}") if not path.parent.name.startswith(_DRAFT))


def registers(place: Path) -> list[dict[str, Any]]:
    """The erasures that the backups of a place know; one whose manifest cannot be read is passed over: it shall not keep another from being restored."""
    found: list[dict[str, Any]] = []
    for path in _manifests(place):
        with contextlib.suppress(ConfigError):
            found += _parsed(path).erasures
    return found


def prune(place: Path, *, before: datetime) -> list[Manifest]:
    """Remove the backups of a place that were taken before an instant, and objects that none of the others names; the newest always stays.

    Returns:
        Those removed, oldest first.

    Raises:
        ConfigError: a manifest cannot be read, or a backup is being taken; nothing was removed.
    """
    found = listed(place)
    _clear(place)
    if any(place.glob(f"{_DRAFT}*")):
        raise ConfigError("a backup of this place is being taken", where=str(place), next_step="wait for its end")
    old = [m for m in found[:-1] if datetime.fromisoformat(m.taken_at) < before]
    with _written(place):
        for manifest in old:
            (place / manifest.name / _MANIFEST).unlink()  # first: without it the rest is no backup
            shutil.rmtree(place / manifest.name)
        named = {place / "landing" / name for m in found if m not in old for name in m.objects}
        for path in (place / "landing").rglob("*.sealed"):
            if old and path not in named:
                path.unlink()
    return old


def _parsed(path: Path) -> Manifest:
    try:
        found = Manifest(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise ConfigError("there is no backup here", where=str(path.parent), next_step="name the folder that holds manifest.json") from None
    except (ValueError, TypeError):
        raise ConfigError("this manifest cannot be read", where=str(path), next_step="take another backup of the place") from None
    if found.edition != _EDITION:
        raise ConfigError(f"this backup is of edition {found.edition}", where=str(path), next_step=f"this version reads edition {_EDITION}")
    return found


def check(settings: Settings, folder: Path, told: Told = _quiet) -> Manifest:
    """Whether a backup is whole and of this key: manifest, sealed files and every landed object, read to the end.

    Raises:
        ConfigError: there is no backup, or the key is another one.
        VaultDamaged: a file or an object is missing or changed.
    """
    with _written(folder):
        return _checked(settings, folder, told)[0]


def _checked(settings: Settings, folder: Path, told: Told) -> tuple[Manifest, dict[str, bytes]]:
    """Check a backup; with its secrets and endpoints by path, which lie nowhere until they are put in place."""
    told("manifest")
    found = _parsed(folder / _MANIFEST)
    proof = (folder / _PROOF).read_text(encoding="ascii").strip() if (folder / _PROOF).exists() else ""
    wanted = hmac.new(_derived(settings, "manifest"), (folder / _MANIFEST).read_bytes(), "sha256").hexdigest()
    if not hmac.compare_digest(proof, wanted):
        raise ConfigError(
            "the manifest is not of this key, or was changed",
            where=str(folder / _MANIFEST),
            next_step="give the key the backup was taken with in HUB_BACKUP_KEY",
        )
    for name, digest in found.files.items():
        if not (folder / name).exists() or _sha256(folder / name) != digest:
            raise vault.VaultDamaged(
                "this file of the backup is missing or changed", where=str(folder / name), next_step="take another backup of the place"
            )
    told("secrets")
    with (folder / _SECRETS).open("rb") as source:
        plain = io.BytesIO(b"".join(vault.unseal(source, _derived(settings, "secrets"), where=_SECRETS)))
    with tarfile.open(fileobj=plain) as archive:
        packed = {member.name: cast(BinaryIO, archive.extractfile(member)).read() for member in archive if _is_expected(member)}
    told("landing")
    kept_key = packed.get("secrets/landing.key")
    landing_key = settings.landing_key_bytes() if settings.landing_key or kept_key is None else bytes.fromhex(kept_key.decode().strip())
    salts = _salts(settings, folder, found)
    for name in found.objects:
        path = folder.parent / "landing" / name
        if not path.exists():
            raise vault.VaultDamaged(
                "a landed object of the backup is missing", where=str(path), next_step="take another backup of the place"
            )
        with path.open("rb") as source:
            landing.check(source, name, object_keys.derived(landing_key, salts[name]) if name in salts else landing_key)
    return found, packed


def _is_expected(member: tarfile.TarInfo) -> bool:
    """Whether this is a file of the folders that are packed, and leads nowhere else."""
    path = PurePosixPath(member.name)
    return member.isfile() and path.parts[0] in _PACKED and ".." not in path.parts


def _salts(settings: Settings, folder: Path, found: Manifest) -> dict[str, bytes]:
    """Of the backup's objects that have keys of their own, what these are made of."""
    if _OBJECT_KEYS not in found.files:  # taken before there were any
        return {}
    with (folder / _OBJECT_KEYS).open("rb") as source:
        plain = b"".join(vault.unseal(source, _derived(settings, "object keys"), where=_OBJECT_KEYS))
    return {name: bytes.fromhex(salt) for name, salt in json.loads(plain).items()}


def restore(
    settings: Settings, folder: Path, *, replace: bool = False, told: Told = _quiet, made_ready: Callable[[Settings], None] | None = None
) -> Manifest:
    """Put a backup in the place of this hub's pool, and prove that it is what was backed up before it counts.

    A pool that is there is not overwritten: its database is kept under another name, its secrets and endpoints beside the new ones.
    Killed at whatever moment, it leaves the one pool or the other, and can be run again.

    Args:
        settings: the hub that is to have it; its services should be down.
        folder: the backup, a folder in its place.
        replace: take the place of a pool that has something in it.
        told: is told each step.
        made_ready: is given the hub with the restored pool beside the present one, proved and not yet in place.

    Raises:
        ConfigError: no backup, another key, another pool's id, or a pool is there already.
        VaultDamaged: the backup is not whole.
        ServiceError: PostgreSQL refused, or the restored pool is not what was backed up; nothing was put in place.
    """
    with _written(folder):
        found, packed = _checked(settings, folder, told)
        if found.pool_id != settings.pool_id:
            raise ConfigError(f"the backup is of the pool {found.pool_id}", where="HUB_POOL_ID", next_step="set it to that name")
        own = sa.make_url(database.url(settings)).database or "hub"
        is_there = _is_there(settings)
        if is_there and not replace:
            raise ConfigError("there is a pool here already", where=own, next_step="say --replace: it is then kept under another name")
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
        told("warehouse")
        _load(settings, found, folder, f"{own}_restoring")
        told("proof")
        _prove(settings, found, f"{own}_restoring")
        told("in place")
        shutil.rmtree(settings.home / "spool", ignore_errors=True)  # of the former pool's runs, whose numbers are given again
        # Secrets and objects first: a pool without them could not read what it names.
        _put_back(settings, packed, stamp)
        store = landing.Store(settings)
        for name in found.objects:
            store.put_back(name, folder.parent / "landing" / name)
        if made_ready is not None:
            _with_restored(settings, f"{own}_restoring", made_ready)
        _swap(settings, own, f"{own}_restoring", f"{own}_before_{stamp}".lower())
    return found


def _with_restored(settings: Settings, name: str, made_ready: Callable[[Settings], None]) -> None:
    address = sa.make_url(database.url(settings)).set(database=name).render_as_string(hide_password=False)
    beside = settings.model_copy(update={"database_url": SecretStr(address)})
    try:
        made_ready(beside)
    finally:
        database.engine(beside).dispose()


def _is_there(settings: Settings) -> bool:
    with database.engine(settings).connect() as connection:
        if not connection.scalar(sa.text("SELECT to_regclass('ops.publication')")):
            return False
        return bool(connection.scalar(sa.text("SELECT EXISTS (SELECT FROM landing.delivery)")))


@contextlib.contextmanager
def _server(settings: Settings) -> Iterator[sa.Connection]:
    """The server's own database: where others are made, renamed and dropped."""
    try:
        with database.beside(settings, "postgres", isolation_level="AUTOCOMMIT") as engine, engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        state = getattr(error.orig, "pgcode", None)
        raise ServiceError(
            f"PostgreSQL refused (SQLSTATE {state})",
            where="database postgres",
            next_step="the account must be allowed to make databases and roles",
        ) from None


def _load(settings: Settings, found: Manifest, folder: Path, name: str) -> None:
    with _server(settings) as connection:
        connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(sa.text(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'"))
        for role in found.roles:  # the sharing service gives them what its policy says, and its login a password
            if not connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
                connection.execute(sa.text(f'CREATE ROLE "{role}" NOINHERIT'))
    command, environment = _program(settings, "pg_restore", "--exit-on-error", "--no-owner", database_name=name)
    with tempfile.TemporaryFile() as complaints, (folder / _DUMP).open("rb") as source:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints)
        with process, contextlib.suppress(BrokenPipeError):
            for chunk in vault.unseal(source, _derived(settings, "warehouse"), where=_DUMP):
                cast(BinaryIO, process.stdin).write(chunk)
            cast(BinaryIO, process.stdin).close()
    if process.returncode != 0:
        raise ServiceError(
            "pg_restore failed; nothing was put in place",
            where=str(folder),
            next_step="is the disk full? is PostgreSQL older than the one backed up?",
        )


def _prove(settings: Settings, found: Manifest, name: str) -> None:
    """Count everything anew: rows of every table, and the fingerprint from every row."""
    with database.beside(settings, name) as engine, engine.begin() as connection:
        rows = _rows(connection)
        different = sorted(t for t in rows.keys() | found.rows.keys() if rows.get(t) != found.rows.get(t))
        if not different and fingerprint.scanned(connection) != found.fingerprint:
            different = ["fingerprint"]
        if different:
            raise ServiceError(
                "the restored pool is not the one backed up; nothing was put in place",
                where=", ".join(different),
                next_step="take another backup of the place",
            )
        disclosure.withdraw(connection)  # the sharing service applies its policy anew, with this installation's password
        fences.give_up(connection)
        connection.execute(sa.text("ANALYZE"))


def _put_back(settings: Settings, packed: dict[str, bytes], stamp: str) -> None:
    for name, content in sorted(packed.items()):
        place = settings.home / name
        if place.exists() and place.read_bytes() == content:
            continue
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if place.exists():
            kept = settings.home / f"before-{stamp}" / name
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(place, kept)
        draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_bytes(content)
        draft.replace(place)


def _swap(settings: Settings, own: str, restored: str, kept: str) -> None:
    """Give the restored database the pool's name: in one transaction, so that there is always one of that name."""
    database.engine(settings).dispose()
    with _server(settings) as connection:
        for tried in range(_SWAPS):  # whoever comes back between the two sentences holds the pool once more
            ask = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN (:own, :restored)")
            connection.execute(ask, {"own": own, "restored": restored})
            is_there = connection.scalar(sa.text("SELECT 1 FROM pg_database WHERE datname = :own"), {"own": own}) is not None
            away = f'ALTER DATABASE "{own}" RENAME TO "{kept}"; ' if is_there else ""
            try:
                connection.execute(sa.text(f'BEGIN; {away}ALTER DATABASE "{restored}" RENAME TO "{own}"; COMMIT'))
                return
            except sa.exc.OperationalError as error:
                connection.execute(sa.text("ROLLBACK"))
                if not isinstance(error.orig, psycopg2.errors.ObjectInUse) or tried == _SWAPS - 1:
                    raise
