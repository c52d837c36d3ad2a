"""A subscription's secret can be given anew, while the former one still signs for a while."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE share.subscription ADD COLUMN secret_number integer NOT NULL DEFAULT 0 CHECK (secret_number >= 0), ADD COLUMN former_secret_until timestamptz;
COMMENT ON COLUMN share.subscription.secret_number IS 'How often its secret was given anew. The secret follows from a key outside the pool, the subscription and this number.';
COMMENT ON COLUMN share.subscription.former_secret_until IS 'Until when notices are signed by the secret before this one as well; null = there is none.';
"""


def upgrade() -> None:
    """Every secret is still the first."""
    op.execute(_COLUMNS)


def downgrade() -> None:
    """Secrets are the first ones again: whoever was given another verifies nothing until it is given the first."""
    op.execute("ALTER TABLE share.subscription DROP COLUMN secret_number, DROP COLUMN former_secret_until")
