"""The programs' own connections: asynchronous, under a login that has no right on any person's value.

Before it reads, a connection puts on the role of a grant (`warehouse.disclosure`); PostgreSQL then refuses what the grant does not give.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from hub.errors import ServiceError
from hub.settings import Settings
from warehouse import database, disclosure

# What it takes to call PostgreSQL gone rather than wrong.
_GONE = (
    OSError, asyncio.TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # a connection cut off between two messages
)  # fmt: skip
_COMMAND_TIMEOUT_S = 30.0


class Refused(Exception):
    """PostgreSQL did not let a role read what the program asked for: policy and database disagree."""


class Unreadable(Exception):
    """A text cannot be kept or compared, for it holds a character PostgreSQL has none for: NUL."""


class _Connection(asyncpg.Connection):
    """A connection that knows which role it has on."""

    __slots__ = ("worn",)

    async def wear(self, role: str) -> None:
        """Put on a role, instead of the one it has on."""
        if getattr(self, "worn", None) != role:
            # Whoever is cancelled over it leaves a connection of which nobody knows, and that the next puts a role on.
            self.worn = ""
            await self.execute(f'SET ROLE "{role.replace(chr(34), chr(34) * 2)}"')
            self.worn = role


class Asking:
    """The connections of one program."""

    def __init__(self, pools: tuple[Any, Any], prefix: str) -> None:
        self._as_itself, self._in_roles = pools
        self._prefix = prefix

    @asynccontextmanager
    async def connection(self, role: str | None = None) -> AsyncIterator[Any]:
        """A connection that has the role of a grant on; None = the login's own.

        Raises:
            ServiceError: PostgreSQL does not answer or broke off.
            Refused: it does not let the role read that.
            Unreadable: it was handed a text it cannot read.
        """
        try:
            async with (self._as_itself if role is None else self._in_roles).acquire(timeout=_COMMAND_TIMEOUT_S) as connection:
                if role is not None:
                    await connection.wear(f"{self._prefix}_{role}")
                yield connection
        except _GONE:
            raise ServiceError("PostgreSQL does not answer or broke off", where="warehouse") from None
        except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError,
                asyncpg.UndefinedFunctionError, asyncpg.InvalidParameterValueError) as error:  # fmt: skip
            raise Refused(type(error).__name__) from None
        except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
            raise Unreadable(type(error).__name__) from None

    async def read(self, role: str | None, query: str, *arguments: Any) -> list[Any]:
        """Rows of a query under a role."""
        async with self.connection(role) as connection:
            found: list[Any] = await connection.fetch(query, *arguments)
            return found

    @asynccontextmanager
    async def alone(self, work: str) -> AsyncIterator[bool]:
        """Whether this program alone does a piece of work, by its name, while the block lasts. The lock is a connection's: a program that is killed leaves none."""
        async with self.connection() as connection, connection.transaction():
            yield bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", database.lock_key(work)))

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(self._as_itself.close(), self._in_roles.close())


async def _keep(_: Any) -> None:
    """Nothing is reset between uses: a role stays on until another is needed."""


async def connect(settings: Settings, password: str, *, most: int = 10) -> Asking:
    """Open the programs' connections.

    Args:
        settings: whose warehouse.
        password: of the login.
        most: connections at one time.

    Raises:
        ServiceError: PostgreSQL does not answer, or does not know the login.
    """

    def address() -> tuple[Any, str, str]:
        engine = database.engine(settings)
        with engine.connect() as connection:
            return engine.url, disclosure.login_name(connection), disclosure.role_name(connection, "").rstrip("_")

    url, login, prefix = await asyncio.to_thread(address)
    opened: Callable[[], Awaitable[Any]] = lambda: asyncpg.create_pool(
        host=url.host or url.query.get("host"), port=url.port, database=url.database, user=login, password=password, min_size=1, max_size=most,
        connection_class=_Connection, reset=_keep, command_timeout=_COMMAND_TIMEOUT_S, server_settings={"application_name": "hub sharing", "plan_cache_mode": "force_generic_plan"},  # planning costs more than reading
    )  # fmt: skip
    try:
        # Two of a kind: what the log is written by would else have a role put on and taken off between any two entries.
        return Asking((await opened(), await opened()), prefix)
    except (*_GONE, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InsufficientPrivilegeError):
        raise ServiceError("PostgreSQL does not let the sharing login in", where="warehouse", next_step="run `hub policy apply`") from None
