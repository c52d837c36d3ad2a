"""The suite of the log: fixed by its first entry, since a tree has one hash and witnesses know one key."""

import sqlalchemy as sa

from hub.crypto_suite import Suite, chosen, named
from hub.errors import ConfigError
from hub.settings import Settings
from warehouse import audit_log, database


def of(connection: sa.Connection, settings: Settings) -> Suite:
    """The suite a log is verified and signed by: the one written down in it, whatever the setting says; before its first entry the setting's."""
    kept = audit_log.suite(connection)
    return chosen(settings) if kept is None else named(kept)


def hold(settings: Settings) -> None:
    """Bring the warehouse up to date, and refuse to write to a log of another suite than the setting's.

    Raises:
        ConfigError: the log has entries under another suite.
    """
    database.migrate(settings)
    with database.engine(settings).connect() as connection:
        kept = of(connection, settings)
    if kept is not chosen(settings):
        raise ConfigError(
            f"the log has entries under the suite {kept.name}, and a log keeps its suite", where="HUB_CRYPTO_SUITE",
            next_step=f"set it to {kept.name}; landing and backups can be read under either",
        )  # fmt: skip
