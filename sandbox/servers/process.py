"""The process of one simulated agency: server, line before it, readiness, and an orderly end."""

import asyncio
import importlib
import json
import os
import signal
from contextlib import suppress
from typing import Protocol, cast

from hub.errors import HubError, ServiceError
from hub.log import get_logger
from sandbox import clock
from sandbox.endpoints import HOST
from sandbox.servers.agency import Agency
from sandbox.servers.front import Front
from sandbox.servers.readiness import note_prepared, prepared_path, ready_path

_WATCH_S = 0.3


class Backend(Protocol):
    """A server behind the relay; each protocol's module has ``backend(agency)``."""

    async def start(self) -> int:
        """Serve on a port of the loopback address; returns it."""
        ...

    async def stop(self) -> None:
        """Stop serving."""
        ...

    async def ready(self) -> None:
        """Awaited before each connection is passed on."""
        ...

    def prepare(self) -> None:
        """Make ready what tonight's callers will ask for; called in a thread at each change of night."""
        ...


class Server:
    """One agency, served."""

    def __init__(self, agency: Agency) -> None:
        """Choose the protocol's server."""
        self._agency = agency
        module = importlib.import_module("sandbox.servers." + agency.contract.delivery.protocol.replace("-", "_"))
        self._backend = cast(Backend, module.backend(agency))
        self._front: Front | None = None
        self._warmer: asyncio.Task[None] | None = None
        self._prepared = asyncio.Event()

    async def start(self) -> None:
        """Serve; returns when connections are taken. Whoever calls before tonight's stock is at hand waits for it.

        Raises:
            ServiceError: the port is taken.
        """
        port = await self._backend.start()
        access = self._agency.access
        self._front = Front(self._agency.switches, HOST, access.port, port, self._backend.ready, faults=self._line_faults())
        try:
            await self._front.start()
        except OSError:
            await self._backend.stop()
            raise ServiceError(
                f"port {access.port} of the simulated agency {self._agency.contract.stem} is taken",
                next_step="end what listens there, or delete its files in sandbox/endpoints and sources",
            ) from None
        self._warmer = asyncio.create_task(self._keep_warm())

    async def prepared(self) -> None:
        """Returns when the stock of the night on which it started is at hand."""
        await self._prepared.wait()

    async def stop(self) -> None:
        """Stop serving."""
        if self._warmer is not None:
            self._warmer.cancel()
        prepared_path(self._agency.contract.stem, self._agency.settings).unlink(missing_ok=True)
        if self._front is not None:
            await self._front.stop()
        await self._backend.stop()

    def _line_faults(self) -> tuple[str, ...]:
        """Faults of the line; an agency that hands out files cuts the file, not the line."""
        is_file = self._agency.contract.delivery.protocol in ("sftp-drop", "zip-basic")
        return ("slow", "hang") if is_file else ("slow", "hang", "truncated")

    async def _warm(self) -> None:
        try:
            await asyncio.to_thread(self._backend.prepare)
        except Exception as error:  # a server that cannot prepare goes on serving; the next caller tries again
            reason = str(error) if isinstance(error, HubError) else type(error).__name__
            get_logger(__name__).error("sandbox.not_prepared", stem=self._agency.contract.stem, reason=reason)

    async def _keep_warm(self) -> None:
        """The agency gets its night's data ready by itself, before anybody asks, and says when it has."""
        known: tuple[dict[str, int], int] | None = None
        while True:
            with suppress(OSError, ValueError):
                reading = clock.reading(self._agency.settings)
                now = reading, self._agency.stock.night()
                if now != known:
                    known = now
                    await self._warm()
                    note_prepared(self._agency.contract.stem, self._agency.settings, reading)
                    self._prepared.set()
            await asyncio.sleep(_WATCH_S)


async def serve(agency: Agency) -> None:
    """Serve an agency until SIGTERM or SIGINT.

    Raises:
        ServiceError: it cannot start.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    server = Server(agency)
    path = ready_path(agency.contract.stem, agency.settings)
    await server.start()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": os.getpid(), "port": agency.access.port}), encoding="ascii")
    try:
        await ended.wait()
    finally:
        path.unlink(missing_ok=True)
        await server.stop()
