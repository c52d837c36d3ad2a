"""Tickets: what is in quarantine, told to the agency and followed until it is proven mended."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE quarantine.item (
    item_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stem text NOT NULL,
    rule_id text NOT NULL,
    stage text NOT NULL CHECK (stage IN ('parse', 'gate', 'field', 'held', 'missing')),
    field text,
    delivery_id uuid REFERENCES landing.delivery,
    row_number bigint NOT NULL CHECK (row_number >= 0),
    key_ref uuid NOT NULL,
    missing_date date,
    noted_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((stage = 'missing') = (delivery_id IS NULL)),
    CHECK ((stage = 'missing') = (missing_date IS NOT NULL)),
    CHECK (row_number > 0 OR stage IN ('held', 'missing'))
);
CREATE UNIQUE INDEX item_pointer ON quarantine.item (delivery_id, row_number, rule_id) WHERE delivery_id IS NOT NULL;
CREATE UNIQUE INDEX item_missing ON quarantine.item (stem, missing_date) WHERE delivery_id IS NULL;
CREATE INDEX item_stem ON quarantine.item (stem, rule_id);
COMMENT ON TABLE quarantine.item IS 'One row a thing that ever came into quarantine: a delivered row and broken rule, a delivery that was held, a delivery that did not come. Never changed, never taken out.';
COMMENT ON COLUMN quarantine.item.row_number IS 'Row of the delivery; 0 = the delivery as a whole.';
COMMENT ON COLUMN quarantine.item.key_ref IS 'Hash of source and record key, so that the same key is known again; rows without a key are numbered, a delivery as a whole has its source''s.';
COMMENT ON COLUMN quarantine.item.missing_date IS 'Night that was published without a delivery that was due; null for what was delivered.';

CREATE TABLE quarantine.proof (
    item_id bigint PRIMARY KEY REFERENCES quarantine.item,
    kind text NOT NULL CHECK (kind IN ('passed', 'withdrawn', 'delivered')),
    delivery_id uuid NOT NULL REFERENCES landing.delivery,
    row_number bigint,
    noted_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'passed') = (row_number IS NOT NULL))
);
COMMENT ON TABLE quarantine.proof IS 'One row an item that is settled, by the earliest published delivery that proves it. An item without one is open.';
COMMENT ON COLUMN quarantine.proof.kind IS 'passed: the same key was let in; withdrawn: a full delivery holds the key no more; delivered: after a delivery that was held or missing another was let in, with the row in it where it is about a row.';
COMMENT ON COLUMN quarantine.proof.row_number IS 'Row of that delivery which was let in; null for withdrawn and delivered.';

CREATE TABLE quarantine.ticket (
    ticket_id text PRIMARY KEY,
    stem text NOT NULL,
    rule_id text NOT NULL,
    opened_date date NOT NULL,
    stage text NOT NULL,
    field text,
    title_zh text NOT NULL,
    title_en text NOT NULL,
    owner text NOT NULL,
    due_date date NOT NULL,
    is_due_provisional boolean NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (stem, rule_id, opened_date)
);
COMMENT ON TABLE quarantine.ticket IS 'One row an agency, rule and business day: what the agency is asked to mend, all rows of it together.';
COMMENT ON COLUMN quarantine.ticket.is_due_provisional IS 'Whether the due date was reckoned over a year whose holidays were not announced.';

CREATE TABLE quarantine.ticket_event (
    event_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id text NOT NULL REFERENCES quarantine.ticket,
    event text NOT NULL CHECK (event IN ('open', 'sent', 'answered', 'closed', 'reopened', 'exported')),
    business_date date NOT NULL,
    actor text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    noted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ticket_event_ticket ON quarantine.ticket_event (ticket_id, event_no);
COMMENT ON TABLE quarantine.ticket_event IS 'One row a change of a ticket''s state, or an export of its rows: who, when, counts. Append-only.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON quarantine.item FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON quarantine.ticket_event FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();

CREATE VIEW quarantine.ticket_item AS
    SELECT i.item_id, i.stem, i.rule_id, i.stage, i.field, i.delivery_id, i.row_number, i.key_ref,
        coalesce(d.business_date, i.missing_date) AS failed_date,
        p.kind AS proof_kind, p.delivery_id AS proof_delivery_id, p.row_number AS proof_row_number, pd.business_date AS proof_date,
        min(coalesce(d.business_date, i.missing_date)) OVER (PARTITION BY i.stem, i.rule_id, i.key_ref, p.delivery_id) AS opened_date
    FROM quarantine.item i
    LEFT JOIN landing.delivery d ON d.delivery_id = i.delivery_id
    LEFT JOIN quarantine.proof p ON p.item_id = i.item_id
    LEFT JOIN landing.delivery pd ON pd.delivery_id = p.delivery_id;
COMMENT ON VIEW quarantine.ticket_item IS 'One row an item with its proof and the day of its ticket: a key that fails again before it has passed belongs to the ticket of its first failure.';
"""


def upgrade() -> None:
    """Make the tables; rows that are in quarantine already get their items when their source next comes to the gate."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget tickets; quarantine itself stays."""
    op.execute("DROP VIEW quarantine.ticket_item")
    op.execute("DROP TABLE quarantine.ticket_event, quarantine.ticket, quarantine.proof, quarantine.item")
