"""The warehouse's connections when the server goes away."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.errors import AlreadyRunning, ServiceError
from hub.settings import Settings
from warehouse import database, embedded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A PostgreSQL that is not the configured hub's own, so that nothing starts it again behind the test's back."""
    top = Path(tempfile.mkdtemp(prefix="hub-database-"))
    top.chmod(0o711)
    own = Settings(home=top / "home")  # type: ignore[call-arg]
    own.home.mkdir()
    embedded.start(own)
    url = database.url(own)
    database.engine(own).dispose()
    yield Settings(home=top / "home", database_url=url)  # type: ignore[call-arg]
    embedded.stop(own)
    shutil.rmtree(top, ignore_errors=True)


def test_work_that_another_run_does_is_refused_and_free_again_afterwards(settings: Settings) -> None:
    def another_run() -> None:
        with database.alone(settings, "this"):
            pass

    with ThreadPoolExecutor() as others, database.alone(settings, "this"):
        with database.alone(settings, "this"):  # one's own
            refusal = others.submit(another_run).exception()
        assert isinstance(refusal, AlreadyRunning)
    another_run()


@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_a_server_that_went_away_is_one_sentence_wherever_it_is_asked(settings: Settings, how: str) -> None:
    cluster = embedded.cluster(settings)
    pooled = database.engine(settings)
    with pooled.connect() as one, pooled.connect() as two:  # two connections lie in the pool when the server goes
        assert one.scalar(sa.text("SELECT 1")) == two.scalar(sa.text("SELECT 1")) == 1
    cluster.stop(mode=how)
    try:
        with pytest.raises(ServiceError), database.alone(settings, "that"):
            pass
        with pytest.raises(ServiceError), pooled.connect():
            pass
    finally:
        cluster.start()
    with database.alone(settings, "that"):
        pass


@pytest.mark.parametrize("how", ["immediate", "SIGKILL", "its session alone"])
def test_a_server_that_goes_while_work_is_done_alone_leaves_the_works_own_error(settings: Settings, how: str) -> None:
    cluster = embedded.cluster(settings)
    try:
        with pytest.raises(ServiceError, match="the work's own"), database.alone(settings, "that"):
            if how == "SIGKILL":
                os.kill(int((cluster.data_dir / "postmaster.pid").read_text(encoding="ascii").split()[0]), signal.SIGKILL)
            elif how == "immediate":
                cluster.stop(mode=how)
            else:
                with database.engine(settings).connect() as other:
                    other.execute(sa.text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
            raise ServiceError("the work's own")
    finally:
        cluster.start()
    with database.alone(settings, "that"):
        pass


def test_a_server_that_is_gone_before_its_database_is_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="does not answer or broke off") as told:
        embedded.ensure_database(Settings(home=tmp_path), "hub")  # type: ignore[call-arg]
    assert told.value.where == "hub" and told.value.exit_code == 7
