"""Airflow as local processes: its own database in the embedded server, its own secrets, its own ports."""

import base64
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import requests

from hub.errors import ServiceError
from hub.settings import CHECKOUT, Settings
from pipeline.services.process import Service
from schemas.contract import load_contracts
from warehouse import embedded

ADMIN = "admin"
# Processes in the order they are started; the API first, because the others report to it.
PROCESSES = ("api-server", "dag-processor", "scheduler", "triggerer")
_HOST = "127.0.0.1"


def home(settings: Settings) -> Path:
    """Airflow's folder."""
    return settings.home.resolve() / "airflow"


def url(settings: Settings) -> str:
    """Address of the Airflow page."""
    return f"http://{_HOST}:{embedded.remembered_port(settings, 'airflow', settings.airflow_port)}"


def password_file(settings: Settings) -> Path:
    """File with the log-in of the page: JSON, user → password."""
    return settings.home.resolve() / "secrets" / "airflow-passwords.json"


def service(settings: Settings, process: str) -> Service:
    """One of Airflow's processes."""
    return Service(settings, f"airflow-{process}")


def environment(settings: Settings) -> dict[str, str]:
    """Variables Airflow is configured by; they carry secrets: never print them."""
    here, folder = url(settings), home(settings)
    bundles = [
        {
            "name": "hub",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(CHECKOUT / "dags"), "refresh_interval": 5},
        }
    ]
    fernet = base64.urlsafe_b64encode(bytes.fromhex(settings.secret("airflow-fernet.key"))).decode("ascii")
    log_ports = {n: str(embedded.remembered_port(settings, f"airflow-{n}-logs")) for n in ("worker", "triggerer")}
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "Asia/Shanghai",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{here}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(settings)),
        "AIRFLOW__CORE__FERNET_KEY": fernet,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": embedded.cluster(settings).url("airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "",  # nothing we start asks for it, and it would need one more driver
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__API__HOST": _HOST,
        "AIRFLOW__API__PORT": here.rsplit(":", 1)[1],
        "AIRFLOW__API__BASE_URL": here,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__INSTANCE_NAME": "社会救助资源库 数据枢纽 · assistance hub",
        "AIRFLOW__API__SECRET_KEY": settings.secret("airflow-api.key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": settings.secret("airflow-jwt.key"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": log_ports["worker"],
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": log_ports["triggerer"],
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # Tasks whose scheduler or process was killed are found after half a minute, not after five, and run again.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONWARNINGS": "ignore",
        "NO_PROXY": f"{_HOST},localhost",
        "no_proxy": f"{_HOST},localhost",
    }


def start(settings: Settings, *, timeout_s: float = 180) -> None:
    """Start Airflow and wait until it schedules the hub's DAGs; does nothing for what runs.

    Raises:
        ServiceError: a process did not come up, or a DAG cannot be read; the log or file is named.
    """
    embedded.cluster(settings).start()
    embedded.ensure_database(settings, "airflow")
    home(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_password(settings)
    variables = environment(settings)
    _migrate(settings, variables)
    for process in PROCESSES:
        service(settings, process).start([sys.executable, "-m", "airflow", process], environment=variables)
    api = Api(settings)
    service(settings, "api-server").wait(api.answers, timeout_s)
    api.make_pools({f"agency_{stem}": c.delivery.pool_slots for stem, c in load_contracts().items()})
    for process in PROCESSES[1:]:
        service(settings, process).wait(lambda process=process: api.is_healthy(process), timeout_s)  # type: ignore[misc]
    _wait_for_dags(api, dag_ids(), timeout_s)


def dag_ids() -> list[str]:
    """Ids of the intake DAGs, one per contract."""
    return [f"intake_{stem}" for stem in load_contracts()]


def stop(settings: Settings) -> None:
    """Stop Airflow's processes, together: each takes some seconds to finish what it does."""
    with ThreadPoolExecutor(len(PROCESSES)) as threads:
        list(threads.map(lambda process: service(settings, process).stop(), PROCESSES))


def _write_password(settings: Settings) -> None:
    path = password_file(settings)
    if path.exists():
        return
    word = settings.secret("airflow-admin.password", 9)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump({ADMIN: word}, file)


def _migrate(settings: Settings, variables: dict[str, str]) -> None:
    """Bring the metadata database to this version; a stamp saves the ten seconds of asking every time."""
    stamp = home(settings) / f"migrated-{version('apache-airflow')}"
    if stamp.exists():
        return
    log = settings.home.resolve() / "logs" / "airflow-migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False,
            cwd=CHECKOUT, env={**os.environ, **variables},
        )  # fmt: skip
    if done.returncode != 0:
        raise ServiceError("Airflow's database could not be made", where=str(log), next_step="read the end of that log")
    stamp.touch()


def _wait_for_dags(api: "Api", dags: list[str], timeout_s: float) -> None:
    ends_at = time.monotonic() + timeout_s
    while missing := [dag for dag in [*dags, "unify"] if not api.knows(dag)]:
        broken = api.import_error()
        if broken:
            raise ServiceError(broken[1], where=broken[0], next_step="correct that file; Airflow reads it again by itself")
        if time.monotonic() > ends_at:
            raise ServiceError(f"Airflow does not know the DAGs {', '.join(missing)}", where="logs/airflow-dag-processor.log")
        time.sleep(0.5)


class Api:
    """Airflow's REST API, as its administrator."""

    def __init__(self, settings: Settings) -> None:
        self._url = url(settings)
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env = False

    def answers(self) -> bool:
        """Whether the API answers."""
        try:
            return self._session.get(f"{self._url}/api/v2/version", timeout=5).ok
        except requests.RequestException:
            return False

    def is_healthy(self, process: str) -> bool:
        """Whether a process beats: scheduler, triggerer or dag-processor."""
        try:
            found = self._session.get(f"{self._url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return bool((found.get(process.replace("-", "_")) or {}).get("status") == "healthy")

    def _call(self, method: str, path: str, **options: object) -> requests.Response:
        for attempt in (1, 2):
            if "Authorization" not in self._session.headers:
                self._log_in()
            try:
                answer = self._session.request(method, f"{self._url}/api/v2/{path}", timeout=30, **options)  # type: ignore[arg-type]
            except requests.RequestException:
                raise ServiceError("Airflow does not answer", where=self._url, next_step="run `hub up`") from None
            if answer.status_code != 401 or attempt == 2:
                return answer
            del self._session.headers["Authorization"]
        raise AssertionError("unreachable")

    def _log_in(self) -> None:
        words = json.loads(password_file(self._settings).read_text(encoding="ascii"))
        answer = self._session.post(f"{self._url}/auth/token", json={"username": ADMIN, "password": words[ADMIN]}, timeout=30)
        if not answer.ok:
            raise ServiceError("Airflow refuses the log-in", where=str(password_file(self._settings)), next_step="`hub down`, `hub up`")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def make_pools(self, slots: dict[str, int]) -> None:
        """Make or resize pools: calls at one time by name."""
        known = {p["name"]: p["slots"] for p in self._call("GET", "pools", params={"limit": 1000}).json()["pools"]}
        for name, n in slots.items():
            if name not in known:
                self._call("POST", "pools", json={"name": name, "slots": n, "description": "calls to this agency at one time"})
            elif known[name] != n:
                self._call("PATCH", f"pools/{name}", params={"update_mask": "slots"}, json={"name": name, "slots": n})

    def knows(self, dag: str) -> bool:
        """Whether a DAG was read."""
        return self._call("GET", f"dags/{dag}").ok

    def is_paused(self, dag: str) -> bool:
        """Whether somebody paused a DAG."""
        return bool(self._call("GET", f"dags/{dag}").json().get("is_paused"))

    def import_error(self) -> tuple[str, str] | None:
        """File and last line of the first DAG file that cannot be read; None when all can."""
        found = self._call("GET", "importErrors").json().get("import_errors") or []
        return (found[0]["filename"], found[0]["stack_trace"].strip().splitlines()[-1]) if found else None

    def trigger(self, dag: str, business_date: str) -> str:
        """Start a run for a business date; its id.

        Raises:
            ServiceError: Airflow refuses.
        """
        run_id = f"night__{business_date}__{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        answer = self._call(
            "POST", f"dags/{dag}/dagRuns", json={"dag_run_id": run_id, "logical_date": None, "conf": {"business_date": business_date}}
        )
        if not answer.ok:
            raise ServiceError(f"Airflow did not start {dag} (status {answer.status_code})", where=self._url)
        return run_id

    def state(self, dag: str, run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._call("GET", f"dags/{dag}/dagRuns/{run_id}").json().get("state", "unknown"))

    def tasks(self, dag: str, run_id: str) -> dict[str, str]:
        """Tasks of a run and their states."""
        found = self._call("GET", f"dags/{dag}/dagRuns/{run_id}/taskInstances").json().get("task_instances") or []
        return {t["task_id"]: t["state"] or "waiting" for t in found}

    def newest_runs(self, dag: str, since: datetime) -> list[tuple[str, str]]:
        """Id and state of the runs queued since an instant, newest first."""
        answer = self._call(
            "GET", f"dags/{dag}/dagRuns", params={"run_after_gte": since.isoformat(), "order_by": "-run_after", "limit": 20}
        )
        return [(r["dag_run_id"], r["state"]) for r in answer.json().get("dag_runs") or []]

    def forget_queued(self, dag: str) -> None:
        """Forget asset events that wait for the rest of an earlier, interrupted night."""
        self._call("DELETE", f"dags/{dag}/assets/queuedEvents")
