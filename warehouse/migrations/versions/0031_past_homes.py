"""Households of another day are found by number, and judgements remember in which publications they were in force."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_INDEXES = [
    f"CREATE INDEX {table}_{kind} ON history.{table} (stem, (traits ->> '{kind}_no')) WHERE traits ->> '{kind}_no' IS NOT NULL"
    for table in ("record", "record_revised")
    for kind in ("registered", "living")
]
_TABLE = """
CREATE TABLE history.judgement (
    record_a uuid NOT NULL,
    record_b uuid NOT NULL,
    judgement text NOT NULL CHECK (judgement IN ('must', 'cannot')),
    known_during int8range NOT NULL CHECK (NOT isempty(known_during)),
    PRIMARY KEY (record_a, record_b, known_during WITHOUT OVERLAPS)
);
COMMENT ON TABLE history.judgement IS 'One row a time for which publications heeded a judgement on two records. It says that they are one person, or two, on whatever day: its valid time has no bounds.';
COMMENT ON COLUMN history.judgement.known_during IS 'Publications in which it was in force; without an end: it is.';
INSERT INTO history.judgement SELECT record_a, record_b, judgement, int8range(greatest(p.number, 1), NULL) FROM identity.judgement_applied, ops.publication p;
CREATE FUNCTION history.judgements_known(known bigint) RETURNS TABLE (record_a uuid, record_b uuid, judgement text) LANGUAGE sql STABLE AS $$
    SELECT record_a, record_b, judgement FROM history.judgement WHERE known_during @> known
$$;
COMMENT ON FUNCTION history.judgements_known IS 'The judgements that a publication heeded.';
"""


def upgrade() -> None:
    """Judgements in force are known since the last publication; in which they were before, nobody kept."""
    op.execute("; ".join(_INDEXES))
    op.execute(_TABLE)


def downgrade() -> None:
    """Forget since when judgements are heeded."""
    op.execute("DROP FUNCTION history.judgements_known; DROP TABLE history.judgement")
    for table in ("record", "record_revised"):
        for kind in ("registered", "living"):
            op.execute(f"DROP INDEX history.{table}_{kind}")
