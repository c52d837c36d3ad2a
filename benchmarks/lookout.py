"""What looking for unusual access costs when the log is large: the same ten thousand new entries behind a short log and a long one.

    python -m benchmarks.lookout [--entries 10000 1000000] [--a-day 500] [--new 10000] [--persons 100000]

Runs in databases of its own on the hub's server, which are dropped at the end. Twenty clients ask about persons made up for it: the entries that are there
are so many a day, up to today, the new ones are of today. Half are about one person at a time, by named operators; half are lists.
"""

import argparse
import contextlib
import statistics
import time
from dataclasses import dataclass, field

import sqlalchemy as sa

from benchmarks.log import scratch
from hub.settings import Settings
from sharing import keys, lookout, operator_seal
from warehouse import client_days, database
from warehouse import unusual as findings

_CLIENTS = 20
_LOOKS = 5
_OPERATORS = [f"{surname}工" for surname in "王李张刘陈杨赵黄周吴"]
_PERSONS = """
INSERT INTO core.person (person_id, name, area_code, address, records, sources, as_of_date)
    SELECT uuidv7(), substr('王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗', 1 + n % 20, 1) || '明', '421022' || lpad((1 + n % 200)::text, 6, '0'), 'road ' || n / 3, 1, '{}', '2026-01-01'
    FROM generate_series(1, :persons) AS n
"""
_ENTRIES = """
INSERT INTO audit.entry
    SELECT :size + n, gen_random_uuid(), :until - (:entries - 1 - n) * (CAST(:days AS double precision) * interval '1 day' / :entries),
        'desk-' || n % :clients, 'department-' || n % 5, 'roster_monitoring',
        CASE WHEN n % 50 = 7 THEN 'not_available' ELSE 'told' END, subject,
        :asked || CASE WHEN n % 40 < 20 THEN 'person' ELSE 'compare' END || :request || :size + n || :told, '\\x00'
    FROM generate_series(0, :entries - 1) AS n JOIN subject ON number = CAST(:size + n AS bigint) * 7919 % :persons
"""


# An entry as the ledger writes it, in parts.
_BODY = {
    "asked": '{"asked":"', "request": '","at":"2026-01-01T00:00:00+08:00","consent":null,"night":"2026-01-01","request_id":"',
    "told": '","told":{"?insured":"clear","person.name":"masked"}}',
}  # fmt: skip


def _plant(settings: Settings, size: int, entries: int, days: int, persons: int) -> None:
    """Put entries down behind those there, and whom they named."""
    sealing = operator_seal.seal(settings)
    with database.engine(settings).begin() as connection:
        now = connection.scalar(sa.text("SELECT now()"))
        given = {"size": size, "entries": entries, "days": days, "until": now, "clients": _CLIENTS, "persons": persons, **_BODY}
        connection.execute(sa.text(_ENTRIES), given)
        connection.execute(sa.text("UPDATE audit.log SET size = :size, suite = 'international'"), {"size": size + entries})
        rows = connection.execute(
            sa.text(
                "SELECT client_id, leaf_index::text AS request_id, at FROM audit.entry WHERE leaf_index >= :size AND starts_with(body, :person) AND at > now() - interval '60 days'"
            ),
            {"size": size, "person": _BODY["asked"] + "person"},
        ).all()
        named = [
            {
                "client": r.client_id, "request": r.request_id, "at": r.at,
                "sealed": operator_seal.closed(sealing, r.client_id, r.request_id, _OPERATORS[n % len(_OPERATORS)]),
            }
            for n, r in enumerate(rows)
        ]  # fmt: skip
        if named:
            connection.execute(sa.text("INSERT INTO share.operator VALUES (:client, :request, :at, :sealed)"), named)


@dataclass
class _Measured:
    """A log of so many entries, and what looks at new ones took."""

    settings: Settings
    entries: int
    first_s: float
    looks_s: list[float] = field(default_factory=list)


def _begun(settings: Settings, entries: int, a_day: int, persons: int) -> _Measured:
    """A log whose entries are habit."""
    database.migrate(settings)
    engine = database.engine(settings)
    with engine.begin() as connection:
        connection.execute(sa.text(_PERSONS), {"persons": persons})
        ids = connection.scalars(sa.text("SELECT person_id::text FROM core.person")).all()
        pseudonyms = keys.Pseudonyms(settings)
        connection.execute(sa.text("CREATE TABLE subject (number bigint PRIMARY KEY, subject bytea)"))
        connection.execute(
            sa.text("INSERT INTO subject SELECT n - 1, subject FROM unnest(CAST(:subjects AS bytea[])) WITH ORDINALITY AS s(subject, n)"),
            {"subjects": [pseudonyms.of(i) for i in ids]},
        )
    _plant(settings, 0, entries, entries // a_day, persons)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
    began = time.perf_counter()
    with engine.begin() as connection:
        counted = client_days.count(connection, 0, entries)
        findings.done(connection, entries)
    if not counted:
        raise RuntimeError("nothing was counted")
    return _Measured(settings, entries, time.perf_counter() - began)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--a-day", type=int, default=500)
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--persons", type=int, default=100_000)
    given = parser.parse_args()
    with contextlib.ExitStack() as held:
        logs = [
            _begun(held.enter_context(scratch(f"benchmark_lookout_{n}")), entries, given.a_day, given.persons)
            for n, entries in enumerate(given.entries)
        ]
        for n in range(_LOOKS):  # in turn, so that whatever else the machine does is done to all
            for log in logs:
                _plant(log.settings, log.entries + n * given.new, given.new, 0, given.persons)
                began = time.perf_counter()
                lookout.look(log.settings)
                log.looks_s.append(time.perf_counter() - began)
    for log in logs:
        median_s = statistics.median(log.looks_s)
        print(
            f"{log.entries:>12,} entries there, {given.a_day:,} a day: a look at {given.new:,} new ones {median_s:.2f} s; the first count of all {log.first_s:.1f} s"
        )
    if len(logs) > 1:
        ratios = [one / other for one, other in zip(logs[-1].looks_s, logs[0].looks_s, strict=True)]
        print(f"ratio of the last to the first, the median of {_LOOKS}: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
