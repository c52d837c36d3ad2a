"""An exchange database (前置机): a read-only view, read in one snapshot through a server-side cursor."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.pool import NullPool

from connectors.delivery import FetchRequest, Manifest, Part, PartStream
from connectors.kits.patience import Patience
from hub.errors import ConfigError, SourceChanged, SourceRefused, SourceUnavailable
from hub.progress import Progress
from schemas.contract import Scope

_SHANGHAI = ZoneInfo("Asia/Shanghai")


# Before a session is there the driver has no SQLSTATE, only a text that names host and account: sign in it → what is told.
_REASONS = {
    "timeout expired": "no answer in time",
    "Connection refused": "nobody listens there",
    "too many connections": "all connections are taken",
    "connection slots": "all connections are taken",
    "starting up": "the server is starting",
    "shutting down": "the server is stopping",
    "closed the connection": "the server ended the connection",
}


@dataclass(frozen=True)
class Dialect:
    """What differs between such databases.

    Attributes:
        change_time, change_flag: columns of the view that belong to the exchange, not to the record; not delivered.
        batches: view of what was pushed when, one row a day; ``{view}`` is the data view's name.
        batch_date, batch_rows: its columns.
    """

    change_time: str = "push_time"
    change_flag: str = "push_flag"
    batches: str = "{view}_batch"
    batch_date: str = "push_date"
    batch_rows: str = "push_rows"


class _Session:
    """A read-only session, each wait held to the contract."""

    def __init__(self, request: FetchRequest, patience: Patience) -> None:
        self.request = request
        self.patience = patience
        endpoint, address = request.endpoint, urlsplit(request.endpoint.url)
        if not address.hostname or not address.path.strip("/") or not endpoint.extra.get("view"):
            raise ConfigError(
                "the endpoint needs url postgresql://HOST:PORT/DATABASE and extra.view (name of the view)",
                where=f"sources/{request.contract.stem}.json",
            )
        self.view = str(endpoint.extra["view"])
        url = sa.URL.create(
            "postgresql+psycopg2", endpoint.username, endpoint.secret.get_secret_value() if endpoint.secret else None,
            address.hostname, address.port, address.path.strip("/"),
        )  # fmt: skip
        timeouts = patience.timeouts
        self._engine = sa.create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, round(timeouts.connect_s)),
                "options": f"-c statement_timeout={int(max(timeouts.first_byte_s, timeouts.idle_s) * 1000)}",
                "application_name": "assistance-hub",
            },
        )

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database from its first read to its last."""
        connection = self._connected()
        try:
            yield connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        finally:
            connection.invalidate()
            connection.close()
            self._engine.dispose()

    def _connected(self) -> sa.Connection:
        for attempt in self.patience.attempts():
            with attempt, self.translated("connecting"):
                connection = self._engine.connect()
        return connection

    @contextmanager
    def translated(self, phase: str) -> Iterator[None]:
        """Turn the driver's errors, whose texts may quote rows, into source errors."""
        where = self.request.where
        try:
            yield
        except NoSuchTableError:
            raise SourceChanged("the agreed view is not there", where=where, next_step="ask the agency what was renamed") from None
        except (DBAPIError, psycopg2.Error) as error:
            driver = error.orig if isinstance(error, DBAPIError) else error
            state = getattr(driver, "pgcode", None) or ""
            text = str(driver)
            if state.startswith("28") or "authentication failed" in text or "not permitted to log in" in text:
                raise SourceRefused(
                    "the account is not let in",
                    where=where,
                    next_step="check username and secret in the source's endpoint file",
                ) from None
            if state == "42501":
                raise SourceRefused("the account may not read the view", where=where, next_step="ask the agency for the grant") from None
            if state.startswith("42"):
                raise SourceChanged(
                    f"the view is not as agreed (SQLSTATE {state})",
                    where=where,
                    next_step="ask the agency what changed in its view",
                ) from None
            reason = (
                f"SQLSTATE {state}" if state else next((told for sign, told in _REASONS.items() if sign in text), "the connection broke")
            )
            raise SourceUnavailable(
                f"{phase} failed ({reason})", where=where,
                next_step="fetch again; if it persists, call the agency",
            ) from None  # fmt: skip

    @contextmanager
    def waiting(self, connection: sa.Connection, phase: str, limit_s: float) -> Iterator[None]:
        """Hold a read to a limit."""
        driver: Any = connection.connection.driver_connection
        with self.patience.cut_off(driver.fileno(), phase, limit_s), self.translated(phase):
            yield

    def reflected(self, connection: sa.Connection, name: str) -> sa.Table:
        """A view with its columns as they are now."""
        with self.waiting(connection, "reading the view's columns", self.patience.timeouts.first_byte_s):
            return sa.Table(name, sa.MetaData(), autoload_with=connection)


def _declared(session: _Session, connection: sa.Connection, dialect: Dialect, since: date | None) -> tuple[int, date]:
    """Rows and as-of date by the agency's own batch list."""
    batch = session.reflected(connection, dialect.batches.format(view=session.view))
    day, rows = _column(session, batch, dialect.batch_date), _column(session, batch, dialect.batch_rows)
    newer = sa.true() if since is None else day > since
    wanted = sa.select(sa.func.max(day), sa.func.coalesce(sa.func.sum(rows).filter(newer), 0))
    with session.waiting(connection, "the wait for the batch list", session.patience.timeouts.first_byte_s):
        as_of, total = connection.execute(wanted).one()
    if as_of is None:
        raise SourceUnavailable("the agency has not pushed anything yet", where=session.request.where, next_step="fetch later")
    return int(total), as_of


def _column(session: _Session, table: sa.Table, name: str) -> sa.Column[Any]:
    if name not in table.columns:
        raise SourceChanged(
            f"the view {table.name} has no column {name}",
            where=session.request.where,
            next_step="ask the agency what was renamed",
        )
    return table.columns[name]


def _rows(session: _Session, connection: sa.Connection, query: sa.Select[Any, *tuple[Any, ...]]) -> Iterator[list[Any]]:
    size = session.request.page_size
    timeouts = session.patience.timeouts
    options = {"stream_results": True, "yield_per": size}
    with session.waiting(connection, "the wait for the first rows", timeouts.first_byte_s):
        pages = iter(connection.execute(query, execution_options=options).partitions(size))
    limit_s, phase = timeouts.first_byte_s, "the wait for the first rows"
    while True:
        with session.waiting(connection, phase, limit_s):
            page = next(pages, None)
        if page is None:
            return
        yield list(page)
        limit_s, phase = timeouts.idle_s, "the wait for more rows"


def stream(request: FetchRequest, dialect: Dialect | None = None) -> PartStream:
    """A delivery as one CSV with the view's own column names; every value as text, null as nothing.

    Raises:
        SourceUnavailable: the line failed, or nothing was pushed yet.
        SourceRefused: the account is not let in, or may not read.
        SourceChanged: view or columns are not as agreed, or rows and batch list disagree.
        ConfigError: the endpoint lacks address or view.
    """
    dialect = dialect or Dialect()
    session = _Session(request, Patience.of(request))
    since = request.since if request.wanted is Scope.DELTA else None
    count = 0
    with session.snapshot() as connection:
        total, as_of = _declared(session, connection, dialect, since)
        view = session.reflected(connection, session.view)
        changed_at = _column(session, view, dialect.change_time)
        own = [c for c in view.columns if c.name not in (dialect.change_time, dialect.change_flag)]
        query = sa.select(*(sa.cast(c, sa.String).label(c.name) for c in own))
        if since is not None:
            query = query.where(changed_at >= datetime.combine(since + timedelta(days=1), time(), _SHANGHAI))

        def chunks() -> Iterator[bytes]:
            nonlocal count
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow([c.name for c in own])
            for page in _rows(session, connection, query):
                count += len(page)
                writer.writerows(page)
                yield text.getvalue().encode()
                text.seek(0)
                text.truncate()
            if text.tell():
                yield text.getvalue().encode()

        yield Part(f"{session.view}.csv", chunks(), lambda: Progress(count, total))
    if count != total:
        raise SourceChanged(
            f"{count} rows came where the agency's batch list says {total}", where=request.where,
            next_step="fetch again; then ask the agency",
        )  # fmt: skip
    if count == 0 and since is None:
        raise SourceRefused("the view shows no row at all", where=request.where, next_step="ask which data the account may see")
    return Manifest(request.wanted, as_of, total, None)
