"""What is asked at one time is read together, and everybody is told of their own."""

import asyncio
from typing import Any, cast

import pytest

from hub.errors import ServiceError
from warehouse import gathering
from warehouse.answers import Asked
from warehouse.asking import Asking, Refused
from warehouse.gathering import Gathering

ONE, OTHER = (Asked(role, (), (), ()) for role in ("one", "other"))


class Pool:
    """Reads a list of keys when it is let; a key has as many rows as it has letters."""

    def __init__(self) -> None:
        self.read: list[tuple[str, list[str]]] = []
        self.is_open = asyncio.Event()
        self.fails: dict[str, Exception] = {}
        self.gathering = Gathering(cast(Asking, self))

    async def rows(self, _asking: Asking, asked: Asked, keys: list[str]) -> list[Any]:
        self.read.append((asked.role, keys))
        await self.is_open.wait()
        for key in keys:
            if key in self.fails:
                raise self.fails[key]
        return [{"place": place, "of": key} for place, key in enumerate(keys, start=1) for _ in key]

    def asks(self, key: str, asked: Asked = ONE) -> "asyncio.Task[list[Any]]":
        return asyncio.create_task(self.gathering.one(self.rows, asked, key))


def told(task: "asyncio.Task[list[Any]]") -> str | type[BaseException]:
    error = task.exception()
    return type(error) if error is not None else "".join(r["of"][0] for r in task.result())


async def met(pool: Pool, *tasks: "asyncio.Task[list[Any]]") -> list[Any]:
    pool.is_open.set()
    await asyncio.wait(tasks, timeout=5)
    return [told(t) for t in tasks if not t.cancelled()]


async def begun(pool: Pool) -> "asyncio.Task[list[Any]]":
    """One question that is being read."""
    first = pool.asks("a")
    while not pool.read:
        await asyncio.sleep(0)
    return first


def test_who_finds_nothing_being_read_is_read_at_once_and_those_who_come_meanwhile_together() -> None:
    async def story() -> None:
        pool = Pool()
        first = await begun(pool)
        rest = [pool.asks(k) for k in ("bb", "", "bb", "c")]
        assert await met(pool, first, *rest) == ["a", "bb", "", "bb", "c"], "each its own, nobody's none"
        assert pool.read == [("one", ["a"]), ("one", ["bb", "", "bb", "c"])]
        assert await met(pool, pool.asks("d")) == ["d"], "nothing is left behind"

    asyncio.run(story())


def test_what_is_asked_under_another_role_is_never_of_the_same_statement() -> None:
    async def story() -> None:
        pool = Pool()
        first = await begun(pool)
        rest = [pool.asks("b", OTHER), pool.asks("c"), pool.asks("d", OTHER)]
        await met(pool, first, *rest)
        assert sorted(pool.read) == [("one", ["a"]), ("one", ["c"]), ("other", ["b", "d"])]

    asyncio.run(story())


@pytest.mark.parametrize("error", [ServiceError("away"), Refused("no")])
def test_what_the_database_says_is_said_to_all_and_the_next_are_read(error: Exception) -> None:
    async def story() -> None:
        pool = Pool()
        pool.fails["a"] = error
        first = await begun(pool)
        assert await met(pool, first, pool.asks("b")) == [type(error), "b"]

    asyncio.run(story())


def test_a_key_that_cannot_be_read_spoils_nobody_elses() -> None:
    async def story() -> None:
        pool = Pool()
        pool.fails["x"] = ValueError()
        first = await begun(pool)
        assert await met(pool, first, *(pool.asks(k) for k in ("b", "x", "c"))) == ["a", "b", ValueError, "c"]

    asyncio.run(story())


def test_who_does_not_wait_any_more_is_not_read() -> None:
    async def story() -> None:
        pool = Pool()
        first, gone = await begun(pool), pool.asks("b")
        await asyncio.sleep(0)
        gone.cancel()
        assert await met(pool, first, gone, pool.asks("c")) == ["a", "c"]
        assert pool.read[1:] == [("one", ["c"])]

    asyncio.run(story())


def test_a_statement_has_no_more_keys_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_MOST", 2)

    async def story() -> None:
        pool = Pool()
        first = await begun(pool)
        assert await met(pool, first, *(pool.asks(k) for k in "bcdef")) == list("abcdef")
        assert [len(keys) for _, keys in pool.read] == [1, 2, 2, 1]

    asyncio.run(story())
