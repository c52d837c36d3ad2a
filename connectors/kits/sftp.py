"""Files dropped for collection over SFTP: a data file, and a control file that says it is whole."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import asyncssh

from connectors.delivery import FetchRequest, Manifest, Part, PartStream
from connectors.kits.patience import Patience
from hub.errors import ConfigError, SourceChanged, SourceError, SourceRefused, SourceUnavailable
from hub.progress import Progress
from schemas.contract import Scope

_CHUNK_BYTES = 1 << 18
_CONTROL_BYTES = 1 << 16
_T = TypeVar("_T")


@dataclass(frozen=True)
class Control:
    """What a control file states; None = it does not say."""

    rows: int | None
    size_bytes: int | None
    sha256: str | None
    as_of: date


def key_values(text: str) -> dict[str, str]:
    """A control file of ``name=value`` lines."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


@dataclass(frozen=True)
class Dialect:
    """What differs between such drops.

    Attributes:
        data_name, control_name: file names; ``{day:%Y%m%d}`` and ``{scope}`` are filled in.
        read_control: turns a control file's text into name → value.
        rows, size_bytes, sha256, as_of: names in the control file.
    """

    data_name: str
    control_name: str
    read_control: Callable[[str], dict[str, str]] = key_values
    rows: str = "rows"
    size_bytes: str = "bytes"
    sha256: str = "sha256"
    as_of: str = "as_of"


class _Drop:
    """A session with the agency's SFTP server, each wait held to the contract."""

    def __init__(self, request: FetchRequest, patience: Patience) -> None:
        self.request = request
        self.patience = patience
        address = urlsplit(request.endpoint.url)
        if address.scheme != "sftp" or not address.hostname or "host_key" not in request.endpoint.extra:
            raise ConfigError(
                "the endpoint needs url sftp://HOST:PORT/FOLDER and extra.host_key (the server's public key)",
                where=f"sources/{request.contract.stem}.json",
            )
        self.host, self.port, self.folder = address.hostname, address.port or 22, address.path.strip("/") or "."
        self._runner = asyncio.Runner()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.abort()
        self._runner.close()

    def wait(self, phase: str, limit_s: float, awaitable: Awaitable[_T]) -> _T:
        """Wait for one step of the protocol; its failures become source errors."""
        limit_s = min(limit_s, self.patience.remaining_s())

        async def bounded() -> _T:
            async with asyncio.timeout(limit_s):
                return await awaitable

        where = self.request.where
        try:
            return self._runner.run(bounded())
        except TimeoutError:
            raise self.patience.too_slow(phase, limit_s) from None
        except asyncssh.HostKeyNotVerifiable:
            raise SourceRefused(
                "the server's host key is not the agreed one", where=where,
                next_step="ask the agency by telephone whether it changed its key; never accept it unasked",
            ) from None  # fmt: skip
        except (asyncssh.PermissionDenied, asyncssh.SFTPPermissionDenied):
            raise SourceRefused(
                "the account is not let in",
                where=where,
                next_step="check username and secret in the source's endpoint file",
            ) from None
        except (OSError, asyncssh.Error) as error:
            if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
                raise
            raise SourceUnavailable(
                f"{phase} failed ({type(error).__name__})",
                where=where,
                next_step="fetch again; if it persists, call the agency",
            ) from None

    def open(self) -> asyncssh.SFTPClient:
        """The session; connected at the first call."""
        if self._sftp is None:
            endpoint, timeouts = self.request.endpoint, self.patience.timeouts
            known = f"[{self.host}]:{self.port} {endpoint.extra['host_key']}\n"
            connecting = asyncssh.connect(
                self.host, self.port, username=endpoint.username or "",
                password=endpoint.secret.get_secret_value() if endpoint.secret else None,
                known_hosts=asyncssh.import_known_hosts(known), client_keys=None, agent_path=None, config=None,
                connect_timeout=timeouts.connect_s, login_timeout=timeouts.total_s,
            )  # fmt: skip
            self._connection = self.wait("connecting", timeouts.connect_s + timeouts.first_byte_s, connecting)
            self._sftp = self.wait("opening SFTP", timeouts.first_byte_s, self._connection.start_sftp_client())
        return self._sftp

    def reset(self) -> None:
        """Drop a session that failed; the next step connects anew."""
        if self._connection is not None:
            self._connection.abort()
        self._connection = self._sftp = None

    def size(self, name: str) -> int:
        """Bytes of a file; raises SourceUnavailable when it is not there yet."""
        try:
            attributes = self.wait("asking for a file's size", self.patience.timeouts.first_byte_s, self.open().stat(self.path(name)))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise SourceUnavailable(
                f"the file {name} is not there yet", where=self.request.where,
                next_step="it is asked for again until the deadline; then call the agency",
            ) from None  # fmt: skip
        return attributes.size or 0

    def path(self, name: str) -> str:
        """Full path of a file."""
        return f"{self.folder}/{name}"

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes as they arrive."""
        timeouts = self.patience.timeouts
        file: Any = self.wait("opening a file", timeouts.first_byte_s, self.open().open(self.path(name), "rb"))
        limit_s, phase = timeouts.first_byte_s, "the wait for the first byte"
        while chunk := self.wait(phase, limit_s, file.read(_CHUNK_BYTES)):
            limit_s, phase = timeouts.idle_s, "the wait for more of a file"
            yield chunk


def _control(drop: _Drop, dialect: Dialect, name: str) -> Control:
    if drop.size(name) > _CONTROL_BYTES:
        raise SourceChanged(f"the control file {name} is far too large", where=drop.request.where, next_step="ask the agency")
    text = b"".join(drop.chunks(name)).decode("utf-8", "replace").lstrip("\ufeff")
    stated = dialect.read_control(text)
    rows, size, sha256 = stated.get(dialect.rows), stated.get(dialect.size_bytes), stated.get(dialect.sha256)
    try:
        return Control(
            rows=int(rows) if rows else None,
            size_bytes=int(size) if size else None,
            sha256=sha256.lower() if sha256 else None,
            as_of=date.fromisoformat(stated[dialect.as_of]),
        )
    except (KeyError, ValueError):
        raise SourceChanged(
            f"the control file {name} does not state {dialect.as_of} and numbers as agreed",
            where=drop.request.where,
            next_step="ask the agency what changed in its control files",
        ) from None


def _found(drop: _Drop, dialect: Dialect, scope: Scope) -> tuple[str, Control]:
    """Tonight's data file, whole by its control file; asked for again while it is late."""
    names = {"day": drop.request.business_date, "scope": scope.value}
    data, control_name = dialect.data_name.format(**names), dialect.control_name.format(**names)
    for attempt in drop.patience.attempts():
        with attempt:
            try:
                control = _control(drop, dialect, control_name)
                size = drop.size(data)
            except SourceError:
                drop.reset()
                raise
            if size == 0:
                raise SourceChanged(f"the file {data} is empty", where=drop.request.where, next_step="ask the agency to send it again")
            if control.size_bytes is not None and size != control.size_bytes:
                raise SourceUnavailable(
                    f"the file {data} has {size} bytes where its control file says {control.size_bytes}",
                    where=drop.request.where,
                    next_step="it may still be written; if it stays so, ask the agency to send it again",
                )
    return data, control


def stream(request: FetchRequest, dialect: Dialect) -> PartStream:
    """A delivery as one file, streamed, its size and SHA-256 held against the control file.

    A daily delta only joins to the day before it: when an earlier night is missing here, the full file is taken.

    Raises:
        SourceUnavailable: not there yet, still being written, or the line failed.
        SourceRefused: account or host key.
        SourceChanged: empty, not as its control file says, or a control file of another form.
        ConfigError: the endpoint lacks address or host key.
    """
    joins = request.since == request.business_date - timedelta(days=1)
    scope = Scope.DELTA if request.wanted is Scope.DELTA and joins else Scope.FULL
    with _Drop(request, Patience.of(request)) as drop:
        data, control = _found(drop, dialect, scope)
        digest, length = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal length
            for chunk in drop.chunks(data):
                length += len(chunk)
                digest.update(chunk)
                yield chunk

        yield Part(data, counted(), lambda: Progress(length, control.size_bytes, "bytes"))
    if control.size_bytes is not None and length != control.size_bytes:
        raise SourceUnavailable(
            f"{length} of {control.size_bytes} bytes of {data} were read",
            where=request.where,
            next_step="fetch it again",
        )
    if control.sha256 is not None and digest.hexdigest() != control.sha256:
        raise SourceChanged(
            f"the SHA-256 of {data} is not the one its control file states",
            where=request.where,
            next_step="fetch it again; if it stays so, ask the agency to send file and control file again",
        )
    return Manifest(scope, control.as_of, control.rows, control.sha256)
