"""Transactions of the DCI interface: what is worked off later, and how each request of it ended."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.dci_transaction (
    correlation_id uuid PRIMARY KEY,
    client_id text NOT NULL REFERENCES share.client,
    transaction_id text NOT NULL,
    action text NOT NULL CHECK (action IN ('search', 'subscribe', 'unsubscribe', 'txn-status')),
    request_id text NOT NULL,
    purposes text[],
    reference_ids text[] NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    address text,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'dead')),
    request bytea,
    answer bytea,
    outcome jsonb,
    policy_version text,
    publication bigint,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    fault text,
    CHECK (state = 'waiting' OR (request IS NULL AND answer IS NULL))
);
CREATE INDEX dci_transaction_waiting ON share.dci_transaction (received_at) WHERE state = 'waiting';
CREATE INDEX ON share.dci_transaction (client_id, transaction_id);
CREATE INDEX ON share.dci_transaction (received_at);
COMMENT ON TABLE share.dci_transaction IS 'One row a message of a sender that was taken in: acknowledged and worked off later, or answered at once.';
COMMENT ON COLUMN share.dci_transaction.purposes IS 'The token''s; null = all of the client.';
COMMENT ON COLUMN share.dci_transaction.reference_ids IS 'The sender''s own marks of its requests.';
COMMENT ON COLUMN share.dci_transaction.address IS 'Where the answer is sent; null = it was answered at once.';
COMMENT ON COLUMN share.dci_transaction.request IS 'The message, sealed with AES-256-GCM, until it is done.';
COMMENT ON COLUMN share.dci_transaction.answer IS 'The answer that waits to be taken, sealed likewise; null = not made yet, or done.';
COMMENT ON COLUMN share.dci_transaction.outcome IS 'Reference, status and reason code of each request, no value; null = not answered yet.';
COMMENT ON COLUMN share.dci_transaction.policy_version IS 'Under which the answer was made; under another it is made anew.';
COMMENT ON COLUMN share.dci_transaction.publication IS 'Of which the answer speaks; of a later one it is made anew.';
"""


def upgrade() -> None:
    """There was no transaction."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget them; what waits is lost."""
    op.execute("DROP TABLE share.dci_transaction")
