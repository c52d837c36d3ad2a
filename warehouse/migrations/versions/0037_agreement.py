"""The hub's own survivorship policy asks for agreement at last; a pool that holds nothing yet begins with it."""

import sqlalchemy as sa
from alembic import op

from warehouse import survivorship

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

# A pool that was never published had the former policy in force for no publication; it stays written down, and is the way back.
_POLICY = """
ALTER TABLE ops.survivorship DROP CONSTRAINT survivorship_pkey, ADD PRIMARY KEY (publication, version);
INSERT INTO ops.survivorship (publication, version, policy, adopted_by) SELECT 0, 2,
    '{"version": 2, "decided_date": "2026-03-01", "criteria": ["valid_number", "authority", "recency", "agreement"], "attributes": {}}', 'hub'
    WHERE NOT EXISTS (SELECT FROM ops.publication WHERE number > 0);
"""
_COMMENT = "Golden values are made by it from this publication on{}."


def _written_anew(connection: sa.Connection) -> None:
    survivorship.write_view(connection, survivorship.in_force(connection))
    survivorship.write_function(connection)


def upgrade() -> None:
    """Pools that were published keep to their policy until another one is adopted. Agreement is counted in whatever writing."""
    op.execute(_POLICY)
    op.execute(
        f"COMMENT ON COLUMN ops.survivorship.publication IS '{_COMMENT.format('; of several of one publication the highest version')}'"
    )
    _written_anew(op.get_bind())


def downgrade() -> None:
    """Forget policies that were in force for no publication."""
    op.execute("ALTER TABLE ops.survivorship DISABLE TRIGGER only_appended")
    op.execute(
        "DELETE FROM ops.survivorship s WHERE EXISTS (SELECT FROM ops.survivorship o WHERE o.publication = s.publication AND o.version > s.version)"
    )
    op.execute("ALTER TABLE ops.survivorship ENABLE TRIGGER only_appended")
    op.execute("ALTER TABLE ops.survivorship DROP CONSTRAINT survivorship_pkey, ADD PRIMARY KEY (publication)")
    op.execute(f"COMMENT ON COLUMN ops.survivorship.publication IS '{_COMMENT.format('')}'")
