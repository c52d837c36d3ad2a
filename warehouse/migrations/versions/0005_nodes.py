"""The night weighs what sure links leave open: nodes, the bonds between them, frozen models, judgements in force at the last publication."""

from alembic import op

from warehouse import fingerprint

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE identity.link ADD COLUMN node_id uuid, ADD COLUMN is_open boolean NOT NULL DEFAULT false, ADD COLUMN node_rule_id text;
UPDATE identity.link SET node_id = person_id, node_rule_id = rule_id;
ALTER TABLE identity.link ALTER COLUMN node_id SET NOT NULL, ALTER COLUMN node_rule_id SET NOT NULL;
COMMENT ON COLUMN identity.link.node_rule_id IS 'The sure rule that put the record into its node; rule_id is weighed where a weight put it into its person.';
COMMENT ON COLUMN identity.link.node_id IS 'Oldest record of the group of sure links this record is in; a person is one node or several.';
COMMENT ON COLUMN identity.link.is_open IS 'No record of the node has a number that may be believed: it is weighed against others.';

CREATE TABLE identity.bond (
    a uuid NOT NULL,
    b uuid NOT NULL,
    bits real NOT NULL,
    PRIMARY KEY (a, b),
    CHECK (a < b)
);
COMMENT ON TABLE identity.bond IS 'One row a pair of nodes whose weight is a link of its own: bits = log2 odds that they are one person, by the model in ops.weighing.';

CREATE TABLE identity.crowd (
    rule_id text NOT NULL,
    block bigint NOT NULL,
    records integer NOT NULL,
    open_records integer NOT NULL,
    PRIMARY KEY (rule_id, block)
);
COMMENT ON TABLE identity.crowd IS 'One row a block too large to be compared, with at least one open record in it: what the cap costs. block is a hash of its key.';

CREATE TABLE identity.judgement_applied (
    record_a uuid NOT NULL,
    record_b uuid NOT NULL,
    judgement text NOT NULL CHECK (judgement IN ('must', 'cannot')),
    PRIMARY KEY (record_a, record_b)
);
COMMENT ON TABLE identity.judgement_applied IS 'The judgements that were in force when the pool was last published.';

CREATE TABLE identity.model (
    version integer PRIMARY KEY CHECK (version > 1),
    model jsonb NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    adopted_at timestamptz
);
COMMENT ON TABLE identity.model IS 'One row a model fitted to this pool and adopted once; version 1 comes with the hub.';

CREATE TABLE identity.frequency (
    version integer NOT NULL REFERENCES identity.model,
    field text NOT NULL,
    value text NOT NULL,
    share double precision NOT NULL,
    PRIMARY KEY (version, field, value)
);
COMMENT ON TABLE identity.frequency IS 'How frequent a value was when the model was fitted; values of few records are left out.';

CREATE TABLE ops.weighing (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    adopted integer NOT NULL DEFAULT 1,
    made_by integer
);
COMMENT ON TABLE ops.weighing IS 'Version of the model that nights weigh by, and of the one the pool is made by; null = not weighed yet: the next night weighs all of it.';
INSERT INTO ops.weighing DEFAULT VALUES;
"""

_INDEXES = """
CREATE INDEX record_phone ON identity.record (phone_key) WHERE phone_key IS NOT NULL;
CREATE INDEX record_birth_surname ON identity.record (birth_date, "left"(coalesce(name_key, name), 1));
CREATE INDEX record_number_tail ON identity.record
    ((CASE WHEN length(resident_id) >= 15 THEN "right"(coalesce(id_key, upper(resident_id)), 8) END));
CREATE INDEX link_open ON identity.link (record_id) WHERE is_open;
"""


def upgrade() -> None:
    """Make room; the first night after weighs the whole pool."""
    op.execute(_TABLES)
    op.execute(_INDEXES)
    fingerprint.recount(op.get_bind(), "identity.link")


def downgrade() -> None:
    """Forget nodes and weights; persons stay as they are."""
    op.execute("DROP INDEX identity.record_phone, identity.record_birth_surname, identity.record_number_tail")
    op.execute("DROP TABLE identity.bond, identity.crowd, identity.judgement_applied, identity.frequency, identity.model, ops.weighing")
    op.execute("ALTER TABLE identity.link DROP COLUMN node_id, DROP COLUMN is_open, DROP COLUMN node_rule_id")
    fingerprint.recount(op.get_bind(), "identity.link")
