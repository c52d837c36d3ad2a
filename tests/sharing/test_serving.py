"""The service as a process: what it does about the interpreter it runs in."""

import asyncio
import gc
from pathlib import Path
from typing import cast

import pytest
import uvicorn

from hub.settings import Settings
from sharing import recall
from sharing.__main__ import _Server
from sharing.service import Service
from warehouse import operators
from warehouse.asking import Asking, Refused


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


def test_what_cannot_be_forgotten_keeps_nobody_from_being_told_that_something_was_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    async def fails(*_: object) -> None:
        raise Refused("UndefinedTable")

    service = Service(Settings(home=tmp_path), "http://hub.test")
    service.asking = cast(Asking, None)
    monkeypatch.setattr(recall, "scan", lambda settings: looked.append(settings) or 0)
    monkeypatch.setattr(operators, "forget", fails)
    with pytest.raises(Refused):
        asyncio.run(service.look_back())
    assert looked == [service.settings]
