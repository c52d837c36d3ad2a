"""Nights in any order: who is who, golden values, households and ids are those of the nights in order."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from tests.examples import examples
from tests.warehouse.test_undo import (
    DERIVED,
    EVERYBODY,
    KEYS,
    ROWS,
    SHOWING,
    Said,
    Sent,
    belonging,
    born_as,
    emptied,
    held,
    named,
    past_days,
    redirects,
    run,
    take_in,
)
from warehouse import agency_tables, database, fingerprint

pytestmark = pytest.mark.slow
AGENCIES = tuple(agency_tables.core_table(contract.stem) for contract in SHOWING)
ENDS = st.tuples(st.sampled_from((0, 1)), st.sampled_from(KEYS))


@pytest.fixture(scope="module")
def bare(make_hub):
    """A pool with nothing in it, in a transaction that is taken back."""
    hub = make_hub("order")
    database.migrate(hub.settings)
    with database.engine(hub.settings).connect() as connection:
        emptied(connection)
        yield connection, hub.settings
        connection.rollback()


@st.composite
def arrivals(draw):
    """Nights, the order in which they come in, and what is said once so many of them are in."""
    nights = [tuple(Sent(agency, True, draw(EVERYBODY | ROWS), None) for agency in (0, 1))]
    for _ in range(draw(st.integers(1, 3))):
        agencies = draw(st.sets(st.sampled_from((0, 1)), min_size=1))
        nights.append(tuple(Sent(agency, draw(st.booleans()), draw(ROWS), None) for agency in sorted(agencies)))
    said = [
        Said(first, second, draw(st.sampled_from(("must", "cannot"))), draw(st.integers(0, len(nights) - 1)), None)
        for first, second in draw(st.lists(st.tuples(ENDS, ENDS).filter(lambda e: e[0] < e[1]), max_size=2, unique=True))
    ]
    order = draw(st.permutations(range(len(nights))).filter(lambda order: order != sorted(order)))
    return tuple(nights), tuple(order), tuple(said)


def say(connection, said):
    """Judge two records that are there; whether they are."""
    pair = (born_as(connection, *said.first), born_as(connection, *said.second))
    if all(pair):
        run(connection, "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason) VALUES"
            " (least(:a, :b)::uuid, greatest(:a, :b)::uuid, :kind, 'x', 'y')", a=pair[0], b=pair[1], kind=said.judgement)  # fmt: skip
    return all(pair)


def came(bare, nights, order, said):
    """The pool after some nights that came in in an order, and what was said of it; it is bare again afterwards."""
    connection, hub = bare
    taken_back = connection.begin_nested()
    try:
        spoken, answered = [], {}
        for place, night in enumerate(order):
            take_in(connection, hub, night, nights[night])
            answered |= named(connection)
            spoken += [one for one in said if one.made == place and say(connection, one)]
        take_in(connection, hub, len(nights), ())  # what was said last takes effect
        assert fingerprint.kept(connection) == fingerprint.scanned(connection)
        leads, belongs = redirects(connection), belonging(connection)
        astray = [key for person, key in answered.items() if key in belongs and leads.get(person, person) != belongs[key]]
        assert not astray, "whoever was told an id finds the person by it"
        found = held(connection, (*DERIVED, *AGENCIES))
        # Whose record was, that its agency does not hold any more, was judged when it was held last: in some orders never.
        if all(connection.scalar(sa.text(f"SELECT bool_and(withdrawn_date IS NULL) FROM {agency}")) for agency in AGENCIES):
            found["past days"] = past_days(connection, hub, range(len(nights)))
        return fingerprint.kept(connection), found, spoken
    finally:
        taken_back.rollback()


# Without shrinking, as stories of what is taken back.
@pytest.mark.timeout(900)
@examples(4, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(drawn=arrivals())
def test_nights_in_any_order_are_the_nights_in_order(bare, drawn):
    nights, order, said = drawn
    value, found, spoken = came(bare, nights, order, said)
    # Each is said of records that are there: in order, once all nights are in.
    at_last = tuple(replace(one, made=len(nights) - 1) for one in spoken)
    in_order, expected, repeated = came(bare, nights, tuple(range(len(nights))), at_last)
    if len(repeated) == len(spoken):  # a record that is gone by then is not judged
        assert {t: (found[t] - expected[t], expected[t] - found[t]) for t in found} == dict.fromkeys(found, (set(), set()))
        assert value == in_order
