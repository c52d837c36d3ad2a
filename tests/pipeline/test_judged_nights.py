"""What reviewers said takes effect with the next night, and leaves no trace once it is taken back."""

import pytest
import sqlalchemy as sa

from pipeline import review
from tests import oracle
from tests.conftest import Hub
from warehouse import database

pytestmark = pytest.mark.slow

_TIED = (
    "SELECT a.record_id::text, b.record_id::text FROM identity.link a JOIN identity.link b USING (person_id)"
    " WHERE a.node_rule_id = 'id_name' AND a.node_id = b.node_id AND a.record_id < b.record_id ORDER BY 1, 2"
)
_STRANGERS = (
    "SELECT a.record_id::text, b.record_id::text FROM identity.record a JOIN identity.record b ON a.record_id < b.record_id"
    " AND a.sex <> b.sex AND a.birth_date < b.birth_date - 9000 AND a.stem <> b.stem WHERE a.id_key IS NOT NULL AND b.id_key IS NOT NULL"
    " ORDER BY 1, 2 LIMIT 50"
)


def pair(hub: Hub, query: str) -> tuple[str, str]:
    """The first pair that one reviewer may judge alone."""
    with database.engine(hub.settings).connect() as connection:
        found = [(a, b) for a, b in connection.execute(sa.text(query))]
    return next(p for p in found if not review.is_in_sample(hub.settings, *p))


def persons(hub: Hub, *records: str) -> list[tuple[str, str]]:
    """Person and rule of some records."""
    with database.engine(hub.settings).connect() as connection:
        links = connection.execute(
            sa.text("SELECT record_id::text, person_id::text, rule_id FROM identity.link WHERE record_id::text = ANY(:r)"),
            {"r": [*records]},
        )
        found = {record: (person, rule) for record, person, rule in links}
    return [found[r] for r in records]


@pytest.mark.parametrize(("judgement", "query"), [("cannot", _TIED), ("must", _STRANGERS)])
def test_a_judgement_holds_from_the_next_night_on_and_taken_back_was_never_made(borrowed: Hub, judgement: str, query: str) -> None:
    hub = borrowed
    hub.restore("night_5")
    before = hub.fingerprint()
    a, b = pair(hub, query)
    entered = review.judge(hub.settings, a, b, judgement, reviewer="reviewer one", reason="the file was looked at")
    oracle.same_fingerprint(hub.fingerprint(), before, told="nothing is changed by day")
    hub.night(5)
    (one, _), (other, rule) = persons(hub, a, b)
    assert (one == other) is (judgement == "must")
    assert rule == "judged" or judgement == "cannot"
    judged = hub.fingerprint()
    assert judged != before
    hub.night(5)
    oracle.same_fingerprint(hub.fingerprint(), judged, told="running the night again changes nothing")
    review.retract(hub.settings, entered.judgement_id, reviewer="reviewer one", reason="the wrong file")
    hub.night(5)
    oracle.same_fingerprint(hub.fingerprint(), before)


def test_judged_nights_come_to_the_same_whenever_the_judgement_was_made(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    a, b = pair(hub, _TIED)
    review.judge(hub.settings, a, b, "cannot", reviewer="reviewer one", reason="two files")
    hub.night(2)
    early = hub.fingerprint()
    hub.restore("night_1")
    hub.night(2)
    review.judge(hub.settings, a, b, "cannot", reviewer="reviewer one", reason="two files")
    hub.night(2)
    oracle.same_fingerprint(hub.fingerprint(), early)
