"""What the past costs: a question as of another time beside the same question to the present, of a person and of a household; a night without a
change; a merge taken back; another survivorship policy tried; and what it costs to look, at each commit, whether another run took over.

Run: ``python -m benchmarks.history [--persons 50000] [--nights 4] [--only policy,unchanged] [--json]``. A hub of its own in a temporary folder runs
some nights; then, in one process and in turn, the present and the past are asked for the same persons and households, some of which changed; and a
wrong merge that gave a person twelve records is judged away and published by the verbs of a night (resolve and merge). A policy that asks for
agreement first is tried on the whole pool, and rates of disagreement are counted. Last, on the first of the next two months every agency sends its
stock in full, and since the last of the nights nothing has happened to anybody: the second of them is the unchanged one. All figures are medians of
one run. With one night alone, that is the initial load, the first of the next month is the unchanged one already.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from benchmarks.night import _hub as hub_of
from benchmarks.night import at_hand
from hub.settings import Settings
from pipeline import identify, nights, run, survivorship
from sandbox import clock
from warehouse import database, fences, identity_pool, past, pool, questions, weighing
from warehouse.homes import Rule

_ASKED = 200
_HISTORY = ("record", "record_revised", "link", "person", "household_member", "household", "change")


@dataclass(frozen=True)
class Persons:
    """One person.

    Attributes:
        present_ms: as it is.
        past_ms: as of the first night, by what was known then.
        past_ratio: of the two.
        past_day_ms: as of the first night, by what is known today.
        past_day_ratio: over the present.
    """

    present_ms: float
    past_ms: float
    past_ratio: float
    past_day_ms: float
    past_day_ratio: float


@dataclass(frozen=True)
class Households:
    """One household with its members.

    Attributes:
        household_ms: as it is.
        household_past_ms: as it stood in the first night's publication.
        household_past_ratio: of the two.
        household_day_ms: as of the first night, by what is known today.
        household_day_ratio: over the present.
    """

    household_ms: float
    household_past_ms: float
    household_past_ratio: float
    household_day_ms: float
    household_day_ratio: float


@dataclass(frozen=True)
class Fences:
    """What an ordinary night spends on looking whether another run took over.

    Attributes:
        fence_commits: commits of the night that looked.
        fence_us: microseconds of one look.
        fence_share: all of them over the night's seconds; sources run side by side, so that not all of it is waited for.
    """

    fence_commits: int
    fence_us: float
    fence_share: float


@dataclass(frozen=True)
class Unmerge:
    """A merge taken back.

    Attributes:
        unmerge_s: from the judgement to the published pool, of a person of twelve records.
        unmerged_records: how many it had.
    """

    unmerge_s: float
    unmerged_records: int


@dataclass(frozen=True)
class Policy:
    """Another survivorship policy.

    Attributes:
        dry_run_s: of one by which every attribute is decided otherwise.
        dry_run_persons: whose golden values it would change.
        rates_s: rates of disagreement of all sources and attributes.
    """

    dry_run_s: float
    dry_run_persons: int
    rates_s: float


@dataclass(frozen=True)
class Unchanged:
    """A night on which all agencies send in full what they sent before.

    Attributes:
        unchanged_delivered: its rows.
        unchanged_not_taken: of those, rows that were refused or quarantined, as they had been before.
        unchanged_changed: of those, rows that inserted, updated or withdrew anything.
        unchanged_night_s: that night, from fetch to share.
        rows_of_unchanged_night: rows of history that night added, apart from the line for each delivery.
    """

    unchanged_delivered: int
    unchanged_not_taken: int
    unchanged_changed: int
    unchanged_night_s: float
    rows_of_unchanged_night: int


@dataclass(frozen=True)
class Found:
    """The figures; milliseconds and seconds.

    Attributes:
        core_persons: persons in the pool.
        history_rows: rows of history after all nights.
        rows_of_change: records inserted, updated or withdrawn in the nights after the first.
        parts: what was asked for, in its order.
    """

    persons: int
    nights: int
    core_persons: int
    history_rows: int
    rows_of_change: int
    parts: tuple[Persons | Households | Fences | Unmerge | Policy | Unchanged, ...]

    def flat(self) -> dict[str, Any]:
        """All figures by name."""
        found = asdict(self)
        for part in found.pop("parts"):
            found.update(part)
        return found


def _night(settings: Settings, number: int, *, still_since: int | None = None) -> tuple[run.NightReport, float]:
    """One night, and its seconds, from the time at which the agencies have its stock: what they need for that is not the hub's."""
    clock.set_night(settings, number, still_since=still_since)
    at_hand(settings)
    day = nights.open_night(settings, day=clock.date_of(settings, number))
    started = time.perf_counter()
    return run.run(settings, day), time.perf_counter() - started


def _held(connection: sa.Connection) -> int:
    return sum(int(connection.scalar(sa.text(f"SELECT count(*) FROM history.{t}")) or 0) for t in _HISTORY)


def _in_turn(asked: list[str], *ways: Callable[[str], object]) -> list[float]:
    """Median milliseconds of each way to ask, one after the other for each of those asked about."""
    took: list[list[float]] = [[] for _ in ways]
    for one in [*asked[:10], *asked]:  # the first ones only warm up
        for way, times in zip(ways, took, strict=True):
            started = time.perf_counter()
            way(one)
            times.append(time.perf_counter() - started)
    return [round(statistics.median(times[10:]) * 1000, 2) for times in took]


def _chosen(connection: sa.Connection, everyone: str, moved: str) -> list[str]:
    """Half of those whose like is known to have changed, half of all."""
    found = list(connection.scalars(sa.text(f"{moved} ORDER BY 1 LIMIT {_ASKED // 2}")))
    rest = [one for one in connection.scalars(sa.text(f"{everyone} ORDER BY 1")) if one not in set(found)]
    return [*found, *random.Random(1).sample(rest, min(_ASKED - len(found), len(rest)))]


@contextmanager
def _asking(settings: Settings) -> Iterator[tuple[sa.Connection, Rule, Callable[[], past.Moment], Callable[[], past.Moment]]]:
    """A connection, the rule of households, and what places two moments: the first night by what was known then, and by what is known now."""
    with database.engine(settings).connect() as connection:
        first = connection.execute(sa.text("SELECT published_at, business_date FROM ops.published WHERE number = 1")).one()
        day = partial(past.moment, connection, as_of=first.business_date)
        yield connection, identify.homes_rule(settings.pool_id), partial(day, known_at=first.published_at), partial(day, known_at=None)
        connection.rollback()


def _three_ways(
    settings: Settings, everyone: str, moved: str, now: Callable[..., object], then: Callable[..., object]
) -> tuple[float, float, float, float, float]:
    """Milliseconds of a question to the present and to the first night by what was known then, their ratio, and by what is known now, and its ratio."""
    with _asking(settings) as (connection, rule, at_first, on_day):
        present, stood, day = _in_turn(
            _chosen(connection, everyone, moved),
            lambda one: now(connection, one),
            lambda one: then(connection, one, at_first(), rule),
            lambda one: then(connection, one, on_day(), rule),
        )
    return present, stood, round(stood / present, 2), day, round(day / present, 2)


def _persons(settings: Settings) -> Persons:
    everyone = "SELECT person_id::text FROM core.person WHERE person_id IN (SELECT person_id FROM history.links_known(1))"
    moved = (
        "SELECT person_id::text FROM history.person WHERE row IS NOT NULL AND known_during @> 1::bigint"
        " AND person_id IN (SELECT person_id FROM core.person)"
    )
    return Persons(*_three_ways(settings, everyone, moved, questions.person, past.person))


def _households(settings: Settings) -> Households:
    everyone = "SELECT household_id::text FROM history.households_known(1) JOIN core.household USING (household_id)"
    moved = (
        "SELECT household_id::text FROM history.household WHERE row IS NOT NULL AND known_during @> 1::bigint"
        " AND household_id IN (SELECT household_id FROM core.household)"
    )
    return Households(*_three_ways(settings, everyone, moved, questions.household, past.household))


@contextmanager
def _timed_looks(took: list[float]) -> Iterator[None]:
    """Within it, seconds of each look whether a run is still the newest are noted."""
    outdated = fences.outdated

    def timed(*arguments: Any, **named: Any) -> list[str]:
        started = time.perf_counter()
        found = outdated(*arguments, **named)
        took.append(time.perf_counter() - started)
        return found

    fences.outdated = timed
    try:
        yield
    finally:
        fences.outdated = outdated


_TWELVE = """
SELECT array_agg(record_id::text ORDER BY record_id) FROM (SELECT l.record_id, l.person_id FROM identity.link l JOIN core.person p USING (person_id)
    WHERE p.records >= 2 AND p.resident_id IS NOT NULL ORDER BY l.person_id LIMIT 40) AS found
"""


def _publish(connection: sa.Connection, settings: Settings) -> None:
    """What the verbs resolve and merge do on a night in which nothing came but judgements."""
    identity_pool.collect(connection, [])
    identity_pool.judge(connection)
    adopted = weighing.version(connection).adopted
    identify.identify(connection, identify.adopted(connection, adopted), pool=settings.pool_id, everything=False)
    pool.write(connection, was_empty=False)
    identity_pool.drop_work(connection)


def _unmerge(settings: Settings) -> Unmerge:
    """Take back judgements that made one person of twelve records."""
    said = "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason) VALUES (least(:a, :b)::uuid, greatest(:a, :b)::uuid, 'must', 'bench', 'bench') RETURNING judgement_id"
    with database.engine(settings).connect() as connection:
        records = connection.scalar(sa.text(_TWELVE))
        made = []
        for other in records[1:]:
            made.append(connection.scalar(sa.text(said), {"a": records[0], "b": other}))
            size = connection.scalar(
                sa.text(
                    "SELECT sum(records) FROM core.person WHERE person_id IN (SELECT person_id FROM identity.link WHERE record_id = ANY(CAST(:ids AS uuid[])))"
                ),
                {"ids": [records[0], *records[1 : len(made) + 1]]},
            )
            if size >= 12:
                break
        _publish(connection, settings)
        grown = connection.scalar(
            sa.text("SELECT records FROM core.person JOIN identity.link USING (person_id) WHERE record_id = CAST(:id AS uuid)"),
            {"id": records[0]},
        )
        connection.execute(sa.text("DISCARD TEMP"))
        connection.execute(sa.text("UPDATE ops.publication SET number = number + 1"))
        started = time.perf_counter()
        for judgement in made:
            connection.execute(sa.text("INSERT INTO identity.retraction VALUES (:id, 'bench', 'bench')"), {"id": judgement})
        _publish(connection, settings)
        seconds = time.perf_counter() - started
        connection.rollback()
    return Unmerge(round(seconds, 2), int(grown))


_OTHERWISE = "version: 3\ndecided_date: {day}\ncriteria: [agreement, recency, authority]\n"


def _policy(settings: Settings, day: date) -> Policy:
    """Try another policy on the whole pool, and count rates of disagreement."""
    file = settings.home / "otherwise.yml"
    file.write_text(_OTHERWISE.format(day=day), encoding="utf-8")
    started = time.perf_counter()
    found = survivorship.dry_run(settings, file)
    between = time.perf_counter()
    survivorship.rates(settings)
    return Policy(round(between - started, 2), found.effect.persons, round(time.perf_counter() - between, 2))


def _unchanged(settings: Settings, last: int) -> Unchanged:
    """A new night whose deliveries, all in full, say what those before them said; since the last night lived nothing has happened."""
    month = _next_month(clock.date_of(settings, last))
    if last > 1:  # not every agency sent what it held on the last night, nor all of it
        _night(settings, clock.night_of(settings, month), still_since=last)
        month = _next_month(month)
    engine = database.engine(settings)
    with engine.connect() as connection:
        before = _held(connection)
    report, seconds = _night(settings, clock.night_of(settings, month), still_since=last)
    told = report.sources.values()
    with engine.connect() as connection:
        added = _held(connection) - before
    delivered, refused, changed = (
        sum(s[name] for s in told for name in names)
        for names in (("delivered",), ("rejected", "quarantined"), ("inserted", "updated", "withdrawn"))
    )
    if any(s["state"] != "ok" or not s["delivered"] for s in told):
        raise SystemExit("an agency delivered nothing: an unchanged night was not measured")
    return Unchanged(delivered, refused, changed, round(seconds, 2), added)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


PARTS = ("persons", "households", "fences", "unmerge", "policy", "unchanged")


def measure(persons: int, n_nights: int, only: tuple[str, ...] = PARTS) -> Found:
    """Run nights at one size and measure."""
    with hub_of(persons) as settings:
        changed, looks, seconds = 0, list[float](), 0.0
        for n in range(1, n_nights + 1):
            looks = []
            with _timed_looks(looks):
                told, seconds = _night(settings, n)
            if n > 1:
                changed += sum(s[k] for s in told.sources.values() for k in ("inserted", "updated", "withdrawn"))
        day = clock.date_of(settings, n_nights)
        with database.engine(settings).connect() as connection:
            before = _held(connection)
            in_pool = int(connection.scalar(sa.text("SELECT count(*) FROM core.person")) or 0)
        fence = Fences(len(looks), round(statistics.median(looks) * 1e6, 1), round(sum(looks) / seconds, 5))
        ways: dict[str, Callable[[], Any]] = {
            "persons": lambda: _persons(settings),
            "households": lambda: _households(settings),
            "fences": lambda: fence,
            "unmerge": lambda: _unmerge(settings),
            "policy": lambda: _policy(settings, day),
            "unchanged": lambda: _unchanged(settings, n_nights),
        }
        parts = tuple(ways[name]() for name in PARTS if name in only)
    return Found(persons, n_nights, in_pool, before, changed, parts)


def _some(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := set(chosen) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: some of {', '.join(PARTS)}")
    return chosen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--persons", type=int, default=50_000)
    parser.add_argument("--nights", type=int, default=4)
    parser.add_argument("--only", type=_some, default=PARTS, metavar="PARTS", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.persons, asked.nights, asked.only).flat()
    print(json.dumps(found) if asked.json else "\n".join(f"{name:>24}  {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
