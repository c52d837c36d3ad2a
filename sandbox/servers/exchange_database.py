"""An agency with an exchange database (前置机): a PostgreSQL of its own, a view, and a list of pushes."""

import asyncio
import io
import threading
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from hub.postgres import Cluster, free_port
from sandbox import clock
from sandbox.agency import CHANGED
from sandbox.endpoints import DATABASE, HOST, view_name
from sandbox.servers.agency import Agency
from sandbox.servers.stock import Tonight

_STATEMENTS = Path(__file__).with_suffix(".sql")
_PARAMETERS = {
    "shared_buffers": "64MB", "maintenance_work_mem": "32MB", "work_mem": "8MB", "max_connections": "20",
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
    "wal_level": "minimal", "max_wal_senders": "0",
}  # fmt: skip


def _statements() -> dict[str, str]:
    blocks = _STATEMENTS.read_text(encoding="utf-8").split("-- name: ")[1:]
    return {name.strip(): body.strip() for name, _, body in (block.partition("\n") for block in blocks)}


class ExchangeDatabase:
    """The database of one agency; holds the stock of one night at a time."""

    def __init__(self, agency: Agency) -> None:
        """Prepare the database of an agency; its cluster is made at the first start."""
        self._agency = agency
        self._cluster = Cluster(agency.folder / "postgres", free_port(), str(agency.access.extra["admin_secret"]), parameters=_PARAMETERS)
        self._view = view_name(agency.contract.stem)
        self._sql = _statements()
        self._pushed: str | None = None
        self._is_open = True
        self._lock = threading.Lock()

    def start(self) -> int:
        """Start the cluster; returns its port."""
        # A server left over by a killed process holds another port: it is ended, not reused.
        self._cluster.stop(mode="immediate")
        self._cluster.start()
        with closing(self._connect("postgres")) as connection:
            connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            with connection.cursor() as cursor:
                cursor.execute(self._filled("find_database", name=sql.Literal(DATABASE)))
                is_new = cursor.fetchone() == (0,)
                if is_new:
                    cursor.execute(self._filled("make_database"))
                    cursor.execute(self._filled("lock_rest"))
        if is_new:
            with closing(self._connect(DATABASE)) as connection, connection, connection.cursor() as cursor:
                for name in ("lock_down", "make_role"):
                    cursor.execute(self._filled(name))
        return self._cluster.port

    def stop(self) -> None:
        """Stop the cluster."""
        self._cluster.stop()

    def refresh(self) -> None:
        """Push tonight's stock if it is not there, and let the hub's role in or not."""
        with self._lock:
            is_open = not self._agency.switches.is_on("refuse")
            stock = self._agency.stock.tonight()
            batches_version = "disagree" if self._agency.switches.is_on("total_disagrees") else ""
            version = f"{stock.version}|{batches_version}" if stock else None
            if (is_open, version) == (self._is_open, self._pushed):
                return
            with closing(self._connect(DATABASE)) as connection, connection.cursor() as cursor:
                with connection:
                    if is_open != self._is_open:
                        cursor.execute(self._filled("login" if is_open else "no_login"))
                if stock is not None and version != self._pushed:
                    try:
                        with connection:
                            self._push(cursor, stock)
                    except psycopg2.errors.LockNotAvailable:  # somebody has stopped in the midst of reading: a push waits for nobody
                        with connection:
                            cursor.execute(self._filled("end_readers"))
                            self._push(cursor, stock)
            self._is_open, self._pushed = is_open, version

    def _push(self, cursor: Any, stock: Tonight) -> None:
        """Write new tables and point the views at them; readers see one night or the other."""
        old = [self._view.replace("v_", "t_", 1) + suffix for suffix in ("_a", "_b")]
        cursor.execute(self._filled("wait_a_little"))
        cursor.execute(self._filled("is_free", name=sql.Literal(old[0])))
        table, other = old if cursor.fetchone()[0] else reversed(old)
        columns = [c for c in stock.rows.columns if c != CHANGED]
        names: dict[str, sql.Composable] = {
            "table": sql.Identifier(table),
            "batch_table": sql.Identifier(table + "_batch"),
            "columns": sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(c)) for c in columns),
        }
        settings = self._agency.settings
        pushed = pl.col(CHANGED).replace_strict(
            {n: f"{clock.date_of(settings, n)} 01:30:00+08" for n in stock.rows[CHANGED].unique()},
            return_dtype=pl.String,
        )
        flag = pl.when(pl.col(CHANGED) == 1).then(pl.lit("I")).otherwise(pl.lit("U"))
        rows = stock.rows.select(*columns, flag.alias("push_flag"), pushed.alias("push_time"))
        batches = self._batches(stock)
        for make, copy, content in (
            ("make_push", "copy_push", rows.write_csv(include_header=False).encode().replace(b"\0", b"")),
            ("make_batch", "copy_batch", "".join(f"{day},{n}\n" for day, n in batches.items()).encode()),
        ):
            cursor.execute(self._filled(make, **names))
            cursor.copy_expert(self._filled(copy, **names), io.BytesIO(content))
        cursor.execute(self._filled("swap", **names))
        for name in (other, other + "_batch"):
            cursor.execute(self._filled("drop_push", table=sql.Identifier(name)))

    def _batches(self, stock: Tonight) -> dict[date, int]:
        counted = stock.rows.group_by(CHANGED).len()
        batches = {clock.date_of(self._agency.settings, n): rows for n, rows in counted.iter_rows()}
        batches.setdefault(stock.as_of, 0)
        if self._agency.switches.is_on("total_disagrees"):
            batches[stock.as_of] += 7
        return batches

    def _filled(self, statement: str, /, **names: sql.Composable) -> sql.Composed:
        access = self._agency.access
        known: dict[str, sql.Composable] = {
            "database": sql.Identifier(DATABASE),
            "role": sql.Identifier(access.username),
            "role_name": sql.Literal(access.username),
            "secret": sql.Literal(access.secret),
            "view": sql.Identifier(self._view),
            "batch_view": sql.Identifier(f"{self._view}_batch"),
        }
        return sql.SQL(self._sql[statement]).format(**known, **names)

    def _connect(self, database: str) -> Any:
        return psycopg2.connect(
            host=HOST,
            port=self._cluster.port,
            user="postgres",
            password=self._agency.access.extra["admin_secret"],
            dbname=database,
        )


class DatabaseBackend:
    """The agency's database server."""

    def __init__(self, agency: Agency) -> None:
        """Prepare the server of an agency."""
        self._database = ExchangeDatabase(agency)

    async def start(self) -> int:
        """Serve; returns the port."""
        return await asyncio.to_thread(self._database.start)

    async def stop(self) -> None:
        """Stop serving."""
        await asyncio.to_thread(self._database.stop)

    async def ready(self) -> None:
        """Tonight's stock is pushed before a connection is passed on."""
        await asyncio.to_thread(self._database.refresh)

    def prepare(self) -> None:
        """Push tonight's stock."""
        self._database.refresh()


def backend(agency: Agency) -> DatabaseBackend:
    """The agency's server."""
    return DatabaseBackend(agency)
