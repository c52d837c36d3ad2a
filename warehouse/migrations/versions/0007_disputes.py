"""Disputes: a value somebody says is wrong, asked of the agency it comes from."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE ops.dispute (
    dispute_id uuid PRIMARY KEY DEFAULT uuidv7(),
    kind text NOT NULL CHECK (kind IN ('correction', 'objection', 'recheck')),
    reason text NOT NULL CHECK (reason IN ('wrong', 'outdated', 'not_mine')),
    attribute text NOT NULL,
    stem text NOT NULL,
    record_id uuid NOT NULL,
    value_ref uuid NOT NULL,
    asker text NOT NULL CHECK (asker <> ''),
    owner text NOT NULL,
    opened_date date NOT NULL,
    due_date date NOT NULL,
    is_due_provisional boolean NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dispute_record ON ops.dispute (record_id);
COMMENT ON TABLE ops.dispute IS 'One row a value that a department (correction 校核纠错, recheck 核对复核) or a citizen (objection 异议) says is wrong. Appended only.';
COMMENT ON COLUMN ops.dispute.record_id IS 'Record of the agency the value came from when it was disputed; its person is found by identity.link.';
COMMENT ON COLUMN ops.dispute.value_ref IS 'Hash of record and value: whether a later delivery brought another one. Never the value.';

CREATE TABLE ops.dispute_event (
    event_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dispute_id uuid NOT NULL REFERENCES ops.dispute,
    event text NOT NULL CHECK (event IN ('open', 'answered', 'refused', 'withdrawn')),
    business_date date NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    delivery_id uuid REFERENCES landing.delivery,
    words text,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((event = 'answered') = (delivery_id IS NOT NULL)),
    CHECK (event <> 'refused' OR words <> '')
);
CREATE UNIQUE INDEX dispute_event_once ON ops.dispute_event (dispute_id, (event = 'open'));
COMMENT ON TABLE ops.dispute_event IS 'One row the opening of a dispute, and one its end: a delivery changed the value or the record is gone (answered), the agency refused with a reason, or the asker took it back. Appended only.';
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_TABLES)
    for table in ("ops.dispute", "ops.dispute_event"):
        op.execute(
            f"CREATE TRIGGER only_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )


def downgrade() -> None:
    """Forget disputes."""
    op.execute("DROP TABLE ops.dispute_event, ops.dispute")
