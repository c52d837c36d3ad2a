"""A night looks only at what it touches; the pool must be as if all of it had been judged at once."""

import pytest
import sqlalchemy as sa

from identity import frozen
from pipeline import identify
from warehouse import database, identity_pool

pytestmark = pytest.mark.slow

KEPT = {
    "identity.link": "record_id, person_id, rule_id, node_id, node_rule_id, is_open",
    "identity.bond": "a, b, bits",
    "identity.crowd": "rule_id, block, records, open_records",
    "core.household_member": "kind, person_id, household_id, relation, stem, evidence",
}
MADE = {
    "identity.link": f"SELECT {KEPT['identity.link']} FROM staging.work_link",
    "identity.bond": "SELECT a, b, (thousandths / 1000.0)::real FROM staging.work_bond",
    "identity.crowd": f"SELECT {KEPT['identity.crowd']} FROM staging.work_crowd",
    "core.household_member": f"SELECT {KEPT['core.household_member']} FROM staging.work_member",
}


def rebuild(connection, pool_id, by=None):
    """Judge the pool as a whole, in the working tables of a transaction that is to be taken back."""
    identity_pool.drop_work(connection)
    for statement in (
        *(f"CREATE TEMP TABLE kept_{t.split('.')[1]} AS SELECT {columns} FROM {t}" for t, columns in KEPT.items()),
        "CREATE UNLOGGED TABLE staging.work_candidate AS SELECT * FROM identity.record",
        "CREATE UNLOGGED TABLE staging.work_gone (record_id uuid)",
        "TRUNCATE identity.record, identity.link, identity.bond, identity.crowd",
    ):
        connection.execute(sa.text(statement))
    identity_pool.judge(connection)
    identify.identify(connection, by or frozen.load(), pool=pool_id, everything=True)


def differing(connection, table):
    """Rows that only the pool has, or only the rebuild."""
    kept, made = f"SELECT * FROM kept_{table.split('.')[1]}", MADE[table]
    return connection.scalar(
        sa.text(f"SELECT count(*) FROM (({kept} EXCEPT {made}) UNION ALL ({made} EXCEPT {kept})) AS one_side")
    )  # fmt: skip


@pytest.fixture(scope="module")
def rebuilt(five_nights):
    """The pool of five nights judged anew as a whole, in a transaction that is taken back; what was kept lies beside it."""
    with database.engine(five_nights.settings).connect() as connection:
        rebuild(connection, five_nights.settings.pool_id)
        yield connection
        connection.rollback()


def test_five_nights_gave_work_to_do(rebuilt):
    """Otherwise the tests below would compare one first load with another."""
    assert rebuilt.scalar(sa.text("SELECT count(*) FROM ops.intake WHERE inserted + updated > 0 AND business_date > '2026-03-01'")) >= 12
    assert rebuilt.scalar(sa.text("SELECT count(DISTINCT person_id) FROM kept_link")) > 1000
    assert rebuilt.scalar(sa.text("SELECT count(*) FROM kept_link WHERE rule_id = 'weighed'")) > 5


@pytest.mark.parametrize("table", KEPT)
def test_what_nightly_changes_leave_is_what_a_full_rebuild_makes(rebuilt, table):
    assert differing(rebuilt, table) == 0
