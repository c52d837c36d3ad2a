"""Everything a hub needs on one machine, started and stopped in order."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hub.settings import Settings
from pipeline.services import agencies, airflow, sharing
from pipeline.services.process import Service
from schemas.contract import load_contract, stems
from warehouse import database, embedded


@dataclass(frozen=True)
class Running:
    """One service.

    Attributes:
        name: of the service.
        state: ``running`` or ``stopped``.
        pid: process id; None when stopped, or when the server is not ours.
        url: address without any password; None when it has none.
        log: its log file; None when it has none here.
    """

    name: str
    state: str
    pid: int | None
    url: str | None
    log: str | None


def up(settings: Settings, *, with_airflow: bool = True) -> None:
    """Start the database, the simulated agencies (sandbox only), the sharing service and Airflow; does nothing for what runs.

    Raises:
        ServiceError: one of them did not come up; its log is named.
        ContractError: a contract is wrong; nothing was started.
    """
    for stem in stems():
        load_contract(stem)
    database.migrate(settings)
    if settings.business_clock == "sandbox":
        agencies.start(settings)
    sharing.start(settings)
    if with_airflow:
        airflow.start(settings)


def down(settings: Settings) -> None:
    """Stop them, the database last and all others together; the data stays."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda stop: stop(settings), (airflow.stop, sharing.stop, agencies.stop)))
    if (settings.home / "postgres").exists():
        embedded.stop(settings)


def running(settings: Settings) -> list[Running]:
    """Every service of this home folder, in the order of starting."""
    found = []
    if settings.database_url is None:
        cluster = embedded.cluster(settings)
        pid_file = cluster.data_dir / "postmaster.pid"
        is_there = cluster.is_running()
        pid = int(pid_file.read_text(encoding="ascii").split()[0]) if is_there else None
        address = f"postgresql://127.0.0.1:{cluster.port}/hub"
        log = str(cluster.data_dir.with_suffix(".log"))
        found.append(Running("postgres", "running" if is_there else "stopped", pid, address, log))
    else:
        found.append(Running("postgres", "elsewhere", None, None, None))
    if settings.business_clock == "sandbox":
        found += [_of(Service(settings, f"agency-{stem}"), agencies.url(settings, stem)) for stem in stems()]
    found.append(_of(sharing.service(settings), sharing.url(settings)))
    for process in airflow.PROCESSES:
        found.append(_of(airflow.service(settings, process), airflow.url(settings) if process == "api-server" else None))
    return found


def _of(service: Service, url: str | None) -> Running:
    process = service.process()
    pid = process.pid if process else None
    return Running(service.name, "running" if process else "stopped", pid, url, str(service.log))
