"""A night that would break what must always hold is not published: nothing of it is in the pool, and the error points at the place."""

import pytest
import sqlalchemy as sa

from hub.errors import MergeError
from pipeline import nights, steps
from sandbox import clock
from tests.conftest import Hub
from warehouse import database

pytestmark = pytest.mark.slow
STEM = "health"


@pytest.fixture
def resolved(borrowed: Hub) -> Hub:
    """A hub whose second night is resolved for one source, and not merged."""
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    day = nights.open_night(hub.settings, day=clock.date_of(hub.settings, 2))
    for verb in (steps.fetch, steps.land, steps.parse, steps.gate):
        verb(STEM, day, hub.settings)
    steps.resolve(day, hub.settings)
    return hub


def execute(hub: Hub, statement: str) -> None:
    with database.engine(hub.settings).begin() as connection:
        connection.execute(sa.text(statement))


def published(hub: Hub) -> tuple[object, ...]:
    """What readers see of the pool, how often it was published, and how far the source came."""
    with database.engine(hub.settings).connect() as connection:
        query = (
            "SELECT (SELECT number FROM ops.publication), (SELECT count(*) FROM ops.published),"
            " (SELECT state FROM ops.intake WHERE business_date = '2026-03-02' AND stem = :stem)"
        )
        return (hub.fingerprint(), *connection.execute(sa.text(query), {"stem": STEM}).one())


def refused(hub: Hub) -> MergeError:
    """The error of a merge that leaves everything as it was."""
    before = published(hub)
    assert before[-1] == "accepted"
    with pytest.raises(MergeError) as told:
        steps.merge(clock.date_of(hub.settings, 2), hub.settings)
    assert published(hub) == before
    assert told.value.exit_code == 6 and told.value.next_step
    return told.value


def test_books_that_do_not_balance_publish_nothing_and_the_error_says_whose(resolved: Hub) -> None:
    execute(resolved, f"UPDATE ops.intake SET inserted = inserted + 1 WHERE business_date = '2026-03-02' AND stem = '{STEM}'")
    error = refused(resolved)
    assert error.where == f"{STEM} 2026-03-02" and "the books do not balance" in error.message
    day = clock.date_of(resolved.settings, 2)
    steps.resolve(day, resolved.settings)  # as the error says
    steps.merge(day, resolved.settings)
    assert published(resolved)[-1] == "merged"


def test_a_row_the_tables_refuse_publishes_nothing_and_the_error_names_the_rule_and_no_value(resolved: Hub) -> None:
    execute(resolved, "ALTER TABLE core.person ADD CONSTRAINT nobody_more CHECK (name IS NULL) NOT VALID")
    error = refused(resolved)
    assert (error.where, "nobody_more" in error.message) == ("core.person", True)
    assert "Failing row" not in str(error)
    execute(resolved, "ALTER TABLE core.person DROP CONSTRAINT nobody_more")
    steps.merge(clock.date_of(resolved.settings, 2), resolved.settings)
    assert published(resolved)[-1] == "merged"
