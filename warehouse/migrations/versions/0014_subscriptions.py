"""Subscriptions: what departments want to hear of, and the notices that wait for them."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.subscription (
    subscription_id uuid PRIMARY KEY DEFAULT uuidv7(),
    client_id text NOT NULL REFERENCES share.client,
    purpose text NOT NULL,
    consent text,
    kind text NOT NULL CHECK (kind IN ('person', 'household', 'condition')),
    attributes text[] NOT NULL,
    questions text[] NOT NULL,
    address text,
    is_paused boolean NOT NULL DEFAULT false,
    publication bigint NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (kind <> 'condition' OR cardinality(questions) = 1)
);
CREATE INDEX ON share.subscription (client_id, subscription_id);
COMMENT ON TABLE share.subscription IS 'One row a subscription of a client: whom or what it wants to hear of, under which purpose.';
COMMENT ON COLUMN share.subscription.address IS 'Where notices are sent; null = they are fetched.';
COMMENT ON COLUMN share.subscription.publication IS 'Up to which publication it was looked for changes.';
COMMENT ON COLUMN share.subscription.tries IS 'Failures to reach the receiver since it last answered.';
COMMENT ON COLUMN share.subscription.next_try_at IS 'Nothing is sent to the receiver before; null = at once.';

CREATE TABLE share.watched (
    subscription_id uuid NOT NULL REFERENCES share.subscription ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    ref text,
    mark bytea,
    PRIMARY KEY (subscription_id, subject_id)
);
COMMENT ON TABLE share.watched IS 'One row a person or household of a subscription: those it names, or those a condition holds for now. No value.';
COMMENT ON COLUMN share.watched.ref IS 'The client''s own mark.';
COMMENT ON COLUMN share.watched.mark IS 'Keyed hash of what would be told; null = nothing would.';

CREATE TABLE share.notice (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notice_id uuid NOT NULL UNIQUE DEFAULT uuidv7(),
    subscription_id uuid NOT NULL REFERENCES share.subscription ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    ref text,
    change text NOT NULL CHECK (change IN ('changed', 'began', 'ended')),
    publication bigint NOT NULL,
    night date,
    made_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    waiting_since timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    receipt_id uuid,
    fault text
);
CREATE INDEX notice_waiting ON share.notice (subscription_id, subject_id, sequence) WHERE state = 'waiting';
CREATE INDEX notice_cursor ON share.notice (subscription_id, sequence);
COMMENT ON TABLE share.notice IS 'One row a change a subscriber is told of; sequence is its cursor. Written by one program at a time, in the statement that moves the mark: no change without its notice, no notice twice.';
COMMENT ON COLUMN share.notice.waiting_since IS 'From when the policy''s days of trying count: when it was made, replayed, or its subscription resumed.';
COMMENT ON COLUMN share.notice.receipt_id IS 'Entry of the log, written before the notice first left; null = it has not left.';
COMMENT ON COLUMN share.notice.fault IS 'How the last try ended; null = none failed.';
"""


def upgrade() -> None:
    """Nobody is subscribed."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget subscriptions and notices."""
    op.execute("DROP TABLE share.notice, share.watched, share.subscription")
