"""docs/dags.md: the DAGs as Airflow reads them."""

import os
import tempfile
from typing import Any

from manual.markdown import table
from schemas.contract import stems


def _picture(dag: Any) -> str:
    lines = ["```mermaid", "flowchart LR"]
    for one in dag.tasks:
        asset = [a.name for a in one.outlets]
        lines.append(f"  {one.task_id}")
        lines += [f"  {one.task_id} -.-> {name}([asset {name}])" for name in asset]
    for one in dag.tasks:
        lines += [f"  {one.task_id} --> {below}" for below in sorted(one.downstream_task_ids)]
    return "\n".join([*lines, "```"])


def _tasks(dag: Any) -> str:
    rows = []
    for one in dag.tasks:
        text = str(one.doc_md or "").split("\n\n", 1)[-1]
        rows.append([f"`{one.task_id}`", one.retries, one.pool, one.trigger_rule.value.replace("_", " "), text])
    return table(["task", "retries", "pool", "runs when", "what it does, and what to do when it fails"], rows)


def page() -> str:
    """The page. Airflow reads its configuration at import: a folder of its own, and none of the user's."""
    with tempfile.TemporaryDirectory(prefix="hub-manual-") as folder:
        os.environ["AIRFLOW_HOME"] = folder
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
        from dags import intake
        from dags import unify as unifying

        unify: Any = unifying.unify
        intakes = {f"intake_{stem}": getattr(intake, f"intake_{stem}") for stem in stems()}
    first = next(iter(intakes.values()))
    overview = ["```mermaid", "flowchart LR"]
    overview += [
        f"  {name}[{name}] --> {dag.get_task('report').outlets[0].name}([{dag.get_task('report').outlets[0].name}]) --> unify"
        for name, dag in intakes.items()
    ]
    overview += ["  deadline{{deadline}} --> unify --> pool([pool])", "```"]
    times = [
        [f"`{name}`", dag.dag_display_name, f"`{dag.schedule.expression}`", str(dag.dagrun_timeout), ", ".join(sorted(dag.tags))]
        for name, dag in intakes.items()
    ]
    timetable = unify.schedule.timetable.expression
    stem = next(iter(stems()))
    intake_page = f"{_picture(first)}\n\n{_tasks(first)}".replace(f"_{stem}", "_STEM")
    return f"""# DAGs

One intake a source, made from its contract; `unify` runs when every source has reported, well or badly, or at the deadline with what has
come. Times are Asia/Shanghai. Running any task or night again is harmless.

{chr(10).join(overview)}

{table(["DAG", "name in Airflow", "schedule", "ends after", "tags"], [*times, ["`unify`", unify.dag_display_name, f"assets, or `{timetable}`", str(unify.dagrun_timeout), ", ".join(sorted(unify.tags))]])}
## Intake

Every intake has the same tasks. `report` runs whatever became of the verbs; `watcher` runs only when one failed, and fails the run.

{intake_page}
## unify

{_picture(unify)}

{_tasks(unify)}"""
