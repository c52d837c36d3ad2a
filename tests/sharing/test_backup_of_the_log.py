"""The disclosure log survives a backup: it verifies elsewhere, against a head that was handed out before."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.settings import Settings
from sharing import verify
from tests.sharing.test_answers import WATCH, a_person
from warehouse import backup, database

pytestmark = pytest.mark.slow


def test_the_log_verifies_in_the_restored_pool_and_its_receipts_hold(pool, civil, five_nights, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    row = a_person(pool)
    receipt = civil.person(row.id, WATCH, "insured").json()["receipt"]
    witness = pool.http.get("/v1/log/checkpoint").text
    # The pool is a copy of this hub's, and what landed for it lies there.
    values = {
        **pool.settings.model_dump(),
        "landing_url": str(five_nights.settings.home / "landing"),
        "landing_key": five_nights.settings.secret("landing.key"),
    }
    made = backup.take(Settings(**values), tmp_path / "place")

    own = sa.make_url(pool.settings.database_url.get_secret_value())
    server = sa.create_engine(own.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE sharing_restored"))
    there = Settings(
        home=tmp_path / "home", database_url=own.set(database="sharing_restored").render_as_string(hide_password=False),
        landing_key=values["landing_key"],
        backup_key=(pool.settings.secrets_dir / "backup.key").read_text(encoding="ascii").strip(),
    )  # type: ignore[call-arg]  # fmt: skip
    backup.restore(there, tmp_path / "place" / made.name)

    head = (tmp_path / "place" / made.name / backup.HEAD).read_text(encoding="utf-8")
    with database.engine(there).connect() as connection:
        found = verify.verified(connection, there, [("witness", witness), ("backup", head)])
        known = connection.scalar(sa.text("SELECT count(*) FROM audit.entry WHERE entry_id = :id"), {"id": receipt["receipt_id"]})
    assert found.faults == [] and found.entries == pool.entries() and known == 1
    database.engine(there).dispose()
    with server.connect() as connection:
        connection.execute(sa.text("DROP DATABASE sharing_restored WITH (FORCE)"))
    server.dispose()
