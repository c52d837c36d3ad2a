"""Fences: a run that was taken over while it slept can be told from the newest one."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE ops.fence (
    work text PRIMARY KEY,
    number bigint NOT NULL DEFAULT 1,
    holder uuid NOT NULL DEFAULT gen_random_uuid(),
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.fence IS 'One row a piece of work that one run does at a time: the newest run of it. Every transaction of a run looks here last of all before it is committed.';
COMMENT ON COLUMN ops.fence.work IS 'night, pool, or source and its name.';
COMMENT ON COLUMN ops.fence.number IS 'How many runs began it; files a run leaves on its way bear it.';
COMMENT ON COLUMN ops.fence.holder IS 'The mark of that run; another one has another.';
"""


def upgrade() -> None:
    """Nobody holds anything yet."""
    op.execute(_TABLE)


def downgrade() -> None:
    """Locks alone keep runs apart."""
    op.execute("DROP TABLE ops.fence")
