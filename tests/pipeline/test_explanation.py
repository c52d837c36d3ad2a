"""`hub explain` on a pool: what it says is what the night decided by, it reaches every record, and it holds no value unless asked."""

import json

import polars as pl
import pytest
import sqlalchemy as sa

from hub.errors import ConfigError
from identity.explain import Decision
from pipeline import explanation, review, weights
from pipeline.cli.explain import page
from tests import pages, population
from warehouse import database, scenes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(borrowed):
    """A pool of one night."""
    borrowed.restore("night_1")
    return borrowed


@pytest.fixture(scope="module")
def people(pool):
    """Persons by how they came to be: of several groups of records, of one group of several, of one record."""
    query = "SELECT person_id::text, count(DISTINCT node_id) AS nodes, count(*) AS records FROM identity.link GROUP BY person_id ORDER BY 2 DESC, 3 DESC, 1"
    with database.engine(pool.settings).connect() as connection:
        rows = connection.execute(sa.text(query)).all()
    several = [r.person_id for r in rows if r.nodes > 1]
    assert several, "the county has persons that only a weight put together"
    return {
        "weighed": several[0],
        "sure": next(r.person_id for r in rows if r.nodes == 1 and r.records > 2),
        "single": next(r.person_id for r in rows if r.records == 1),
    }


def test_a_pair_weighs_by_day_what_the_night_weighed_it(pool):
    with database.engine(pool.settings).connect() as connection:
        bonds = connection.execute(sa.text("SELECT a::text, b::text, bits::float8 FROM identity.bond ORDER BY a, b LIMIT 40")).all()
    assert bonds
    for a, b, bits in bonds:
        (link,) = explanation.pair(pool.settings, a, b).links
        assert link.why.bits == pytest.approx(bits, abs=0.01)
        assert link.why.prior + sum(r.bits for r in link.why.reasons) == pytest.approx(bits, abs=0.06)
        assert (
            link.why.is_one is (link.why.decision != Decision.TWO_NUMBERS and bits >= link.why.threshold)
            or link.why.decision == Decision.OTHERS
        )


@pytest.mark.parametrize("kind", ["weighed", "sure", "single"])
def test_a_persons_links_join_all_its_records(pool, people, kind):
    told = explanation.person(pool.settings, people[kind])
    assert told.person_id == people[kind]
    group = {r.record_id: {r.record_id} for r in told.records}
    for link in told.links:
        both = group[link.one.record_id] | group[link.other.record_id]
        for record in both:
            group[record] = both
    assert len(told.links) == len(told.records) - 1
    assert all(g == set(group) for g in group.values())
    assert all(link.why.is_one for link in told.links)


def test_records_tied_by_a_sure_link_name_its_rule(pool, people):
    links = explanation.person(pool.settings, people["sure"]).links
    assert {link.why.decision for link in links} == {Decision.SURE_LINK}
    assert all(link.why.rule in ("id_name", "id_birth", "name_birth_phone", "name_birth_address") for link in links)


def test_weights_set_judgements_aside_when_asked(pool):
    """Two groups that a judgement made one are parted again, and weigh what they weighed before."""
    with database.engine(pool.settings).connect() as connection:
        a, b, bits = connection.execute(
            sa.text("SELECT a::text, b::text, bits::float8 FROM identity.bond ORDER BY bits DESC LIMIT 1")
        ).one()
        records = scenes.around(connection, [a, b])
        judged = records.with_columns(node_id=pl.col("node_id").min(), node_rule_id=pl.lit("judged"))
        assert weights.bits(weights.set_up(connection, judged), a, b) is None
        apart = weights.set_up(connection, judged, without_judgements=True)
    assert weights.bits(apart, a, b) == pytest.approx(bits, abs=0.01)


def test_an_id_that_leads_nowhere_is_refused(pool):
    for wrong, says in (("nobody", "not an id"), ("00000000-0000-7000-8000-000000000000", "no such person")):
        with pytest.raises(ConfigError, match=says):
            explanation.person(pool.settings, wrong)


def test_a_judgement_on_the_records_is_told_with_what_became_of_it(pool, people):
    told = explanation.person(pool.settings, people["weighed"])
    one, other = told.links[-1].one.record_id, told.links[-1].other.record_id
    settings = pool.settings.model_copy(update={"review_second_share": 0.0})
    review.judge(settings, one, other, "must", reviewer="Li", reason="all but one field agree")
    again = explanation.person(pool.settings, people["weighed"])
    assert [(j["reviewer"], j["state"]) for j in again.judgements] == [("Li", "in force")]
    assert Decision.JUDGEMENT in {link.why.decision for link in again.links}


def test_nothing_told_of_anybody_holds_a_value(pool, people, tmp_path):
    texts = {}
    for kind, person in people.items():
        texts[f"{kind} text"] = pool.invoked("explain", person).stdout
        texts[f"{kind} json"] = pool.invoked("explain", person, "--json").stdout
        texts[f"{kind} page"] = page(explanation.person(pool.settings, person))
        assert json.loads(texts[f"{kind} json"])["person_id"] == person
        assert person in texts[f"{kind} text"]
    assert population.told(population.search(population.of(pool.settings, [1]), texts)) == {}


def test_the_page_stands_alone_and_draws_every_reason(pool, people, tmp_path):
    out = tmp_path / "why.html"
    done = pool.invoked("explain", people["weighed"], "--html", str(out))
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    told = explanation.person(pool.settings, people["weighed"])
    assert pages.faults(text) == []
    drawn = sum(len(link.why.reasons) + 2 for link in told.links)
    assert text.count("<rect ") == drawn
    assert "只含指针" in text


def test_values_are_shown_to_those_with_the_right_alone(pool, people):
    asked = ("explain", people["single"], "--values", "--viewer", "Li", "--why", "complaint 7")
    refused = pool.invoked(*asked)
    assert refused.returncode == 2 and "may not be shown values" in refused.stderr
    pool.environment["HUB_VALUE_VIEWERS"] = "Li"
    try:
        shown = pool.invoked(*asked, "--json")
    finally:
        del pool.environment["HUB_VALUE_VIEWERS"]
    ((record, values),) = json.loads(shown.stdout)["values"].items()
    assert record == people["single"] and values["name"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody",), "not an id"),
        (("health:0", "health:1"), "no such record"),
        (("a:1", "--file", "missing.csv"), "second one"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(pool, arguments, says):
    done = pool.invoked("explain", *arguments)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
