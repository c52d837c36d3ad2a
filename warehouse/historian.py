"""The role that may ask the whole pool as of another time by SQL: it reads the pool and its history, values among them, and can change nothing."""

import sqlalchemy as sa

from warehouse import disclosure

# What the functions and views of schema history are made of.
_READS = ("identity.record", "identity.link", "identity.redirect", "ops.published", "ops.survivorship")


def role_name(connection: sa.Connection) -> str:
    """The role; nobody logs in as it, members have what it has."""
    return disclosure.role_name(connection, disclosure.HISTORIAN)


def ensure(connection: sa.Connection) -> str:
    """Make the role, or give it what it lacks; its name. It is none of the sharing service's and has no right in schema share.

    Args:
        connection: a transaction of an account that may make roles.
    """
    role = role_name(connection)
    if not connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": role}):
        connection.execute(sa.text(f'CREATE ROLE "{role}" NOLOGIN NOINHERIT'))
    database = connection.scalar(sa.text("SELECT quote_ident(current_database())"))
    connection.execute(sa.text(f'GRANT CONNECT ON DATABASE {database} TO "{role}"'))
    connection.execute(sa.text(f'GRANT USAGE ON SCHEMA history, core, identity, ops TO "{role}"'))
    connection.execute(sa.text(f'GRANT SELECT ON ALL TABLES IN SCHEMA history, core TO "{role}"'))
    connection.execute(sa.text(f'GRANT SELECT ON {", ".join(_READS)} TO "{role}"'))
    # sources to come
    connection.execute(sa.text(f'ALTER DEFAULT PRIVILEGES IN SCHEMA core GRANT SELECT ON TABLES TO "{role}"'))
    return role
