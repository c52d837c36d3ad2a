"""The change feed: which persons, households and records a publication changed, and why."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE history.change (
    publication bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('person', 'household', 'record')),
    subject_id uuid NOT NULL,
    change text NOT NULL CHECK (change IN ('came', 'changed', 'gone')),
    reasons text[] NOT NULL,
    PRIMARY KEY (publication, kind, subject_id)
);
COMMENT ON TABLE history.change IS 'One row a subject that a publication changed, written in the transaction that publishes: the feed. Its order is that of the key; a cursor is the key of the last entry read. The first load has none: readers begin with the pool as it then stood.';
COMMENT ON COLUMN history.change.reasons IS 'Person: record_came, record_changed, record_gone, joined (a record came from another person), left (one went to another), judged. Household: member_came, member_left, members_changed. Record: delivered, withdrawn, past (a late delivery or one taken out changed what is current).';
CREATE INDEX change_subject ON history.change (subject_id);
"""


def upgrade() -> None:
    """Begin the feed: it tells of the publications from now on."""
    op.execute(_TABLE)


def downgrade() -> None:
    """Forget the feed."""
    op.execute("DROP TABLE history.change")
