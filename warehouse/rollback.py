"""Back to a former version of the warehouse: what that forgets, tried out before it is done."""

import hashlib
import inspect
import io
from dataclasses import dataclass

import sqlalchemy as sa

from hub.errors import ConfigError
from hub.settings import Settings
from warehouse import database, disclosure

_COLUMNS = """
SELECT table_schema || '.' || table_name AS table, array_agg(column_name::text) AS columns FROM information_schema.columns
    JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema', 'public', 'staging') GROUP BY 1
"""


@dataclass(frozen=True)
class Step:
    """One migration that is taken back: its revision, what it brought, and what taking it back means."""

    revision: str
    brought: str
    back: str


@dataclass(frozen=True)
class Loss:
    """What a table loses.

    Attributes:
        rows: that are gone.
        columns: that are gone; empty where the table itself is.
    """

    table: str
    rows: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Rollback:
    """From a version of the warehouse to a former one.

    Attributes:
        former: version it goes to.
        present: version it comes from.
        steps: newest first.
        losses: what is forgotten, by table; tables without a row that go are left out.
        confirm: code that confirms exactly this.
        is_done: whether it was done.
    """

    former: str
    present: str
    steps: tuple[Step, ...]
    losses: tuple[Loss, ...]
    confirm: str
    is_done: bool


def _first(text: str | None) -> str:
    return inspect.cleandoc(text or "").partition("\n")[0]


def _held(connection: sa.Connection) -> dict[str, tuple[int, frozenset[str]]]:
    """Rows and columns of every table that a migration may change."""
    return {
        table: (int(connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0), frozenset(columns))
        for table, columns in connection.execute(sa.text(_COLUMNS)).tuples().all()
    }


def _losses(before: dict[str, tuple[int, frozenset[str]]], after: dict[str, tuple[int, frozenset[str]]]) -> tuple[Loss, ...]:
    found = []
    for table, (rows, columns) in sorted(before.items()):
        if table not in after:
            found.append(Loss(table, rows, ()))
            continue
        left, kept = after[table]
        # A row of a table whose column goes loses that; one that is there no longer loses all.
        found.append(Loss(table, rows - left, tuple(sorted(columns - kept))))
    return tuple(loss for loss in found if loss.rows or loss.columns)


def back(settings: Settings, revision: str, *, confirm: str | None = None) -> Rollback:
    """Take migrations back, down to a revision. All of them or none; without the code that confirms it, nothing is changed.

    Any command of this version of the hub brings the warehouse up again: the former version of the hub is installed next.

    Args:
        settings: whose warehouse.
        revision: that the former version of the hub knows, as ``0025``.
        confirm: the code that a try gave.

    Raises:
        ConfigError: there is no such revision, it is none before the present one, the code is another one, or the former version would
            misread what is in the warehouse.
        AlreadyRunning: a night is at work.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(database.MIGRATIONS))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    present = database.condition(settings).version or ""
    if revision not in {s.revision for s in scripts}:
        raise ConfigError(f"there is no version {revision!r} of the warehouse", where="--to", next_step=f"it is at {present}")
    if revision >= present:
        raise ConfigError(
            f"the warehouse is at {present}; this leads back only", where="--to", next_step="`hub migrate` leads to the newest"
        )
    steps = tuple(Step(s.revision, _first(s.doc), _first(s.module.downgrade.__doc__)) for s in scripts if revision < s.revision <= present)
    with (
        database.alone(settings, "night"), database.alone(settings, "pool"), database.alone(settings, "migrating"),
        database.engine(settings).connect() as connection,
    ):  # fmt: skip
        before = _held(connection)
        disclosure.withdraw(connection)  # views and generated columns would hold the tables' columns fast
        held = _held(connection)
        config.attributes["connection"] = connection
        database.still_ours(connection)  # now and until the commit: the fences themselves may go
        command.downgrade(config, revision)
        losses = _losses({table: (before[table][0], columns) for table, (_, columns) in held.items()}, _held(connection))
        code = hashlib.sha256(repr((revision, present, losses)).encode()).hexdigest()[:8]
        if confirm is None:
            connection.rollback()
        elif confirm != code:
            connection.rollback()
            raise ConfigError(
                "this code does not confirm it; what would be forgotten may have changed", where="--confirm",
                next_step=f"look at `hub migrate --to {revision}` again",
            )  # fmt: skip
        else:
            with database.on_behalf({}):
                connection.commit()
    return Rollback(revision, present, steps, losses, code, confirm is not None)
