"""The floor of benchmarks/sharing.py: a FastAPI endpoint that reads one person by primary key. No token, policy, row condition or log."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
from fastapi import FastAPI, Response

from hub.settings import get_settings
from warehouse import database


def create() -> FastAPI:
    """The application."""
    url = database.engine(get_settings()).url

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.pool = await asyncpg.create_pool(
            host=url.host, port=url.port, database=url.database, user=url.username, password=url.password, min_size=1, max_size=10
        )
        yield
        await app.state.pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/persons/{person_id}")
    async def person(person_id: UUID) -> Response:
        row: Any = await app.state.pool.fetchrow(
            "SELECT jsonb_build_object('person_id', person_id, 'name', name, 'birth_date', birth_date, 'area_code', area_code)::text AS found"
            " FROM core.person WHERE person_id = $1",
            person_id,
        )
        return Response(row["found"], media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(create(), host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
