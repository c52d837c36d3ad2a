"""Judgements in the database: appended, retracted, never changed; what is in force follows from those that stand."""

import itertools
import uuid

import pytest
import sqlalchemy as sa

from warehouse import database, review

pytestmark = pytest.mark.slow
A, B, C = sorted(str(uuid.uuid5(uuid.NAMESPACE_URL, n)) for n in "abc")


@pytest.fixture
def connection(five_nights):
    """A transaction that is taken back."""
    with database.engine(five_nights.settings).connect() as connection:
        yield connection
        connection.rollback()


def say(connection, judgement, reviewer, *, needs_second=False, pair=(A, B)):
    return review.append(connection, *pair, judgement, reviewer=reviewer, reason="seen", needs_second=needs_second)


def decided(connection):
    return [tuple(r) for r in review.in_force(connection).select("record_a", "record_b", "judgement").rows()]


def test_a_judgement_is_in_force_at_once_and_speaks_of_an_unordered_pair(connection):
    say(connection, "must", "Li", pair=(B, A))
    assert decided(connection) == [(A, B, "must")]


def test_nothing_follows_from_unsure(connection):
    say(connection, "unsure", "Li")
    assert decided(connection) == []
    assert review.standing(connection).height == 1


@pytest.mark.parametrize(
    ("said", "follows"),
    [
        (("must",), []),
        (("must", "must"), ["must"]),
        (("cannot", "cannot"), ["cannot"]),
        (("must", "cannot"), []),
        (("must", "unsure"), []),
        (("must", "cannot", "cannot"), ["cannot"]),
        (("must", "unsure", "must"), ["must"]),
    ],
)
def test_a_pair_of_the_sample_needs_two_reviewers_who_agree_and_a_third_where_they_do_not(connection, said, follows):
    for reviewer, judgement in zip(("Li", "Wang", "Zhao"), said, strict=False):
        say(connection, judgement, reviewer, needs_second=True)
    assert [judgement for _, _, judgement in decided(connection)] == follows


def test_the_same_reviewer_twice_is_no_second_reviewer(connection):
    for _ in range(2):
        say(connection, "must", "Li", needs_second=True)
    assert decided(connection) == []


def test_a_retracted_judgement_is_as_if_it_had_never_been_made(connection):
    """Whatever stands, in whatever order it came: what is in force with one more made and retracted is what it was before."""
    for number, (said, second) in enumerate(itertools.product(itertools.product(("must", "cannot", "unsure"), repeat=2), (False, True))):
        pair = (str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number} a")), str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number} b")))
        say(connection, said[0], "Li", needs_second=second, pair=pair)
        before = decided(connection)
        extra = say(connection, said[1], "Wang", needs_second=second, pair=pair)
        review.retract(connection, extra, reviewer="Wang", reason="a slip")
        assert decided(connection) == before, (said, second)
    assert len(before) > 2


@pytest.mark.parametrize("table", ["identity.judgement", "identity.retraction", "ops.value_view"])
@pytest.mark.parametrize("change", ["UPDATE {} SET reason = 'another'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_database_refuses_to_change_what_was_appended(connection, table, change):
    judgement = say(connection, "must", "Li")
    review.retract(connection, judgement, reviewer="Li", reason="a slip")
    review.note_view(connection, [A], viewer="Li", account="li", reason="a complaint")
    with pytest.raises(sa.exc.DBAPIError, match="appended to, never changed"):
        connection.execute(sa.text(change.format(table)))
