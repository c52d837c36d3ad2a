"""A backup, taken whenever, put back anywhere, is the pool it was taken of; and one that is not whole is never put in place."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.errors import ConfigError, HubError, ServiceError
from hub.settings import Settings
from pipeline import erasure
from sandbox import clock
from tests import oracle
from tests.conftest import Hub
from tests.cut_off import cut_off
from warehouse import backup, database, embedded, fingerprint, landing, vault

pytestmark = pytest.mark.slow
KEY = "5c" * 32


@pytest.fixture(scope="module")
def hub(borrowed: Hub) -> Hub:
    """A hub after its first night, whose backups are sealed under a key kept apart."""
    borrowed.restore("night_1")
    return borrowed


@pytest.fixture(scope="module")
def sealed(hub: Hub) -> Settings:
    return with_key(hub.settings)


def with_key(settings: Settings, key: str = KEY) -> Settings:
    values = {**settings.model_dump(), "backup_key": key}
    return Settings(**values)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def taken(hub: Hub, sealed: Settings, place: Path) -> Path:
    """A backup of the quiet hub."""
    return place / backup.take(sealed, place).name


@pytest.fixture
def elsewhere(hub: Hub, tmp_path: Path) -> Iterator[Hub]:
    """Another machine: a home folder with nothing in it."""
    home = hub.settings.home.parent / f"elsewhere-{tmp_path.name}"
    other = Hub(home)
    other.settings = with_key(other.settings)
    yield other
    embedded.stop(other.settings)


def test_a_backup_taken_in_the_midst_of_a_night_goes_on_elsewhere_as_if_nothing_had_been(
    hub: Hub, sealed: Settings, place: Path, elsewhere: Hub
) -> None:
    made: list[backup.Manifest] = []

    def back_up(child: subprocess.Popen[str]) -> None:
        os.kill(child.pid, signal.SIGSTOP)  # the night stands still in its transaction for as long as the backup takes
        made.append(backup.take(sealed, place))
        os.kill(child.pid, signal.SIGCONT)

    hub.restore("night_1")
    clock.set_night(hub.settings, 2)
    status, log = hub.struck("merge", back_up, "night", "--date", "2026-03-02", "--json")
    assert status == 0, log
    hub.restore("night_1")

    found = backup.restore(elsewhere.settings, place / made[0].name)
    assert found == made[0]
    oracle.same_fingerprint(elsewhere.fingerprint(), found.fingerprint, hub.reports[1].fingerprint)
    # It knows the agencies, reads what had landed, and its next night is the one the hub itself had.
    with database.engine(elsewhere.settings).connect() as connection:
        landed = landing.deliveries(connection)
    assert len(landed) > 5
    for delivery in landed:
        assert all(b"".join(chunks) for _, chunks in landing.Store(elsewhere.settings).parts(delivery.object))
    elsewhere.night(2)
    oracle.same_fingerprint(elsewhere.fingerprint(), hub.reports[2].fingerprint)


def test_a_second_backup_of_a_place_copies_only_what_landed_since(hub: Hub, sealed: Settings, place: Path, taken: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (place / "landing").rglob("*.sealed")}
    again = backup.take(sealed, place)
    assert {p: p.stat().st_mtime_ns for p in (place / "landing").rglob("*.sealed")} == before
    assert {m.name for m in backup.listed(place)} >= {taken.name, again.name}
    assert list(place.rglob(".*")) == [], "nothing unfinished is left behind"


def test_nobody_reads_a_person_in_a_backup(hub: Hub, taken: Path) -> None:
    with database.engine(hub.settings).connect() as connection:
        values = connection.execute(
            sa.text("SELECT name, resident_id, phone FROM core.person WHERE resident_id IS NOT NULL LIMIT 300")
        ).all()
    words = {v.encode() for row in values for v in row if v is not None and len(v) > 2}
    secrets = {(hub.settings.secrets_dir / name).read_bytes().strip() for name in ("landing.key", "postgres.password")}
    for path in [p for p in taken.parent.rglob("*") if p.is_file()]:
        data = path.read_bytes()
        assert not any(w in data for w in words | secrets | {KEY.encode()}), path.name


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def objects(folder: Path) -> list[Path]:
    names = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["objects"]
    return [folder.parent / "landing" / name for name in sorted(names)]


def an_object(folder: Path) -> Path:
    return objects(folder)[0]


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a byte of the warehouse": lambda folder: flipped(folder / "warehouse.sealed"),
    "a byte of the secrets": lambda folder: flipped(folder / "secrets.sealed"),
    "a byte of a landed object": lambda folder: flipped(an_object(folder)),
    "a landed object gone": lambda folder: an_object(folder).unlink(),
    "a landed object under another's name": lambda folder: an_object(folder).write_bytes(objects(folder)[-1].read_bytes()),
    "another fingerprint in the manifest": lambda folder: edited(folder, fingerprint="0" * 64),
    "no proof of the manifest": lambda folder: (folder / "manifest.hmac").unlink(),
    "half a manifest": lambda folder: (folder / "manifest.json").write_text("{", encoding="utf-8"),
}  # fmt: skip


def edited(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_backup_is_refused_before_anything_is_touched(sealed: Settings, taken: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(taken.parent), str(copy)], check=True)
    DAMAGE[damage](copy / taken.name)
    with pytest.raises((vault.VaultDamaged, ConfigError)):
        backup.check(sealed, copy / taken.name)
    home = tmp_path / "home"
    with pytest.raises((vault.VaultDamaged, ConfigError)):
        backup.restore(with_key(Settings(home=home)), copy / taken.name)  # type: ignore[call-arg]
    assert not (home / "postgres").exists() and not (home / "landing").exists()


def test_without_its_key_a_backup_stays_closed(sealed: Settings, taken: Path) -> None:
    with pytest.raises(ConfigError, match="not of this key"):
        backup.check(with_key(sealed, "77" * 32), taken)
    with pytest.raises(ConfigError, match="HUB_BACKUP_KEY"):
        backup.check(with_key(sealed, "77"), taken)


def test_a_restore_that_does_not_give_what_was_backed_up_puts_nothing_in_place(
    sealed: Settings, taken: Path, elsewhere: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_checked", lambda *_: (replace(backup.listed(taken.parent)[0], fingerprint="0" * 64), {}))
    with pytest.raises(HubError, match="not the one backed up"):
        backup.restore(elsewhere.settings, taken)
    with database.engine(elsewhere.settings).connect() as connection:
        assert connection.scalar(sa.text("SELECT to_regclass('core.person')")) is None
    assert not (elsewhere.settings.home / "landing").exists()


def test_another_pools_backup_is_refused(sealed: Settings, taken: Path) -> None:
    other = Settings(**{**sealed.model_dump(), "pool_id": "another"})
    with pytest.raises(ConfigError, match="HUB_POOL_ID"):
        backup.restore(other, taken)


# Of a restore over a pool that is there: what the server goes away at.
BROKEN_OFF_AT = {
    "a database for the pool is made": "CREATE DATABASE",
    "its rows are counted": "SELECT count",
    "its planner's figures are taken": "ANALYZE",
    "the proof is committed": "COMMIT",
    "the two change names": "BEGIN; ALTER DATABASE",
}


@pytest.mark.parametrize("moment", BROKEN_OFF_AT)
def test_a_server_that_goes_away_under_a_restore_is_told_in_one_sentence_and_the_pool_is_as_it_was(
    hub: Hub, sealed: Settings, taken: Path, moment: str
) -> None:
    hub.restore("night_5")
    cut = list[str]()

    def here(_: int, database_name: str, sentence: str) -> bool:
        if is_it := database_name != "hub" and sentence.startswith(BROKEN_OFF_AT[moment]):
            cut.append(sentence)
        return is_it

    with cut_off(hub, here), pytest.raises(ServiceError, match="does not answer or broke off"):
        backup.restore(sealed, taken, replace=True)
    assert cut, "nothing of the kind was said"
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[5].fingerprint)


def test_a_pool_that_is_there_is_kept_under_another_name(hub: Hub, sealed: Settings, taken: Path) -> None:
    hub.restore("night_5")
    with pytest.raises(ConfigError, match="--replace"):
        backup.restore(sealed, taken)
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[5].fingerprint)

    backup.restore(sealed, taken, replace=True)
    oracle.same_fingerprint(hub.fingerprint(), hub.reports[1].fingerprint)
    server = sa.create_engine(embedded.cluster(hub.settings).url(), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        (kept,) = connection.scalars(sa.text("SELECT datname FROM pg_database WHERE datname LIKE 'hub\\_before\\_%'")).all()
    former = sa.create_engine(embedded.cluster(hub.settings).url(kept))
    with former.connect() as connection:
        assert fingerprint.scanned(connection) == hub.reports[5].fingerprint
    former.dispose()
    with server.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{kept}"'))
    server.dispose()


def test_the_command_says_where_it_lies_and_what_comes_next(hub: Hub, place: Path, tmp_path: Path) -> None:
    hub.restore("night_1")
    made = hub.invoked("backup", str(tmp_path / "new"))
    assert made.returncode == 0 and "backup.key" in made.stdout, made.stderr
    (name,) = (p.name for p in (tmp_path / "new").iterdir() if p.name != "landing")
    assert json.loads(hub.invoked("backup", str(tmp_path / "new"), "--list", "--json").stdout)[0]["name"] == name
    whole = hub.invoked("restore", str(tmp_path / "new" / name), "--check")
    assert whole.returncode == 0 and hub.reports[1].fingerprint[:16] in whole.stdout
    for arguments in (["restore", str(tmp_path / "nowhere")], ["restore", str(tmp_path / "new" / name)]):
        refused = hub.invoked(*arguments)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr and refused.stderr.count("\n") <= 2
    (tmp_path / "file").write_text("", encoding="ascii")
    full = hub.invoked("backup", str(tmp_path / "file"))
    assert full.returncode == 7 and "cannot be written" in full.stderr


def test_whoever_was_erased_since_a_backup_is_erased_again_when_it_is_put_back_and_the_list_says_which_hold_them(
    hub: Hub, sealed: Settings, taken: Path, tmp_path: Path, elsewhere: Hub
) -> None:
    hub.restore("night_1")
    place = tmp_path / "place"
    older = backup.take(sealed, place)
    with database.engine(hub.settings).connect() as connection:
        person, number = connection.execute(
            sa.text(
                "SELECT person_id::text, resident_id FROM core.person WHERE cardinality(sources) > 2 AND resident_id IS NOT NULL LIMIT 1"
            )
        ).one()
    with hub.landing_kept():
        code = erasure.plan(hub.settings, person).confirm
        erasure.carry_out(hub.settings, person, basis="law", reason="decision", by="one", confirmed_by="other", confirm=code)
        newer, erased = backup.take(sealed, place), hub.fingerprint()
        listed = hub.invoked("backup", str(place), "--list", "--json")
        assert [m["erased_since"] for m in json.loads(listed.stdout)] == [1, 0], listed.stderr

        elsewhere.settings = with_key(elsewhere.settings)
        elsewhere.environment = {**elsewhere.environment, "HUB_BACKUP_KEY": KEY}
        done = elsewhere.invoked("restore", str(place / older.name))
        assert done.returncode == 0 and "再次删除" in done.stdout, done.stderr
        oracle.same_fingerprint(elsewhere.fingerprint(), erased)
        with database.engine(elsewhere.settings).connect() as connection:
            assert not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM identity.record WHERE resident_id = :n)"), {"n": number})
        assert [e.finished_at is not None for e in erasure.listed(elsewhere.settings)] == [True]

        n_objects = len(list((place / "landing").rglob("*.sealed")))
        gone = backup.prune(place, before=datetime.fromisoformat(newer.taken_at))
        assert [m.name for m in gone] == [older.name] and [m.name for m in backup.listed(place)] == [newer.name]
        assert len(list((place / "landing").rglob("*.sealed"))) < n_objects, "what the older one alone named is gone with it"
        assert backup.check(sealed, place / newer.name) == newer
        assert backup.prune(place, before=datetime.now(UTC)) == [], "the newest always stays"
