"""Senders of the DCI interface, and the ids of messages that were used."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.sender (
    client_id text PRIMARY KEY REFERENCES share.client,
    sender_id text NOT NULL UNIQUE,
    address text,
    purpose text,
    public_keys jsonb,
    may_leave_unsigned boolean NOT NULL DEFAULT false,
    registered_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE share.sender IS 'One row a client that speaks the DCI interface: by which name, with which keys, for which purpose.';
COMMENT ON COLUMN share.sender.address IS 'Where its answers are sent, without the path of the interface; null = it can only ask and wait.';
COMMENT ON COLUMN share.sender.purpose IS 'Of questions that name none; null = such are not answered.';
COMMENT ON COLUMN share.sender.public_keys IS 'JSON Web Key Set its messages are verified by; null = the client''s own.';
COMMENT ON COLUMN share.sender.may_leave_unsigned IS 'Its messages need no signature while the hub is in lenient mode, for tests.';

CREATE TABLE share.used_message (
    client_id text NOT NULL REFERENCES share.client,
    message_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, message_id)
);
CREATE INDEX ON share.used_message (expires_at);
COMMENT ON TABLE share.used_message IS 'One row a message that was taken in, as long as it could be sent again in time.';
"""


def upgrade() -> None:
    """Nobody is registered."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget senders and used messages."""
    op.execute("DROP TABLE share.used_message, share.sender")
