"""Recalls: who was told something that turned out otherwise."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.recall (
    recall_id uuid PRIMARY KEY DEFAULT uuidv7(),
    leaf_index bigint NOT NULL REFERENCES audit.entry,
    receipt_id uuid NOT NULL,
    told_at timestamptz NOT NULL,
    department text NOT NULL,
    client_id text NOT NULL,
    purpose text NOT NULL,
    person_id uuid NOT NULL,
    persons uuid[] NOT NULL,
    changed text[] NOT NULL CHECK (changed <> '{}'),
    cause text NOT NULL CHECK (cause IN ('parted', 'joined', 'withdrawn', 'corrected')),
    stands boolean NOT NULL,
    publication bigint NOT NULL,
    night date,
    found_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    UNIQUE (leaf_index, publication),
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
CREATE INDEX recall_department ON share.recall (department, recall_id);
COMMENT ON TABLE share.recall IS 'One row a disclosure that a publication made untrue, or true again: what the hub now knows of the day it was made for is not what it knew. Holds names of attributes, no value.';
COMMENT ON COLUMN share.recall.person_id IS 'Whom the department was told of, by the id it was given.';
COMMENT ON COLUMN share.recall.persons IS 'Who that is now: several where what was told mixed them; none where no agency holds a record any more.';
COMMENT ON COLUMN share.recall.changed IS 'Attributes, and questions with a ?, that were told and would be told otherwise.';
COMMENT ON COLUMN share.recall.stands IS 'What was told is right after all: an earlier recall is taken back.';
COMMENT ON COLUMN share.recall.publication IS 'The publication after which it was found.';

CREATE TABLE share.recall_scan (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    publication bigint NOT NULL
);
COMMENT ON TABLE share.recall_scan IS 'Up to which publication disclosures were looked at again.';
INSERT INTO share.recall_scan SELECT true, number FROM ops.publication;

CREATE INDEX link_until ON history.link (upper(known_during));
CREATE INDEX record_revised_until ON history.record_revised (upper(known_during));
CREATE INDEX record_known_from ON history.record (known_from);
"""


def upgrade() -> None:
    """Begin to look back from the present publication on."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget the recalls."""
    op.execute("DROP TABLE share.recall, share.recall_scan")
    op.execute("DROP INDEX history.link_until, history.record_revised_until, history.record_known_from")
