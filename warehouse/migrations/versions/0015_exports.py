"""Exports with what was told in them, and keys under which a request that changes something is answered once."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.export (
    export_id uuid PRIMARY KEY DEFAULT uuidv7(),
    client_id text NOT NULL REFERENCES share.client,
    purpose text NOT NULL,
    attributes text[] NOT NULL,
    questions text[] NOT NULL,
    round bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON share.export (client_id, export_id);
COMMENT ON TABLE share.export IS 'One row an export of a client: everybody its grant covers, again and again.';
COMMENT ON COLUMN share.export.round IS 'How often it was begun; what a reader hands back as `since`.';

CREATE TABLE share.exported (
    export_id uuid NOT NULL REFERENCES share.export ON DELETE CASCADE,
    person_id uuid NOT NULL,
    mark bytea,
    round bigint NOT NULL,
    PRIMARY KEY (export_id, person_id)
);
COMMENT ON TABLE share.exported IS 'One row a person that was ever in an export. No value.';
COMMENT ON COLUMN share.exported.mark IS 'Keyed hash of what is told of it; null = nothing any more.';
COMMENT ON COLUMN share.exported.round IS 'In which round the mark last moved.';

CREATE TABLE share.answered (
    client_id text NOT NULL REFERENCES share.client,
    key text NOT NULL,
    asked bytea NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    status integer,
    answer bytea,
    PRIMARY KEY (client_id, key)
);
CREATE INDEX ON share.answered (began_at);
COMMENT ON TABLE share.answered IS 'One row a request that came with an Idempotency-Key, for a day: the same again gets the same answer.';
COMMENT ON COLUMN share.answered.asked IS 'SHA-256 of method, path and body.';
COMMENT ON COLUMN share.answered.status IS 'Of the answer; null = it is being made, or the service was stopped over it.';
COMMENT ON COLUMN share.answered.answer IS 'The answer, sealed with AES-256-GCM: it may hold a secret.';
"""


def upgrade() -> None:
    """Nothing was exported, no request repeated."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget exports and keys."""
    op.execute("DROP TABLE share.exported, share.export, share.answered")
