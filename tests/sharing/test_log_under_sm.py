"""A log under the suite of commercial cryptography: the stories of `test_log.py` hold of it, and it keeps its suite."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from hub.crypto_suite import INTERNATIONAL, SM
from hub.errors import ConfigError
from hub.settings import CHECKOUT, Settings
from sharing import checkpoint, keys, log_suite
from sharing.app import create
from tests.sharing import test_log
from tests.sharing.conftest import AUDIENCE, Asker, Pool
from tests.sharing.test_log import (  # noqa: F401
    ask_some,
    faults,
    tampered,
    test_a_receipt_is_verified_without_the_hub,
    test_an_entry_that_was_edited_by_the_operator_is_found,
    test_an_operator_who_rewrites_everything_and_signs_it_anew_is_found_by_a_witness_with_an_old_head,
    test_the_log_verifies_and_grows_consistently,
)
from warehouse import database, embedded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool(five_nights, tmp_path_factory) -> Iterator[Pool]:  # type: ignore[no-untyped-def]
    """The service over a pool of its own, whose log has no entry yet."""
    five_nights.keep("sharing_sm")
    url = sa.make_url(embedded.cluster(five_nights.settings).url("sharing_sm"))
    values: dict[str, Any] = {
        "home": tmp_path_factory.mktemp("sharing_sm"), "database_url": url.render_as_string(hide_password=False), "crypto_suite": "sm",
        "sharing_requests_a_minute": 100_000, "sharing_misses_an_hour": 100_000,
    }  # fmt: skip
    settings = Settings(**values)
    with TestClient(create(settings, AUDIENCE)) as http:
        yield Pool(settings, http)
    database.engine(settings).dispose()


@pytest.fixture(scope="module")
def civil(pool: Pool) -> Asker:
    return pool.asker("civil-desk", "civil_affairs")


def under(pool: Pool, suite: str) -> Settings:
    return Settings(**{**pool.settings.model_dump(), "crypto_suite": suite})


@pytest.fixture
def empty(tampered) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    """The log as before its first entry; afterwards it is as it was."""
    tampered("DELETE FROM audit.entry; DELETE FROM audit.tile; DELETE FROM audit.head; UPDATE audit.log SET size = 0, suite = NULL")


def test_before_the_first_entry_the_suite_can_still_be_chosen_and_the_first_entry_fixes_it(pool: Pool, civil: Asker, empty: None) -> None:
    log_suite.hold(under(pool, "international"))
    line = pool.http.get("/v1/log/key").text
    assert checkpoint.read(pool.http.get("/v1/log/checkpoint").text, keys.head_key(pool.settings, SM).public_key()).size == 0
    assert pool.rows("SELECT suite FROM audit.log")[0][0] is None and pool.rows("SELECT FROM audit.head") == []

    ask_some(pool, civil, 1)
    assert pool.rows("SELECT suite FROM audit.log")[0][0] == "sm"
    assert pool.http.get("/v1/log/key").text == line
    log_suite.hold(pool.settings)
    with pytest.raises(ConfigError, match="HUB_CRYPTO_SUITE"):
        log_suite.hold(under(pool, "international"))


def test_a_service_of_another_suite_does_not_start_and_says_why_in_one_sentence(pool: Pool, civil: Asker) -> None:
    ask_some(pool, civil, 1)
    environment = {"HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": pool.settings.database_url.get_secret_value()}  # type: ignore[union-attr]
    done = subprocess.run([sys.executable, "-m", "sharing"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "set it to sm" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_program_of_another_suite_that_runs_already_cannot_write_into_it(pool: Pool, civil: Asker) -> None:
    ask_some(pool, civil, 1)
    size = pool.entries()
    query = "SELECT state FROM audit.append(:size, :suite, '{}', '{}', ARRAY['{}'], ARRAY[CAST('' AS bytea)], '{}', '{}', '{}')"
    assert pool.rows(query, size=size, suite="international")[0][0] == "other suite"
    assert pool.rows(query, size=size - 1, suite="sm")[0][0] == "moved"
    assert pool.entries() == size and faults(pool) == []


def test_the_log_is_verified_and_signed_by_its_own_suite_whatever_the_setting_says(pool: Pool, civil: Asker) -> None:
    from sharing import verify

    ask_some(pool, civil, 2)
    other = under(pool, "international")
    with pool.engine.begin() as connection:
        note = verify.signed_head(connection, other)
        found = verify.verified(connection, other, [("witness", note)])
    assert found.faults == [] and found.suite == "sm" and found.entries == pool.entries()
    assert checkpoint.read(note, keys.head_key(other, SM).public_key()).size == pool.entries()
    with pytest.raises(ConfigError):
        checkpoint.read(note, keys.head_key(other, INTERNATIONAL).public_key())


class TestVerifier(test_log.TestVerifier):
    """As of the other suite, and without any package: no site-packages are seen."""

    python = (sys.executable, "-I", "-S")


def test_the_key_is_closed_to_others_and_its_private_half_is_told_nowhere(pool: Pool) -> None:
    path = pool.settings.secrets_dir / "audit_head_sm2.key"
    private = path.read_text(encoding="ascii")[:64]
    assert path.stat().st_mode & 0o077 == 0
    assert private not in pool.http.get("/v1/log/key").text and private not in repr(keys.head_key(pool.settings, SM))
