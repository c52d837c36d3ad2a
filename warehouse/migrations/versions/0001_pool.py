"""The pool: nights, deliveries, quarantine, identity, persons, households.

Tables of one agency's records are not here: they derive from its contract (`warehouse.agency_tables`).
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SCHEMAS = ("ops", "landing", "staging", "quarantine", "identity", "core")

_TABLES = """
CREATE TABLE ops.night (
    business_date date PRIMARY KEY,
    opened_for timestamptz UNIQUE,
    opened_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    persons bigint,
    households bigint,
    fingerprint text,
    seconds jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE ops.night IS 'One row a business date. published_at is null until the night is in the pool.';

CREATE TABLE ops.intake (
    business_date date NOT NULL REFERENCES ops.night,
    stem text NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'not_due', 'fetched', 'landed', 'parsed', 'accepted', 'held', 'failed', 'merged')),
    scope text CHECK (scope IN ('full', 'delta')),
    delivery_id uuid,
    delivered bigint, rejected bigint, quarantined bigint, unchanged bigint, inserted bigint, updated bigint,
    keys_before bigint, keys_kept bigint, withdrawn bigint,
    error text, error_where text, next_step text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    seconds jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (business_date, stem),
    CHECK (state <> 'merged' OR delivered = rejected + quarantined + unchanged + inserted + updated),
    CHECK (state <> 'merged' OR scope <> 'full' OR keys_before = keys_kept + withdrawn)
);
COMMENT ON TABLE ops.intake IS 'One row a source and night: how far it came and its books, in rows. The checks hold the books in balance.';

CREATE TABLE ops.publication (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE ops.publication IS 'Counts publishes; a run that prepared against an older number may not publish.';
INSERT INTO ops.publication DEFAULT VALUES;

CREATE TABLE landing.delivery (
    delivery_id uuid PRIMARY KEY,
    stem text NOT NULL,
    scope text NOT NULL CHECK (scope IN ('full', 'delta')),
    business_date date NOT NULL,
    as_of_date date NOT NULL,
    since_date date,
    sha256 text NOT NULL,
    object text NOT NULL,
    parts integer NOT NULL,
    raw_bytes bigint NOT NULL,
    stored_bytes bigint NOT NULL,
    declared_rows bigint,
    contract_version text NOT NULL,
    landed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON landing.delivery (stem, business_date);
COMMENT ON TABLE landing.delivery IS 'One row a landed delivery; the object is immutable. delivery_id derives from source, scope, as-of date, content and declared rows.';

CREATE TABLE landing.report (
    delivery_id uuid PRIMARY KEY REFERENCES landing.delivery,
    verdict jsonb NOT NULL
);
COMMENT ON TABLE landing.report IS 'What the gate found in a delivery: rules and counts, no value of a person.';

CREATE TABLE quarantine.row (
    delivery_id uuid NOT NULL REFERENCES landing.delivery,
    row_number bigint NOT NULL,
    rule_id text NOT NULL,
    stem text NOT NULL,
    stage text NOT NULL CHECK (stage IN ('parse', 'gate')),
    field text,
    quarantined_date date NOT NULL,
    PRIMARY KEY (delivery_id, row_number, rule_id)
);
CREATE INDEX ON quarantine.row (stem, rule_id);
COMMENT ON TABLE quarantine.row IS 'One row a delivered row and broken rule: a pointer into landing, never the value.';

CREATE TABLE identity.record (
    record_id uuid PRIMARY KEY,
    stem text NOT NULL,
    authority smallint NOT NULL,
    record_key text NOT NULL,
    delivery_id uuid NOT NULL,
    as_of_date date NOT NULL,
    id_key text, name_key text, birth_date date, phone_key text, address_key text,
    resident_id text, name text, sex text, phone text, address text, area_code text,
    registered_no text, registered_relation text, living_no text, living_relation text
);
COMMENT ON TABLE identity.record IS 'One row a record in the pool: what identity is judged by. record_id is the person id the record was born with. *_key are normalised; null = missing or invalid.';

CREATE TABLE identity.link (
    record_id uuid PRIMARY KEY,
    person_id uuid NOT NULL,
    rule_id text NOT NULL
);
COMMENT ON TABLE identity.link IS 'One row a record: the person it belongs to now and the rule that says so.';

CREATE TABLE identity.redirect (
    old_person_id uuid PRIMARY KEY,
    person_id uuid NOT NULL
);
COMMENT ON TABLE identity.redirect IS 'One row an id that was answered to before and now leads elsewhere.';

CREATE TABLE core.person (
    person_id uuid PRIMARY KEY,
    resident_id text, name text, sex text, birth_date date, phone text, address text, area_code text,
    records integer NOT NULL,
    sources text[] NOT NULL,
    as_of_date date NOT NULL
);
COMMENT ON TABLE core.person IS 'One row a person. Each value is the first non-null by valid id, authority of the source, as-of date; null = no source knows.';

CREATE TABLE core.household_member (
    kind text NOT NULL CHECK (kind IN ('registered', 'living')),
    person_id uuid NOT NULL,
    household_id uuid NOT NULL,
    relation text,
    stem text NOT NULL,
    evidence text NOT NULL,
    PRIMARY KEY (kind, person_id)
);
COMMENT ON TABLE core.household_member IS 'One row a person and kind of household: registered (hukou) or living together (Measures for Minimum Living Allowance, art. 7).';

CREATE TABLE core.household (
    household_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('registered', 'living')),
    head_person_id uuid,
    members integer NOT NULL
);
COMMENT ON TABLE core.household IS 'One row a household; head_person_id is null when no member is known as head.';
"""

# Built after the first load: an index on an empty table would slow it down twofold.
_INDEXES = """
CREATE INDEX record_id_key ON identity.record (id_key) WHERE id_key IS NOT NULL;
CREATE INDEX record_name_birth ON identity.record (name_key, birth_date);
CREATE UNIQUE INDEX record_source_key ON identity.record (stem, record_key);
CREATE INDEX record_registered ON identity.record (stem, registered_no) WHERE registered_no IS NOT NULL;
CREATE INDEX record_living ON identity.record (stem, living_no) WHERE living_no IS NOT NULL;
CREATE INDEX link_person ON identity.link (person_id);
CREATE INDEX person_resident_id ON core.person (resident_id);
CREATE INDEX household_member_household ON core.household_member (household_id);
"""


def upgrade() -> None:
    """Make everything."""
    for schema in _SCHEMAS:
        op.execute(f"CREATE SCHEMA {schema}")
    op.execute(_TABLES)
    op.execute(_INDEXES)


def downgrade() -> None:
    """Drop everything, agency tables included."""
    for schema in reversed(_SCHEMAS):
        op.execute(f"DROP SCHEMA {schema} CASCADE")
