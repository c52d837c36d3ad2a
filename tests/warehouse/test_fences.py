"""Fences: of all runs of a piece of work, in whatever order they are frozen and wake, only the newest one writes."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hub.errors import AlreadyRunning, ServiceError, TakenOver
from hub.settings import Settings
from tests.examples import examples
from warehouse import database, embedded, fences

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own() -> Iterator[Settings]:
    """A migrated warehouse without anything in it but a place to write to."""
    home = Path(tempfile.mkdtemp(prefix="hub-fences-"))
    home.chmod(0o711)
    found = Settings(home=home / "home")  # type: ignore[call-arg]
    found.home.mkdir()
    database.migrate(found)
    with database.engine(found).begin() as connection:
        connection.execute(sa.text("CREATE TABLE public.written (run integer)"))
    yield found
    database.engine(found).dispose()
    embedded.stop(found)
    shutil.rmtree(home, ignore_errors=True)


def write(connection: sa.Connection, run: int) -> None:
    connection.execute(sa.text("INSERT INTO public.written VALUES (:run)"), {"run": run})


def written(own: Settings) -> list[int]:
    with database.engine(own).connect() as connection:
        return list(connection.scalars(sa.text("SELECT run FROM public.written ORDER BY ctid")))


# What befalls a run: it begins work on a night or on a source in it, opens a transaction and writes, or wakes at its commit.
_STEPS = st.lists(
    st.tuples(st.sampled_from(["night", "source", "write", "commit"]), st.integers(0, 2)), min_size=2, max_size=12
)  # fmt: skip


@given(steps=_STEPS)
@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_whatever_order_runs_sleep_and_wake_the_newest_of_each_work_alone_commits(own: Settings, steps: list[tuple[str, int]]) -> None:
    holds: dict[int, dict[str, fences.Fence | None]] = {0: {}, 1: {}, 2: {}}
    newest: dict[str, int] = {}
    open_: dict[int, sa.Connection] = {}
    expected: list[int] = []
    with database.engine(own).begin() as connection:
        connection.execute(sa.text("TRUNCATE public.written"))
    for what, run in steps:
        if what in ("night", "source"):
            if run in open_:
                continue  # a run begins nothing new in the midst of a transaction
            is_let = all(newest[work] == run for work in holds[run] if work != what)
            try:
                with database.on_behalf({w: f for w, f in holds[run].items() if w != what}), database.engine(own).begin() as connection:
                    taken = fences.take(connection, what)
            except TakenOver:
                assert not is_let
            else:
                assert is_let
                holds[run][what], newest[what] = taken, run
        elif what == "write" and run not in open_:
            open_[run] = database.engine(own).connect()
            write(open_[run], run)
        elif what == "commit" and run in open_:
            is_newest = all(newest[work] == run for work in holds[run])
            with contextlib.closing(open_.pop(run)) as connection, database.on_behalf(holds[run]):
                try:
                    connection.commit()
                except TakenOver:
                    assert not is_newest
                else:
                    assert is_newest
                    expected.append(run)
    for connection in open_.values():
        connection.close()
    assert sorted(written(own)) == sorted(expected)


def cut(own: Settings) -> None:
    """End all sessions but the one that asks."""
    with database.engine(own).connect() as other:
        query = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        other.execute(sa.text(query))


def another_run(own: Settings) -> None:
    with database.on_behalf({}), database.alone(own, "night"):
        pass


def test_whatever_a_run_that_was_taken_over_stumbles_on_it_says_that_it_was(own: Settings) -> None:
    with pytest.raises(TakenOver, match="taken over this night"), database.alone(own, "night"):
        cut(own)
        another_run(own)
        raise ServiceError("PostgreSQL broke off")
    with pytest.raises(TakenOver), database.alone(own, "night"):
        cut(own)
        another_run(own)  # and then it has nothing left to do


def test_a_run_that_lost_its_session_and_was_not_taken_over_goes_on(own: Settings) -> None:
    with database.alone(own, "night"):
        cut(own)
        with database.engine(own).begin() as connection:
            write(connection, 9)
    assert 9 in written(own)


def test_a_part_of_work_that_was_taken_over_is_not_begun(own: Settings) -> None:
    with pytest.raises(TakenOver, match="this night"), database.alone(own, "night"):
        cut(own)
        another_run(own)
        with database.alone(own, "source health"):
            pytest.fail("it must not be let in")
    with database.alone(own, "source health"):
        pass


def test_a_run_that_froze_at_its_commit_does_not_keep_the_next_one_waiting_for_ever(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "_WAIT", "50ms")
    with database.alone(own, "night"):
        held = [f for f in database.held().values() if f]
        with database.engine(own).connect() as frozen:
            assert fences.outdated(frozen, held) == []
            with pytest.raises(AlreadyRunning, match="at work on this night"), database.on_behalf({}):
                database._taken(own, "night")


def test_nobody_publishes_who_was_taken_over(own: Settings) -> None:
    with pytest.raises(TakenOver), database.alone(own, "pool"):
        with database.on_behalf({}):
            database._taken(own, "pool")
        with database.publishing(own):
            pytest.fail("it must not be let in")


def test_no_run_goes_on_in_a_pool_that_was_put_back(own: Settings) -> None:
    with pytest.raises(TakenOver), database.alone(own, "night"):
        with database.on_behalf({}), database.engine(own).begin() as connection:
            fences.give_up(connection)
        with database.engine(own).begin() as connection:
            write(connection, 1)
