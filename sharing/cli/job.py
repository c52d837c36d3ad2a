"""`hub job`: comparisons that departments handed in as jobs."""

from typing import Annotated

import typer

from hub.dates import shown
from hub.screen import plain_table, print_json, screen
from hub.settings import get_settings
from sharing.cli.pool import migrated

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
app = typer.Typer(help="批量比对任务 / comparisons that departments handed in as jobs.", no_args_is_help=True)
_STATES = {
    "waiting_for_input": "待名单 waiting", "queued": "排队 queued", "running": "进行 running", "done": "完成 done",
    "failed": "失败 failed", "cancelled": "取消 cancelled",
}  # fmt: skip


@app.command("list")
def job_list(as_json: AsJson = False) -> None:
    """All jobs that are kept, how far each is, and when it is forgotten. Nothing of what was asked or told."""
    from dataclasses import asdict

    from warehouse import compare_jobs

    with migrated(get_settings()).connect() as connection:
        found = compare_jobs.listed(connection)
    if as_json:
        print_json([asdict(j) for j in found])
        return
    if not found:
        print("没有任务 / no job")
        return
    table = plain_table("任务 job", "客户端 client", "用途 purpose", "状态 state", "已答 done", "命中 told", "到期 until")
    for j in found:
        until = "" if j.state in ("queued", "running") else shown(j.expires_at)
        state = f"{_STATES[j.state]} {j.problem or ''}".strip()
        table.add_row(j.job_id, j.client_id, j.purpose, state, f"{j.rows_done:,} / {j.input_rows:,}", f"{j.told_rows:,}", until)
    screen().print(table)


@app.command("cancel")
def job_cancel(job_id: Annotated[str, typer.Argument(help="Id of a job.", metavar="JOB")]) -> None:
    """Stop a job; its list and answers are forgotten, its receipts stay. Its client sees that it is cancelled."""
    from warehouse import compare_jobs
    from warehouse.questions import as_uuid

    with migrated(get_settings()).begin() as connection:
        compare_jobs.cancel(connection, as_uuid(job_id, "JOB", "see `hub job list`"))
    print(f"已取消 cancelled: {job_id}")
