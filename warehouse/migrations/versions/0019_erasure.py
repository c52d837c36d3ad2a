"""Erasure by law: a key for each landed object, who was erased, and marks by which what is erased is not let in again."""

from alembic import op

from hub.errors import ConfigError

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE IF NOT EXISTS landing.object_key (
    object text PRIMARY KEY,
    salt bytea NOT NULL CHECK (length(salt) = 32)
);
COMMENT ON TABLE landing.object_key IS 'One row a landed object: with the landing key it gives the key the object is sealed with. Without the row nobody can open the object, whatever copies of it there are. An object from before there were any has none, and is sealed with the landing key itself.';

ALTER TABLE landing.delivery ADD COLUMN retained_at timestamptz, ADD COLUMN holds_erased boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN landing.delivery.holds_erased IS 'It came with something of an erased person, which its object still holds.';
COMMENT ON COLUMN landing.delivery.retained_at IS 'Since then the object holds the rows as they were read, without what was erased; null = it is what the agency sent, byte for byte. sha256 stays that of what was sent.';

CREATE TABLE ops.erasure (
    erasure_id uuid PRIMARY KEY DEFAULT uuidv7(),
    person_id uuid NOT NULL,
    basis text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    erased_by text NOT NULL CHECK (erased_by <> ''),
    confirmed_by text NOT NULL CHECK (confirmed_by <> ''),
    erased_at timestamptz NOT NULL,
    publication bigint NOT NULL,
    finished_at timestamptz,
    lifted_at timestamptz,
    lifted_by text,
    lifted_because text,
    CHECK (erased_by <> confirmed_by),
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NULL) = (lifted_because IS NULL))
);
CREATE INDEX ON ops.erasure (person_id);
COMMENT ON TABLE ops.erasure IS 'One row a person erased by law: what is left beside the ids and times of its records. No value.';
COMMENT ON COLUMN ops.erasure.publication IS 'From this publication on nothing of the person is in the pool.';
COMMENT ON COLUMN ops.erasure.finished_at IS 'Since then nothing of the person is in landing either; null = that is still to be done.';
COMMENT ON COLUMN ops.erasure.lifted_at IS 'Since then what agencies send of the person is let in again; null = it is kept out.';

CREATE TABLE ops.erased_record (
    erasure_id uuid NOT NULL REFERENCES ops.erasure,
    record_id uuid NOT NULL,
    stem text NOT NULL,
    first_seen_date date,
    PRIMARY KEY (erasure_id, record_id)
);
COMMENT ON TABLE ops.erased_record IS 'One row a record that was erased with its person.';

CREATE TABLE ops.erasure_mark (
    erasure_id uuid NOT NULL REFERENCES ops.erasure,
    kind text NOT NULL CHECK (kind IN ('key', 'person', 'number', 'check')),
    stem text,
    mark bytea NOT NULL,
    CHECK ((kind = 'key') = (stem IS NOT NULL))
);
CREATE INDEX ON ops.erasure_mark (erasure_id);
COMMENT ON TABLE ops.erasure_mark IS 'One row a keyed hash by which something of an erased person is known again.';
COMMENT ON COLUMN ops.erasure_mark.kind IS 'key: of a record, by source; number: of the identity number, where somebody else names the person as guardian; person: of number and name together; check: of the erasure''s own id, which tells whether marks are made with the same secret.';

ALTER TABLE ops.intake ADD COLUMN erased bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ops.intake.erased IS 'Rows about persons who are erased by law: kept out, and taken out of landing.';
"""
_BOOKS = "delivered = rejected + quarantined + unchanged + inserted + updated + past"
_CAUSES = "'beginning', 'night', 'model', 'withdrawal', 'policy'"
_RECALLS = "'parted', 'joined', 'withdrawn', 'corrected'"
_PROOFS = "'passed', 'withdrawn', 'delivered'"
_REASONS = "Person: record_came, record_changed, record_gone, joined (a record came from another person), left (one went to another), judged, policy (another survivorship policy){}. Household: member_came, member_left, members_changed. Record: delivered, withdrawn, past (a late delivery or one taken out changed what is current){}."
_PROOF = "passed: the same key was let in; withdrawn: a full delivery holds the key no more; delivered: after a delivery that was held or missing another was let in, with the row in it where it is about a row{}."


def _allow(books: str, causes: str, recalls: str, proofs: str) -> None:
    op.execute("ALTER TABLE ops.intake DROP CONSTRAINT intake_books")
    op.execute(f"ALTER TABLE ops.intake ADD CONSTRAINT intake_books CHECK (state <> 'merged' OR {books})")
    for table, column, allowed in (
        ("ops.published", "cause", causes),
        ("share.recall", "cause", recalls),
        ("quarantine.proof", "kind", proofs),
    ):
        name = f"{table.split('.')[1]}_{column}_check"
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IN ({allowed}))")


def upgrade() -> None:
    """Nobody is erased yet."""
    op.execute(_TABLES)
    _allow(f"{_BOOKS} + erased", f"{_CAUSES}, 'erasure'", f"{_RECALLS}, 'erased'", f"{_PROOFS}, 'erased'")
    op.execute(f"COMMENT ON COLUMN history.change.reasons IS '{_REASONS.format(', erased', ', erased')}'")
    op.execute(f"COMMENT ON COLUMN quarantine.proof.kind IS '{_PROOF.format('; erased: the row is about a person who was erased by law')}'")


def downgrade() -> None:
    """Forget erasures, of which there must be none. Keys of objects stay: with them coming back opens what was landed; the former version cannot.

    Raises:
        ConfigError: somebody was erased, whom the former version would let in again.
    """
    if op.get_bind().exec_driver_sql("SELECT EXISTS (SELECT FROM ops.erasure)").scalar():
        raise ConfigError(
            "persons were erased by law, which the former version of the warehouse does not know: it would let them in again",
            where="ops.erasure", next_step="stay with this version",
        )  # fmt: skip
    _allow(_BOOKS, _CAUSES, _RECALLS, _PROOFS)
    op.execute("ALTER TABLE landing.delivery DROP COLUMN retained_at, DROP COLUMN holds_erased; ALTER TABLE ops.intake DROP COLUMN erased")
    op.execute("DROP TABLE ops.erasure_mark, ops.erased_record, ops.erasure")
    op.execute(f"COMMENT ON COLUMN history.change.reasons IS '{_REASONS.format('', '')}'")
    op.execute(f"COMMENT ON COLUMN quarantine.proof.kind IS '{_PROOF.format('')}'")
