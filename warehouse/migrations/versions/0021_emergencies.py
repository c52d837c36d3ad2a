"""Emergencies: grants that speak only while somebody has said why, for a time, and for few persons; each is reviewed."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.emergency (
    emergency_id uuid PRIMARY KEY DEFAULT uuidv7(),
    client_id text NOT NULL REFERENCES share.client,
    department text NOT NULL,
    purpose text NOT NULL,
    operator text NOT NULL CHECK (operator <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    persons integer NOT NULL CHECK (persons > 0),
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    opened_leaf bigint NOT NULL,
    closes_at timestamptz NOT NULL,
    closed_at timestamptz,
    reviewed_at timestamptz,
    reviewed_by text,
    finding text CHECK (finding IN ('justified', 'unjustified')),
    words text,
    CHECK (closes_at > opened_at),
    CHECK ((reviewed_at IS NULL) = (finding IS NULL) AND (reviewed_at IS NULL) = (reviewed_by IS NULL)),
    CHECK (reviewed_by <> operator)
);
CREATE INDEX ON share.emergency (department, purpose, closes_at);
COMMENT ON TABLE share.emergency IS 'One row a use of an emergency grant: who broke the glass, why, until when, and what a reviewer found. What was told meanwhile is in the log, with the id.';
COMMENT ON COLUMN share.emergency.operator IS 'The person at the department who asks.';
COMMENT ON COLUMN share.emergency.persons IS 'Of how many it may be told.';
COMMENT ON COLUMN share.emergency.opened_leaf IS 'Entries the log had then: what was told in it stands behind them.';
COMMENT ON COLUMN share.emergency.closed_at IS 'Closed before its time; null = it ends by itself.';

CREATE FUNCTION share.is_emergency(role text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT EXISTS (SELECT FROM share.emergency WHERE department || '__' || purpose = role AND closed_at IS NULL AND closes_at > now())
$$;
COMMENT ON FUNCTION share.is_emergency IS 'Whether a department has an emergency open for a purpose: without one the rows of an emergency grant are nobody''s.';
"""


def upgrade() -> None:
    """There was no emergency yet."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget them; the log keeps what was told."""
    op.execute("DROP FUNCTION share.is_emergency; DROP TABLE share.emergency")
