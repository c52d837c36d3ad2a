"""The program `hub`. A night's gate takes the longest to get ready, so its process is started before the commands are read."""

import atexit
import gc
import sys

from pipeline import gatekeeper


def run() -> None:
    """Entry point: see :func:`pipeline.cli.main.run`."""
    gc.disable()  # what is loaded stays
    if sys.argv[1:2] == ["night"] and not {"-h", "--help"} & set(sys.argv):
        gatekeeper.begin()
    from pipeline.cli import main

    gc.enable()
    atexit.register(gc.freeze)  # what is left goes with the process: looking for cycles in it takes a quarter of a second
    main.run()


if __name__ == "__main__":
    run()
