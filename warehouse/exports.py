"""Exports: everybody a grant covers, and by what marks a later round knows what changed."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from warehouse.asking import Asking

_COLUMNS = "export_id::text, client_id, purpose, attributes, questions, round, created_at"


async def add(asking: Asking, client_id: str, purpose: str, attributes: Sequence[str], questions: Sequence[str]) -> Any:
    """Add an export; its row."""
    rows = await asking.read(
        None,
        f"INSERT INTO share.export (client_id, purpose, attributes, questions) VALUES ($1, $2, $3, $4) RETURNING {_COLUMNS}",
        client_id, purpose, list(attributes), list(questions),
    )  # fmt: skip
    return rows[0]


async def of_client(asking: Asking, client_id: str) -> list[Any]:
    """A client's exports, oldest first."""
    return await asking.read(None, f"SELECT {_COLUMNS} FROM share.export x WHERE client_id = $1 ORDER BY x.export_id", client_id)


async def one(asking: Asking, client_id: str, export_id: Any) -> Any | None:
    """An export of a client; None = it has none of that id."""
    rows = await asking.read(None, f"SELECT {_COLUMNS} FROM share.export WHERE client_id = $1 AND export_id = $2", client_id, export_id)
    return rows[0] if rows else None


async def remove(asking: Asking, client_id: str, export_id: Any) -> None:
    """End an export, and forget what was told in it."""
    await asking.read(None, "DELETE FROM share.export WHERE client_id = $1 AND export_id = $2", client_id, export_id)


async def begin(asking: Asking, export_id: str) -> int:
    """Begin a round; its number."""
    rows = await asking.read(None, "UPDATE share.export SET round = round + 1 WHERE export_id = $1 RETURNING round", export_id)
    return int(rows[0][0]) if rows else 0


async def note(
    asking: Asking, export_id: str, number: int, persons: Sequence[str], marks: Sequence[bytes], after: str | None, until: str | None
) -> None:
    """Take over what is told now of the persons between two ids (None = from the first, to the last); of those left out, that nothing is."""
    await asking.read(
        None,
        "WITH u AS (SELECT * FROM unnest($2::uuid[], $3::bytea[]) AS u(person_id, mark)),"
        " told AS (INSERT INTO share.exported AS e SELECT $1, person_id, mark, $4 FROM u ON CONFLICT (export_id, person_id) DO UPDATE"
        "  SET mark = excluded.mark, round = excluded.round WHERE e.mark IS DISTINCT FROM excluded.mark)"
        " UPDATE share.exported e SET mark = NULL, round = $4 WHERE export_id = $1 AND mark IS NOT NULL AND ($5::uuid IS NULL OR person_id > $5)"
        " AND ($6::uuid IS NULL OR person_id <= $6) AND NOT EXISTS (SELECT FROM u WHERE u.person_id = e.person_id)",
        export_id, list(persons), list(marks), number, after, until,
    )  # fmt: skip


async def moved(asking: Asking, export_id: str, since: int, after: str | None, until: str | None) -> dict[str, bool]:
    """Persons between two ids of whom something else is told than in a round: id → whether anything is told of it now."""
    rows = await asking.read(
        None,
        "SELECT person_id::text, mark IS NOT NULL FROM share.exported WHERE export_id = $1 AND round > $2 AND ($3::uuid IS NULL OR person_id > $3)"
        " AND ($4::uuid IS NULL OR person_id <= $4)",
        export_id, since, after, until,
    )  # fmt: skip
    return {r[0]: r[1] for r in rows}


def ever(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    """Those of some ids that were ever a person in an export."""
    found = connection.scalars(
        sa.text("SELECT DISTINCT person_id::text FROM share.exported WHERE person_id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)}
    )
    return set(found)
