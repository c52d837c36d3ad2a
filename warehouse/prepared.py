"""Statements that PostgreSQL plans once for each connection: what is asked over and over, and takes it longer to plan than to answer."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

_PARAMETER = re.compile(r"(?<!:):([a-z]+)\b")


@cache
def _name(query: str) -> str:
    return f"asked_{hashlib.sha256(query.encode()).hexdigest()[:16]}"


@cache  # a text is read for its parameters each time it is made
def _text(query: str) -> sa.TextClause:
    return sa.text(query)


def execute(
    connection: sa.Connection, query: str, types: Mapping[str, str], values: Mapping[str, Any], *, table: str | None = None
) -> sa.CursorResult[Any]:
    """Ask.

    Args:
        connection: an open connection.
        query: with parameters named as in SQLAlchemy's texts.
        types: of each parameter, in PostgreSQL's names.
        values: of each.
        table: name of a temporary table to make of the answer, dropped with the transaction; None = the answer is given.
    """
    name = _name(query)
    known: set[str] = connection.connection.info.setdefault("prepared", set())  # of the server's session, whatever becomes of a transaction
    if name not in known:
        numbered = _PARAMETER.sub(lambda found: f"${list(types).index(found[1]) + 1}", query)
        connection.exec_driver_sql(f"PREPARE {name} ({', '.join(types.values())}) AS {numbered}")
        known.add(name)
    make = f"CREATE TEMP TABLE {table} ON COMMIT DROP AS " if table else ""
    return connection.execute(_text(f"{make}EXECUTE {name} ({', '.join(f'CAST(:{p} AS {t})' for p, t in types.items())})"), dict(values))
