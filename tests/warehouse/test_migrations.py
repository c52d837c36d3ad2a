"""Migrations: the newest is known from the files' names alone, so the names must not lie; a full pool goes down and up."""

import io
import json

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from hub.errors import ConfigError
from pipeline import survivorship
from tests import oracle
from warehouse import database, disclosure, fingerprint


def test_a_migration_is_named_after_its_revision_and_follows_the_one_before():
    script = ScriptDirectory(str(database.MIGRATIONS))
    revisions = list(reversed(list(script.walk_revisions())))
    assert [r.path.rsplit("/", 1)[-1].split("_")[0] for r in revisions] == [r.revision for r in revisions]
    numbers = [r.revision for r in revisions]
    assert numbers == sorted(set(numbers)) and all(len(n) == 4 and n.isdigit() for n in numbers)
    assert database.head() == script.get_current_head()


def moved(settings, direction, revision):
    """The pool's tables at another revision; what stands in the pool there, whose kept fingerprint must be that of its rows."""
    with database.engine(settings).connect() as connection:
        config = Config(stdout=io.StringIO())
        config.set_main_option("script_location", str(database.MIGRATIONS))
        config.attributes["connection"] = connection
        direction(config, revision)
        connection.commit()
        assert fingerprint.kept(connection) == fingerprint.scanned(connection)
        assert connection.scalar(sa.text("SELECT version_num FROM public.schema_version")) == revision
        return standing(connection)


def standing(connection):
    tables = ("identity.record", "identity.link", "core.person", "core.household_member", "core.household", "quarantine.row")
    agencies = connection.scalars(
        sa.text(
            "SELECT table_schema || '.' || table_name FROM information_schema.columns WHERE table_schema = 'core' AND column_name = 'row_hash'"
        )
    ).all()
    query = "SELECT sum(hashtextextended((to_jsonb(t) - 'known_from')::text, 1)::numeric) FROM {} t"
    return {table: connection.scalar(sa.text(query.format(table))) for table in (*tables, *agencies)}


def by_the_first_policy(hub):
    """The pool by the survivorship policy that every version of the warehouse knows, as an operator makes it before going far back."""
    file = hub.settings.home / "v1.yml"
    file.write_text(hub.invoked("survivorship", "show", "--version", "1").stdout, encoding="utf-8")
    survivorship.adopt(hub.settings, file, reason="going back")


@pytest.mark.slow
def test_the_clocks_are_taken_from_a_full_pool_and_wound_again(borrowed):
    borrowed.restore("night_5")
    by_the_first_policy(borrowed)
    with database.engine(borrowed.settings).connect() as connection:
        before = standing(connection)
        assert connection.scalar(sa.text("SELECT count(*) FROM history.record")) > 10
    assert len(before) > 10 and all(before.values())
    assert moved(borrowed.settings, command.downgrade, "0009") == before
    assert moved(borrowed.settings, command.upgrade, "0010") == before
    database.migrate(borrowed.settings)
    with database.engine(borrowed.settings).connect() as connection:
        cause, number = connection.execute(sa.text("SELECT cause, number FROM ops.published")).one()
        assert (cause, number) == ("beginning", 6)
    assert {s["state"] for s in borrowed.night(6).sources.values()} == {"ok", "not_due"}
    borrowed.fingerprint()  # fails unless what is kept is what is counted


@pytest.mark.slow
def test_five_nights_go_back_version_by_version_to_the_first_that_keeps_count_and_up_again_with_persons_as_they_were(borrowed):
    """At each version what is kept of the fingerprint is what is counted, and persons and agencies' records are as they were."""
    borrowed.restore("night_5")
    by_the_first_policy(borrowed)
    script = ScriptDirectory(str(database.MIGRATIONS))
    revisions = [r.revision for r in script.walk_revisions()][1:-1]  # newest first, the newest and the first left out
    with database.engine(borrowed.settings).connect() as connection:
        before = standing(connection)
        disclosure.withdraw(connection)
        connection.commit()
    kept = [table for table in before if table == "core.person" or table.startswith("core.") and table not in ("core.household_member",)]
    assert len(revisions) > 25 and len(kept) > 5
    for revision in revisions:
        found = moved(borrowed.settings, command.downgrade, revision)
        assert {t: found[t] for t in kept} == {t: before[t] for t in kept}, revision
    for revision in reversed(revisions[:-1]):
        found = moved(borrowed.settings, command.upgrade, revision)
        assert {t: found[t] for t in kept} == {t: before[t] for t in kept}, revision
    database.migrate(borrowed.settings)
    assert {s["state"] for s in borrowed.night(6).sources.values()} == {"ok", "not_due"}
    gone_back = borrowed.content()
    borrowed.restore("night_5")
    by_the_first_policy(borrowed)
    borrowed.night(6)
    assert borrowed.content() == gone_back, "the next night is that of a hub that was never taken back"


@pytest.mark.slow
def test_going_back_is_shown_first_and_done_only_as_it_was_shown(borrowed):
    borrowed.restore("night_5")
    by_the_first_policy(borrowed)
    with database.engine(borrowed.settings).connect() as connection:
        before = standing(connection)
        published = connection.scalar(sa.text("SELECT count(*) FROM ops.published"))
    stood = borrowed.fingerprint()
    shown = json.loads(borrowed.invoked("migrate", "--to", "0009", "--json").stdout)
    assert not shown["is_done"] and [s["revision"] for s in shown["steps"]][-1] == "0010"
    lost = {loss["table"]: loss for loss in shown["losses"]}
    assert lost["ops.published"] == {"table": "ops.published", "rows": published, "columns": []}
    assert lost["core.education"]["columns"] == ["known_from"] and "core.person" not in lost
    oracle.same_fingerprint(borrowed.fingerprint(), stood)
    assert database.condition(borrowed.settings).version == database.head()

    other = borrowed.invoked("migrate", "--to", "0009", "--confirm", "00000000")
    assert other.returncode == 2 and "does not confirm" in other.stderr
    for to in ("0000", database.head(), "x"):
        assert borrowed.invoked("migrate", "--to", to).returncode == 2
    assert database.condition(borrowed.settings).version == database.head()

    done = borrowed.invoked("migrate", "--to", "0009", "--confirm", shown["confirm"])
    assert done.returncode == 0 and "install the former version" in done.stdout, done.stderr
    assert database.condition(borrowed.settings).version == "0009"
    assert json.loads(borrowed.invoked("migrate", "--json").stdout) == {"from": "0009", "version": database.head()}
    with database.engine(borrowed.settings).connect() as connection:
        assert standing(connection) == before


@pytest.mark.slow
def test_a_pool_made_by_an_adopted_policy_does_not_go_back_to_a_version_that_knows_none(borrowed, tmp_path):
    borrowed.restore("night_1")
    file = tmp_path / "p.yml"
    file.write_text("version: 3\ndecided_date: 2026-03-01\ncriteria: [recency]\n", encoding="utf-8")
    survivorship.adopt(borrowed.settings, file, reason="tried")
    with pytest.raises(ConfigError, match="adopted survivorship policy"):
        moved(borrowed.settings, command.downgrade, "0012")
    by_the_first_policy(borrowed)
    stood = moved(borrowed.settings, command.downgrade, "0012")
    assert moved(borrowed.settings, command.upgrade, "0013") == stood


@pytest.mark.slow
def test_a_log_of_a_suite_that_the_former_version_does_not_know_is_not_left_to_it(borrowed):
    borrowed.restore("night_5")
    with database.engine(borrowed.settings).begin() as connection:
        connection.execute(sa.text("UPDATE audit.log SET size = 1, suite = 'sm'"))
    with pytest.raises(ConfigError, match="SM3"):
        moved(borrowed.settings, command.downgrade, "0022")
    with database.engine(borrowed.settings).connect() as connection:
        assert connection.execute(sa.text("SELECT size, suite FROM audit.log")).one() == (1, "sm")
