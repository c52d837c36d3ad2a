"""Comparisons as jobs: their rows, and their input and output in sealed parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from hub.errors import ConfigError, ServiceError
from warehouse.asking import Asking

_COLUMNS = (
    "j.job_id::text, j.client_id, j.generation, c.department, c.purposes, j.purpose, j.consent, j.attributes, j.questions, j.told::text, j.refused::text,"
    " j.output, j.request_id, j.state, j.input, j.charset, j.input_bytes, j.input_parts, j.input_rows, j.rows_done, j.told_rows, j.not_available_rows,"
    " j.ambiguous_rows, j.malformed_rows, j.output_bytes, j.output_parts, j.worked_s, j.problem, j.created_at, j.worked_at, j.next_at, j.ended_at, j.expires_at"
)
_FROM = "share.compare_job j JOIN share.client c USING (client_id)"
_LIVE = "(j.state IN ('queued', 'running') OR j.expires_at > now())"


@dataclass(frozen=True)
class Progress:
    """What a batch of rows adds to a job: rows by what became of them, and the part of the answers they make."""

    told: int
    not_available: int
    ambiguous: int
    malformed: int
    number: int
    size: int
    sealed: bytes

    @property
    def rows(self) -> int:
        """All of them."""
        return self.told + self.not_available + self.ambiguous + self.malformed


async def add(
    asking: Asking, client_id: str, generation: int, purpose: str, consent: str | None, attributes: Sequence[str], questions: Sequence[str],
    told: Mapping[str, str], refused: Mapping[str, str], output: str, request_id: str, kept_hours: int,
) -> Any:  # fmt: skip
    """Add a job that waits for its input; its row."""
    rows = await asking.read(
        None,
        "WITH j AS (INSERT INTO share.compare_job (client_id, generation, purpose, consent, attributes, questions, told, refused, output, request_id, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb, $9, $10, now() + make_interval(hours => $11)) RETURNING *)"
        f" SELECT {_COLUMNS} FROM j JOIN share.client c USING (client_id)",
        client_id, generation, purpose, consent, list(attributes), list(questions), orjson.dumps(dict(told)).decode(),
        orjson.dumps(dict(refused)).decode(), output, request_id, kept_hours,
    )  # fmt: skip
    return rows[0]


async def of_client(asking: Asking, client_id: str) -> list[Any]:
    """A client's jobs that are kept, oldest first."""
    return await asking.read(None, f"SELECT {_COLUMNS} FROM {_FROM} WHERE j.client_id = $1 AND {_LIVE} ORDER BY j.job_id", client_id)


async def one(asking: Asking, client_id: str, job_id: Any) -> Any | None:
    """A job of a client; None = it has none of that id."""
    rows = await asking.read(
        None, f"SELECT {_COLUMNS} FROM {_FROM} WHERE j.client_id = $1 AND j.job_id = $2 AND {_LIVE}", client_id, job_id
    )
    return rows[0] if rows else None


async def remove(asking: Asking, client_id: str, job_id: Any) -> None:
    """Stop a job and forget it, with input and output."""
    await asking.read(None, "DELETE FROM share.compare_job WHERE client_id = $1 AND job_id = $2", client_id, job_id)


async def forget(asking: Asking) -> int:
    """Forget jobs whose time is over; how many."""
    rows = await asking.read(
        None, "DELETE FROM share.compare_job j WHERE expires_at < now() AND state NOT IN ('queued', 'running') RETURNING 1"
    )
    return len(rows)


async def begin_input(asking: Asking, job_id: str, form: str, charset: str | None) -> bool:
    """Take an input from its first byte, in the place of what came before; whether the job waits for one."""
    rows = await asking.read(
        None,
        "WITH j AS (UPDATE share.compare_job SET input = $2, charset = $3, input_bytes = 0, input_parts = 0, input_rows = 0"
        " WHERE job_id = $1::uuid AND state = 'waiting_for_input' RETURNING job_id),"
        " gone AS (DELETE FROM share.compare_part p USING j WHERE p.job_id = j.job_id)"
        " SELECT 1 FROM j",
        job_id, form, charset,
    )  # fmt: skip
    return bool(rows)


async def add_input(asking: Asking, job_id: str, number: int, start: int, size: int, lines: int, sealed: bytes) -> bool:
    """Keep a part of an input; whether the job still waits for exactly this one."""
    rows = await asking.read(
        None,
        "WITH j AS (UPDATE share.compare_job SET input_bytes = input_bytes + $4, input_parts = input_parts + 1, input_rows = input_rows + $5"
        " WHERE job_id = $1::uuid AND state = 'waiting_for_input' AND input_parts = $2 AND input_bytes = $3 RETURNING job_id)"
        " INSERT INTO share.compare_part (job_id, kind, number, start_byte, bytes, sealed) SELECT job_id, 'input', $2, $3, $4, $6 FROM j RETURNING 1",
        job_id, number, start, size, lines, sealed,
    )  # fmt: skip
    return bool(rows)


async def queue(asking: Asking, job_id: str, size: int, rows: int) -> bool:
    """The input is whole: the job waits for its turn; whether it was waiting for the input, of which so many bytes came."""
    found = await asking.read(
        None,
        "UPDATE share.compare_job SET state = 'queued', input_rows = $3 WHERE job_id = $1::uuid AND state = 'waiting_for_input' AND input_bytes = $2 RETURNING 1",
        job_id, size, rows,
    )  # fmt: skip
    return bool(found)


async def due(asking: Asking) -> list[Any]:
    """Jobs to work on: of each client the oldest that is not done, unless it is paused; first the one that was let wait longest."""
    return await asking.read(
        None,
        f"SELECT * FROM (SELECT DISTINCT ON (j.client_id) {_COLUMNS} FROM {_FROM} WHERE j.state IN ('queued', 'running') ORDER BY j.client_id, j.job_id) AS j"
        " WHERE next_at IS NULL OR next_at <= now() ORDER BY worked_at NULLS FIRST, job_id",
    )


async def advance(connection: Any, job_id: str, rows_done: int, progress: Progress, seconds: float) -> bool:
    """Take over a batch of rows, in the caller's transaction; whether the job is still where they begin, and not stopped."""
    rows = await connection.fetch(
        "WITH j AS (UPDATE share.compare_job SET state = 'running', told_rows = told_rows + $3, not_available_rows = not_available_rows + $4,"
        " ambiguous_rows = ambiguous_rows + $5, malformed_rows = malformed_rows + $6, rows_done = rows_done + $3 + $4 + $5 + $6,"
        " output_bytes = output_bytes + $8, output_parts = output_parts + 1, worked_s = worked_s + $10, worked_at = clock_timestamp(), next_at = NULL"
        " WHERE job_id = $1::uuid AND state IN ('queued', 'running') AND rows_done = $2 AND output_parts = $7 RETURNING job_id, output_bytes)"
        " INSERT INTO share.compare_part (job_id, kind, number, start_byte, bytes, sealed)"
        " SELECT job_id, 'answers', $7, output_bytes - $8, $8, $9 FROM j RETURNING 1",
        job_id, rows_done, progress.told, progress.not_available, progress.ambiguous, progress.malformed, progress.number, progress.size,
        progress.sealed, seconds,
    )  # fmt: skip
    return bool(rows)


async def pause(asking: Asking, job_id: str, seconds: int) -> None:
    """Let a job wait."""
    await asking.read(
        None, "UPDATE share.compare_job SET next_at = now() + make_interval(secs => $2) WHERE job_id = $1::uuid", job_id, float(seconds)
    )


async def end(
    asking: Asking, job_id: str, state: str, problem: str | None, kept_hours: int, made: tuple[int, int] | None = None
) -> None:  # fmt: skip
    """A job comes to its end; one that is not done tells nothing: what was made of it is forgotten, and its input in any case.

    Args:
        asking: the program's connections.
        job_id: whose.
        state: ``done`` or ``failed``.
        problem: code, where it failed.
        kept_hours: how long it is kept.
        made: parts and bytes of an output made of the answers, whose place it takes; None = the answers are the output.
    """
    parts, size = made or (None, None)
    await asking.read(
        None,
        "WITH j AS (UPDATE share.compare_job SET state = $2, problem = $3, ended_at = now(), expires_at = now() + make_interval(hours => $4), next_at = NULL,"
        " input_rows = CASE $2 WHEN 'done' THEN rows_done ELSE input_rows END, output_parts = coalesce($5, output_parts),"
        " output_bytes = coalesce($6, output_bytes) WHERE job_id = $1::uuid AND state IN ('queued', 'running') RETURNING job_id)"
        " DELETE FROM share.compare_part p USING j WHERE p.job_id = j.job_id"
        " AND (p.kind = 'input' OR $2 <> 'done' OR (p.kind = 'answers' AND $5 IS NOT NULL) OR (p.kind = 'output' AND ($5 IS NULL OR p.number >= $5)))",
        job_id, state, problem, kept_hours, parts, size,
    )  # fmt: skip


async def put_output(asking: Asking, job_id: str, number: int, start: int, size: int, sealed: bytes) -> None:
    """Keep a part of an output made of the answers; a former try at it is overwritten."""
    await asking.read(
        None,
        "INSERT INTO share.compare_part (job_id, kind, number, start_byte, bytes, sealed) SELECT job_id, 'output', $2, $3, $4, $5 FROM share.compare_job"
        " WHERE job_id = $1::uuid AND state IN ('queued', 'running') ON CONFLICT (job_id, kind, number)"
        " DO UPDATE SET start_byte = excluded.start_byte, bytes = excluded.bytes, sealed = excluded.sealed",
        job_id, number, start, size, sealed,
    )  # fmt: skip


async def places(asking: Asking, job_id: str, kind: str) -> list[Any]:
    """The parts of a kind in order: ``number``, ``start_byte``, ``bytes``."""
    return await asking.read(
        None, "SELECT number, start_byte, bytes FROM share.compare_part WHERE job_id = $1::uuid AND kind = $2 ORDER BY number", job_id, kind
    )


async def part(asking: Asking, job_id: str, kind: str, number: int) -> bytes | None:
    """A part, sealed; None = it is gone."""
    rows = await asking.read(
        None, "SELECT sealed FROM share.compare_part WHERE job_id = $1::uuid AND kind = $2 AND number = $3", job_id, kind, number
    )
    return bytes(rows[0][0]) if rows else None


def sealed_part(engine: sa.Engine, job_id: str, kind: str, number: int) -> bytes | None:
    """The same, for a reader that cannot wait.

    Raises:
        ServiceError: PostgreSQL does not answer.
    """
    query = sa.text("SELECT sealed FROM share.compare_part WHERE job_id = CAST(:job AS uuid) AND kind = :kind AND number = :number")
    try:
        with engine.connect() as connection:
            found = connection.scalar(query, {"job": job_id, "kind": kind, "number": number})
    except sa.exc.DBAPIError:
        raise ServiceError("PostgreSQL does not answer or broke off", where="warehouse") from None
    return None if found is None else bytes(found)


@dataclass(frozen=True)
class Listed:
    """A job as the operator sees it: no value, no ref."""

    job_id: str
    client_id: str
    department: str
    purpose: str
    state: str
    problem: str | None
    input_rows: int
    rows_done: int
    told_rows: int
    not_available_rows: int
    malformed_rows: int
    created_at: datetime
    ended_at: datetime | None
    expires_at: datetime


def listed(connection: sa.Connection) -> list[Listed]:
    """All jobs that are kept, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT j.job_id::text, j.client_id, c.department, j.purpose, j.state, j.problem, j.input_rows, j.rows_done, j.told_rows, j.not_available_rows,"
            f" j.malformed_rows, j.created_at, j.ended_at, j.expires_at FROM {_FROM} WHERE {_LIVE} ORDER BY j.job_id"
        )
    )
    return [Listed(**row._mapping) for row in rows]


def cancel(connection: sa.Connection, job_id: str) -> None:
    """Stop a job and forget its input and what was made of it; its client sees that it is cancelled.

    Raises:
        ConfigError: there is no such job, or it is at its end.
    """
    state = connection.scalar(sa.text("SELECT state FROM share.compare_job WHERE job_id = CAST(:job AS uuid) FOR UPDATE"), {"job": job_id})
    if state is None:
        raise ConfigError("there is no such job", where="JOB", next_step="see `hub job list`")
    if state in ("done", "failed", "cancelled"):
        raise ConfigError(f"this job is {state}", where="JOB", next_step="there is nothing to cancel")
    connection.execute(
        sa.text("UPDATE share.compare_job SET state = 'cancelled', ended_at = now(), next_at = NULL WHERE job_id = CAST(:job AS uuid)"),
        {"job": job_id},
    )
    connection.execute(sa.text("DELETE FROM share.compare_part WHERE job_id = CAST(:job AS uuid)"), {"job": job_id})
