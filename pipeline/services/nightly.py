"""One night through the scheduler: trigger every intake, wait until `unify` has published it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from hub.errors import ServiceError
from hub.settings import Settings
from pipeline.services.airflow import Api, dag_ids

_OVER = ("success", "failed")
_UNIFY = "unify"
_POLL_S = 1.0
_PATIENCE_S = 15.0  # for Airflow to start `unify` by the assets

# Told DAG, task and state whenever one changes.
Reporter = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Outcome:
    """What Airflow made of a night.

    Attributes:
        runs: DAG → state of its run.
        failed: DAG → its failed tasks.
    """

    runs: dict[str, str]
    failed: dict[str, list[str]]


def through_scheduler(settings: Settings, day: date, *, reporter: Reporter = lambda *_: None, timeout_s: float = 3600) -> Outcome:
    """Run a night with Airflow. Interrupting the wait stops nothing: Airflow goes on, and running it again is harmless.

    Args:
        settings: whose Airflow.
        day: business date of the night.
        reporter: told of every change of a task's state.
        timeout_s: limit of the whole wait.

    Raises:
        ServiceError: Airflow does not answer, or the night is not over in time.
    """
    api = Api(settings)
    api.forget_queued(_UNIFY)
    began = datetime.now(UTC) - timedelta(seconds=1)
    runs = {dag: api.trigger(dag, str(day)) for dag in dag_ids() if not api.is_paused(dag)}
    ends_at = time.monotonic() + timeout_s
    seen: dict[tuple[str, str], str] = {}
    states: dict[str, str] = {}
    while True:
        if time.monotonic() > ends_at:
            raise ServiceError("the night is not over in time", where="Airflow", next_step="look at its page; `hub run` again is harmless")
        for dag, run in runs.items():
            if states.get(dag) in _OVER:
                continue
            states[dag] = api.state(dag, run)
            for task, state in api.tasks(dag, run).items():
                if seen.get((dag, task)) != state:
                    seen[dag, task] = state
                    reporter(dag, task, state)
        if states and all(s in _OVER for s in states.values()):
            if _UNIFY in runs:
                break
            found = api.newest_runs(_UNIFY, began)
            # Airflow starts it by the assets; if it will not (an intake is paused), it is started here.
            runs[_UNIFY] = found[0][0] if found else _started_or_trigger(api, began, day)
        time.sleep(_POLL_S)
    failed = {
        dag: [task for task, state in api.tasks(dag, run).items() if state == "failed"]
        for dag, run in runs.items()
        if states[dag] == "failed"
    }
    return Outcome(states, failed)


def _started_or_trigger(api: Api, began: datetime, day: date) -> str:
    ends_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends_at:
        if found := api.newest_runs(_UNIFY, began):
            return found[0][0]
        time.sleep(0.5)
    return api.trigger(_UNIFY, str(day))
