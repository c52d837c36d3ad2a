"""What a night costs: seconds a verb, rows a second, peak memory, and the ratio of the whole to a plain COPY.

Run: ``python -m benchmarks.night [--persons 200000] [--persons 1000000] [--nights 3] [--json]``. Each size gets a hub of its
own in a temporary folder: PostgreSQL, the five simulated agencies, nothing else. The floor is COPY of the very rows the first
night delivered, typed and in the contract's columns, into plain logged tables of the same server, in the same run.

What the agencies themselves need to make their stock ready is not the hub's cost: before each night every agency is asked once
and the answer thrown away.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any

import psutil
import sqlalchemy as sa

import connectors
from connectors.delivery import FetchRequest
from hub.settings import CHECKOUT, Settings, load_endpoint
from pipeline.services import up
from sandbox import clock
from schemas.contract import Scope, load_contracts
from warehouse import database, embedded

_MIB = 1024 * 1024
VERBS = ("fetch", "land", "parse", "gate", "resolve", "merge", "share")


@dataclass(frozen=True)
class Night:
    """One measured night.

    Attributes:
        seconds: of the whole command, start of Python to exit.
        verbs: seconds a verb, added up over sources that run side by side.
        rows: delivered by all agencies.
        hub_mib: peak resident memory of the hub's process.
        postgres_mib: peak of PostgreSQL's processes, shared pages counted once.
    """

    date: str
    seconds: float
    verbs: dict[str, float]
    rows: int
    hub_mib: float
    postgres_mib: float


@dataclass(frozen=True)
class Size:
    """What was measured at one size; the first night is the initial load."""

    persons: int
    floor_seconds: float
    floor_rows: int
    nights: list[Night]


@contextlib.contextmanager
def _hub(persons: int) -> Iterator[Settings]:
    top = Path(tempfile.mkdtemp(prefix="hub-bench-"))
    top.chmod(0o711)  # PostgreSQL's own user passes through
    os.environ["HUB_HOME"], os.environ["HUB_SANDBOX_PERSONS"] = str(top / "home"), str(persons)
    settings = Settings()  # type: ignore[call-arg]
    try:
        up.up(settings, with_airflow=False)
        yield settings
    finally:
        up.down(settings)
        shutil.rmtree(top, ignore_errors=True)


def _ask_once(settings: Settings, day: date) -> None:
    """Have every agency make its stock of a day ready."""
    clock.set_night(settings, clock.night_of(settings, day))
    is_first = day == settings.sandbox_epoch
    for stem, contract in load_contracts().items():
        if not is_first and not contract.delivery.is_due(day):
            continue
        scope = Scope.FULL if is_first else contract.delivery.scope_on(day)
        since = clock.date_of(settings, clock.night_of(settings, day) - 1) if scope is Scope.DELTA else None
        with tempfile.TemporaryFile() as nowhere:
            for part in connectors.load(stem).fetch(FetchRequest(contract, load_endpoint(stem, settings), day, scope, since)).parts():
                for chunk in part.chunks:
                    nowhere.write(chunk)


def _postgres_mib(pid: int) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        server = psutil.Process(pid)
        for process in [server, *server.children()]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total / _MIB


def _night(settings: Settings, day: date) -> Night:
    _ask_once(settings, day)
    data_dir = embedded.cluster(settings).data_dir
    server = int((data_dir / "postmaster.pid").read_text(encoding="ascii").split()[0])
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            peak[0] = max(peak[0], _postgres_mib(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", "night", "--date", str(day), "--json"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the night of {day} ended with status {os.waitstatus_to_exitcode(status)}: nothing was measured")
    told: dict[str, Any] = json.loads(printed)
    rows = sum(s["delivered"] for s in told["sources"].values())
    return Night(str(day), seconds, told["seconds"], rows, usage.ru_maxrss / 1024, peak[0])


def _floor(settings: Settings) -> tuple[float, int]:
    """Seconds and rows of a plain COPY of everything the agencies' tables hold; the median of three."""
    engine, seconds, rows = database.engine(settings), 0.0, 0
    for stem, contract in load_contracts().items():
        columns = ", ".join(f'"{f.name}"' for f in contract.fields if not f.is_key)
        source, table = f'SELECT record_key, {columns} FROM core."{stem}"', f"staging.floor_{stem}"
        with tempfile.TemporaryFile() as spill:
            with engine.connect() as connection:
                _copy(connection, f"COPY ({source}) TO STDOUT (FORMAT csv)", spill)
            tries = []
            for _ in range(3):
                spill.seek(0)
                with engine.begin() as connection:
                    connection.execute(sa.text(f"CREATE TABLE {table} AS {source} LIMIT 0"))
                started = time.perf_counter()
                with engine.begin() as connection:
                    copied = _copy(connection, f"COPY {table} FROM STDIN (FORMAT csv)", spill)
                tries.append(time.perf_counter() - started)
                with engine.begin() as connection:
                    connection.execute(sa.text(f"DROP TABLE {table}"))
            seconds, rows = seconds + statistics.median(tries), rows + copied
    return seconds, rows


def _copy(connection: sa.Connection, statement: str, file: IO[bytes]) -> int:
    with contextlib.closing(connection.connection.cursor()) as cursor:
        cursor.copy_expert(statement, file)
        return cursor.rowcount


def measure(persons: int, nights: int) -> Size:
    """Measure the initial load and the nights after it, of one size."""
    with _hub(persons) as settings:
        first = _night(settings, settings.sandbox_epoch)
        floor_seconds, floor_rows = _floor(settings)
        later = [_night(settings, clock.date_of(settings, n)) for n in range(2, nights + 1)]
    return Size(persons, floor_seconds, floor_rows, [first, *later])


def _print(size: Size) -> None:
    print(f"\n{size.persons:,} persons · floor: COPY of {size.floor_rows:,} rows {size.floor_seconds:.2f} s")
    print(f"{'night':<12}{'rows':>10}{'seconds':>9}{'rows/s':>9}{'× floor':>9}{'÷ first':>9}" + "".join(f"{v:>9}" for v in VERBS), end="")
    print(f"{'hub MiB':>9}{'PG MiB':>9}")
    first = size.nights[0]
    for n in size.nights:
        ratio = f"{n.seconds / size.floor_seconds:>9.1f}" if n is first else f"{'':>9}"
        print(f"{n.date:<12}{n.rows:>10,}{n.seconds:>9.1f}{n.rows / n.seconds:>9,.0f}{ratio}{n.seconds / first.seconds:>9.1%}", end="")
        print("".join(f"{n.verbs.get(v, 0):>9.2f}" for v in VERBS) + f"{n.hub_mib:>9,.0f}{n.postgres_mib:>9,.0f}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--persons", type=int, action="append", help="size of the county; may be given several times")
    parser.add_argument("--nights", type=int, default=4, help="nights in a row, the first being the initial load")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    sizes = []
    for persons in asked.persons or [200_000]:
        sizes.append(measure(persons, asked.nights))
        if not asked.json:
            _print(sizes[-1])
    if asked.json:
        print(json.dumps([asdict(s) for s in sizes]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
