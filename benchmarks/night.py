"""What a night costs: seconds a verb, rows a second, CPU, peak memory, and the ratio of the whole to a plain COPY.

Run: ``python -m benchmarks.night [--persons 200000] [--persons 1000000] [--nights 3] [--json]``. Each size gets a hub of its
own in a temporary folder: PostgreSQL, the five simulated agencies, nothing else. The floor is COPY of the very rows the first
night delivered, typed and in the contract's columns, into plain logged tables of the same server, in the same run. Seconds of
CPU, the hub's and PostgreSQL's, hardly depend on what else the machine does, so their ratio to the floor's is printed beside that
of the clock.

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
from pipeline.services import agencies, up
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
        hub_cpu: seconds of CPU of the hub's processes.
        postgres_cpu: of PostgreSQL's processes.
        hub_mib: peak memory of the hub's processes, shared pages counted once.
        postgres_mib: the same of PostgreSQL's.
    """

    date: str
    seconds: float
    verbs: dict[str, float]
    rows: int
    hub_cpu: float
    postgres_cpu: float
    hub_mib: float
    postgres_mib: float


@dataclass(frozen=True)
class Size:
    """What was measured at one size; the first night is the initial load."""

    persons: int
    floor_seconds: float
    floor_cpu: float
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


def at_hand(settings: Settings) -> None:
    """Return when every agency has its stock of the county's night.

    Raises:
        SystemExit: one has not within an hour.
    """
    if late := agencies.unprepared(settings, within_s=3600):
        raise SystemExit(f"{', '.join(late)} did not get ready: nothing was measured")


def _ask_once(settings: Settings, day: date) -> None:
    """Have every agency make its stock of a day ready."""
    clock.set_night(settings, clock.night_of(settings, day))
    at_hand(settings)
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


def _mib(pid: int) -> float:
    """Memory of a process and all it started, shared pages counted once."""
    total = 0
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        for process in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total / _MIB


def _postgres_cpu(pid: int) -> float:
    """Seconds of CPU of a server so far: of itself, its processes, and those that ended."""
    server = psutil.Process(pid)
    used = sum(server.cpu_times()[:4])
    for process in server.children():
        with contextlib.suppress(psutil.Error):
            used += sum(process.cpu_times()[:2])
    return used


def _server(settings: Settings) -> int:
    """Process id of the embedded server."""
    return int((embedded.cluster(settings).data_dir / "postmaster.pid").read_text(encoding="ascii").split()[0])


def _night(settings: Settings, day: date) -> Night:
    _ask_once(settings, day)
    server = _server(settings)
    used_before = _postgres_cpu(server)
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "night", "--date", str(day), "--json"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    peak, over = {"hub": 0.0, "postgres": 0.0}, threading.Event()

    def watch() -> None:
        while not over.wait(0.5):  # looking costs something too
            for name, pid in (("hub", child.pid), ("postgres", server)):
                peak[name] = max(peak[name], _mib(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    used = _postgres_cpu(server) - used_before
    over.set()
    watcher.join()
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the night of {day} ended with status {os.waitstatus_to_exitcode(status)}: nothing was measured")
    told: dict[str, Any] = json.loads(printed)
    rows = sum(s["delivered"] for s in told["sources"].values())
    hub_cpu = usage.ru_utime + usage.ru_stime
    return Night(str(day), seconds, told["seconds"], rows, hub_cpu, used, max(peak["hub"], usage.ru_maxrss / 1024), peak["postgres"])


def _floor(settings: Settings) -> tuple[float, float, int]:
    """Seconds, seconds of CPU (this process and PostgreSQL) and rows of a plain COPY of everything the agencies' tables hold.

    The median of three.
    """
    engine, server, seconds, cpu, rows = database.engine(settings), _server(settings), 0.0, 0.0, 0
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
                used, started = _postgres_cpu(server) + time.process_time(), time.perf_counter()
                with engine.begin() as connection:
                    copied = _copy(connection, f"COPY {table} FROM STDIN (FORMAT csv)", spill)
                tries.append((time.perf_counter() - started, _postgres_cpu(server) + time.process_time() - used))
                with engine.begin() as connection:
                    connection.execute(sa.text(f"DROP TABLE {table}"))
            seconds, cpu = seconds + statistics.median(t for t, _ in tries), cpu + statistics.median(c for _, c in tries)
            rows += copied
    return seconds, cpu, rows


def _copy(connection: sa.Connection, statement: str, file: IO[bytes]) -> int:
    with contextlib.closing(connection.connection.cursor()) as cursor:
        cursor.copy_expert(statement, file)
        return cursor.rowcount


def measure(persons: int, nights: int) -> Size:
    """Measure the initial load and the nights after it, of one size."""
    with _hub(persons) as settings:
        first = _night(settings, settings.sandbox_epoch)
        floor_seconds, floor_cpu, floor_rows = _floor(settings)
        later = [_night(settings, clock.date_of(settings, n)) for n in range(2, nights + 1)]
    return Size(persons, floor_seconds, floor_cpu, floor_rows, [first, *later])


def _print(size: Size) -> None:
    print(f"\n{size.persons:,} persons · floor: COPY of {size.floor_rows:,} rows {size.floor_seconds:.2f} s, {size.floor_cpu:.2f} s of CPU")
    heads = ("rows", "seconds", "rows/s", "× floor", "÷ first", *VERBS, "hub CPU", "PG CPU", "× floor", "÷ first", "hub MiB", "PG MiB")
    print(f"{'night':<12}" + "".join(f"{head:>9}" for head in heads))
    first = size.nights[0]
    for n in size.nights:
        cpu, cpu_of_first = n.hub_cpu + n.postgres_cpu, first.hub_cpu + first.postgres_cpu
        is_first = n is first
        cells = [
            f"{n.rows:,}", f"{n.seconds:.1f}", f"{n.rows / n.seconds:,.0f}",
            f"{n.seconds / size.floor_seconds:.1f}" if is_first else "", f"{n.seconds / first.seconds:.1%}",
            *(f"{n.verbs.get(v, 0):.2f}" for v in VERBS), f"{n.hub_cpu:.1f}", f"{n.postgres_cpu:.1f}",
            f"{cpu / size.floor_cpu:.1f}" if is_first else "", f"{cpu / cpu_of_first:.1%}", f"{n.hub_mib:,.0f}", f"{n.postgres_mib:,.0f}",
        ]  # fmt: skip
        print(f"{n.date:<12}" + "".join(f"{cell:>9}" for cell in cells))


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
