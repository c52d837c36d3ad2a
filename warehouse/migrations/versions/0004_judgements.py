"""What reviewers say of pairs of records, appended and retracted, never changed; and who was shown values."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE identity.judgement (
    judgement_id uuid PRIMARY KEY DEFAULT uuidv7(),
    record_a uuid NOT NULL,
    record_b uuid NOT NULL,
    judgement text NOT NULL CHECK (judgement IN ('must', 'cannot', 'unsure')),
    reviewer text NOT NULL CHECK (reviewer <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    needs_second boolean NOT NULL DEFAULT false,
    bits real,
    model_version text,
    judged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (record_a < record_b)
);
CREATE INDEX judgement_pair ON identity.judgement (record_a, record_b);
CREATE INDEX judgement_record_b ON identity.judgement (record_b);
COMMENT ON TABLE identity.judgement IS 'One row a reviewer and pair of records: must = one person, cannot = two, unsure = nothing follows. Appended only; what is in force: identity.judgement_in_force. A pair whose record is withdrawn waits.';
COMMENT ON COLUMN identity.judgement.needs_second IS 'The pair was in the sample that two reviewers must agree on when this was said.';
COMMENT ON COLUMN identity.judgement.bits IS 'The weight the reviewer was shown; null = the pair was not weighed.';

CREATE TABLE identity.retraction (
    judgement_id uuid PRIMARY KEY REFERENCES identity.judgement,
    reviewer text NOT NULL CHECK (reviewer <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    retracted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE identity.retraction IS 'One row a judgement taken back: from then on it is as if it had never been made. Appended only.';

CREATE TABLE ops.value_view (
    view_id uuid PRIMARY KEY DEFAULT uuidv7(),
    viewer text NOT NULL CHECK (viewer <> ''),
    account text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    record_ids uuid[] NOT NULL,
    viewed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.value_view IS 'One row a time somebody with the right was shown values of records on the command line; written before they are shown. Appended only.';
COMMENT ON COLUMN ops.value_view.account IS 'Account of the operating system the command ran under.';

CREATE FUNCTION ops.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is appended to, never changed', TG_RELID::regclass USING ERRCODE = 'restrict_violation';
END
$$;

CREATE VIEW identity.judgement_in_force AS
WITH standing AS (
    SELECT j.* FROM identity.judgement j WHERE NOT EXISTS (SELECT FROM identity.retraction r WHERE r.judgement_id = j.judgement_id)
), votes AS (
    SELECT record_a, record_b, CASE WHEN bool_or(needs_second) THEN 2 ELSE 1 END AS needed,
        count(DISTINCT reviewer) FILTER (WHERE judgement = 'must') AS must,
        count(DISTINCT reviewer) FILTER (WHERE judgement = 'cannot') AS cannot
    FROM standing GROUP BY record_a, record_b
)
SELECT record_a, record_b, CASE WHEN must > cannot THEN 'must' ELSE 'cannot' END AS judgement,
    greatest(must, cannot) AS reviewers
FROM votes WHERE must <> cannot AND greatest(must, cannot) >= needed;
COMMENT ON VIEW identity.judgement_in_force IS 'One row a pair of records on which judgements that were not retracted decide: most reviewers say so, two at least where the pair is in the sample. Applied by the next night.';
"""
_APPENDED = ("identity.judgement", "identity.retraction", "ops.value_view")


def upgrade() -> None:
    """Make the tables; whoever tries to change a row is refused by the database itself."""
    op.execute(_TABLES)
    for table in _APPENDED:
        op.execute(
            f"CREATE TRIGGER only_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()"
        )


def downgrade() -> None:
    """Forget all judgements."""
    op.execute("DROP VIEW identity.judgement_in_force")
    for table in reversed(_APPENDED):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION ops.refuse_change")
