"""Disputed values: any field of a record, by departments as well, and which are open where answers are read."""

from alembic import op

revision = "0030"
down_revision = "0028"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE ops.dispute DISABLE TRIGGER only_appended;
UPDATE ops.dispute SET attribute = 'person.' || attribute;
ALTER TABLE ops.dispute ENABLE TRIGGER only_appended;
ALTER TABLE ops.dispute ADD COLUMN department text, ADD COLUMN client_id text, ADD COLUMN receipt_id uuid, ADD COLUMN details bytea,
    ADD CHECK ((department IS NULL) = (client_id IS NULL) AND (department IS NULL) = (receipt_id IS NULL));
CREATE INDEX dispute_department ON ops.dispute (department, dispute_id) WHERE department IS NOT NULL;
COMMENT ON COLUMN ops.dispute.attribute IS 'As the catalogue names it: person.FIELD is the golden value, SOURCE.FIELD what the record says.';
COMMENT ON COLUMN ops.dispute.department IS 'That disputes it over the service; null = it was opened at the hub.';
COMMENT ON COLUMN ops.dispute.receipt_id IS 'Of the answer that told the value.';
COMMENT ON COLUMN ops.dispute.details IS 'What the agency is told beside, sealed; null = nothing, or erased by law.';

CREATE TABLE share.disputed (
    dispute_id uuid PRIMARY KEY REFERENCES ops.dispute,
    record_id uuid NOT NULL,
    attribute text NOT NULL,
    since date NOT NULL,
    due date NOT NULL,
    UNIQUE (record_id, attribute)
);
COMMENT ON TABLE share.disputed IS 'One row a dispute that is open: by what answers mark a value. Kept by ops.dispute_event.';
INSERT INTO share.disputed SELECT DISTINCT ON (record_id, attribute) dispute_id, record_id, attribute, opened_date, due_date FROM ops.dispute d
    WHERE NOT EXISTS (SELECT FROM ops.dispute_event e WHERE e.dispute_id = d.dispute_id AND e.event <> 'open') ORDER BY record_id, attribute, dispute_id;

CREATE FUNCTION ops.follow_dispute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.event = 'open' THEN
        INSERT INTO share.disputed SELECT dispute_id, record_id, attribute, opened_date, due_date FROM ops.dispute WHERE dispute_id = NEW.dispute_id;
    ELSE
        DELETE FROM share.disputed WHERE dispute_id = NEW.dispute_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER follow_dispute AFTER INSERT ON ops.dispute_event FOR EACH ROW EXECUTE FUNCTION ops.follow_dispute();
"""
_BACK = """
DROP TRIGGER follow_dispute ON ops.dispute_event;
DROP FUNCTION ops.follow_dispute;
DROP TABLE share.disputed;
ALTER TABLE ops.dispute DISABLE TRIGGER only_appended;
UPDATE ops.dispute SET attribute = substr(attribute, 8) WHERE starts_with(attribute, 'person.');
ALTER TABLE ops.dispute ENABLE TRIGGER only_appended;
ALTER TABLE ops.dispute DROP COLUMN department CASCADE, DROP COLUMN client_id, DROP COLUMN receipt_id, DROP COLUMN details;
"""


def upgrade() -> None:
    """What was disputed so far were golden values."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget who asked over the service. A dispute of an agency's own field keeps its name, which the older program takes for none it knows."""
    op.execute(_BACK)
