"""A night looks only at what it touches; the pool must be as if all of it had been judged at once."""

import pytest
import sqlalchemy as sa

from identity import households, persons
from warehouse import database, identity_pool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rebuilt(five_nights):
    """The pool of five nights judged anew as a whole, in a transaction that is taken back; what was kept lies beside it."""
    with database.engine(five_nights.settings).connect() as connection:
        identity_pool.drop_work(connection)
        for statement in (
            "CREATE TEMP TABLE kept_link AS SELECT record_id, person_id FROM identity.link",
            "CREATE TEMP TABLE kept_member AS SELECT kind, person_id, household_id, relation, stem, evidence FROM core.household_member",
            "CREATE UNLOGGED TABLE staging.work_candidate AS SELECT * FROM identity.record",
            "CREATE UNLOGGED TABLE staging.work_gone (record_id uuid)",
            "TRUNCATE identity.record, identity.link",
        ):
            connection.execute(sa.text(statement))
        identity_pool.touch(connection)
        identity_pool.link(connection, persons.resolve)
        identity_pool.group(connection, households.resolve, five_nights.settings.pool_id)
        yield connection
        connection.rollback()


def differing(connection, kept, made):
    """Rows on one side only."""
    return connection.scalar(
        sa.text(f"SELECT count(*) FROM (({kept} EXCEPT {made}) UNION ALL ({made} EXCEPT {kept})) AS one_side")
    )  # fmt: skip


def test_five_nights_gave_work_to_do(rebuilt):
    """Otherwise the tests below would compare one first load with another."""
    assert rebuilt.scalar(sa.text("SELECT count(*) FROM ops.intake WHERE inserted + updated > 0 AND business_date > '2026-03-01'")) >= 12
    assert rebuilt.scalar(sa.text("SELECT count(DISTINCT person_id) FROM kept_link")) > 1000


def test_persons_of_nightly_changes_are_those_of_a_full_rebuild(rebuilt):
    assert differing(rebuilt, "SELECT record_id, person_id FROM kept_link", "SELECT record_id, person_id FROM staging.work_link") == 0


def test_households_of_nightly_changes_are_those_of_a_full_rebuild(rebuilt):
    columns = "SELECT kind, person_id, household_id, relation, stem, evidence FROM"
    assert differing(rebuilt, f"{columns} kept_member", f"{columns} staging.work_member") == 0
