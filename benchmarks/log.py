"""What the log of disclosures costs when it is large: appending to it, and proving that an entry is in it.

    python -m benchmarks.log [--leaves 10000000] [--batch 10000]

Runs in a database of its own on the hub's server, which is dropped at the end. The tree's first leaves are random hashes put down as tiles; from there the
service's own ledger appends entries, and proofs are made as they are for a department: tiles are read from the database, and the proof is checked.
"""

import argparse
import asyncio
import contextlib
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from hub.crypto_suite import chosen
from hub.settings import Settings, get_settings
from sharing import merkle
from sharing.ledger import Entry
from sharing.service import Service
from warehouse import audit_log, database

_NAME = "benchmark_log"
_PROOFS = 200
_BATCHES = 20


@contextlib.contextmanager
def scratch(name: str = _NAME) -> Iterator[Settings]:
    """Settings of a hub whose warehouse is a new database of a name."""
    url = database.engine(get_settings()).url
    server = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection, tempfile.TemporaryDirectory() as home:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        address = url.set(database=name).render_as_string(hide_password=False)
        settings = Settings(home=Path(home), database_url=address)  # type: ignore[call-arg, arg-type]
        try:
            yield settings
        finally:
            database.engine(settings).dispose()
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
            roles = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, :prefix) ORDER BY length(rolname) DESC"
            for role in connection.scalars(sa.text(roles), {"prefix": f"{name}_"}).all():
                connection.execute(sa.text(f'DROP ROLE "{role}"'))


def _plant(settings: Settings, leaves: int, batch: int) -> float:
    """Put a tree of random leaves down; seconds its hashes took."""
    suite = chosen(settings)
    tree, edge = merkle.Tree(suite.digest), dict[int, bytes]()
    took = 0.0
    engine = database.engine(settings)
    for size in range(0, leaves, batch):
        fresh = [secrets.token_bytes(32) for _ in range(min(batch, leaves - size))]
        began = time.perf_counter()
        edge, changed = tree.grow(size, edge, fresh)
        took += time.perf_counter() - began
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO audit.tile SELECT * FROM unnest(CAST(:levels AS smallint[]), CAST(:numbers AS bigint[]), CAST(:hashes AS bytea[]))"
                    " ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
                ),
                {"levels": [k[0] for k in changed], "numbers": [k[1] for k in changed], "hashes": list(changed.values())},
            )
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE audit.log SET size = :size, suite = :suite"), {"size": leaves, "suite": suite.name})
        connection.execute(sa.text("ANALYZE audit.tile"))
    return took


async def _measured(settings: Settings, batch: int) -> tuple[float, float, float]:
    """Entries appended a second, and milliseconds of a proof of inclusion: the median and the 95th in a hundred."""
    service = Service(settings, "http://benchmark")
    await service.open()
    try:
        entry = Entry(None, None, "benchmark", "refused", "benchmark", "benchmark", secrets.token_bytes(32))
        await service.ledger.commit([entry], None)
        began = time.perf_counter()
        for _ in range(_BATCHES):
            await service.ledger.commit([entry] * batch, None)
        rate = batch * _BATCHES / (time.perf_counter() - began)
        size, root, _ = await service.head()
        took = []
        for _ in range(_PROOFS):
            index = secrets.randbelow(size)
            start = time.perf_counter()
            path = await service.prove(lambda read, i=index: service.tree.inclusion(i, size, read), size)
            took.append((time.perf_counter() - start) * 1000)
            tile = (await audit_log.tiles(service.asking, [(0, index // merkle.TILE)]))[0, index // merkle.TILE]
            place = index % merkle.TILE
            leaf = tile[place * merkle.HASH_BYTES : (place + 1) * merkle.HASH_BYTES]
            if not service.tree.includes(index, size, leaf, path, root):
                raise RuntimeError("a proof does not lead to the root")
    finally:
        await service.close()
    return rate, statistics.median(took), statistics.quantiles(took, n=100)[94]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--leaves", type=int, default=10_000_000)
    parser.add_argument("--batch", type=int, default=10_000)
    given = parser.parse_args()
    with scratch() as settings:
        database.migrate(settings)
        hashing_s = _plant(settings, given.leaves, given.batch)
        print(f"{given.leaves:,} leaves hashed into a tree in {hashing_s:.1f} s ({given.leaves / hashing_s:,.0f}/s)")
        rate, median_ms, p95_ms = asyncio.run(_measured(settings, given.batch))
        print(f"appended {given.batch * _BATCHES:,} entries in batches of {given.batch:,}: {rate:,.0f}/s, each batch on disk")
        print(f"proof of inclusion, read from the database and checked: p50 {median_ms:.1f} ms · p95 {p95_ms:.1f} ms")


if __name__ == "__main__":
    main()
