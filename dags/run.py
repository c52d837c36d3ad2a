"""What a task body needs to know of its run, and what a run tells by its asset: Airflow's words turned into the pipeline's."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from pipeline.scheduled import Occasion


def occasion(*, earlier: str | None = None) -> "Occasion":
    """Why and when this run was started.

    Args:
        earlier: task of this run whose outcome already names the night; None = there is none.
    """
    from pipeline.scheduled import Occasion

    context = get_current_context()
    run = context["dag_run"]
    outcome = context["ti"].xcom_pull(task_ids=earlier) if earlier else None
    events = [event for several in (context.get("triggering_asset_events") or {}).values() for event in several]
    return Occasion(
        asked=(run.conf or {}).get("business_date"),
        instant=run.run_after,
        decided=(outcome or {}).get("night"),
        heard=tuple(sorted({str(e.extra["night"]) for e in events if e.extra.get("night")})),
    )


def announced(outcome: dict[str, Any]) -> dict[str, Any]:
    """Put the night and the state into the event of the task's assets; gives the outcome back."""
    context = get_current_context()
    for asset in context["task"].outlets:
        context["outlet_events"][asset].extra.update(night=outcome["night"], state=outcome["state"])
    return outcome
