"""The embedded PostgreSQL that holds the warehouse when no other is configured."""

import json
import os
import threading
from pathlib import Path

import psycopg2.errors
import sqlalchemy as sa

from hub.errors import ServiceError
from hub.postgres import Cluster, free_port
from hub.settings import Settings

_PORTS = "run/ports.json"
_PASSWORD = "postgres.password"


def known_ports(settings: Settings) -> dict[str, int]:
    """Ports of local services that were chosen so far, by service."""
    path = settings.home / _PORTS
    found: dict[str, int] = json.loads(path.read_text(encoding="ascii")) if path.exists() else {}
    return found


def was_started(settings: Settings) -> bool:
    """Whether the embedded server of a home folder was ever started, and its password is still there."""
    return "postgres" in known_ports(settings) and (settings.secrets_dir / _PASSWORD).exists()


def remembered_port(settings: Settings, name: str, chosen: int | None = None) -> int:
    """The port of a local service: the configured one, else a free one that is kept from then on.

    Args:
        settings: whose home folder remembers it, in ``run/ports.json``.
        name: of the service.
        chosen: configured port; None = a free one.
    """
    path = settings.home / _PORTS
    ports = known_ports(settings)
    if chosen is None and name in ports:
        return ports[name]
    ports[name] = chosen or free_port()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".ports.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(json.dumps(ports, sort_keys=True), encoding="ascii")
    draft.replace(path)
    return ports[name]


def cluster(settings: Settings) -> Cluster:
    """The embedded cluster of a home folder; not started."""
    port = remembered_port(settings, "postgres", settings.database_port)
    return Cluster(data_dir=Path(settings.home).resolve() / "postgres", port=port, password=settings.secret(_PASSWORD, 16))


def start(settings: Settings) -> str:
    """Start the embedded server and make the database ``hub``; does nothing when both are there.

    Returns:
        SQLAlchemy address of the warehouse.
    """
    server = cluster(settings)
    server.start()
    ensure_database(settings, "hub")
    return server.url("hub")


def ensure_database(settings: Settings, name: str) -> str:
    """Make a database on the embedded server unless it is there; its SQLAlchemy address.

    Raises:
        ServiceError: the server went away.
    """
    server = cluster(settings)
    engine = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if not connection.scalar(sa.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
                connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    except sa.exc.ProgrammingError as error:  # another process made it first
        if not isinstance(error.orig, psycopg2.errors.DuplicateDatabase):
            raise
    except (sa.exc.OperationalError, psycopg2.OperationalError, psycopg2.InterfaceError):
        raise ServiceError(
            "PostgreSQL does not answer or broke off", where=name, next_step="see `hub services`; running the same again is harmless"
        ) from None
    finally:
        engine.dispose()
    return server.url(name)


def stop(settings: Settings) -> None:
    """Stop the embedded server; does nothing when it does not run."""
    cluster(settings).stop()
