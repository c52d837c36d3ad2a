"""Consents: what persons authorised a department to ask of them, as the department registered it; a grant may speak of those persons alone."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.consent (
    consent_id uuid PRIMARY KEY DEFAULT uuidv7(),
    client_id text NOT NULL REFERENCES share.client,
    department text NOT NULL,
    purpose text NOT NULL,
    resident_id text,
    reference text NOT NULL CHECK (reference <> ''),
    valid_during daterange NOT NULL CHECK (NOT isempty(valid_during) AND NOT upper_inf(valid_during)),
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    withdrawn_at timestamptz,
    withdrawn_by text,
    CHECK ((withdrawn_at IS NULL) = (withdrawn_by IS NULL))
);
CREATE INDEX ON share.consent (resident_id) WHERE withdrawn_at IS NULL;
CREATE INDEX ON share.consent (department, consent_id);
COMMENT ON TABLE share.consent IS 'One row an authorisation a person gave a department for a purpose. Grants with the row condition `consent: registered` speak of persons who have one.';
COMMENT ON COLUMN share.consent.resident_id IS 'Of the person, in the one spelling; the pool need not know anybody of that number. Null = erased by law.';
COMMENT ON COLUMN share.consent.reference IS 'Of the document at the department.';
COMMENT ON COLUMN share.consent.valid_during IS 'Days on which it holds; it always has an end.';
COMMENT ON COLUMN share.consent.withdrawn_at IS 'From then on it does not hold; null = it was not withdrawn.';
COMMENT ON COLUMN share.consent.withdrawn_by IS 'The client, or the operator of the hub.';

CREATE FUNCTION share.is_consenting(role text, number text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT EXISTS (
        SELECT FROM share.consent WHERE resident_id = number AND withdrawn_at IS NULL AND department || '__' || purpose = role AND valid_during @> share.today()
    )
$$;
REVOKE ALL ON FUNCTION share.is_consenting FROM PUBLIC;
COMMENT ON FUNCTION share.is_consenting IS 'Whether a person authorised a department for a purpose, by the number and on the day answers speak of. False for a person without a number.';
"""


def upgrade() -> None:
    """Nobody registered any yet."""
    op.execute(_TABLES)


def downgrade() -> None:
    """Forget them. The grants that ask for one go with the program that knows of them."""
    op.execute("DROP FUNCTION share.is_consenting; DROP TABLE share.consent")
