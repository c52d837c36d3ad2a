"""`hub identity report` and the queue on a pool: figures that add up, and reviewers who know the truth mend what is wrong."""

import json

import polars as pl
import pytest
import sqlalchemy as sa

from pipeline import quality, review
from sandbox import agency
from schemas.contract import load_contracts
from tests import population
from warehouse import database

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(borrowed):
    """A pool of one night, in which one reviewer is enough."""
    borrowed.restore("night_1")
    borrowed.environment["HUB_REVIEW_SECOND_SHARE"] = "0"
    yield borrowed
    del borrowed.environment["HUB_REVIEW_SECOND_SHARE"]


@pytest.fixture(scope="module")
def settings(pool):
    return pool.settings.model_copy(update={"review_second_share": 0.0})


@pytest.fixture(scope="module")
def truth(pool):
    """The true person of each record."""
    true = pl.concat([agency.truth(c, 1, pool.settings).with_columns(stem=pl.lit(stem)) for stem, c in load_contracts().items()])
    with database.engine(pool.settings).connect() as connection:
        rows = connection.execute(sa.text("SELECT record_id::text, stem, record_key FROM identity.record")).all()
    records = pl.DataFrame([tuple(r) for r in rows], schema=["record_id", "stem", "record_key"], orient="row")
    return dict(records.join(true, on=["stem", "record_key"]).select("record_id", "true_person_id").iter_rows())


def scalar(pool, query):
    with database.engine(pool.settings).connect() as connection:
        return connection.scalar(sa.text(query))


def test_the_figures_of_the_report_add_up(pool, settings):
    found = quality.report(settings)
    assert found.counts.records == sum(a.records for a in found.agencies) == scalar(pool, "SELECT count(*) FROM identity.record")
    assert found.counts.persons == sum(n for *_, n in found.sizes) == scalar(pool, "SELECT count(*) FROM core.person")
    assert all(a.linked + a.alone == a.records for a in found.agencies)
    assert sum(a.unbelieved for a in found.agencies) == scalar(pool, "SELECT count(*) FROM identity.link WHERE is_open")
    tied = sum(s.pairs for s in found.quality.strata if s.band == "sure link")
    assert tied == scalar(pool, "SELECT count(*) FROM identity.link WHERE record_id <> node_id")
    weighed = sum(s.pairs for s in found.quality.strata if s.band != "sure link")
    assert weighed == found.counts.weighed == scalar(pool, "SELECT count(*) FROM identity.bond")
    assert (found.quality.precision, found.quality.recall) == (None, None)


def test_suspicious_persons_are_those_whose_records_contradict_each_other(pool, settings):
    found = {s.why: s for s in quality.report(settings).suspicious}
    years = "SELECT count(*) FROM (SELECT FROM identity.link JOIN identity.record USING (record_id) GROUP BY person_id"
    years += " HAVING count(DISTINCT extract(year FROM birth_date)) > 1) AS p"
    assert found["birth_years"].persons == scalar(pool, years)
    assert found["birth_years"].persons > 0
    assert len(found["birth_years"].examples) == min(3, found["birth_years"].persons)


def test_the_queue_holds_each_pair_once_and_the_most_useful_first(pool, settings):
    found = review.queue(settings)
    assert found
    assert [q.effect for q in found] == sorted((q.effect for q in found), reverse=True)
    assert len({(q.record_a, q.record_b) for q in found}) == len(found)
    assert all(q.record_a < q.record_b for q in found)
    assert review.queue(settings) == found


def test_reviewers_who_know_the_truth_empty_the_samples_and_give_figures(pool, settings, truth):
    for _ in range(3):
        for stratum in quality.strata(settings):
            for a, b in () if stratum.is_known else stratum.next:
                said = "must" if truth[a] == truth[b] else "cannot"
                review.judge(settings, a, b, said, reviewer="Li", reason="the files were looked at")
    found = quality.report(settings).quality
    assert found.precision is not None and found.recall is not None
    assert found.precision.low <= found.precision.value <= found.precision.high
    assert found.precision.value > 0.95
    learned = review.learn(settings)
    weighed = sum(min(s.judged, s.pairs) for s in found.strata if s.band != "sure link")
    assert learned.judged == weighed
    assert learned.present == 2.5


def test_what_is_judged_leaves_the_queue_until_it_is_retracted(pool, settings):
    first = review.queue(settings)[0]
    entered = review.judge(settings, first.record_a, first.record_b, "unsure", reviewer="Wang", reason="the agency must be asked")
    assert (first.record_a, first.record_b) not in {(q.record_a, q.record_b) for q in review.queue(settings)}
    review.retract(settings, entered.judgement_id, reviewer="Wang", reason="it has answered")
    assert review.queue(settings)[0] == first


def test_a_pair_that_waits_for_a_second_reviewer_is_shown_to_others_alone(pool):
    settings = pool.settings.model_copy(update={"review_second_share": 1.0})
    first = review.queue(settings)[0]
    entered = review.judge(settings, first.record_a, first.record_b, "cannot", reviewer="Wang", reason="seen")
    ends = (first.record_a, first.record_b)
    others = {(q.record_a, q.record_b): q for q in review.queue(settings, reviewer="Li")}
    assert others[ends].waits == 1
    assert ends not in {(q.record_a, q.record_b) for q in review.queue(settings, reviewer="Wang")}
    assert review.figures(settings).waiting == 1
    review.retract(settings, entered.judgement_id, reviewer="Wang", reason="a slip")


def test_no_command_of_the_review_shows_a_value(pool):
    texts = {}

    def hub(*arguments):
        done = pool.invoked(*arguments)
        assert done.returncode == 0, done.stderr
        texts[" ".join(arguments)] = done.stdout + done.stderr
        return done.stdout

    first = json.loads(hub("review", "queue", "--json", "--limit", "1"))["pairs"][0]
    assert first["record_a"] in hub("review", "queue")
    assert "threshold" in hub("review", "show", first["record_a"], first["record_b"])
    assert json.loads(hub("review", "show", first["record_a"], first["record_b"], "--json"))["reasons"]
    assert json.loads(hub("review", "queue", "--sample", "--json"))
    hub("review", "queue", "--sample")
    assert json.loads(hub("review", "learn", "--json"))["present"] == 2.5
    assert "门槛" in hub("review", "learn")
    assert json.loads(hub("identity", "report", "--json"))["counts"]["persons"] > 1000
    lines = hub("identity", "report").splitlines()
    assert len(lines) < 60 and "查准率 precision" in "\n".join(lines)
    assert population.told(population.search(population.of(pool.settings, [1]), texts)) == {}
