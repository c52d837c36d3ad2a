"""Migrations: the newest is known from the files' names alone, so the names must not lie."""

from alembic.script import ScriptDirectory

from warehouse import database


def test_a_migration_is_named_after_its_revision_and_follows_the_one_before():
    script = ScriptDirectory(str(database.MIGRATIONS))
    revisions = list(reversed(list(script.walk_revisions())))
    assert [r.path.rsplit("/", 1)[-1].split("_")[0] for r in revisions] == [r.revision for r in revisions]
    numbers = [r.revision for r in revisions]
    assert numbers == sorted(set(numbers)) and all(len(n) == 4 and n.isdigit() for n in numbers)
    assert database.head() == script.get_current_head()
