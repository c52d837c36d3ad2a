"""What was taken back leaves nothing behind: the pool is that of the same nights with only what stands."""

import json
import random
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from hub.errors import ConfigError
from identity import frozen
from pipeline import identify, rulings
from schemas.contract import load_contracts
from tests.examples import examples
from tests.warehouse.test_random_nights import SHIPPED, UPHEAVAL, draw, opened, publish, run, settle
from warehouse import agency_tables, changes, database, fingerprint, homes, identity_pool, landing, ledger, past, pool, timeline

pytestmark = pytest.mark.slow
__all__ = ["opened"]  # a fixture: a pool of five nights in a transaction that is taken back, blocks bounded so low that many are crossed

EPOCH = date(2026, 4, 1)
# Two agencies that show persons and registered households, whichever they are.
SHOWING = [c for c in load_contracts().values() if all(c.by_concept(f"person.{n}") for n in ("resident_id", "name", "birth_date", "phone"))]
SHOWING = [c for c in SHOWING if c.by_concept("household.registered_no")][:2]
DERIVED = (
    "identity.record", "identity.link", "identity.bond", "identity.crowd", "identity.judgement_applied", "core.person", "core.household",
    "core.household_member", "history.record",
)  # fmt: skip
# Who a key may be said to be: number, name, birth date, telephone, home. Some are one person under several guises, some look like another.
WHO = (
    ("422801199003071233", "李国强", "1990-03-07", "13900000001", "h1"),
    (None, "李国强", "1990-03-07", "13900000001", "h1"),
    ("422801199003071233", "李国", "1990-03-07", None, "h2"),
    ("42280119900307123X", "李国强", "1990-03-07", None, None),
    ("422801198811124526", "王秀英", "1988-11-12", "13900000001", "h1"),
    (None, "王秀英", "1988-11-12", "13900000002", "h2"),
    (None, "王秀英", None, "13900000002", None),
    ("422801201505051237", "李小宝", "2015-05-05", None, "h1"),
)
KEYS = ("k1", "k2", "k3", "k4")


@dataclass(frozen=True)
class Sent:
    """A delivery: by which agency, whether it is full, whom each key is said to be (an index of `WHO`), and the night on which it is
    withdrawn again (None = it stands)."""

    agency: int
    is_full: bool
    rows: tuple[tuple[str, int], ...]
    withdrawn: int | None


@dataclass(frozen=True)
class Said:
    """A judgement on the records of two keys, one of each agency or both of one; made after a night, in force with the next one."""

    first: tuple[int, str]
    second: tuple[int, str]
    judgement: str
    made: int
    retracted: int | None


@dataclass(frozen=True)
class Story:
    """What comes in each night, and what is said."""

    nights: tuple[tuple[Sent, ...], ...]
    said: tuple[Said, ...]


ROWS = st.dictionaries(st.sampled_from(KEYS), st.integers(0, len(WHO) - 1), min_size=1).map(lambda rows: tuple(sorted(rows.items())))
EVERYBODY = st.tuples(*(st.tuples(st.just(key), st.integers(0, len(WHO) - 1)) for key in KEYS))


@st.composite
def stories(chosen):
    """Nights in which something always stands: the first deliveries are never withdrawn."""
    last = chosen(st.integers(2, 4))
    nights = [tuple(Sent(agency, True, chosen(EVERYBODY), None) for agency in (0, 1))]
    for night in range(1, last + 1):
        agencies = chosen(st.sets(st.sampled_from((0, 1)), min_size=1))
        nights.append(tuple(
            Sent(agency, chosen(st.booleans()), chosen(ROWS), chosen(st.none() | st.integers(night, last))) for agency in sorted(agencies)
        ))  # fmt: skip
    ends = st.tuples(st.sampled_from((0, 1)), st.sampled_from(KEYS))
    said = []
    for first, second in chosen(st.lists(st.tuples(ends, ends).filter(lambda e: e[0] < e[1]), min_size=1, max_size=3, unique=True)):
        made = chosen(st.integers(0, last - 1))
        retracted = chosen(st.none() | st.integers(made + 1, last))
        said.append(Said(first, second, chosen(st.sampled_from(("must", "cannot"))), made, retracted))
    return Story(tuple(nights), tuple(said))


def emptied(connection):
    """Take everything out of a pool, so that nights may begin anew in it."""
    tables = ("identity.redirect", "identity.judgement", "identity.retraction", "history.record_revised", "history.observation",
              "history.link", "history.person", "history.household", "history.household_member", "history.judgement", "quarantine.row")  # fmt: skip
    run(connection, "ALTER TABLE identity.judgement DISABLE TRIGGER USER; ALTER TABLE identity.retraction DISABLE TRIGGER USER")
    for contract in load_contracts().values():
        agency_tables.ensure_core(connection, contract)
    agencies = [agency_tables.core_table(stem) for stem in load_contracts()]
    run(connection, f"TRUNCATE {', '.join([*tables, *DERIVED, *agencies])}")


@pytest.fixture
def bare(five_nights):
    """The pool with nothing in it, in a transaction that is taken back."""
    with database.engine(five_nights.settings).connect() as connection:
        emptied(connection)
        yield connection, five_nights.settings
        connection.rollback()


def delivery_id(night, sent):
    return f"00000000-0000-4000-8{sent.agency:03d}-{night:012d}"


def receive(connection, night, sent, pool_id):
    """Stage a delivery and compare it with the pool, as a night does; what `collect` and `apply` are to be told of it."""
    contract, day = SHOWING[sent.agency], str(EPOCH + timedelta(days=night))
    scope = "full" if sent.is_full else "delta"
    run(
        connection, "INSERT INTO landing.delivery (delivery_id, stem, scope, business_date, as_of_date, sha256, object, parts, raw_bytes,"
        " stored_bytes, contract_version) VALUES (:id, :stem, :scope, :day, :day, '', '', 1, 0, 0, '1')",
        id=delivery_id(night, sent), stem=contract.stem, scope=scope, day=day,
    )  # fmt: skip
    staged = agency_tables.create_staging(connection, contract, day)
    agency_tables.create_refused(connection, contract.stem, day)
    concepts = {"person.resident_id": ":number", "person.name": ":name", "person.birth_date": "CAST(:born AS date)",
                "person.phone": ":phone", "household.registered_no": ":home"}  # fmt: skip
    own = {f'"{contract.by_concept(concept).name}"': value for concept, value in concepts.items()}
    own |= {f'"{contract.key.name}"': ":key", "_id_key": "nullif(CAST(:number AS text), '42280119900307123X')", "_name_key": ":name",
            "_birth_date": "CAST(:born AS date)", "_phone_key": ":phone"}  # fmt: skip
    for number, (key, who) in enumerate(sent.rows):
        values = dict(zip(("number", "name", "born", "phone", "home"), WHO[who], strict=True))
        run(connection, f"INSERT INTO {staged} (row_number, {', '.join(own)}) VALUES (:n, {', '.join(own.values())})",
            n=number, key=key, **values)  # fmt: skip
    changes.prepare(
        connection, contract, business_date=day, delivery_id=delivery_id(night, sent), as_of=day, scope=scope, pool=pool_id
    )  # fmt: skip
    return contract, day, delivery_id(night, sent), scope


def take_in(connection, hub, night, all_sent):
    """A night: what came, and what was said until then."""
    run(connection, "DISCARD TEMP")
    come = [receive(connection, night, sent, hub.pool_id) for sent in all_sent]
    identity_pool.collect(connection, [(contract, day, delivery, day) for contract, day, delivery, _ in come])
    identity_pool.judge(connection)
    was_empty = identity_pool.is_empty(connection)
    identify.identify(connection, frozen.load(), pool=hub.pool_id, everything=False)
    if was_empty:
        pool.drop_indexes(connection)
    for contract, day, delivery, scope in come:
        changes.apply(connection, contract, business_date=day, delivery_id=delivery, as_of=day, scope=scope)
    pool.write(connection, was_empty=was_empty)
    for contract, day, _, _ in come:
        timeline.lead_on(connection, contract.stem, day)
    ledger.publish(connection, EPOCH + timedelta(days=night), persons=0, households=0)
    identity_pool.drop_work(connection)
    for contract, day, _, _ in come:
        changes.drop(connection, contract.stem, day)


def withdraw(connection, hub, night, sent):
    run(connection, "DISCARD TEMP")
    [found] = landing.deliveries(connection, delivery=delivery_id(night, sent))
    rulings.take_out(connection, hub, found, SHOWING[sent.agency])
    ledger.publish(connection, EPOCH + timedelta(days=night), persons=0, households=0, cause="withdrawal")


def born_as(connection, agency, key):
    query = "SELECT record_id::text FROM identity.record WHERE stem = :stem AND record_key = :key"
    return connection.scalar(sa.text(query), {"stem": SHOWING[agency].stem, "key": key})


def lived(bare, story, *, surviving=None):
    """The pool after the nights of a story, and the judgements as they were said, each with the records of the person its pair was when it
    was retracted (0 = it was two persons); the pool is bare again afterwards.

    Args:
        surviving: those judgements; then only they are said, and deliveries that are withdrawn never come.
    """
    connection, hub = bare
    taken_back = connection.begin_nested()
    try:
        spoken, answered = {}, {}
        for night, all_sent in enumerate(story.nights):
            if surviving is not None:
                all_sent = tuple(s for s in all_sent if s.withdrawn is None)
            take_in(connection, hub, night, all_sent)
            if surviving is None:
                for before, earlier in enumerate(story.nights[: night + 1]):
                    for sent in earlier:
                        if sent.withdrawn == night:
                            withdraw(connection, hub, before, sent)
            answered |= named(connection)
            for said in story.said:
                pair = (born_as(connection, *said.first), born_as(connection, *said.second))
                if surviving is not None:
                    pair = surviving.get(said, (None, None))[:2] if said.retracted is None else (None, None)
                if said.made == night and all(pair):
                    judgement = run(connection, "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason) VALUES"
                        " (least(:a, :b)::uuid, greatest(:a, :b)::uuid, :kind, 'x', 'y') RETURNING judgement_id",
                        a=pair[0], b=pair[1], kind=said.judgement).scalar()  # fmt: skip
                    spoken[said] = (*pair, judgement)
                if surviving is None and said.retracted == night and said in spoken:
                    run(connection, "INSERT INTO identity.retraction VALUES (:id, 'x', 'y')", id=spoken[said][2])
                    spoken[said] = (*spoken[said], together(connection, *spoken[said][:2]))
        take_in(connection, hub, len(story.nights), ())  # what was said after the last night takes effect
        assert fingerprint.kept(connection) == fingerprint.scanned(connection)
        leads, belongs = redirects(connection), belonging(connection)
        astray = [key for person, key in answered.items() if key in belongs and leads.get(person, person) != belongs[key]]
        assert not astray, "whoever was told an id finds the person by it"
        return (
            fingerprint.kept(connection),
            {**held(connection, DERIVED), "past days": past_days(connection, hub, range(len(story.nights)))},
            spoken,
        )
    finally:
        taken_back.rollback()


def held(connection, tables):
    """Rows of some tables, without what tells when the hub came to know of them."""
    left_out = "'{delivery_id,known_from,open_until}'::text[]"
    return {table: set(connection.scalars(sa.text(f"SELECT (to_jsonb(t) - {left_out})::text FROM {table} t"))) for table in tables}


def past_days(connection, hub, nights):
    """What is told of everybody of the days of some nights: golden values, records and households, without what tells when the hub came to know of it."""
    rule, newest = identify.homes_rule(hub.pool_id), ledger.publication(connection)
    everybody = list(connection.scalars(sa.text("SELECT person_id::text FROM core.person")))
    found = set()
    for day in (EPOCH + timedelta(days=n) for n in nights):
        found |= {(day, *home.values()) for home in homes.of_persons(connection, rule, day, newest, everybody)}
        for person_id in everybody:
            try:
                told = past.person(connection, person_id, past.Moment(newest, None, day, newest), rule)
            except ConfigError:  # nobody held a record of it on that day
                continue
            told["records"] = [{k: v for k, v in r.items() if k != "delivery_id"} for r in told["records"]]
            found.add(json.dumps(told | dict.fromkeys(("publication", "known_at", "households")), default=str, sort_keys=True))
    return found


def named(connection):
    """Persons by their ids, each as the record it is named by: source and key."""
    query = "SELECT p.person_id::text, r.stem || ':' || r.record_key FROM core.person p JOIN identity.record r ON r.record_id = p.person_id"
    return dict(run(connection, query).tuples().all())


def belonging(connection):
    """The person each key belongs to."""
    query = "SELECT r.stem || ':' || r.record_key, l.person_id::text FROM identity.record r JOIN identity.link l USING (record_id)"
    return dict(run(connection, query).tuples().all())


def together(connection, a, b):
    """Records of the person to whom both records belong; 0 = they do not."""
    query = ("SELECT count(*) FROM identity.link l JOIN identity.link x ON x.person_id = l.person_id AND x.record_id = CAST(:a AS uuid)"
             " JOIN identity.link y ON y.person_id = l.person_id AND y.record_id = CAST(:b AS uuid)")  # fmt: skip
    return run(connection, query, a=a, b=b).scalar()


def redirects(connection):
    """Where former ids lead, as far as they lead to somebody."""
    query = "SELECT old_person_id::text, person_id::text FROM identity.redirect JOIN core.person USING (person_id)"
    return dict(run(connection, query).tuples().all())


# Without shrinking: an example takes seconds, and the first that fails is short enough to be read.
@examples(8, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(story=stories())
def test_nights_with_judgements_and_deliveries_taken_back_are_nights_without_them(bare, story):
    value, kept, spoken = lived(bare, story)
    without, clean, _ = lived(bare, story, surviving=spoken)
    assert {table: (kept[table] - clean[table], clean[table] - kept[table]) for table in kept} == dict.fromkeys(kept, (set(), set()))
    assert value == without


def test_a_merge_taken_back_after_nights_in_which_records_joined_was_never_made(opened, five_nights):
    """Under nights of chance, in which much of a village comes, goes and is mistaken."""
    pool_id, chance = five_nights.settings.pool_id, random.Random(77)
    village = settle(opened, chance)
    draw(opened, random.Random(0), village, *UPHEAVAL)
    publish(opened, pool_id, SHIPPED, everything=True)
    a, b = run(opened, "SELECT a.record_id, b.record_id FROM identity.record a JOIN identity.record b USING (birth_date) JOIN identity.link k"
        " ON k.record_id = a.record_id JOIN identity.link l ON l.record_id = b.record_id WHERE a.record_id < b.record_id"
        " AND k.person_id <> l.person_id AND a.record_id = ANY(:village) ORDER BY 1, 2 LIMIT 1", village=village).one()  # fmt: skip

    def nights(is_merged):
        taken_back = opened.begin_nested()
        made = None
        if is_merged:
            made = run(opened, "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason)"
                " VALUES (:a, :b, 'must', 'x', 'y') RETURNING judgement_id", a=a, b=b).scalar()  # fmt: skip
        others = [r for r in village if r not in (a, b)]
        for night in range(1, 5):
            draw(opened, random.Random(77 + night), others, 18, 3, 9)
            publish(opened, pool_id, SHIPPED)
        while_it_stood = held(opened, DERIVED)
        if is_merged:
            run(opened, "INSERT INTO identity.retraction VALUES (:id, 'x', 'y')", id=made)
        run(opened, "DISCARD TEMP")
        identity_pool.collect(opened, [])
        publish(opened, pool_id, SHIPPED)
        found = fingerprint.kept(opened), held(opened, DERIVED), redirects(opened), while_it_stood
        taken_back.rollback()
        return found

    value, kept, led, merged = nights(is_merged=True)
    without, clean, leads, _ = nights(is_merged=False)
    assert {table: len(kept[table] ^ clean[table]) for table in kept} == dict.fromkeys(kept, 0)
    assert value == without
    assert merged["core.person"] != clean["core.person"], "it was felt while it stood"
    assert leads.items() <= led.items(), "an id that was answered to meanwhile may lead on; no other redirect differs"
