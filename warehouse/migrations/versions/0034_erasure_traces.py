"""What files of the database may still hold of erased persons."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

# Of whoever was erased before, nobody wrote down what was written anew since.
_TRACES = """
ALTER TABLE ops.erasure ADD COLUMN traces_in text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN ops.erasure.traces_in IS 'Tables whose files may still hold values of the person in space that is free; empty = none does.';
UPDATE ops.erasure SET traces_in = ARRAY(
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'audit', 'public')
    UNION ALL SELECT 'pg_catalog.pg_statistic');
"""


def upgrade() -> None:
    """The next night, or `hub erasure finish`, writes the tables anew."""
    op.execute(_TRACES)


def downgrade() -> None:
    """Nobody knows then; upgraded again, all are written anew."""
    op.execute("ALTER TABLE ops.erasure DROP COLUMN traces_in")
