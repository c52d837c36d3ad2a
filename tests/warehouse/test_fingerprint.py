"""The fingerprint: kept as the pool changes, it is what a count of every row gives."""

import pytest
import sqlalchemy as sa

from warehouse import database, fingerprint

pytestmark = pytest.mark.slow

CHANGES = {
    "rows that came": "INSERT INTO identity.link SELECT gen_random_uuid(), person_id, rule_id, node_id, is_open, node_rule_id FROM identity.link LIMIT 50",
    "rows that changed": "UPDATE core.person SET phone = NULL WHERE phone IS NOT NULL AND person_id < 'c0000000-0000-7000-8000-000000000000'",
    "rows that went": "DELETE FROM core.household_member WHERE relation = '20'",
    "a table emptied": "TRUNCATE core.household",
    "nothing": "DELETE FROM core.person WHERE false",
    "a row changed back": "UPDATE core.person SET records = records + 1; UPDATE core.person SET records = records - 1",
}


@pytest.fixture
def pool(five_nights):
    """An open transaction on a pool of five nights, taken back at the end."""
    with database.engine(five_nights.settings).connect() as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_kept_is_what_is_counted(pool, change):
    before = fingerprint.kept(pool)
    pool.execute(sa.text(change))
    assert fingerprint.kept(pool) == fingerprint.scanned(pool)
    assert (fingerprint.kept(pool) == before) == (change in (CHANGES["nothing"], CHANGES["a row changed back"]))


def test_a_change_behind_the_triggers_is_found_by_counting(pool):
    pool.execute(sa.text("SET LOCAL session_replication_role = replica"))
    pool.execute(sa.text("DELETE FROM core.household_member WHERE relation = '02'"))
    assert fingerprint.kept(pool) != fingerprint.scanned(pool)


def test_a_column_gained_is_counted_again(pool):
    pool.execute(sa.text("ALTER TABLE core.person ADD COLUMN shoe_size integer"))
    fingerprint.recount(pool, "core.person")
    assert fingerprint.kept(pool) == fingerprint.scanned(pool)


def test_whoever_asks_for_the_fingerprint_is_told_that_something_wrote_past_the_hub(borrowed):
    assert borrowed.invoked("fingerprint").returncode == 0
    with database.engine(borrowed.settings).begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text("DELETE FROM core.household_member WHERE relation = '02'"))
    told = borrowed.invoked("fingerprint")
    assert told.returncode == 1 and "something wrote past the hub" in told.stderr
