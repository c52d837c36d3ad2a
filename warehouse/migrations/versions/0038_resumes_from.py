"""A source that a local service failed goes on where it was, instead of from the beginning."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_COMMENT = (
    "Of a failed source that is tried again: the state it goes on from, where a local service failed it. "
    "Null: it begins anew with fetch, or has not failed."
)


def upgrade() -> None:
    """What failed before begins anew, as it did."""
    op.execute("ALTER TABLE ops.intake ADD COLUMN resumes_from text")
    op.execute(f"COMMENT ON COLUMN ops.intake.resumes_from IS '{_COMMENT}'")


def downgrade() -> None:
    """Forget where a failed source goes on; it begins anew."""
    op.execute("ALTER TABLE ops.intake DROP COLUMN resumes_from")
