"""What the past costs: a question as of another time beside the same question to the present, a night without a change, a merge taken back, another
survivorship policy tried.

Run: ``python -m benchmarks.history [--persons 50000] [--nights 4] [--json]``. A hub of its own in a temporary folder runs some nights; then, in one
process and in turn, the present and the past are asked for the same persons, some of whom changed; on the first of the next two months every
agency sends its stock in full, and in between nothing happened to anybody; and a
wrong merge that gave a person twelve records is judged away and published by the verbs of a night (resolve and merge). Last, a policy that asks for agreement first is tried on the whole pool, and rates of disagreement are counted. All figures are medians of one run.
"""

import argparse
import json
import random
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import sqlalchemy as sa

from benchmarks.night import _hub as hub_of
from hub.settings import Settings
from pipeline import identify, nights, run, survivorship
from sandbox import clock
from warehouse import database, identity_pool, past, pool, questions, weighing
from warehouse.homes import Rule

_ASKED = 200
_HISTORY = ("record", "record_revised", "link", "person", "household_member", "household", "change")


@dataclass(frozen=True)
class Found:
    """The figures; milliseconds and seconds.

    Attributes:
        present_ms: one person, as it is.
        past_ms: the same person as of the first night, by what was known then.
        ratio: of the two.
        history_rows: rows of history after all nights.
        rows_of_change: records inserted, updated or withdrawn in the nights after the first.
        unchanged_delivered: rows of the night on which all agencies sent in full what they had sent before.
        unchanged_not_taken: of those, rows that were refused or quarantined, as they had been before.
        unchanged_changed: of those, rows that inserted, updated or withdrew anything.
        unchanged_night_s: that night, from fetch to share.
        rows_of_unchanged_night: rows of history that night added, apart from the line for each delivery.
        unmerge_s: from the judgement to the published pool, of a person of twelve records.
        unmerged_records: how many it had.
        dry_run_s: of a survivorship policy by which every attribute is decided otherwise.
        dry_run_persons: whose golden values it would change.
        rates_s: rates of disagreement of all sources and attributes.
    """

    persons: int
    nights: int
    present_ms: float
    past_ms: float
    ratio: float
    history_rows: int
    rows_of_change: int
    unchanged_delivered: int
    unchanged_not_taken: int
    unchanged_changed: int
    unchanged_night_s: float
    rows_of_unchanged_night: int
    unmerge_s: float
    unmerged_records: int
    dry_run_s: float
    dry_run_persons: int
    rates_s: float


def _held(connection: sa.Connection) -> int:
    return sum(int(connection.scalar(sa.text(f"SELECT count(*) FROM history.{t}")) or 0) for t in _HISTORY)


def _ask(connection: sa.Connection, rule: Rule, chance: random.Random) -> tuple[float, float]:
    """Median milliseconds of a question to the present, and to the first night."""
    query = "SELECT person_id::text FROM core.person WHERE person_id IN (SELECT person_id FROM history.links_known(1)) ORDER BY person_id"
    everyone = list(connection.scalars(sa.text(query)))
    changed = "SELECT person_id::text FROM history.person WHERE row IS NOT NULL AND known_during @> 1::bigint AND person_id IN (SELECT person_id FROM core.person)"
    moved = list(connection.scalars(sa.text(f"{changed} ORDER BY person_id LIMIT {_ASKED // 2}")))
    persons = [*moved, *chance.sample(everyone, min(_ASKED, len(everyone)) - len(moved))]
    first = connection.execute(sa.text("SELECT published_at, business_date FROM ops.published WHERE number = 1")).one()
    present, then = [], []
    for person_id in [*persons[:10], *persons]:  # the first ones only warm up
        started = time.perf_counter()
        questions.person(connection, person_id)
        between = time.perf_counter()
        past.person(connection, person_id, past.moment(connection, as_of=first.business_date, known_at=first.published_at), rule)
        present.append(between - started)
        then.append(time.perf_counter() - between)
    return statistics.median(present[10:]) * 1000, statistics.median(then[10:]) * 1000


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


def _unmerge(settings: Settings) -> tuple[float, int]:
    """Seconds to take back judgements that made one person of twelve records; and how many records it had."""
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
    return seconds, int(grown)


_OTHERWISE = "version: 2\ndecided_date: {day}\ncriteria: [agreement, recency, authority]\n"


def _try_policy(settings: Settings, day: date) -> tuple[float, int, float]:
    """Seconds of a policy's dry run, the persons it would change, and seconds of the rates of disagreement."""
    file = settings.home / "otherwise.yml"
    file.write_text(_OTHERWISE.format(day=day), encoding="utf-8")
    started = time.perf_counter()
    found = survivorship.dry_run(settings, file)
    between = time.perf_counter()
    survivorship.rates(settings)
    return between - started, found.effect.persons, time.perf_counter() - between


def _unchanged(settings: Settings) -> tuple[int, int, int, float, int]:
    """Rows delivered, not taken and changing anything on a new night whose deliveries, all in full, say what those before them said; its
    seconds, and the rows of history it added."""
    month = _next_month(settings.sandbox_epoch)
    first, second = clock.night_of(settings, month), clock.night_of(settings, _next_month(month))
    clock.set_night(settings, first)
    run.run(settings, nights.open_night(settings, day=clock.date_of(settings, first)))
    engine = database.engine(settings)
    with engine.connect() as connection:
        before = _held(connection)
    clock.set_night(settings, second, still_since=first)
    day = nights.open_night(settings, day=clock.date_of(settings, second))
    started = time.perf_counter()
    told = run.run(settings, day).sources.values()
    seconds = time.perf_counter() - started
    with engine.connect() as connection:
        added = _held(connection) - before
    delivered, refused, changed = (
        sum(s[name] for s in told for name in names)
        for names in (("delivered",), ("rejected", "quarantined"), ("inserted", "updated", "withdrawn"))
    )
    if any(s["state"] != "ok" for s in told) or delivered == 0:
        raise SystemExit("an agency delivered nothing: an unchanged night was not measured")
    return delivered, refused, changed, round(seconds, 2), added


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def measure(persons: int, n_nights: int) -> Found:
    """Run nights at one size and measure."""
    with hub_of(persons) as settings:
        changed, last = 0, date.min
        for n in range(1, n_nights + 1):
            clock.set_night(settings, n)
            last = nights.open_night(settings, day=clock.date_of(settings, n))
            told = run.run(settings, last)
            if n > 1:
                changed += sum(s[k] for s in told.sources.values() for k in ("inserted", "updated", "withdrawn"))
        engine = database.engine(settings)
        with engine.connect() as connection:
            before = _held(connection)
            present, then = _ask(connection, identify.homes_rule(settings.pool_id), random.Random(1))
            connection.rollback()
        seconds, records = _unmerge(settings)
        tried = _try_policy(settings, last)
        same = _unchanged(settings)
    return Found(
        persons,
        n_nights,
        round(present, 2),
        round(then, 2),
        round(then / present, 2),
        before,
        changed,
        *same,
        round(seconds, 2),
        records,
        round(tried[0], 2),
        tried[1],
        round(tried[2], 2),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--persons", type=int, default=50_000)
    parser.add_argument("--nights", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = asdict(measure(asked.persons, asked.nights))
    print(json.dumps(found) if asked.json else "\n".join(f"{name:>24}  {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
