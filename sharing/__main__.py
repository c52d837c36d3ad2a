"""`python -m sharing`: serve until told to stop."""

import argparse
import contextlib
import gc
import socket
import sys

import uvicorn

from hub import log
from hub.errors import HubError
from hub.settings import Settings, get_settings
from sharing import address, log_suite, tls
from sharing.app import create

# Objects made and still there; collections of the youngest; of the middle generation.
_COLLECTED_EVERY = 50_000, 20, 100
_NOT_STARTED = 3  # the exit status of a server whose reason is on the screen


class _Server(uvicorn.Server):
    """Leaves what is loaded when it begins out of every collection: going through it would hold all answers up a tenth of a second each time."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTED_EVERY)


def serve(settings: Settings, *, host: str) -> None:
    """Serve until told to stop.

    Raises:
        ConfigError: the log is of another suite than the setting's.
    """
    log_suite.hold(settings)
    # No access log: who asked what is the log's, not the screen's.
    config = uvicorn.Config(
        create(settings, address.audience(settings)), host=host, port=address.port(settings), access_log=False, log_level="warning", server_header=False,
        **tls.options(settings),
    )  # fmt: skip
    server = _Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(_NOT_STARTED)


def main() -> int:
    """Serve on the loopback address, or on ``--host``; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sharing", description="Serve departments until told to stop.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    host = parser.parse_args().host
    try:
        settings = get_settings()
        log.configure(settings.log_level)
        serve(settings, host=host)
    except HubError as error:
        print(f"错误 / error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
