"""Deliveries in any order tell the same history; one that is withdrawn leaves none behind."""

from dataclasses import dataclass
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from schemas.contract import load_contract, stems
from tests.examples import examples
from warehouse import agency_tables, changes, database, fingerprint, identity_pool, ledger, timeline

pytestmark = pytest.mark.slow
CONTRACT = load_contract(stems()[0])
FIELD = next(f.name for f in CONTRACT.fields if not f.is_key and f.physical_type == "text")
CORE = agency_tables.core_table(CONTRACT.stem)
EPOCH = date(2026, 3, 1)
REFUSED = "refused"


@dataclass(frozen=True)
class Sent:
    """One delivery: the day it shows, whether it is full, and by key what it says; a refused row is there, but says nothing."""

    day: int
    is_full: bool
    rows: tuple[tuple[str, str], ...]

    @property
    def delivery_id(self) -> str:
        return f"00000000-0000-4000-8000-{self.day:012d}"

    @property
    def date(self) -> str:
        return str(EPOCH + timedelta(days=self.day))


def histories(sent):
    """The same by plain reasoning: what each key was on each day, as runs."""
    told = {}
    for delivery in sorted(sent, key=lambda d: d.day):
        rows = dict(delivery.rows)
        for key in {*told, *rows}:
            says = rows.get(key, None if delivery.is_full else REFUSED)
            runs = told.setdefault(key, [])
            if says != REFUSED and (runs[-1][1] if runs else None) != says:
                runs.append((delivery.date, says))
    return {key: runs for key, runs in told.items() if runs}


def run(connection, statement, **values):
    return connection.execute(sa.text(statement), values)


def deliver(connection, sent):
    """Take one delivery to its place, as a night would; identity is only kept, not judged."""
    day, stem = sent.date, CONTRACT.stem
    run(
        connection, "INSERT INTO landing.delivery (delivery_id, stem, scope, business_date, as_of_date, sha256, object, parts, raw_bytes,"
        " stored_bytes, contract_version) VALUES (:id, :stem, :scope, :day, :day, '', '', 1, 0, 0, '1')",
        id=sent.delivery_id, stem=stem, scope="full" if sent.is_full else "delta", day=day,
    )  # fmt: skip
    staged = agency_tables.create_staging(connection, CONTRACT, day)
    agency_tables.create_refused(connection, stem, day)
    for number, (key, says) in enumerate(sent.rows):
        run(connection, f'INSERT INTO {staged} (row_number, "{CONTRACT.key.name}", "{FIELD}", _name_key) VALUES (:n, :key, :says, :says)',
            n=number, key=key, says=says)  # fmt: skip
        if says == REFUSED:
            run(connection, "INSERT INTO quarantine.row VALUES (:id, :n, 'x', :stem, 'gate', NULL, :day)",
                id=sent.delivery_id, n=number, stem=stem, day=day)  # fmt: skip
    where = {"business_date": day, "delivery_id": sent.delivery_id, "as_of": day}
    scope = "full" if sent.is_full else "delta"
    found = changes.prepare(connection, CONTRACT, **where, scope=scope, pool="p")
    identity_pool.collect(connection, [(CONTRACT, day, sent.delivery_id, day)])
    changes.apply(connection, CONTRACT, **where, scope=scope)
    publish(connection, day)
    changes.drop(connection, stem, day)
    accepted = sum(says != REFUSED for _, says in sent.rows)
    assert found.unchanged + found.inserted + found.updated + found.past == accepted
    assert found.keys_before is None or found.keys_before == found.keys_kept + found.withdrawn


def publish(connection, day):
    run(connection, "DELETE FROM identity.record r USING staging.work_gone g WHERE g.record_id = r.record_id")
    run(connection, "INSERT INTO identity.record SELECT * FROM staging.work_candidate")
    ledger.publish(connection, date.fromisoformat(day), persons=0, households=0)


def withdraw(connection, sent):
    day = str(EPOCH + timedelta(days=90))
    identity_pool.collect(connection, [])
    timeline.remove(connection, CONTRACT, business_date=day, delivery_id=sent.delivery_id, as_of=sent.date, pool="p")
    timeline.collect(connection, CONTRACT.stem, day)
    timeline.apply(connection, CONTRACT, day)
    timeline.forget(connection, sent.delivery_id)
    run(connection, "DELETE FROM quarantine.row WHERE delivery_id = :id", id=sent.delivery_id)
    publish(connection, day)
    timeline.drop(connection, CONTRACT.stem, day)


def told(connection):
    """What the pool says of each key: runs of (since, value); None = withdrawn."""
    rows = run(
        connection, f"SELECT record_key, lower(valid_during)::text, CASE WHEN NOT is_withdrawn THEN row ->> '{FIELD}' END FROM history.record"
        f' UNION ALL SELECT record_key, as_of_date::text, CASE WHEN withdrawn_date IS NULL THEN "{FIELD}" END FROM {CORE} ORDER BY 1, 2',
    )  # fmt: skip
    found = {}
    for key, since, says in rows:
        found.setdefault(key, []).append((since, says))
    return found


def content(connection):
    """Everything under the fingerprint."""
    left_out = "'{delivery_id,known_from,open_until}'::text[]"
    return {
        table: sorted(run(connection, f"SELECT (to_jsonb(t) - {left_out})::text FROM {table} t").scalars())
        for table in (CORE, "history.record", "identity.record")
    }


@pytest.fixture(scope="module")
def emptied(make_hub):
    """A warehouse without a row, in a transaction that is taken back."""
    hub = make_hub("timeline")
    database.migrate(hub.settings)
    with database.engine(hub.settings).connect() as connection:
        agency_tables.ensure_core(connection, CONTRACT)
        yield connection
        connection.rollback()


def pool_of(connection, sent, *, then=None):
    """What the pool holds after some deliveries; it is empty again afterwards."""
    taken_back = connection.begin_nested()
    try:
        for one in sent:
            deliver(connection, one)
        if then is not None:
            withdraw(connection, then)
        assert fingerprint.kept(connection) == fingerprint.scanned(connection)
        return told(connection), content(connection), fingerprint.kept(connection)
    finally:
        taken_back.rollback()


KEYS, SAYS = st.sampled_from(["k1", "k2", "k3"]), st.sampled_from(["a", "b", REFUSED])
ROWS = st.dictionaries(KEYS, SAYS, max_size=3).map(lambda rows: tuple(sorted(rows.items())))
SENT = st.lists(st.tuples(st.booleans(), ROWS), min_size=2, max_size=5).map(
    lambda all_sent: [Sent(day, is_full or day == 0, rows) for day, (is_full, rows) in enumerate(all_sent)]
)
BOUNDED = examples(12, suppress_health_check=list(HealthCheck))


@BOUNDED
@given(SENT.flatmap(lambda sent: st.tuples(st.just(sent), st.permutations(sent))))
def test_deliveries_in_any_order_tell_the_same_history(emptied, drawn):
    sent, shuffled = drawn
    in_order, arrived = pool_of(emptied, sent), pool_of(emptied, shuffled)
    assert in_order[0] == histories(sent)
    assert arrived == in_order


@BOUNDED
@given(SENT.flatmap(lambda sent: st.tuples(st.just(sent), st.sampled_from(sent))))
def test_a_withdrawn_delivery_never_came(emptied, drawn):
    sent, out = drawn
    without = pool_of(emptied, [d for d in sent if d != out])
    assert pool_of(emptied, sent, then=out) == without
