"""A command that changes the pool, broken off at whatever moment and run again, leaves the pool it would have left."""

import random

import pytest

from tests import oracle
from tests.conftest import Hub
from tests.pipeline.killable import COMMANDS, Outcome, Trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=COMMANDS, ids=lambda k: k.name.replace(", ", "_").replace(" ", "-"))
def trial(request: pytest.FixtureRequest, borrowed: Hub, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Trial]:
    return request.param.name, Trial(borrowed, request.param, tmp_path_factory.mktemp("trial"))


def is_that_of(quiet: Outcome, outcome: Outcome, told: str) -> None:
    oracle.same_fingerprint(outcome.fingerprint, quiet.fingerprint, told=told)
    oracle.same_books(outcome.books, quiet.books, told=told)
    assert outcome.left == quiet.left


def test_a_command_killed_at_any_moment_and_run_again_leaves_the_pool_of_a_quiet_one(trial: tuple[str, Trial]) -> None:
    name, tried = trial
    kills = tried.killed(random.Random(name), 1, {"command": 1})
    oracle.struck("command", sum(kills.struck.values()))
    assert kills.misfits == []
    is_that_of(tried.quiet, kills.outcome, name)
    oracle.consistent(kills.seen)


def test_a_command_of_which_a_session_is_cut_off_says_so_and_run_again_leaves_the_pool_of_a_quiet_one(trial: tuple[str, Trial]) -> None:
    name, tried = trial
    for cut in tried.cut_off(random.Random(name), 1):
        oracle.struck("session", int(cut.sentence is not None))
        assert cut.misfits == []
        is_that_of(tried.quiet, cut.outcome, f"{name}, {cut.sentence}")
