"""Notices of an intake, and fields held while their row is let in."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Room for notices; a third stage of quarantine."""
    op.execute("ALTER TABLE ops.intake ADD COLUMN notices jsonb NOT NULL DEFAULT '[]'")
    op.execute("COMMENT ON COLUMN ops.intake.notices IS 'What differs from the contract without breaking it: list of [zh, en].'")
    op.execute("ALTER TABLE quarantine.row DROP CONSTRAINT row_stage_check")
    op.execute("ALTER TABLE quarantine.row ADD CONSTRAINT row_stage_check CHECK (stage IN ('parse', 'gate', 'field'))")
    op.execute(
        "COMMENT ON COLUMN quarantine.row.stage IS 'parse, gate: the row was kept out; field: only this field was, the row went in without it.'"
    )


def downgrade() -> None:
    """Forget notices and held fields."""
    op.execute("DELETE FROM quarantine.row WHERE stage = 'field'")
    op.execute("ALTER TABLE quarantine.row DROP CONSTRAINT row_stage_check")
    op.execute("ALTER TABLE quarantine.row ADD CONSTRAINT row_stage_check CHECK (stage IN ('parse', 'gate'))")
    op.execute("ALTER TABLE ops.intake DROP COLUMN notices")
