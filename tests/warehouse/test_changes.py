"""A night's changes of a source: how the keys of a full delivery are counted."""

import pytest
import sqlalchemy as sa

from schemas.contract import load_contracts
from warehouse import agency_tables, changes, database

pytestmark = pytest.mark.slow
DAY = "2026-12-31"


@pytest.fixture
def pool(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture(params=load_contracts().values(), ids=load_contracts())
def contract(request):
    return request.param


def withdrawing(pool, contract, n):
    """Changes that withdraw some keys; as in a night, most of what was compared said the same and was deleted, and nothing is analysed."""
    table, core = changes.change_table(contract.stem, DAY), agency_tables.core_table(contract.stem)
    pool.execute(sa.text(f"CREATE UNLOGGED TABLE {table} AS SELECT record_key, '='::text AS op FROM {core} WHERE withdrawn_date IS NULL"))
    pool.execute(sa.text(f"DELETE FROM {table}"))
    gone = f"SELECT record_key, 'W' FROM {core} WHERE withdrawn_date IS NULL ORDER BY 1 LIMIT {n}"
    pool.execute(sa.text(f"INSERT INTO {table} {gone}"))
    return pool.scalar(sa.text(f"SELECT count(*) FROM {core} WHERE withdrawn_date IS NULL"))


@pytest.mark.parametrize("n", [0, 7])
def test_keys_that_are_not_withdrawn_are_kept(pool, contract, n):
    held = withdrawing(pool, contract, n)
    assert tuple(pool.execute(sa.text(changes.keys_counted(contract, DAY))).one()) == (held, held - n)


def test_withdrawn_keys_are_not_looked_up_once_for_each_key_of_the_pool(pool, contract):
    withdrawing(pool, contract, 7)
    plan = "\n".join(pool.scalars(sa.text(f"EXPLAIN {changes.keys_counted(contract, DAY)}")))
    assert "Anti Join" in plan and "SubPlan" not in plan
