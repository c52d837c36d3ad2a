"""Operators: the person at a department on whose behalf a program asks, sealed and kept for a while beside the log."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE share.operator (
    client_id text NOT NULL,
    request_id text NOT NULL,
    named_at timestamptz NOT NULL DEFAULT now(),
    sealed bytea NOT NULL
);
CREATE INDEX ON share.operator (named_at);
COMMENT ON TABLE share.operator IS 'One row a request whose client named the operator it asks for. Not part of the log: entries lead here by client and request.';
COMMENT ON COLUMN share.operator.sealed IS 'The name, sealed under a key outside the pool and always of one length: two rows of one operator look like those of two.';
"""


def upgrade() -> None:
    """Nobody has named an operator."""
    op.execute(_TABLE)


def downgrade() -> None:
    """Forget them; the log never knew them."""
    op.execute("DROP TABLE share.operator")
