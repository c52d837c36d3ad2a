"""What runs here: ports, local services, Airflow."""

import socket
from collections.abc import Iterator

from hub.errors import HubError
from hub.settings import Settings
from pipeline.doctor.finding import Finding, State
from pipeline.services import airflow as local_airflow
from pipeline.services import up
from pipeline.services.up import Running
from warehouse import embedded


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _services(settings: Settings) -> dict[str, Running]:
    return {s.name: s for s in up.running(settings)} if embedded.was_started(settings) else {}


def ports(settings: Settings) -> Iterator[Finding]:
    """Ports of services that do not run are not taken by somebody else."""
    known = embedded.known_ports(settings)
    wanted = {
        "postgres": None if settings.database_url else settings.database_port or known.get("postgres"),
        "airflow-api-server": settings.airflow_port or known.get("airflow"),
    }
    there = _services(settings)
    for name, port in wanted.items():
        if port is None:
            continue
        service = there.get(name)
        if service is not None and service.state == "running":
            yield Finding("port", State.OK, f"端口 {port} 由 {name} 使用", f"port {port} is {name}'s")
        elif _is_taken(port):
            variable = "HUB_DATABASE_PORT" if name == "postgres" else "HUB_AIRFLOW_PORT"
            yield Finding(
                "port", State.FAULT, f"端口 {port} 被其他程序占用", f"port {port} of {name} is taken by another program",
                f"end that program (`ss -ltnp`), or set {variable} to another port",
            )  # fmt: skip
        else:
            yield Finding("port", State.OK, f"端口 {port} 空闲，留给 {name}", f"port {port} is free for {name}")
    if not any(wanted.values()):
        yield Finding("port", State.IDLE, "端口在首次启动时选定", "ports are chosen at the first start, free ones")


def services(settings: Settings) -> Iterator[Finding]:
    """Which local services run."""
    there = _services(settings)
    if not there:
        yield Finding("services", State.IDLE, "服务尚未启动过", "services were not started yet", "`make run`, or `hub up`")
        return
    off = [name for name, s in there.items() if s.state == "stopped"]
    on = [name for name, s in there.items() if s.state == "running"]
    if on and off and all(name.startswith("airflow-") for name in off):
        yield Finding("services", State.OK, f"{len(on)} 个服务运行中，未启用 Airflow", f"{len(on)} services run, Airflow does not")
    elif on and off:
        yield Finding(
            "services", State.WARNING, f"{len(on)} 个运行，{len(off)} 个停止", f"stopped: {', '.join(off)}", "`hub up` starts them"
        )
    elif on:
        yield Finding("services", State.OK, f"{len(on)} 个服务运行中", f"{len(on)} services run")
    else:
        yield Finding("services", State.IDLE, "服务均已停止", "all services are stopped", "`hub up` starts them")


def airflow(settings: Settings) -> Iterator[Finding]:
    """Airflow answers, its processes beat, and it can read every DAG."""
    if not local_airflow.home(settings).exists():
        yield Finding("airflow", State.IDLE, "Airflow 尚未启动过", "Airflow was not started yet")
        return
    if local_airflow.service(settings, "api-server").process() is None:
        yield Finding("airflow", State.IDLE, "Airflow 未运行", "Airflow does not run", "`hub up` starts it")
        return
    api, here = local_airflow.Api(settings), local_airflow.url(settings)
    if not api.answers():
        log = local_airflow.service(settings, "api-server").log
        yield Finding(
            "airflow", State.FAULT, "Airflow 无应答", f"Airflow does not answer at {here}", f"read the end of {log}; `hub down`, `hub up`"
        )
        return
    ill = [name for name in local_airflow.PROCESSES[1:] if not api.is_healthy(name)]
    if ill:
        step = "read logs/airflow-*.log in the home folder; `hub down`, `hub up`"
        yield Finding("airflow", State.FAULT, f"Airflow 进程异常 {', '.join(ill)}", f"{', '.join(ill)} does not beat", step)
    try:
        broken = api.import_error()
    except HubError as error:
        yield Finding("airflow", State.FAULT, "Airflow 无法登录", error.message, error.next_step)
        return
    if broken:
        yield Finding(
            "airflow", State.FAULT, f"DAG 文件有误 {broken[0]}", f"{broken[0]}: {broken[1]}", "correct it; Airflow reads it again by itself"
        )
    elif not ill:
        yield Finding("airflow", State.OK, f"Airflow 正常 {here}", f"Airflow answers at {here} and reads every DAG")
