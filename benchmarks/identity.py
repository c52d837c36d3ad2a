"""One table: how well and how fast persons are found, by the hub, by Splink's own recipe, and by goldenmatch out of the box.

``make bench-setup`` once, then ``python -m benchmarks.identity``. Every engine reads the same file, runs in a process of its own and is scored
by the same function. Nobody is told anything about the data but the names of its columns.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks import identity_sets
from benchmarks.identity_sets import RecordSet
from identity import scorecard

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("hub", "splink", "goldenmatch")
NOISE = ("low", "standard", "heavy")


@dataclass(frozen=True)
class Run:
    """What one engine made of one set.

    Attributes:
        seconds: wall time of the whole process.
        peak_gib: its largest resident memory.
        clusters: ``source``, ``record_id``, ``person_id`` and, from the hub, ``household_id``; None if it did not finish.
        said: the last line it wrote, if it did not finish.
    """

    seconds: float
    peak_gib: float
    clusters: pl.DataFrame | None
    said: str


def _command(engine: str, source: Path, target: Path, python: Path) -> list[str]:
    if engine == "hub":
        return [str(Path(sys.executable).with_name("hub")), "match", str(source), "--out", str(target), "--json"]
    return [str(python), str(ROOT / "benchmarks" / "peers.py"), engine, str(source), str(target)]


def run(engine: str, records: pl.DataFrame, python: Path, limit_s: float) -> Run:
    """One engine on one table, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source, target, log = Path(folder) / "records.parquet", Path(folder) / "clusters.parquet", Path(folder) / "log"
        records.write_parquet(source)
        started = time.perf_counter()
        with log.open("wb") as out:
            process = subprocess.Popen(_command(engine, source, target, python), stdout=out, stderr=out)
        ended, usage = 0, None
        while not ended and time.perf_counter() - started < limit_s:
            ended, _, usage = os.wait4(process.pid, os.WNOHANG)
            time.sleep(0.05)
        if not ended:
            process.kill()
            _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # reaped above
        seconds = time.perf_counter() - started
        peak = usage.ru_maxrss / 2**20 if usage else 0.0
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        clusters = pl.read_parquet(target) if target.exists() else None
        said = "" if clusters is not None else (f"stopped after {limit_s:.0f} s" if not ended else (lines[-1] if lines else "")[:90])
        return Run(seconds, peak, clusters, said)


def row(name: str, records: RecordSet, found: Run) -> str:
    """A line of the table."""
    if found.clusters is None:
        return (
            f"{records.name:<26}{name:<13}{'—':>9}{'—':>9}{'—':>9}{'—':>9}{'—':>9}{found.seconds:>9.1f}{found.peak_gib:>8.2f}  {found.said}"
        )
    joined = records.truth.join(found.clusters, on=["source", "record_id"], how="left")
    s = scorecard.score(joined, "person_id", "true_person_id")
    homes = "—"
    if "household_id" in joined.columns and "true_household_id" in joined.columns:
        persons = joined.unique("true_person_id", keep="first", maintain_order=True)
        homes = f"{scorecard.score(persons, 'household_id', 'true_household_id').f1:.4f}"
    return (
        f"{records.name:<26}{name:<13}{s.precision:>9.5f}{s.recall:>9.5f}{s.f1:>9.5f}{s.exact:>9.5f}{homes:>9}"
        f"{found.seconds:>9.1f}{found.peak_gib:>8.2f}"
    )


def sets(arguments: argparse.Namespace) -> Iterator[RecordSet]:
    """The sets asked for, made one at a time."""
    for number in (3, 4) if arguments.public else ():
        yield identity_sets.febrl(number, arguments.python)
    if arguments.fake_1000:
        yield identity_sets.fake_1000(arguments.fake_1000)
    for persons in arguments.persons:
        for noise in arguments.noise:
            yield identity_sets.county(persons, noise, arguments.seed)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, nargs="*", default=[20_000], help="sizes of the county: 20000 200000 1000000")
    parser.add_argument("--noise", nargs="*", default=list(NOISE), help="noise levels of the county")
    parser.add_argument("--seed", type=int, default=77, help="seed of the county; not one the engine was developed on")
    parser.add_argument("--fake-1000", type=Path, help="Splink's fake_1000 as CSV; its package downloads it, so it is not run without")
    parser.add_argument("--no-public", dest="public", action="store_false", help="leave FEBRL 3 and 4 out")
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=ENGINES)
    parser.add_argument(
        "--python", type=Path, default=ROOT / ".venv-bench" / "bin" / "python", help="interpreter that has the other engines"
    )
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds an engine may take for one set")
    arguments = parser.parse_args()
    print(f"{'set':<26}{'engine':<13}{'P':>9}{'R':>9}{'F1':>9}{'exact':>9}{'home F1':>9}{'seconds':>9}{'GiB':>8}")
    for records in sets(arguments):
        for engine in arguments.engines:
            print(row(engine, records, run(engine, records.records, arguments.python, arguments.limit)), flush=True)
    if not arguments.fake_1000:
        print("fake_1000 was not run: the splink package downloads it; give its file with --fake-1000")
    return 0


if __name__ == "__main__":
    sys.exit(main())
