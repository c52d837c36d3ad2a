"""Reviewers at work on a pool: what they say is kept, refused or waits; nothing they are shown holds a value of a person."""

import json

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError, IdentityConflict
from pipeline import review
from tests import population
from warehouse import database
from warehouse import review as kept

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(borrowed):
    """A pool of one night."""
    borrowed.restore("night_1")
    return borrowed


@pytest.fixture
def records(pool):
    """Ids of records of different persons whose pairs are outside the sample; judgements of other tests are on other records."""
    with database.engine(pool.settings).connect() as connection:
        found = connection.scalars(
            sa.text(
                "SELECT min(record_id::text) FROM identity.link WHERE record_id NOT IN (SELECT record_a FROM identity.judgement UNION"
                " SELECT record_b FROM identity.judgement) GROUP BY person_id ORDER BY 1 LIMIT 40"
            )
        ).all()
    chosen = [found[0]]
    for other in found[1:]:
        if not any(review.is_in_sample(pool.settings, other, one) for one in chosen):
            chosen.append(other)
    return chosen


@pytest.fixture
def sampled(pool, records):
    """A pair of the sample: the share is set so that every pair is."""
    return pool.settings.model_copy(update={"review_second_share": 1.0}), records[0], records[1]


def judge(settings, a, b, judgement, reviewer="Li", reason="the same in all but one field"):
    return review.judge(settings, a, b, judgement, reviewer=reviewer, reason=reason)


def test_a_judgement_is_in_force_and_listed_until_it_is_retracted(pool, records):
    a, b, *_ = records
    entered = judge(pool.settings, a, b, "must")
    assert entered.standing is review.Standing.IN_FORCE
    (row,) = review.listed(pool.settings, record=a)
    assert (row["judgement_id"], row["state"]) == (entered.judgement_id, "in force")
    review.retract(pool.settings, entered.judgement_id, reviewer="Wang", reason="looked at the wrong page")
    assert review.listed(pool.settings, record=a) == []
    assert review.listed(pool.settings, record=a, retracted=True)[0]["retracted_by"] == "Wang"


def test_a_retracted_judgement_hinders_nobody_from_saying_the_opposite(pool, records):
    a, b, *_ = records
    review.retract(pool.settings, judge(pool.settings, a, b, "must").judgement_id, reviewer="Li", reason="a slip")
    assert judge(pool.settings, a, b, "cannot").standing is review.Standing.IN_FORCE


def test_a_cannot_against_a_chain_of_musts_is_refused_and_names_what_to_retract(pool, records):
    a, b, c, *_ = records
    chain = [judge(pool.settings, a, b, "must").judgement_id, judge(pool.settings, b, c, "must").judgement_id]
    with pytest.raises(IdentityConflict, match="over 2 judgement") as refused:
        judge(pool.settings, a, c, "cannot", reviewer="Wang")
    assert all(str(refused.value).count(judgement) == 1 for judgement in chain)
    with pytest.raises(IdentityConflict) as refused:
        judge(pool.settings, a, b, "cannot", reviewer="Wang")
    assert str(refused.value).count(chain[0]) == 1
    assert len(review.listed(pool.settings, record=c)) == 1


def test_a_must_that_would_close_a_chain_against_a_cannot_is_refused(pool, records):
    a, b, c, *_ = records
    judge(pool.settings, a, b, "must")
    judge(pool.settings, a, c, "cannot")
    with pytest.raises(IdentityConflict, match="one person over 2 judgement"):
        judge(pool.settings, b, c, "must", reviewer="Wang")


def test_a_pair_of_the_sample_is_in_force_when_two_agree(sampled):
    settings, a, b = sampled
    first = judge(settings, a, b, "must")
    assert (first.needs_second, first.standing) == (True, review.Standing.WAITS)
    assert waiting(settings) == 1
    assert judge(settings, a, b, "must", reviewer="Wang").standing is review.Standing.IN_FORCE
    assert waiting(settings) == 0


def waiting(settings):
    """Pairs of which the morning says that another reviewer must agree."""
    with database.engine(settings).connect() as connection:
        return kept.waiting(connection)


def test_where_two_disagree_a_third_decides(sampled):
    settings, a, b = sampled
    judge(settings, a, b, "must")
    assert judge(settings, a, b, "cannot", reviewer="Wang").standing is review.Standing.WAITS
    assert judge(settings, a, b, "cannot", reviewer="Zhao").standing is review.Standing.IN_FORCE
    assert sorted(r["state"] for r in review.listed(settings, record=a)) == ["in force", "in force", "outvoted"]


def test_a_retraction_that_would_bring_a_contradiction_into_force_is_refused(pool, sampled, records):
    settings, a, b = sampled
    first = [judge(settings, a, b, "must", reviewer=r) for r in ("Li", "Wang")]
    against = [judge(settings, a, b, "cannot", reviewer=r) for r in ("Zhao", "Sun")]
    c = next(r for r in records[2:] if not review.is_in_sample(pool.settings, a, r) and not review.is_in_sample(pool.settings, b, r))
    judge(pool.settings, a, c, "must")
    judge(pool.settings, b, c, "must")  # two against two: nothing is decided of a and b, so this is allowed
    with pytest.raises(IdentityConflict):
        review.retract(settings, first[0].judgement_id, reviewer="Li", reason="a slip")
    review.retract(settings, against[0].judgement_id, reviewer="Zhao", reason="a slip")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"judgement": "perhaps"}, "no judgement 'perhaps'"),
        ({"reviewer": " "}, "--reviewer"),
        ({"reason": ""}, "--reason"),
        ({"other": "one"}, "one and the same record"),
        ({"other": "nothing"}, "not an id"),
        ({"other": "health:0"}, "no such record"),
        ({"other": "00000000-0000-7000-8000-000000000000"}, "no such record"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(pool, records, change, says):
    given = {"one": records[0], "other": records[1], "judgement": "must", "reviewer": "Li", "reason": "seen"} | change
    if given["other"] == "one":
        given["other"] = given["one"]
    with pytest.raises(ConfigError, match=says):
        review.judge(pool.settings, given.pop("one"), given.pop("other"), given.pop("judgement"), **given)


def test_a_reviewer_judges_a_pair_once(pool, records):
    a, b, *_ = records
    first = judge(pool.settings, a, b, "unsure")
    with pytest.raises(ConfigError, match=first.judgement_id):
        judge(pool.settings, b, a, "must")


def test_a_reason_that_quotes_a_value_is_refused_without_quoting_it(pool, records):
    a, b, *_ = records
    with database.engine(pool.settings).connect() as connection:
        name = connection.scalar(sa.text("SELECT name FROM identity.record WHERE record_id = :id"), {"id": a})
    with pytest.raises(ConfigError, match="quotes a value") as refused:
        judge(pool.settings, a, b, "must", reason=f"looks like {name} to me")
    assert name not in str(refused.value)


def test_a_record_may_be_named_by_source_and_key(pool, records):
    a, b, *_ = records
    with database.engine(pool.settings).connect() as connection:
        key = connection.scalar(sa.text("SELECT stem || ':' || record_key FROM identity.record WHERE record_id = :id"), {"id": b})
    judge(pool.settings, a, key, "must")
    assert review.listed(pool.settings, record=key)[0]["record_b"] == max(a, b)


def test_values_are_for_those_with_the_right_and_their_use_is_on_record_before_they_are_seen(pool, records):
    a, *_ = records
    with pytest.raises(ConfigError, match="Li may not be shown values"):
        review.values(pool.settings, [a], viewer="Li", reason="a complaint")
    entitled = pool.settings.model_copy(update={"value_viewers": "Sun, Li"})
    with pytest.raises(ConfigError, match="--why"):
        review.values(entitled, [a], viewer="Li", reason=" ")
    found = review.values(entitled, [a], viewer="Li", reason="complaint 7")
    assert found[a]["name"]
    with database.engine(pool.settings).connect() as connection:
        rows = connection.execute(sa.text("SELECT viewer, reason, record_ids::text[], account <> '' FROM ops.value_view")).all()
    assert [tuple(r) for r in rows] == [("Li", "complaint 7", [a], True)]


def test_the_command_line_judges_lists_and_counts_without_a_value_of_a_person(pool, records):
    a, b, c, *_ = records
    texts = {}

    def hub(*arguments, status=0):
        done = pool.invoked("review", *arguments)
        assert done.returncode == status, done.stderr
        texts[" ".join(arguments)] = done.stdout + done.stderr
        return done.stdout

    entered = json.loads(hub("judge", a, b, "must", "--reviewer", "Li", "--reason", "the same telephone", "--json"))
    assert entered["standing"] == "in force"
    assert "生效 in force" in hub("judge", a, c, "cannot", "--reviewer", "Li", "--reason", "two numbers")
    hub("judge", b, c, "must", "--reviewer", "Wang", "--reason", "seen", status=5)
    hub("judge", a, "nobody", "must", "--reviewer", "Li", "--reason", "seen", status=2)
    hub("judge", a, b, "must", "--reviewer", "Wang", status=2)
    assert entered["judgement_id"] in hub("list", "--record", a)
    assert json.loads(hub("figures", "--json"))["in_force"] >= 2
    assert "Li" in hub("figures")
    assert "已撤回" in hub("retract", entered["judgement_id"], "--reviewer", "Li", "--reason", "a slip")
    hub("retract", entered["judgement_id"], "--reviewer", "Li", "--reason", "a slip", status=2)
    assert json.loads(hub("list", "--retracted", "--json"))
    assert population.told(population.search(population.of(pool.settings, [1]), texts)) == {}
