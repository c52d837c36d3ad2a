"""An agency that drops files for collection: SFTP, gzip CSV, and a control file beside each."""

import asyncio
import gzip
import hashlib
import io
import os
import re
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncssh
import polars as pl
from asyncssh.sftp import SFTPName

from sandbox.endpoints import HOST
from sandbox.servers.agency import Agency
from sandbox.servers.stock import Tonight
from schemas.contract import Scope

_OUTBOX = b"/outbox"
_KEPT_NIGHTS = 7
_NAME = re.compile(r"[a-z_0-9]+_\d{8}_(full|delta)\.(csv\.gz|ctl)")


class Drop:
    """The outbox: each night's files, made when first looked at, kept for a week, never made for a past night."""

    def __init__(self, agency: Agency) -> None:
        """Open the outbox of an agency."""
        self._agency = agency
        self.folder = agency.folder / "outbox"
        self._made: str | None = None
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Write tonight's files if they are not there; a file gets its name when it is whole, the control file last."""
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            stock = self._agency.stock.tonight()
            if stock is None:
                return
            version = f"{stock.digest}|{self._changes()}"
            stamp = self.folder.parent / "outbox.version"
            known = stamp.read_text(encoding="utf-8") if stamp.exists() else ""
            if version in (self._made, known):
                self._made = version
                return
            for scope in self._agency.contract.delivery.scopes:
                self._drop(stock, scope)
            stamp.write_text(version, encoding="utf-8")
            self._made = version
            self._clear(stock)

    def _changes(self) -> str:
        """Faults that change the files themselves."""
        names = ("truncated", "total_disagrees", "empty_file", "wrong_checksum", "encoding_utf8", "bom")
        return ",".join(name for name in names if self._agency.switches.is_on(name))

    def _drop(self, stock: Tonight, scope: Scope) -> None:
        since = stock.as_of - timedelta(days=1) if scope is Scope.DELTA else None
        rows = self._agency.stock.select(stock, scope, since)
        stem = f"{self._agency.contract.stem}_{stock.as_of:%Y%m%d}_{scope.value}"
        data, control = self.folder / f"{stem}.csv.gz", self.folder / f"{stem}.ctl"
        body = self._body(rows)
        stated = {
            "file": data.name,
            "rows": str(rows.height + (7 if self._is_on("total_disagrees") else 0)),
            "bytes": str(len(body)),
            "sha256": hashlib.sha256(body).hexdigest() if not self._is_on("wrong_checksum") else "0" * 64,
            "as_of": stock.as_of.isoformat(),
        }
        if self._is_on("truncated"):
            body = body[: len(body) * 3 // 5]
        if self._is_on("empty_file"):
            body, stated["bytes"] = b"", "0"
        control.unlink(missing_ok=True)
        for path, content in ((data, body), (control, "".join(f"{k}={v}\n" for k, v in stated.items()).encode())):
            draft = path.with_name(path.name + ".part")
            draft.write_bytes(content)
            draft.replace(path)

    def _is_on(self, fault: str) -> bool:
        return self._agency.switches.is_on(fault)

    def _body(self, rows: pl.DataFrame) -> bytes:
        """Gzip CSV in the agreed encoding; the same rows give the same bytes."""
        encoding = self._agency.contract.delivery.encoding
        if self._is_on("encoding_utf8"):
            encoding = "utf-8"
        if self._is_on("bom"):
            encoding = "utf-8-sig"
        text = rows.write_csv(line_terminator="\r\n")
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as file:
            file.write(text.encode(encoding, "replace"))
        return packed.getvalue()

    def _clear(self, stock: Tonight) -> None:
        oldest = f"{stock.as_of - timedelta(days=_KEPT_NIGHTS):%Y%m%d}"
        for path in self.folder.iterdir():
            day = re.search(r"_(\d{8})_", path.name)
            if day and day[1] < oldest:
                path.unlink(missing_ok=True)

    def is_late(self) -> bool:
        """Whether tonight's control file is not there yet at this look."""
        return self._agency.switches.strikes("control_late")

    def names(self) -> dict[str, str]:
        """What a listing shows: name shown → name on disk."""
        shown = {path.name: path.name for path in sorted(self.folder.iterdir()) if _NAME.fullmatch(path.name)}
        if self._is_on("control_missing") or self._is_on("half_written"):
            shown = {name: disk for name, disk in shown.items() if not name.endswith(".ctl")}
        if self._is_on("half_written"):
            shown = {f"{name}.part": disk for name, disk in shown.items()}
        return shown


def _normal(path: bytes) -> bytes:
    """A path as seen from the root of the drop; nothing lies above it."""
    return os.path.normpath(b"/" + path.lstrip(b"/"))


class _Server(asyncssh.SFTPServer):
    """A read-only view of the outbox."""

    def __init__(self, chan: "asyncssh.SSHServerChannel[bytes]", drop: Drop) -> None:
        super().__init__(chan)
        self._drop = drop

    async def _disk(self, path: bytes) -> Path:
        """The file on disk behind a path a client names."""
        await asyncio.to_thread(self._drop.fill)
        folder, name = os.path.split(_normal(path))
        if name.endswith(b".ctl") and self._drop.is_late():
            raise asyncssh.SFTPNoSuchFile("No such file")
        on_disk = self._drop.names().get(name.decode("utf-8", "replace")) if folder == _OUTBOX else None
        if on_disk is None:
            raise asyncssh.SFTPNoSuchFile("No such file")
        return self._drop.folder / on_disk

    async def _attributes(self, path: bytes) -> asyncssh.SFTPAttrs:
        if _normal(path) in (b"/", _OUTBOX):
            return asyncssh.SFTPAttrs.from_local(os.stat(self._drop.folder))
        return asyncssh.SFTPAttrs.from_local(os.stat(await self._disk(path)))

    async def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        return await self._attributes(path)

    async def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        return await self._attributes(path)

    def realpath(self, path: bytes) -> bytes:
        return _normal(path)

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        await asyncio.to_thread(self._drop.fill)
        if _normal(path) != _OUTBOX:
            return
        for shown, disk in self._drop.names().items():
            yield SFTPName(shown.encode(), attrs=asyncssh.SFTPAttrs.from_local(os.stat(self._drop.folder / disk)))

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC | asyncssh.FXF_APPEND):
            raise asyncssh.SFTPPermissionDenied("Read only")
        return (await self._disk(path)).open("rb")

    async def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> object:
        raise asyncssh.SFTPOpUnsupported("SFTP version 3 only")

    def _refused(self, *_args: object) -> None:
        raise asyncssh.SFTPPermissionDenied("Read only")

    remove = rename = posix_rename = mkdir = rmdir = setstat = lsetstat = symlink = link = _refused  # type: ignore[assignment]


class _Login(asyncssh.SSHServer):
    """Lets the hub's account in, by password."""

    def __init__(self, agency: Agency) -> None:
        self._agency = agency

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        if self._agency.switches.strikes("refuse"):
            return False
        return self._agency.is_username(username) and self._agency.is_secret(password)


class SftpBackend:
    """The agency's SSH server."""

    def __init__(self, agency: Agency) -> None:
        """Prepare the server of an agency."""
        self._agency = agency
        self._drop = Drop(agency)
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def start(self) -> int:
        """Serve; returns the port."""
        self._acceptor = await asyncssh.listen(
            HOST,
            0,
            server_host_keys=[asyncssh.import_private_key(self._agency.access.extra["private_key"])],
            server_factory=lambda: _Login(self._agency),
            sftp_factory=lambda chan: _Server(chan, self._drop),
            sftp_version=3,
            allow_scp=False,
            config=None,
        )
        return self._acceptor.get_port()

    async def stop(self) -> None:
        """Stop serving."""
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()

    async def ready(self) -> None:
        """Nothing to wait for: files are made when asked for."""

    def prepare(self) -> None:
        """Drop tonight's files."""
        self._drop.fill()


def backend(agency: Agency) -> SftpBackend:
    """The agency's server."""
    return SftpBackend(agency)
