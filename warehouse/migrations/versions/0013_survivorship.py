"""Survivorship: the policies by which golden values are and were made, and the ledger of what records say otherwise."""

import sqlalchemy as sa
from alembic import op

from hub.errors import ConfigError
from warehouse import survivorship

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE ops.survivorship (
    publication bigint PRIMARY KEY,
    version integer NOT NULL CHECK (version >= 1),
    policy jsonb NOT NULL,
    adopted_by text NOT NULL CHECK (adopted_by <> ''),
    reason text CHECK (reason <> ''),
    adopted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.survivorship IS 'One row an adoption of a survivorship policy, by which one of several values becomes the golden one; the newest is in force. Appended only. The first came with the hub.';
COMMENT ON COLUMN ops.survivorship.publication IS 'Golden values are made by it from this publication on.';
INSERT INTO ops.survivorship (publication, version, policy, adopted_by) VALUES (0, 1,
    '{"version": 1, "decided_date": "2026-01-01", "criteria": ["valid_number", "authority", "recency"], "attributes": {}}', 'hub');
CREATE TRIGGER only_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.survivorship FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
"""
_COMMENTS = """
COMMENT ON VIEW core.disagreement IS 'One row a record and attribute of which its person has another golden value, by the policy in force. Computed when asked. Values are in the records.';
COMMENT ON COLUMN core.disagreement.reason IS 'The criterion that decided: valid_number, authority, recency, agreement; oldest_record where none told them apart.';
COMMENT ON COLUMN core.disagreement.is_variant IS 'The golden value in another writing.';
"""
_REASONS = "Person: record_came, record_changed, record_gone, joined (a record came from another person), left (one went to another), judged{}. Household: member_came, member_left, members_changed. Record: delivered, withdrawn, past (a late delivery or one taken out changed what is current)."


def _causes(*causes: str) -> None:
    listed = ", ".join(f"'{cause}'" for cause in ("beginning", "night", "model", "withdrawal", *causes))
    op.execute("ALTER TABLE ops.published DROP CONSTRAINT published_cause_check")
    op.execute(f"ALTER TABLE ops.published ADD CONSTRAINT published_cause_check CHECK (cause IN ({listed}))")


def upgrade() -> None:
    """Golden values so far were made by the policy that comes with the hub."""
    op.execute(_TABLE)
    survivorship.write_view(op.get_bind(), survivorship.in_force(op.get_bind()))
    op.execute(_COMMENTS)
    _causes("policy")
    op.execute(f"COMMENT ON COLUMN history.change.reasons IS '{_REASONS.format(', policy (another survivorship policy)')}'")


def downgrade() -> None:
    """Forget policies.

    Raises:
        ConfigError: golden values are made by another policy than the one the former version has.
    """
    if survivorship.in_force(op.get_bind()).version != 1:
        raise ConfigError(
            "golden values are made by an adopted survivorship policy, which the former version of the warehouse does not know",
            next_step="adopt the first one again: `hub survivorship show --version 1 > v1.yml`, `hub survivorship adopt v1.yml --reason …`",
        )
    op.execute("DROP VIEW core.disagreement; DROP TABLE ops.survivorship")
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM ops.published WHERE cause = 'policy')")):
        op.execute("ALTER TABLE ops.published DISABLE TRIGGER only_appended")
        op.execute("UPDATE ops.published SET cause = 'model' WHERE cause = 'policy'")
        op.execute("ALTER TABLE ops.published ENABLE TRIGGER only_appended")
    _causes()
    op.execute(f"COMMENT ON COLUMN history.change.reasons IS '{_REASONS.format('')}'")
