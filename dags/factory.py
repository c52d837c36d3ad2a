"""Makes the DAGs: one intake per contract, one that unifies what the intakes brought."""

from datetime import date, datetime, time, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException

from dags.failures import explained
from dags.run import announced, occasion
from hub.settings import get_settings
from schemas.contract import Contract

ZONE = "Asia/Shanghai"
OWNER = "assistance-hub"
VERBS = ("fetch", "land", "parse", "gate")

# A new DAG waits for its next time. A start date, or False here, would make Airflow run it for a time that is past.
_NEXT_TIME = timedelta(0)
_WORK_LIMIT = timedelta(minutes=60)
# The simulated agencies are mended in seconds, real ones in minutes.
_RETRY_DELAY = timedelta(seconds=5) if get_settings().business_clock == "sandbox" else timedelta(minutes=1)
_RETRY: dict[str, Any] = {
    "retry_delay": _RETRY_DELAY,
    "retry_exponential_backoff": True,
    "max_retry_delay": 12 * _RETRY_DELAY,
}

_TASK_DOCS = {
    "fetch": "抓取机构的原始字节，不作解释；未到期时只作说明。\n\nPulls the agency's own bytes, or says that nothing is due. "
    "**If it fails:** the message says whether the agency was down (retried by itself), refused, or changed something. "
    "Call the contact in the DAG's page; then clear this task.",
    "land": "把字节落成不可变的交付。\n\nMakes the bytes an immutable delivery. **If it fails:** check the disk and the landing "
    "key, then clear this task.",
    "parse": "按契约定类型；无法定类型的行进入隔离区。\n\nTypes rows by contract; what cannot be typed is quarantined. **If it fails:** the "
    "agency changed its format; compare the message with the contract. Last night's data stays.",
    "gate": "由 Great Expectations 裁决。\n\nGreat Expectations decides. **If it fails:** the delivery is held and last good data stays; "
    "read `hub report STEM`, ask the agency to send again.",
    "report": "报告本来源的状态并发出资产事件，无论成败。\n\nSays how the source stands (ok, not_due, held, stale) and emits the asset either "
    "way, so that one broken agency never stops the others.",
    "watcher": "任一动作失败则本次运行判为失败。\n\nFails the run when a verb failed. **Look at the verb that is red**, not at this task.",
    "resolve": "判定谁是同一人、谁是一户。\n\nFinds who is who. Writes working tables only. **If it fails:** clear it; nothing was published.",
    "merge": "一个事务内发布。\n\nPublishes in one transaction. **If it fails:** readers still see the night before; clear `resolve` and what "
    "follows.",
    "share": "告知变化并盖指纹。\n\nTells what changed and seals the night with its fingerprint. **If it fails:** clear this task.",
}


# How a task is called on Airflow's pages; its id is the verb.
_TASK_NAMES = {
    "fetch": "拉取 fetch",
    "land": "落地 land",
    "parse": "解析 parse",
    "gate": "质检 gate",
    "report": "报告 report",
    "watcher": "监视 watcher",
    "resolve": "归并 resolve",
    "merge": "入库 merge",
    "share": "共享 share",
}


def asset_of(stem: str) -> Asset:
    """The asset an intake emits when its source has reported, well or badly."""
    return Asset(name=f"source_{stem}", uri=f"hub://source/{stem}", group="sources")


def pool_of(stem: str) -> str:
    """The Airflow pool that limits calls to one agency at one time."""
    return f"agency_{stem}"


def _night(outcome: Any) -> Any:
    """The business date in an earlier task's outcome."""
    return outcome["night"]


def _until_deadline(contract: Contract) -> timedelta:
    """From the scheduled start to the contract's deadline, over midnight if need be."""
    minute, hour = contract.delivery.schedule.split()[:2]
    today = date(2026, 1, 1)
    start = datetime.combine(today, time(int(hour), int(minute)))
    end = datetime.combine(today, contract.delivery.deadline)
    return end - start if end > start else end - start + timedelta(days=1)


def _nightly(contract: Contract) -> str:
    """Every intake runs nightly, at the contract's time: whether a delivery is due, `fetch` says."""
    minute, hour = contract.delivery.schedule.split()[:2]
    return f"{minute} {hour} * * *"


def _intake_docs(contract: Contract) -> str:
    return f"""### {contract.agency_zh} · {contract.title_zh}

每夜拉取并校验 `{contract.stem}`；应交日按契约，未到期时 `fetch` 说明“未到期”。失败时：该来源保留上次合格数据并标为陈旧，其他来源照常发布。
红色任务的日志首行写明原因与下一步；处理后清除（Clear）该任务即可，重跑无害。

Nightly intake of *{contract.title_en}* from {contract.agency_en} over `{contract.delivery.protocol}`; due `{contract.delivery.schedule}`,
deadline {contract.delivery.deadline:%H:%M} {ZONE}. **When it fails** the last good data of this source stays, marked stale, and the others
publish. The red task's log says what happened and what to do; clear that task afterwards. Running anything again is harmless.

- 联系人 / contact: {contract.contact}
- 契约 / contract: `schemas/{contract.path.name}` {contract.version}
- 触发参数 / trigger with: `{{"business_date": "2026-03-01"}}`
"""


def intake_dag(contract: Contract) -> DAG:
    """The intake of one source: fetch → land → parse → gate → report, and a watcher that fails the run when a verb failed."""
    stem = contract.stem
    with DAG(
        f"intake_{stem}",
        dag_display_name=f"收取 · {contract.agency_zh} ({stem})",
        description=f"{contract.title_zh} / {contract.title_en}",
        schedule=CronTriggerTimetable(_nightly(contract), timezone=ZONE, run_immediately=_NEXT_TIME),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=_until_deadline(contract),
        tags=["intake", "来源", stem, contract.delivery.protocol],
        doc_md=_intake_docs(contract),
        default_args={"owner": OWNER, **_RETRY},
    ) as dag:

        @task(
            pool=pool_of(stem),
            retries=contract.delivery.retries,
            execution_timeout=timedelta(seconds=contract.delivery.timeouts.total_s) + timedelta(minutes=2),
            doc_md=_TASK_DOCS["fetch"],
            task_display_name=_TASK_NAMES["fetch"],
        )
        @explained
        def fetch() -> dict[str, Any]:
            from pipeline import scheduled

            return scheduled.fetch(stem, occasion())

        @task(retries=2, execution_timeout=_WORK_LIMIT, doc_md=_TASK_DOCS["land"], task_display_name=_TASK_NAMES["land"])
        @explained
        def land(night: str) -> dict[str, Any]:
            from pipeline import scheduled

            return scheduled.land(stem, night)

        @task(retries=2, execution_timeout=_WORK_LIMIT, doc_md=_TASK_DOCS["parse"], task_display_name=_TASK_NAMES["parse"])
        @explained
        def parse(night: str) -> dict[str, Any]:
            from pipeline import scheduled

            return scheduled.parse(stem, night)

        @task(retries=2, execution_timeout=_WORK_LIMIT, doc_md=_TASK_DOCS["gate"], task_display_name=_TASK_NAMES["gate"])
        @explained
        def gate(night: str) -> dict[str, Any]:
            from pipeline import scheduled

            return scheduled.gate(stem, night)

        @task(
            trigger_rule=TriggerRule.ALL_DONE,
            retries=3,
            execution_timeout=timedelta(minutes=5),
            outlets=[asset_of(stem)],
            doc_md=_TASK_DOCS["report"],
            task_display_name=_TASK_NAMES["report"],
        )
        @explained
        def report() -> dict[str, Any]:
            from pipeline import scheduled

            return announced(scheduled.report(stem, occasion(earlier="fetch")))

        @task(trigger_rule=TriggerRule.ONE_FAILED, retries=0, doc_md=_TASK_DOCS["watcher"], task_display_name=_TASK_NAMES["watcher"])
        def watcher() -> None:
            raise AirflowFailException("一个动作失败，见红色任务 / a verb failed: open the red task, its log says what to do")

        fetched = fetch()
        landed = land(_night(fetched))
        parsed = parse(_night(landed))
        gated = gate(_night(parsed))
        reported = report()
        gated >> reported
        [fetched, landed, parsed, gated, reported] >> watcher()
    return dag


_UNIFY_DOCS = f"""### 归集 / unify

全部来源报告后（或到最晚时限 {ZONE}），以已到的数据判定人与户，一个事务内发布，然后盖指纹。
失败时：读者仍看到前一夜；从 `resolve` 起清除即可，重跑无害。

Runs when every intake has reported, well or badly, or at the deadline with what has come: resolve → merge → share. **When it fails**
nothing was published and readers see the night before; clear `resolve` with what follows. Running it again is harmless.
"""


def unify_dag(contracts: dict[str, Contract]) -> DAG:
    """resolve → merge → share, on all intake assets or at the latest deadline of the contracts."""
    deadline = max(c.delivery.deadline for c in contracts.values())
    with DAG(
        "unify",
        dag_display_name="归集 · 人与户 (unify)",
        description="判定、合并、共享 / resolve, merge, share",
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(f"{deadline.minute} {deadline.hour} * * *", timezone=ZONE, run_immediately=_NEXT_TIME),
            assets=[asset_of(stem) for stem in contracts],
        ),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=4),
        tags=["unify", "归集"],
        doc_md=_UNIFY_DOCS,
        default_args={"owner": OWNER, "retries": 2, "execution_timeout": timedelta(hours=2), **_RETRY},
    ) as dag:

        @task(doc_md=_TASK_DOCS["resolve"], task_display_name=_TASK_NAMES["resolve"])
        @explained
        def resolve() -> dict[str, Any]:
            from pipeline import scheduled

            return scheduled.resolve(occasion())

        @task(doc_md=_TASK_DOCS["merge"], task_display_name=_TASK_NAMES["merge"])
        @explained
        def merge(night: str) -> dict[str, Any]:
            from pipeline import scheduled

            return scheduled.merge(night)

        @task(
            doc_md=_TASK_DOCS["share"], task_display_name=_TASK_NAMES["share"], outlets=[Asset(name="pool", uri="hub://pool", group="pool")]
        )
        @explained
        def share(night: str) -> dict[str, Any]:
            from pipeline import scheduled

            return scheduled.share(night)

        resolved = resolve()
        merged = merge(_night(resolved))
        share(_night(merged))
    return dag
