"""Another model judges the whole pool first; it is adopted in one transaction or not at all, and the former one brings the pool back."""

import json
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from hub.errors import AlreadyRunning, ConfigError
from identity import frozen
from pipeline import retrain
from tests.conftest import Hub
from warehouse import database, retraining, weighing

pytestmark = pytest.mark.slow


def count(hub: Hub, query: str) -> int:
    with database.engine(hub.settings).connect() as connection:
        return int(connection.scalar(sa.text(query)) or 0)


def test_a_dry_run_tells_and_changes_nothing(borrowed: Hub) -> None:
    borrowed.restore("night_5")
    before = borrowed.fingerprint()
    done = borrowed.command("identity", "retrain", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["version"] == 2 and told["former"] == 1 and told["is_adopted"] is False
    assert told["counts"]["persons_before"] == count(borrowed, "SELECT count(*) FROM core.person")
    assert borrowed.fingerprint() == before
    assert count(borrowed, "SELECT count(*) FROM identity.model") == 0


def test_a_stricter_model_parts_persons_and_the_former_one_brings_them_back(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_5")
    before, shipped = hub.fingerprint(), frozen.load()
    strict = replace(shipped, version=2, weights=replace(shipped.weights, threshold_bits=60.0))
    with database.engine(hub.settings).begin() as connection:
        retraining.put(connection, 2, strict.to_json(), strict.listed())
    adopted = retrain.retrain(hub.settings, version=2, adopt=True)
    assert adopted.counts["parted"] > 0 and adopted.counts["bonds_after"] == 0
    assert {row["source"] for row in adopted.where} and adopted.examples["parted"]
    assert count(hub, "SELECT count(*) FROM identity.link WHERE rule_id = 'weighed'") == 0
    assert adopted.fingerprint == hub.fingerprint() != before
    hub.night(5)
    assert hub.fingerprint() == adopted.fingerprint, "nights weigh by the adopted model"
    back = retrain.retrain(hub.settings, version=1, adopt=True)
    assert back.counts["joined"] == adopted.counts["parted"]
    assert hub.fingerprint() == before


def test_nights_under_a_fitted_model_are_those_of_a_pool_that_was_judged_by_it_at_once(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    fitted = retrain.retrain(hub.settings, adopt=True)
    hub.night(2)
    nightly = hub.fingerprint()
    again = retrain.retrain(hub.settings, version=fitted.version, adopt=True)
    assert again.counts["links"] == 0 and hub.fingerprint() == nightly


def test_a_pool_that_was_never_weighed_is_weighed_by_the_next_night(borrowed: Hub) -> None:
    """As it is after the version of the warehouse that brought weights: nodes are persons, and there is no bond."""
    hub = borrowed
    hub.restore("night_5")
    before, bonds = hub.fingerprint(), count(hub, "SELECT count(*) FROM identity.bond")
    with database.engine(hub.settings).begin() as connection:
        connection.execute(sa.text("UPDATE ops.weighing SET made_by = NULL; DELETE FROM identity.bond; DELETE FROM identity.crowd"))
        connection.execute(sa.text("UPDATE identity.link SET person_id = node_id, rule_id = node_rule_id, is_open = false"))
    hub.night(5)
    assert hub.fingerprint() == before
    assert count(hub, "SELECT count(*) FROM identity.bond") == bonds > 0


def test_another_threshold_keeps_the_weights_of_the_model_in_use(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_5")
    before = hub.fingerprint()
    done = hub.command("identity", "retrain", "--threshold", "60", "--json")
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    assert tried["counts"]["bonds_before"] > 0 and tried["counts"]["bonds_after"] == 0 and tried["counts"]["parted"] > 0
    assert hub.fingerprint() == before and count(hub, "SELECT count(*) FROM identity.model") == 0
    adopted = retrain.retrain(hub.settings, threshold=60.0, adopt=True)
    assert adopted.counts == tried["counts"]
    with database.engine(hub.settings).connect() as connection:
        kept = frozen.from_json(2, *weighing.model(connection, 2))
    shipped = frozen.load()
    assert kept.weights.threshold_bits == 60.0 and kept.weights.version != shipped.weights.version
    assert kept.persons == shipped.persons
    assert all(kept.weights.same[f].tolist() == pytest.approx(shipped.weights.same[f].tolist()) for f in shipped.weights.same)


def test_it_waits_for_a_night_at_work_and_knows_its_versions(borrowed: Hub) -> None:
    hub = borrowed
    hub.restore("night_1")
    with pytest.raises(ConfigError, match="no model of version 7"):
        retrain.retrain(hub.settings, version=7)
    refused: list[Exception] = []

    def elsewhere() -> None:
        try:
            retrain.retrain(hub.settings)
        except AlreadyRunning as error:
            refused.append(error)

    with database.alone(hub.settings, "night"):
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
    assert len(refused) == 1
