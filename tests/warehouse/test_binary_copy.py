"""Tables by binary COPY: what goes in comes out, whatever the values."""

import uuid
from datetime import date

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hub.errors import MergeError
from tests.examples import examples
from warehouse import binary_copy, database

pytestmark = pytest.mark.slow
KINDS = {"id": "uuid", "hash": "bigint", "rank": "smallint", "day": "date"}
IDS = st.integers(0, 2**127 - 1).map(lambda n: uuid.UUID(int=n))  # ids of records begin with a time: their first bit is 0
ROWS = st.tuples(
    IDS,
    st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    st.none() | st.integers(-(2**15) + 1, 2**15 - 1),
    st.none() | st.dates(date(1, 1, 1), date(9999, 12, 31)),
)


@pytest.fixture(scope="module")
def connection(five_nights):
    with database.engine(five_nights.settings).connect() as connection:
        connection.execute(sa.text("CREATE TEMP TABLE kinds (id uuid, hash bigint, rank smallint, day date, word text)"))
        yield connection
        connection.rollback()


def empty(connection):
    connection.execute(sa.text("TRUNCATE kinds"))


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, max_size=8))
def test_what_the_database_holds_is_what_is_read(connection, rows):
    empty(connection)
    if rows:
        values = [dict(zip(("i", "h", "r", "d"), row, strict=True)) for row in rows]
        connection.execute(sa.text("INSERT INTO kinds VALUES (:i, :h, :r, :d)"), values)
    found = binary_copy.read(connection, "SELECT id, hash, rank, day FROM kinds", KINDS)
    assert [(uuid.UUID(int=i), *rest) for i, *rest in found.rows()] == rows


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(IDS, st.sampled_from(["single", "id_name", "同名"])), max_size=8))
def test_what_is_written_is_what_the_database_holds(connection, rows):
    empty(connection)
    frame = pl.DataFrame([(i.int, w) for i, w in rows], schema={"id": pl.Int128, "word": pl.String}, orient="row")
    binary_copy.write(connection, "kinds", frame, {"id": "uuid"}, texts=("word",))
    assert sorted(connection.execute(sa.text("SELECT id, word FROM kinds")).all()) == sorted(rows)


def test_ids_sort_in_memory_as_in_the_database(connection):
    empty(connection)
    connection.execute(sa.text("INSERT INTO kinds (id) SELECT uuidv7() FROM generate_series(1, 500)"))
    found = binary_copy.read(connection, "SELECT id FROM kinds ORDER BY id", {"id": "uuid"})
    assert found["id"].is_sorted() and found["id"].n_unique() == 500


def test_a_missing_id_is_refused(connection):
    empty(connection)
    connection.execute(sa.text("INSERT INTO kinds (id) VALUES (NULL)"))
    with pytest.raises(MergeError, match="an id is missing"):
        binary_copy.read(connection, "SELECT id FROM kinds", {"id": "uuid"})
