"""A disk that takes no more: whoever cannot write says so, the others go on, and the next run with room makes good."""

import resource
import subprocess

import pytest
import sqlalchemy as sa

from hub.errors import ServiceError
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from warehouse import database

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("verb", "size"), [("fetch", 0), ("land", 0), ("parse", 0), ("fetch", 600)])
def test_a_night_whose_disk_fills_up_says_so_and_the_next_run_makes_good(borrowed: Hub, verb: str, size: int) -> None:
    """From the moment a verb begins the system lets no file grow past a size, as a full disk does."""
    hub = borrowed
    hub.restore("night_1")
    clock.set_night(hub.settings, 2)

    def fill(child: subprocess.Popen[str]) -> None:
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (size, size))

    status, log = hub.struck(verb, fill, "night", "--date", "2026-03-02", "--json")
    assert status in (4, 6, 7), log
    assert "Traceback" not in log
    with database.engine(hub.settings).connect() as connection:
        told = connection.scalars(sa.text("SELECT error FROM ops.intake WHERE business_date = '2026-03-02' AND error IS NOT NULL")).all()
    assert told and all("the disk takes no more" in t for t in told), (told, log)
    with oracle.watched(hub.settings):
        hub.night(2)
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[2].fingerprint)


def test_a_full_disk_of_the_database_is_told_in_one_sentence(borrowed: Hub) -> None:
    full = "DO $$ BEGIN RAISE 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
    with database.engine(borrowed.settings).connect() as connection, pytest.raises(ServiceError, match="disk takes no more"):
        connection.execute(sa.text(full))
