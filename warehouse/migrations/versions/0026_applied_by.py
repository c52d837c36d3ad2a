"""What holds the policy in the database says which version of the program put it there."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_COLUMN = """
ALTER TABLE share.applied ADD COLUMN applied_by text;
COMMENT ON COLUMN share.applied.applied_by IS 'The newest version of the tables the program knew that applied it; null = one from before programs said so. Another version applies the policy anew, for its own rights.';
"""


def upgrade() -> None:
    """Nobody knows who applied what is there: the next program applies it anew."""
    op.execute(_COLUMN)


def downgrade() -> None:
    """Programs do not say which they are."""
    op.execute("ALTER TABLE share.applied DROP COLUMN applied_by")
