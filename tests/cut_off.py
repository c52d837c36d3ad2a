"""Sessions that the server ends just before a sentence reaches it, as a failover, an administrator or a network does, while it goes on with others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2
import sqlalchemy as sa

from tests.conftest import Hub
from warehouse import embedded

# Whether to cut here: the number of the sentence, the database it is for, and how it reads; a commit reads COMMIT.
Here = Callable[[int, str, str], bool]


@contextmanager
def cut_off(hub: Hub, here: Here) -> Iterator[list[str]]:
    """Cut off the session of the first sentence of this process of which it is true; gives all sentences until then, and goes on counting."""
    said, is_cut = list[str](), False
    server = psycopg2.connect(embedded.cluster(hub.settings).url().replace("+psycopg2", ""))
    server.autocommit = True

    def hear(connection: sa.Connection, sentence: str) -> None:
        nonlocal is_cut
        said.append(sentence)
        if not is_cut and here(len(said), str(connection.engine.url.database), sentence.lstrip()):
            is_cut = True
            process = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            with server.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 10000)", (process,))

    def execute(connection: sa.Connection, _cursor: object, sentence: str, *_: object) -> None:
        hear(connection, sentence)

    def commit(connection: sa.Connection) -> None:
        hear(connection, "COMMIT")

    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", commit)
    try:
        yield said
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", execute)
        sa.event.remove(sa.Engine, "commit", commit)
        server.close()
