"""The line to an agency: a TCP relay before its server, where connections are refused, slowed, held or cut."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sandbox.servers.switches import Switches

_CHUNK_BYTES = 1 << 18
# Handshakes and tokens pass before a line goes bad, so that it goes bad in the middle of data.
_GOOD_BYTES = 6_000
_WATCH_S = 0.1


class Front:
    """Relays connections to a server behind it."""

    def __init__(
        self,
        switches: Switches,
        host: str,
        port: int,
        backend_port: int,
        ready: Callable[[], Awaitable[None]],
        *,
        faults: tuple[str, ...] = ("slow", "hang", "truncated"),
    ) -> None:
        """Prepare a relay.

        Args:
            switches: the agency's faults.
            host: address to listen on.
            port: port to listen on.
            backend_port: port of the server behind, same address.
            ready: awaited before a connection is passed on.
            faults: those of the agency's faults that befall the line.
        """
        self._switches = switches
        self._host = host
        self._port = port
        self._backend_port = backend_port
        self._ready = ready
        self._faults = faults
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; returns when connections are taken, or at once when the agency is down."""
        if not self._switches.is_on("down"):
            await self._listen()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop listening and drop all connections; returns when nothing of them is left."""
        tasks = [task for task in (self._watcher, *self._open.values()) if task is not None]
        self._drop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, self._host, self._port, limit=_CHUNK_BYTES)

    def _drop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _watch(self) -> None:
        """An agency that is down does not listen at all."""
        while True:
            await asyncio.sleep(_WATCH_S)
            is_down = self._switches.is_on("down")
            if is_down and self._server is not None:
                self._drop()
            elif not is_down and self._server is None:
                with suppress(OSError):
                    await self._listen()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        behind: asyncio.StreamWriter | None = None
        try:
            if self._switches.is_on("down"):
                return
            await self._ready()
            answers, behind = await asyncio.open_connection(self._host, self._backend_port, limit=_CHUNK_BYTES)
            up = asyncio.create_task(_pump(reader, behind))
            try:
                await self._answer(answers, writer)
            finally:
                up.cancel()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.pop(writer, None)
            writer.transport.abort() if writer.transport.get_write_buffer_size() == 0 else writer.close()
            if behind is not None:
                behind.transport.abort()

    async def _answer(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the server's bytes on, as well as the line allows."""
        passed = 0
        while chunk := await answers.read(_CHUNK_BYTES):
            fault = next((name for name in self._faults if self._switches.is_on(name)), None)
            if fault is not None:
                good = max(0, int(self._switches.argument(fault, "after_bytes", _GOOD_BYTES)) - passed)
                writer.write(chunk[:good])
                passed += min(good, len(chunk))
                rest = chunk[good:]
                if rest and fault == "truncated":
                    if self._switches.strikes(fault):
                        await writer.drain()
                        return
                    writer.write(rest)
                elif rest:
                    await self._ail(fault, rest, writer)
            else:
                passed += len(chunk)
                writer.write(chunk)
            await writer.drain()

    async def _ail(self, fault: str, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        """Bytes on a line that is slow or hangs, until that is mended."""
        for at in range(len(chunk)):
            if not self._switches.is_on(fault):
                writer.write(chunk[at:])
                return
            if fault == "slow":
                writer.write(chunk[at : at + 1])
                await writer.drain()
                await asyncio.sleep(1)
            else:
                while self._switches.is_on(fault):
                    await asyncio.sleep(_WATCH_S)
                writer.write(chunk[at:])
                return


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass a caller's bytes on; a caller whose line broke, as when it was killed while reading, leaves nobody waiting behind."""
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
