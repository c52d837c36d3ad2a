"""A command that changes the pool, killed at whatever moment and run again, leaves the pool it would have left."""

import random
from pathlib import Path

import pytest

from tests import oracle
from tests.conftest import Hub
from tests.pipeline.killable import COMMANDS, Killable, Trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("killable", COMMANDS, ids=lambda k: k.name.replace(", ", "_").replace(" ", "-"))
def test_a_command_killed_at_any_moment_and_run_again_leaves_the_pool_of_a_quiet_one(
    borrowed: Hub, tmp_path: Path, killable: Killable
) -> None:
    trial = Trial(borrowed, killable, tmp_path)
    kills = trial.killed(random.Random(killable.name), 1, {"command": 1})
    oracle.struck("command", sum(kills.struck.values()))
    assert kills.misfits == []
    oracle.same_fingerprint(kills.outcome.fingerprint, trial.quiet.fingerprint, told=killable.name)
    oracle.same_books(kills.outcome.books, trial.quiet.books, told=killable.name)
    assert kills.outcome.left == trial.quiet.left
    oracle.consistent(kills.seen)
