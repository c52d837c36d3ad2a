"""Nights of chance: whatever comes, in whatever order, the pool is as if all of it had been judged at once."""

import random
import uuid
from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from identity import frozen
from pipeline import identify
from tests.warehouse.test_identity_pool import KEPT, differing, rebuild
from warehouse import blocks, database, identity_pool, ledger, pool

pytestmark = pytest.mark.slow

# Records of the village that change, go and come before the first night: its people are then in each other's blocks and homes.
UPHEAVAL = (40, 3, 20)
NIGHTS = 12

# What befalls a record: as agencies err, and so that blocks grow past the bound and shrink below it.
_OTHER = "(SELECT {0} FROM identity.record o WHERE o.record_id = :other)"
_MISHAPS = (
    "resident_id = NULL, id_key = NULL",
    "resident_id = left(resident_id, 17) || '0', id_key = NULL",
    "birth_date = birth_date - 1",
    "birth_date = date_trunc('year', birth_date)::date",
    "phone = NULL, phone_key = NULL",
    *["phone = '13900000000', phone_key = '13900000000'"] * 3,
    "address = '章庄铺镇枫林村2组', address_key = '章庄铺镇枫林村2组'",
    "name = left(name, 1) || '□', name_key = NULL",
    # Only newer than it was; and in another year, so that its person is older.
    *["as_of_date = as_of_date + 1"] * 4,
    "as_of_date = as_of_date + 300",
    *[f"name = {_OTHER.format('name')}, name_key = {_OTHER.format('name_key')}"] * 3,
    f"resident_id = {_OTHER.format('resident_id')}, id_key = {_OTHER.format('id_key')}",
    f"phone = {_OTHER.format('phone')}, phone_key = {_OTHER.format('phone_key')}",
    # The rank of the agency stays what it was when the record came, as where an agency's rank has changed since.
    *[f"stem = {_OTHER.format('stem')}, registered_no = {_OTHER.format('registered_no')}, living_no = {_OTHER.format('living_no')}"] * 3,
    *["stem = 'x', registered_no = NULL, living_no = 'home ' || CAST(:n AS integer) % 3"] * 6,
    "authority = 1 + (authority + 30) % 90",
    "registered_relation = living_relation, living_relation = registered_relation",
    *(f"registered_relation = '{code}', living_relation = '{code}'" for code in ("02", "12", "20", "38", "42", "51")),
)


def run(connection, statement, **values):
    return connection.execute(sa.text(statement), values)


def draw(connection, chance, village, changed=18, gone=3, copied=9):
    """The rows of a night: so many records that change, that go, and that come, some of them born before those that are there.

    Most of it befalls one village, so that its people get into each other's blocks and homes, and out again.
    """
    run(connection, "DISCARD TEMP")
    identity_pool.drop_work(connection)
    known = list(connection.scalars(sa.text("SELECT record_id FROM identity.record ORDER BY record_id")))
    village[:] = sorted(set(village) & set(known)) or known[:9]
    changed, gone, copied = (
        [*chance.sample(village, min(n, len(village))), *chance.sample(known, n // 3)] for n in (changed, gone, copied)
    )
    gone, copied = list(dict.fromkeys(gone)), list(dict.fromkeys(copied))
    run(connection, "CREATE UNLOGGED TABLE staging.work_candidate (LIKE identity.record)")
    run(connection, "CREATE UNLOGGED TABLE staging.work_gone (record_id uuid)")
    run(connection, "INSERT INTO staging.work_gone SELECT unnest(CAST(:ids AS uuid[]))", ids=list({*changed, *gone}))
    for old in set(changed) - set(gone):
        run(connection, "INSERT INTO staging.work_candidate SELECT * FROM identity.record WHERE record_id = :old", old=old)
    born = {uuid.UUID(int=chance.getrandbits(127)): old for old in copied}
    for new, old in born.items():
        run(connection, "CREATE TEMP TABLE one AS SELECT * FROM identity.record WHERE record_id = :old", old=old)
        run(connection, "UPDATE one SET record_id = :new, record_key = 'new' || :key", new=new, key=str(new))
        run(connection, "INSERT INTO staging.work_candidate TABLE one; DROP TABLE one")
    for record in list(connection.scalars(sa.text("SELECT record_id FROM staging.work_candidate ORDER BY record_id"))):
        for mishap in chance.sample(_MISHAPS, chance.randint(0, 3)):
            values = {"other": chance.choice(village), "n": chance.randrange(100)}
            values = {name: value for name, value in values.items() if f":{name}" in mishap}
            run(connection, f"UPDATE staging.work_candidate SET {mishap} WHERE record_id = :record", record=record, **values)
    village.extend(born)


# A record of a third with whom two that are compared share a home, and one of a block that is just past the bound.
_THIRD = """
SELECT t.record_id FROM identity.bond JOIN identity.link la ON la.node_id = a JOIN identity.link lb ON lb.node_id = b
JOIN identity.record ra ON ra.record_id = la.record_id JOIN identity.record rb ON rb.record_id = lb.record_id
JOIN identity.record t ON t.stem = ra.stem AND t.living_no = ra.living_no AND t.stem = rb.stem AND t.living_no = rb.living_no
JOIN identity.link lt ON lt.record_id = t.record_id WHERE lt.node_id NOT IN (a, b) ORDER BY 1
"""
_PAST = "SELECT r.record_id FROM identity.crowd c JOIN {rows} ON c.block = {block} WHERE c.rule_id = '{rule}' AND c.records = {records} ORDER BY 1"


def strike(connection, chance):
    """Let a third leave the home of two, and a block lose what put it past the bound; what the drawn rows hold already is let be."""
    thirds = list(connection.scalars(sa.text(_THIRD)))
    crowded = []
    for rule in blocks.RULES:
        rows = f"(SELECT record_id, {blocks.KEYS} FROM identity.record r) AS r"
        block = rule.block("r")
        found = _PAST.format(rows=rows, block=block, rule=rule.rule_id, records=blocks.LARGEST + 1)
        crowded.extend(connection.scalars(sa.text(found)))
    taken = set(connection.scalars(sa.text("SELECT record_id FROM staging.work_gone")))
    thirds, crowded = ([r for r in found if r not in taken] for found in (thirds, crowded))
    if crowded:
        run(connection, "INSERT INTO staging.work_gone VALUES (:id)", id=(last := chance.choice(crowded)))
        thirds = [r for r in thirds if r != last]
    if thirds:
        third = chance.choice(thirds)
        run(connection, "INSERT INTO staging.work_gone VALUES (:id)", id=third)
        run(connection, "INSERT INTO staging.work_candidate SELECT * FROM identity.record WHERE record_id = :id", id=third)
        run(connection, "UPDATE staging.work_candidate SET living_no = NULL WHERE record_id = :id", id=third)
    return bool(thirds), bool(crowded)


def settle(connection, chance):
    """Records of some persons, open ones among them."""
    persons = list(connection.scalars(sa.text("SELECT DISTINCT person_id FROM identity.link ORDER BY 1")))
    lonely = list(connection.scalars(sa.text("SELECT record_id FROM identity.link WHERE is_open ORDER BY 1 LIMIT 6")))
    some = sa.text("SELECT record_id FROM identity.link WHERE person_id = ANY(CAST(:ids AS uuid[])) ORDER BY 1")
    return [*connection.scalars(some, {"ids": chance.sample(persons, 5)}), *lonely]


def judge(connection, chance):
    """New judgements on pairs that are near each other, and some that are taken back."""
    for kind in ("must", "cannot"):
        kin = "SELECT a.record_id, b.record_id FROM identity.link a JOIN identity.link b USING (person_id) WHERE a.record_id < b.record_id"
        alike = "SELECT a.record_id, b.record_id FROM identity.record a JOIN identity.record b USING (birth_date) WHERE a.record_id < b.record_id"
        a, b = chance.choice(run(connection, f"{kin if kind == 'cannot' else alike} ORDER BY 1, 2").all())
        run(connection, "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason) VALUES (:a, :b, :kind, 'x', 'y')",
            a=a, b=b, kind=kind)  # fmt: skip
    standing = "SELECT judgement_id FROM identity.judgement WHERE judgement_id NOT IN (SELECT judgement_id FROM identity.retraction)"
    for judgement in list(connection.scalars(sa.text(standing))):
        if chance.random() < 0.4:
            run(connection, "INSERT INTO identity.retraction VALUES (:id, 'x', 'y')", id=judgement)


# Where every pair that is compared is a bond, the bonds tell which pairs were compared, and what each weighs.
SHIPPED = frozen.load()
ALL_BONDS = replace(SHIPPED, weights=replace(SHIPPED.weights, threshold_bits=-90.0))


def publish(connection, pool_id, by, everything=False, day=date(2026, 3, 5)):
    """Take the drawn rows and the judgements in force into the pool, as a publication of a night."""
    identity_pool.judge(connection)
    found = identify.identify(connection, by, pool=pool_id, everything=everything)
    pool.write(connection, was_empty=False)
    ledger.publish(connection, day, persons=0, households=0)
    return found


@pytest.fixture
def opened(five_nights, monkeypatch):
    """A pool of five nights in a transaction that is taken back; blocks are bounded so low that many are crossed."""
    monkeypatch.setattr(blocks, "LARGEST", 6)
    with database.engine(five_nights.settings).connect() as connection:
        yield connection
        connection.rollback()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "by"), [(1, SHIPPED), (2, ALL_BONDS)], ids=["as shipped", "every pair a bond"])
def test_nights_of_chance_leave_what_a_full_rebuild_makes(opened, five_nights, seed, by):
    chance, pool_id = random.Random(seed), five_nights.settings.pool_id
    village = settle(opened, chance)
    draw(opened, chance, village, *UPHEAVAL)
    publish(opened, pool_id, by, everything=True)
    # Few changes a night, so that most of what they shake is near them and not among them.
    weighed, struck = 0, set()
    for night in range(NIGHTS):
        draw(opened, chance, village, chance.randint(1, 6), chance.randint(0, 2), chance.randint(0, 3))
        struck |= {kind for kind, is_struck in zip(("third", "crowded"), strike(opened, chance), strict=True) if is_struck}
        judge(opened, chance)
        weighed += publish(opened, pool_id, by).weighed
        run(opened, "DISCARD TEMP")
        taken_back = opened.begin_nested()
        rebuild(opened, pool_id, by)
        assert {table: differing(opened, table) for table in KEPT} == dict.fromkeys(KEPT, 0), f"night {night}"
        taken_back.rollback()
    assert weighed > 0
    assert struck or by is SHIPPED
    assert opened.scalar(sa.text("SELECT count(*) FROM identity.bond")) > (30 if by is ALL_BONDS else 0)


def withdraw(connection, record):
    """A night on which one record goes."""
    run(connection, "DISCARD TEMP")
    identity_pool.drop_work(connection)
    run(connection, "CREATE UNLOGGED TABLE staging.work_candidate (LIKE identity.record)")
    run(connection, "CREATE UNLOGGED TABLE staging.work_gone AS SELECT CAST(:record AS uuid) AS record_id", record=record)


def change(connection, columns, records):
    """A night on which some columns of some records change; ``{n}`` stands for the record's place in the list."""
    run(connection, "DISCARD TEMP")
    identity_pool.drop_work(connection)
    run(connection, "CREATE UNLOGGED TABLE staging.work_candidate (LIKE identity.record)")
    run(connection, "CREATE UNLOGGED TABLE staging.work_gone AS SELECT unnest(CAST(:ids AS uuid[])) AS record_id", ids=records)
    run(
        connection,
        "INSERT INTO staging.work_candidate SELECT * FROM identity.record WHERE record_id = ANY(CAST(:ids AS uuid[]))",
        ids=records,
    )
    for n, record in enumerate(records):
        run(connection, f"UPDATE staging.work_candidate SET {columns.format(n=n)} WHERE record_id = :record", record=record)


def bonds_of(connection, record):
    """How many bonds a record's node has, and their bits in all."""
    query = "SELECT count(*), coalesce(sum(bits), 0) FROM identity.bond JOIN identity.link ON node_id IN (a, b) WHERE record_id = :record"
    return connection.execute(sa.text(query), {"record": record}).one()


def strangers(connection, n):
    """A record that is a node of its own and open, and `n` records of settled persons far from each other."""
    lonely = "SELECT record_id FROM identity.link JOIN core.person USING (person_id) WHERE is_open AND records = 1 ORDER BY 1 LIMIT 1"
    others = (
        "SELECT DISTINCT ON (birth_date) record_id FROM identity.record JOIN identity.link USING (record_id) WHERE NOT is_open"
        " AND rule_id = 'id_name' AND birth_date IS NOT NULL ORDER BY birth_date, record_id LIMIT :n"
    )
    return connection.scalar(sa.text(lonely)), list(connection.scalars(sa.text(others), {"n": n}))


def assert_as_rebuilt(connection, pool_id, by):
    run(connection, "DISCARD TEMP")
    taken_back = connection.begin_nested()
    rebuild(connection, pool_id, by)
    assert {table: differing(connection, table) for table in KEPT} == dict.fromkeys(KEPT, 0)
    taken_back.rollback()


def test_a_block_that_shrinks_below_the_bound_touches_those_who_stay(opened, five_nights):
    pool_id = five_nights.settings.pool_id
    draw(opened, random.Random(5), settle(opened, random.Random(5)), *UPHEAVAL)
    publish(opened, pool_id, ALL_BONDS, everything=True)
    lonely, others = strangers(opened, blocks.LARGEST)
    change(opened, "name = '阙' || {n}, name_key = '阙' || {n}, phone = '13900000001', phone_key = '13900000001'", [lonely, *others])
    publish(opened, pool_id, ALL_BONDS)
    crowded = bonds_of(opened, lonely)[0]
    assert opened.scalar(sa.text("SELECT count(*) FROM identity.crowd WHERE rule_id = 'phone_surname' AND records = 7")) >= 1
    withdraw(opened, others[-1])
    publish(opened, pool_id, ALL_BONDS)
    assert bonds_of(opened, lonely)[0] >= crowded + blocks.LARGEST - 2
    assert_as_rebuilt(opened, pool_id, ALL_BONDS)


def test_a_third_who_leaves_the_home_of_two_changes_what_the_two_weigh(opened, five_nights):
    pool_id = five_nights.settings.pool_id
    draw(opened, random.Random(6), settle(opened, random.Random(6)), *UPHEAVAL)
    publish(opened, pool_id, ALL_BONDS, everything=True)
    lonely, (other, third) = strangers(opened, 2)
    change(opened, "name = '阙文' || {n} / 9, name_key = '阙文' || {n} / 9, phone = '13900000001', phone_key = '13900000001',"
           " birth_date = NULL, registered_no = NULL, living_no = 'one home', stem = 'x'", [lonely, other])  # fmt: skip
    publish(opened, pool_id, ALL_BONDS)
    alone = bonds_of(opened, lonely)
    change(opened, "registered_no = NULL, living_no = 'one home', stem = 'x'", [third])
    publish(opened, pool_id, ALL_BONDS)
    together = bonds_of(opened, lonely)
    assert alone[0] > 0 and together != alone
    assert_as_rebuilt(opened, pool_id, ALL_BONDS)


def test_of_two_sources_of_one_rank_that_use_the_same_number_the_newer_one_counts(opened, five_nights):
    """The number is each source's own: another household, though it is written alike."""
    pool_id = five_nights.settings.pool_id
    two = "SELECT array_agg(record_id ORDER BY record_id) FROM identity.link GROUP BY person_id HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
    records = opened.scalar(sa.text(two))
    # On no list with anybody, so that nobody is followed.
    run(opened, "UPDATE identity.record SET registered_no = NULL, living_no = NULL WHERE record_id = ANY(:all)", all=records)
    records = records[:2]
    for record, stem in zip(records, ("x", "y"), strict=True):
        run(opened, "UPDATE identity.record SET stem = :stem, authority = 99, living_no = '7', living_relation = '02' WHERE record_id = :r",
            stem=stem, r=record)  # fmt: skip
    draw(opened, random.Random(1), [], 0, 0, 0)
    publish(opened, pool_id, SHIPPED, everything=True)
    lives = sa.text(
        "SELECT stem FROM core.household_member m JOIN identity.link l USING (person_id) WHERE kind = 'living' AND record_id = :r"
    )
    before = opened.scalar(lives, {"r": records[0]})
    draw(opened, random.Random(1), [], 0, 0, 0)
    other = next(r for r, stem in zip(records, ("x", "y"), strict=True) if stem != before)
    run(opened, "INSERT INTO staging.work_gone VALUES (:r)", r=other)
    run(opened, "INSERT INTO staging.work_candidate SELECT * FROM identity.record WHERE record_id = :r", r=other)
    run(opened, "UPDATE staging.work_candidate SET as_of_date = as_of_date + 20")
    publish(opened, pool_id, SHIPPED)
    after = opened.scalar(lives, {"r": records[0]})
    run(opened, "DISCARD TEMP")
    rebuild(opened, pool_id)
    assert {table: differing(opened, table) for table in KEPT} == dict.fromkeys(KEPT, 0)
    assert {before, after} == {"x", "y"}
