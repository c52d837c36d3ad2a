"""Whose households of past days a publication may have put in another light; of all others they are what a night stored."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE history.hindsight (person_id uuid, publication bigint NOT NULL, UNIQUE NULLS NOT DISTINCT (person_id, publication));
COMMENT ON TABLE history.hindsight IS 'One row a person and publication that may have changed with whom the person lived on days before it: a late or withdrawn delivery, a link found or taken back, of its own records or of some within reach by household numbers. Whoever has no row after a night had that night the households it stored.';
COMMENT ON COLUMN history.hindsight.person_id IS 'Null: everybody.';
INSERT INTO history.hindsight SELECT NULL, number FROM ops.publication WHERE number > 0;
"""


def upgrade() -> None:
    """Of publications before nobody noted anything: everybody is concerned."""
    op.execute(_TABLE)


def downgrade() -> None:
    """Forget it; households of past days are always made anew then."""
    op.execute("DROP TABLE history.hindsight")
