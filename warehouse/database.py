"""The connection to the warehouse, its version, and its locks."""

import contextlib
import hashlib
import io
import socket
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import sqlalchemy as sa

from hub.errors import AlreadyRunning, ConfigError, MergeError, ServiceError, TakenOver
from hub.settings import Settings
from warehouse import embedded, fences
from warehouse.fences import Fence

MIGRATIONS = Path(__file__).parent / "migrations"
# By name of the work; None where the warehouse has no fences yet.
_held: ContextVar[Mapping[str, Fence | None]] = ContextVar("held", default={})  # noqa: B039 - never changed, only replaced


@cache
def _engine(url: str) -> sa.Engine:
    found = _explained(sa.make_url(url))
    sa.event.listen(found, "commit", still_ours)
    return found


def _explained(url: sa.URL, **options: Any) -> sa.Engine:
    # hide_parameters: bound values may be persons' values and must not reach an exception's text.
    found = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args={"connect_timeout": 10}, **options)
    sa.event.listen(found, "handle_error", _explain)
    return found


@contextlib.contextmanager
def beside(settings: Settings, name: str, **options: Any) -> Iterator[sa.Engine]:
    """Another database of the warehouse's server, which no run holds a fence of; its connections are closed at the end.

    Args:
        settings: whose warehouse.
        name: of the database.
        options: of :func:`sqlalchemy.create_engine`.

    Raises:
        ConfigError: the address of the warehouse is none.
        ServiceError: nobody answers there, or the server goes away meanwhile.
    """
    found = _explained(sa.make_url(url(settings)).set(database=name), **options)
    try:
        yield found
    finally:
        found.dispose()


def still_ours(connection: sa.Connection, *, hold: bool = True) -> None:
    """Let nothing be committed by a run that another one has taken over: looked at last of all, and held fast until the commit.

    Raises:
        TakenOver: the transaction is rolled back.
    """
    held = [fence for fence in _held.get().values() if fence is not None]
    if held and (lost := fences.outdated(connection, held, hold=hold)):
        raise TakenOver(
            f"another run has taken over this {lost[0]}; since then this one wrote nothing",
            next_step="see `hub status` for what the other did",
        )


def _explain(context: sa.ExceptionContext) -> None:
    """A server that went away, or whose disk is full, is an error of a service, told in one sentence."""
    if isinstance(context.original_exception, psycopg2.errors.DiskFull):
        raise _full() from None
    if context.is_pre_ping:  # a pooled connection that cannot answer is dead, whatever its last words: the pool takes a new one
        context.is_disconnect = True
    elif isinstance(context.original_exception, Exception) and (context.is_disconnect or context.connection is None):
        # SQLAlchemy counts an interrupt as a disconnect; it is the reader's own wish and goes its way
        raise _gone() from None


def _full() -> ServiceError:
    return ServiceError("PostgreSQL's disk takes no more", where="warehouse", next_step="make room there; then run the same again")


def _gone() -> ServiceError:
    return ServiceError(
        "PostgreSQL does not answer or broke off", where="warehouse", next_step="see `hub services`; running the same again is harmless"
    )


_embedded_urls: dict[Path, str] = {}


def _embedded(settings: Settings) -> str:
    """Address of the embedded server, started if nobody listens: asked at every use, so the asking must cost nothing."""
    known = _embedded_urls.get(settings.home)
    if known is not None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", sa.make_url(known).port or 0)) == 0:
                return known
    _embedded_urls[settings.home] = known = embedded.start(settings)
    return known


def engine(settings: Settings) -> sa.Engine:
    """The engine of the configured warehouse; the embedded server is started when it is the one.

    Raises:
        ConfigError: the configured address is not a PostgreSQL address.
        ServiceError: nobody answers there.
    """
    if settings.database_url is None:
        return _engine(_embedded(settings))
    url = settings.database_url.get_secret_value()
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        raise ConfigError("not an SQLAlchemy address of PostgreSQL", where="HUB_DATABASE_URL")
    found = _engine(url)
    try:
        found.connect().close()
    except (sa.exc.OperationalError, ServiceError):
        raise ServiceError("PostgreSQL does not answer at the configured address", where="HUB_DATABASE_URL") from None
    return found


def url(settings: Settings) -> str:
    """SQLAlchemy address of the warehouse, password included: never print it."""
    return engine(settings).url.render_as_string(hide_password=False)


def head() -> str:
    """The newest revision: a migration's file begins with its own, and they are numbered."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def migrate(settings: Settings) -> None:
    """Bring the warehouse to the newest version; does nothing when it is there."""
    with engine(settings).connect() as connection:
        has_table = connection.scalar(sa.text("SELECT to_regclass('public.schema_version')"))
        if has_table and connection.scalar(sa.text("SELECT version_num FROM public.schema_version")) == head():
            return
        # Here, because every command asks whether the pool is up to date and next to none finds that it is not.
        from alembic import command
        from alembic.config import Config

        from warehouse import disclosure

        config = Config(stdout=io.StringIO())
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": lock_key("migrating")})
        connection.commit()
        try:
            disclosure.withdraw(connection)  # views and generated columns would hold the tables' columns fast
            command.upgrade(config, "head")
            connection.commit()
        except BaseException:
            connection.invalidate()  # the session ends, and its lock with it; what is told is why, not what the session could not do any more
            raise
        connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": lock_key("migrating")})
        connection.commit()


@dataclass(frozen=True)
class Condition:
    """How the warehouse is.

    Attributes:
        server_version: major version of PostgreSQL.
        version: of the warehouse's tables; None = there are none.
        newest: version this code brings.
    """

    server_version: int
    version: str | None
    newest: str | None


def condition(settings: Settings) -> Condition:
    """How the warehouse is, without changing it.

    Raises:
        ServiceError: nobody answers.
        ConfigError: the address is none.
    """
    with engine(settings).connect() as connection:
        number = int(connection.scalar(sa.text("SHOW server_version_num")) or 0)
        has_table = connection.scalar(sa.text("SELECT to_regclass('public.schema_version')"))
        version = connection.scalar(sa.text("SELECT version_num FROM public.schema_version")) if has_table else None
    return Condition(number // 10000, version, head())


def lock_key(work: str) -> int:
    """The number of the advisory lock of a piece of work, the same in every process: of its name, so that no two pieces share one by chance."""
    return int.from_bytes(hashlib.sha256(work.encode()).digest()[:8], "big", signed=True)


@contextlib.contextmanager
def connected(server: sa.Engine, **options: Any) -> Iterator[sa.Connection]:
    """A connection whose isolation level, or what else the driver sets, is another than the engine's.

    To set it, and to set it back, speaks with the server behind SQLAlchemy's back: the driver's own errors would reach the caller.

    Args:
        server: the engine.
        options: of :meth:`sqlalchemy.Connection.execution_options`.

    Raises:
        ServiceError: the server went away.
    """
    try:
        connection = server.connect().execution_options(**options)
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        raise _gone() from None
    try:
        yield connection
    finally:
        with contextlib.suppress(psycopg2.OperationalError, psycopg2.InterfaceError):  # of one that went away nothing is to be set back
            connection.close()


@contextlib.contextmanager
def alone(settings: Settings, work: str) -> Iterator[None]:
    """Do a piece of work that only one run may do at one time. A run that holds it may enter it again.

    The lock is a session's: a run that is killed leaves none behind. A run that only sleeps, and whose session ends meanwhile, is fenced: whoever
    takes the lock next is the newest run, and none of the sleeper's transactions is committed any more.

    Args:
        settings: whose warehouse.
        work: name of the work.

    Raises:
        AlreadyRunning: another run does it now.
        TakenOver: another run began it meanwhile, or one of the works it is part of.
        ServiceError: the server went away.
    """
    if work in _held.get():
        yield
        return
    key = lock_key(work)
    with connected(engine(settings), isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            raise _busy(work)
        fence: Fence | None = None
        try:
            fence = _taken(settings, work)
            with on_behalf({**_held.get(), work: fence}):
                yield
        except Exception as error:
            # What a run that was taken over stumbles on is not its own mistake: its session is gone, its working tables are another's.
            if not _unlock(connection, key) and not isinstance(error, TakenOver):
                _refuse_if_lost(connection.engine, fence)
            raise
        except BaseException:  # an interrupt is told as such
            _unlock(connection, key)
            raise
        if not _unlock(connection, key):
            _refuse_if_lost(connection.engine, fence)


def _busy(work: str) -> AlreadyRunning:
    return AlreadyRunning(f"another run is at work on this {work} now", next_step="wait for it, see `hub status`; then run this again")


def _taken(settings: Settings, work: str) -> Fence | None:
    """Be the newest run of a work; not committed where the work this is part of was taken over."""
    try:
        with engine(settings).begin() as connection:
            return fences.take(connection, work)
    except sa.exc.OperationalError as error:
        if isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            raise _busy(work) from None
        raise


def _unlock(connection: sa.Connection, key: int) -> bool:
    """Give the lock back; False where it was lost before: nobody knows since when."""
    with contextlib.suppress(sa.exc.DBAPIError, ServiceError):  # a server that went away took the lock with it
        return bool(connection.scalar(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": key}))
    return False


def _refuse_if_lost(server: sa.Engine, fence: Fence | None) -> None:
    if fence is None:
        return
    with contextlib.suppress(sa.exc.DBAPIError, ServiceError), server.connect() as connection, on_behalf({fence.work: fence}):
        still_ours(connection, hold=False)


def held() -> dict[str, Fence | None]:
    """What this run holds, by name of the work: to be handed to whoever works on its behalf."""
    return dict(_held.get())


def number(work: str) -> int:
    """Which run of a work this is; 0 where it holds none, or the warehouse has no fences yet."""
    fence = _held.get().get(work)
    return fence.number if fence else 0


@contextlib.contextmanager
def on_behalf(works: Mapping[str, Fence | None]) -> Iterator[None]:
    """Do a piece of work for another run, which holds it by :func:`alone` and waits; what that one holds is told by :func:`held`."""
    token = _held.set(works)
    try:
        yield
    finally:
        _held.reset(token)


@contextlib.contextmanager
def publishing(settings: Settings) -> Iterator[sa.Connection]:
    """One transaction in which a night is published; only one exists at a time.

    Raises:
        MergeError: another run is publishing now, or a rule of the tables would be broken; nothing was published.
        TakenOver: another run has taken this work over, before or on the way; nothing was published.
    """
    try:
        with engine(settings).begin() as connection:
            still_ours(connection, hold=False)
            # A run that was killed shall not go on publishing in its server process, nor hold up the next.
            connection.execute(sa.text("SET LOCAL client_connection_check_interval = '1s'"))
            if not connection.scalar(sa.text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": lock_key("publishing")}):
                raise MergeError("another run is publishing a night now", next_step="wait for it; then run this night again")
            yield connection
    except sa.exc.IntegrityError as error:
        raise _broken_rule(error) from None


def _broken_rule(error: sa.exc.IntegrityError) -> MergeError:
    """What the tables refused, by the rule's name: the server's own words quote the row."""
    told = getattr(error.orig, "diag", None)
    place = ".".join(part for part in (getattr(told, "schema_name", None), getattr(told, "table_name", None)) if part)
    rule = getattr(told, "constraint_name", None) or getattr(told, "column_name", None) or "not named"
    return MergeError(
        f"a rule of the tables would be broken: {rule}; nothing was published", where=place or "warehouse",
        next_step="keep the deliveries, run the same again; if it stays, report the pointer",
    )  # fmt: skip


def copy_in(connection: sa.Connection, table: str, columns: list[str], data: Any) -> None:
    """COPY CSV bytes (no header, empty unquoted = null) from a file-like object into a table.

    Raises:
        ServiceError: the server went away, or its disk is full.
        psycopg2.Error: never for a value: the parser typed it.
    """
    names = ", ".join(f'"{c}"' for c in columns)
    with copying(connection) as cursor:
        cursor.copy_expert(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)", data)


@contextlib.contextmanager
def copying(connection: sa.Connection) -> Iterator[Any]:
    """The driver's own cursor; SQLAlchemy does not see its errors."""
    try:
        with contextlib.closing(connection.connection.cursor()) as cursor:
            yield cursor
    except psycopg2.errors.DiskFull:
        raise _full() from None
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        if connection.connection.driver_connection is not None and connection.connection.driver_connection.closed:
            connection.invalidate()
            raise _gone() from None
        raise


def copy_out(connection: sa.Connection, query: str, parameters: dict[str, Any] | None = None) -> io.BytesIO:
    """The rows of a query as CSV bytes with a header.

    Args:
        connection: an open connection.
        query: SQL with ``:name`` parameters.
        parameters: their values.
    """
    compiled = sa.text(query).bindparams(**(parameters or {})).compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    target = io.BytesIO()
    with copying(connection) as cursor:
        # the compiled text doubles percent signs for the driver's own formatting, which COPY does not use
        text = str(compiled).replace("%%", "%")
        cursor.copy_expert(f"COPY ({text}) TO STDOUT (FORMAT csv, HEADER)", target)
    target.seek(0)
    return target
