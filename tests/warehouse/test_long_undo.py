"""A merge taken back after hundreds of nights in which further records joined leaves the pool in which it was never made."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from tests.conftest import Hub
from tests.warehouse.test_undo import DERIVED, KEYS, WHO, Sent, born_as, emptied, held, past_days, redirects, run, take_in
from warehouse import embedded, fingerprint

pytestmark = pytest.mark.slow
# As many as a year's working nights under `make search`; each is a night's own work and commit.
NIGHTS = 200 if "HUB_TEST_EXAMPLES" in os.environ else 12
LI, WANG = (0, "k1"), (1, "k2")  # agency and key of the two who are said to be one


@contextmanager
def world(hub: Hub, name: str) -> Iterator[sa.Connection]:
    """A warehouse of its own in which nothing happened yet."""
    hub.keep(name)
    engine = sa.create_engine(sa.make_url(embedded.cluster(hub.settings).url()).set(database=name))
    with engine.connect() as connection:
        emptied(connection)
        connection.commit()
        yield connection
    engine.dispose()


def nights() -> list[tuple[Sent, ...]]:
    """Two persons of one agency each; then a delivery a night in which somebody else comes to look like one of them, or ceases to."""
    chance = random.Random(200)
    found: list[tuple[Sent, ...]] = [(Sent(0, True, (("k1", 0), ("k2", 7)), None), Sent(1, True, (("k2", 4), ("k3", 6)), None))]
    for night in range(1, NIGHTS):
        key = chance.choice([k for k in KEYS if (night % 2, k) not in (LI, WANG)])
        found.append((Sent(night % 2, False, ((key, chance.randrange(len(WHO))),), None),))
    return found


@pytest.mark.timeout(1200)
def test_a_merge_taken_back_after_many_nights_was_never_made(five_nights: Hub) -> None:
    kept: dict[bool, tuple[object, dict[str, set[object]], dict[str, str]]] = {}
    most, others = 0, 0
    for is_merged in (True, False):
        with world(five_nights, f"undo_{is_merged}".lower()) as connection:
            judgement = None
            for night, sent in enumerate(nights()):
                take_in(connection, five_nights.settings, night, sent)
                if is_merged and night == 0:
                    pair = {"a": born_as(connection, *LI), "b": born_as(connection, *WANG)}
                    judgement = run(
                        connection, "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason) VALUES"
                        " (least(:a, :b)::uuid, greatest(:a, :b)::uuid, 'must', 'x', 'y') RETURNING judgement_id", **pair,
                    ).scalar()  # fmt: skip
                connection.commit()
                if is_merged:
                    size = "SELECT records FROM core.person JOIN identity.link USING (person_id) WHERE record_id = CAST(:a AS uuid)"
                    most = max(most, connection.scalar(sa.text(size), {"a": pair["a"]}))
            if is_merged:
                others = len(redirects(connection))
                run(connection, "INSERT INTO identity.retraction VALUES (:id, 'x', 'y')", id=judgement)
            take_in(connection, five_nights.settings, NIGHTS, ())
            connection.commit()
            assert fingerprint.kept(connection) == fingerprint.scanned(connection)
            days = past_days(connection, five_nights.settings, [0, NIGHTS // 2, NIGHTS - 1])
            kept[is_merged] = fingerprint.kept(connection), {**held(connection, DERIVED), "past days": days}, redirects(connection)
    (value, tables, led), (without, clean, leads) = kept[True], kept[False]
    assert most > 2 and others, "it was felt, and further records had joined"
    assert {table: len(tables[table] ^ clean[table]) for table in tables} == dict.fromkeys(tables, 0)
    assert value == without and leads.items() <= led.items()
