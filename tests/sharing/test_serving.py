"""The service as a process: what it does about the interpreter it runs in."""

import asyncio
import gc

import uvicorn

from sharing.__main__ import _Server


async def nothing(scope: object, receive: object, send: object) -> None:
    """An application that is never asked."""


def test_what_is_loaded_when_it_begins_is_left_out_of_every_collection() -> None:
    """A full collection of it would hold all answers up at once."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.set_threshold(700, 10, 10)  # as Python begins; a command that ran in this process leaves its own

    async def begun() -> tuple[bool, int, int]:
        server = _Server(uvicorn.Config(nothing, port=0, lifespan="off", log_level="critical"))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup()
        try:
            return server.started, gc.get_freeze_count(), gc.get_threshold()[0]
        finally:
            await server.shutdown()

    try:
        started, left_out, youngest = asyncio.run(begun())
        assert started and left_out - frozen > 10_000 and youngest > 700
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
