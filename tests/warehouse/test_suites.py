"""A night under the suite of commercial cryptography is the night it would have been, and what either suite sealed is read under the other."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.crypto_suite import INTERNATIONAL, SM
from hub.settings import Settings
from pipeline import run
from sandbox import clock
from tests.conftest import Hub
from warehouse import backup, database, embedded, landing, object_keys, vault

pytestmark = pytest.mark.slow


def under(suite: str, settings: Settings) -> Settings:
    return Settings(**{**settings.model_dump(), "crypto_suite": suite, "backup_key": "5c" * 32})


@pytest.fixture
def elsewhere(five_nights: Hub, tmp_path: Path) -> Iterator[Hub]:
    """Another machine, whose hub works with the international suite."""
    other = Hub(five_nights.settings.home.parent / f"elsewhere-{tmp_path.name}")
    other.settings = under("international", other.settings)
    yield other
    embedded.stop(other.settings)


def landed(settings: Settings) -> dict[str, bytes]:
    """Object → its first bytes as it lies in the store; each is read to its end."""
    store, found = landing.Store(settings), {}
    with database.engine(settings).connect() as connection:
        names = [d.object for d in landing.deliveries(connection)]
    for name in names:
        assert sum(len(chunk) for _, chunks in store.parts(name) for chunk in chunks)
        with store.sealed(name) as source:
            found[name] = source.read(8)
    return found


def test_a_night_under_sm_is_sealed_by_sm4_read_under_either_suite_backed_up_and_replayed_elsewhere(
    borrowed: Hub, elsewhere: Hub, tmp_path: Path
) -> None:
    borrowed.restore("night_1")
    sm = Hub(borrowed.settings.home)
    sm.settings = under("sm", borrowed.settings)
    before = landed(sm.settings)
    assert set(before.values()) == {INTERNATIONAL.magic}

    sm.night(2)
    assert sm.fingerprint() == borrowed.reports[2].fingerprint
    after = landed(borrowed.settings)
    made = sorted(set(after) - set(before))
    assert made and {after[name] for name in made} == {SM.magic} and {after[name] for name in before} == {INTERNATIONAL.magic}

    # With the key of one object nothing but that object opens, and without its salt not even that.
    with database.engine(sm.settings).connect() as connection:
        salt = object_keys.salts(connection)[made[0]]
    content = (sm.settings.home / "landing" / made[0]).read_bytes()
    landing_key = sm.settings.landing_key_bytes()
    assert list(vault.unseal(io.BytesIO(content), object_keys.derived(landing_key, salt), where="-"))
    for wrong in (landing_key, object_keys.derived(landing_key, bytes(32))):
        with pytest.raises(vault.VaultDamaged):
            list(vault.unseal(io.BytesIO(content), wrong, where="-"))

    taken = backup.take(sm.settings, tmp_path / "place")
    assert {(tmp_path / "place" / taken.name / name).read_bytes()[:8] for name in taken.files} == {SM.magic}
    assert backup.restore(elsewhere.settings, tmp_path / "place" / taken.name) == taken
    assert elsewhere.fingerprint() == taken.fingerprint == borrowed.reports[2].fingerprint
    assert landed(elsewhere.settings) == after
    clock.set_night(elsewhere.settings, 2)
    with database.engine(elsewhere.settings).connect() as connection:
        replayed = next(d for d in landing.deliveries(connection) if d.object in made)
    assert run.replay(elsewhere.settings, replayed.delivery_id).fingerprint == taken.fingerprint
