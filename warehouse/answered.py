"""Requests that came with a key, and what they were answered, for a day."""

from typing import Any

from warehouse.asking import Asking


async def claim(asking: Asking, client_id: str, key: str, asked: bytes) -> Any | None:
    """Take a key for a request; None = it is taken now, else what it was taken for before: ``asked``, ``status`` (null = not answered yet), ``answer``."""
    await asking.read(None, "DELETE FROM share.answered WHERE began_at < now() - interval '1 day'")
    rows = await asking.read(
        None, "INSERT INTO share.answered (client_id, key, asked) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1", client_id, key, asked
    )  # fmt: skip
    if rows:
        return None
    found = await asking.read(None, "SELECT asked, status, answer FROM share.answered WHERE client_id = $1 AND key = $2", client_id, key)
    return found[0] if found else await claim(asking, client_id, key, asked)  # it ran out, or was let go, just now


async def keep(asking: Asking, client_id: str, key: str, status: int, answer: bytes) -> None:
    """Keep the answer of a request."""
    await asking.read(
        None, "UPDATE share.answered SET status = $3, answer = $4 WHERE client_id = $1 AND key = $2", client_id, key, status, answer
    )


async def let_go(asking: Asking, client_id: str, key: str) -> None:
    """Give a key back whose request changed nothing."""
    await asking.read(None, "DELETE FROM share.answered WHERE client_id = $1 AND key = $2 AND status IS NULL", client_id, key)
