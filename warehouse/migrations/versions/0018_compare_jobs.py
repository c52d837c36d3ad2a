"""Comparisons as jobs: what is to be answered, how far it has come, and its input and output, sealed."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.compare_job (
    job_id uuid PRIMARY KEY DEFAULT uuidv7(),
    client_id text NOT NULL REFERENCES share.client,
    generation integer NOT NULL,
    purpose text NOT NULL,
    consent text,
    attributes text[] NOT NULL,
    questions text[] NOT NULL,
    told jsonb NOT NULL,
    refused jsonb NOT NULL,
    output text NOT NULL CHECK (output IN ('csv', 'ndjson', 'parquet')),
    request_id text NOT NULL,
    state text NOT NULL DEFAULT 'waiting_for_input' CHECK (state IN ('waiting_for_input', 'queued', 'running', 'done', 'failed', 'cancelled')),
    input text CHECK (input IN ('csv', 'ndjson', 'parquet')),
    charset text,
    input_bytes bigint NOT NULL DEFAULT 0,
    input_parts integer NOT NULL DEFAULT 0,
    input_rows bigint NOT NULL DEFAULT 0,
    rows_done bigint NOT NULL DEFAULT 0,
    told_rows bigint NOT NULL DEFAULT 0,
    not_available_rows bigint NOT NULL DEFAULT 0,
    ambiguous_rows bigint NOT NULL DEFAULT 0,
    malformed_rows bigint NOT NULL DEFAULT 0,
    output_bytes bigint NOT NULL DEFAULT 0,
    output_parts integer NOT NULL DEFAULT 0,
    worked_s double precision NOT NULL DEFAULT 0,
    problem text,
    created_at timestamptz NOT NULL DEFAULT now(),
    worked_at timestamptz,
    next_at timestamptz,
    ended_at timestamptz,
    expires_at timestamptz NOT NULL,
    CHECK (rows_done = told_rows + not_available_rows + ambiguous_rows + malformed_rows)
);
CREATE INDEX ON share.compare_job (client_id, job_id);
CREATE INDEX ON share.compare_job (expires_at);
COMMENT ON TABLE share.compare_job IS 'One row a comparison that a client handed in as a job. Counts move in the transaction that writes the log, so a row that is counted has its entry.';
COMMENT ON COLUMN share.compare_job.generation IS 'Of the client when it handed the job in; a later one stops it.';
COMMENT ON COLUMN share.compare_job.told IS 'Attribute, or question with a ?, → how it is told; the job ends when the policy says otherwise.';
COMMENT ON COLUMN share.compare_job.refused IS 'What was asked and is not told → reason.';
COMMENT ON COLUMN share.compare_job.input IS 'Format of the input; null = none has come.';
COMMENT ON COLUMN share.compare_job.charset IS 'Of a CSV input; null = UTF-8.';
COMMENT ON COLUMN share.compare_job.input_rows IS 'Rows by the lines that came, or as Parquet counts them; rows_done when it is done.';
COMMENT ON COLUMN share.compare_job.worked_s IS 'Seconds of work on the rows done.';
COMMENT ON COLUMN share.compare_job.problem IS 'Code of the problem it failed by; null = none.';
COMMENT ON COLUMN share.compare_job.worked_at IS 'When the last rows were done; null = none were.';
COMMENT ON COLUMN share.compare_job.next_at IS 'Paused until then, for too many rows found nobody; null = it is not.';
COMMENT ON COLUMN share.compare_job.expires_at IS 'When it is forgotten, unless it is queued or running.';

CREATE TABLE share.compare_part (
    job_id uuid NOT NULL REFERENCES share.compare_job ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('input', 'answers', 'output')),
    number integer NOT NULL,
    start_byte bigint NOT NULL,
    bytes bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (job_id, kind, number)
);
ALTER TABLE share.compare_part ALTER COLUMN sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE share.compare_part IS 'One row a part of a job''s input, of the answers as its rows are done, or of an output made of those; compressed, then sealed with AES-256-GCM.';
COMMENT ON COLUMN share.compare_part.start_byte IS 'Where its plain bytes begin in the whole.';
COMMENT ON COLUMN share.compare_part.bytes IS 'How many its plain bytes are.';
"""


def upgrade() -> None:
    """No job was handed in."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget jobs with what was told in them; the log keeps its entries."""
    op.execute("DROP TABLE share.compare_part, share.compare_job")
