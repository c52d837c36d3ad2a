"""The pool a command works on."""

import sqlalchemy as sa

from hub.settings import Settings


def migrated(settings: Settings) -> sa.Engine:
    """The engine of the warehouse, brought to the newest version."""
    from warehouse import database

    database.migrate(settings)
    return database.engine(settings)
