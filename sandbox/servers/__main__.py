"""Run one simulated agency: ``python -m sandbox.servers STEM``."""

import asyncio
import sys

from hub import log
from hub.errors import HubError
from hub.settings import get_settings
from sandbox.servers.agency import open_agency
from sandbox.servers.process import serve


def main(arguments: list[str]) -> int:
    """Serve the agency named on the command line; returns the exit status."""
    if len(arguments) != 1:
        print("usage: python -m sandbox.servers STEM", file=sys.stderr)
        return 2
    try:
        settings = get_settings()
        log.configure(settings.log_level)
        asyncio.run(serve(open_agency(arguments[0], settings)))
    except HubError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
