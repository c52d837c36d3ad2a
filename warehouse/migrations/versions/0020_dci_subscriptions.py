"""Subscriptions by the DCI interface, whose notices leave as its messages."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """All that are there are the hub's own."""
    op.execute(
        "ALTER TABLE share.subscription ADD COLUMN protocol text NOT NULL DEFAULT 'native' CHECK (protocol IN ('native', 'dci'));"
        "COMMENT ON COLUMN share.subscription.protocol IS 'In whose words its notices leave.'"
    )


def downgrade() -> None:
    """End those of the DCI interface: they could not be told in other words."""
    op.execute("DELETE FROM share.subscription WHERE protocol = 'dci'; ALTER TABLE share.subscription DROP COLUMN protocol")
