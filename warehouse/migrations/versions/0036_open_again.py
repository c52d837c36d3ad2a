"""Escalation of a ticket is an event of its own: which night, and who is asked since. What a withdrawn delivery proved or answered is open again."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_EVENTS = ("open", "sent", "answered", "closed", "reopened", "exported")
_PROOFS = ("passed", "withdrawn", "delivered", "erased")
_PROOF = "passed: the same key was let in; withdrawn: a full delivery holds the key no more; delivered: after a delivery that was held or missing another was let in, with the row in it where it is about a row; erased: the row is about a person who was erased by law{}."
_CONTINUES = (
    "The dispute it goes on from: the delivery that had answered that one was withdrawn, and the value is back. Null: somebody opened it."
)
_SAID = "One row a change of a ticket''s state, an export of its rows{}: who, when, counts. Append-only."


def _events(*events: str, said: str) -> None:
    listed = ", ".join(f"'{event}'" for event in events)
    op.execute("ALTER TABLE quarantine.ticket_event DROP CONSTRAINT ticket_event_event_check")
    op.execute(f"ALTER TABLE quarantine.ticket_event ADD CONSTRAINT ticket_event_event_check CHECK (event IN ({listed}))")
    op.execute(f"COMMENT ON TABLE quarantine.ticket_event IS '{_SAID.format(said)}'")


def _proofs(*kinds: str, told: str) -> None:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.execute("ALTER TABLE quarantine.proof DROP CONSTRAINT proof_kind_check")
    op.execute(f"ALTER TABLE quarantine.proof ADD CONSTRAINT proof_kind_check CHECK (kind IN ({listed}))")
    op.execute(f"COMMENT ON COLUMN quarantine.proof.kind IS '{_PROOF.format(told)}'")


def upgrade() -> None:
    """The next night escalates what is old enough by then. Deliveries withdrawn before go on proving what they proved."""
    _events(*_EVENTS, "escalated", said=", or its escalation")
    op.execute("ALTER TABLE ops.dispute ADD COLUMN continues uuid UNIQUE REFERENCES ops.dispute")
    op.execute(f"COMMENT ON COLUMN ops.dispute.continues IS '{_CONTINUES}'")
    _proofs(*_PROOFS, "taken_out", told="; taken_out: the row came with this delivery, which was withdrawn as a whole")


def downgrade() -> None:
    """Forget which night escalated what; the former version reckons it from a ticket's age. Rows of withdrawn deliveries are open again; disputes that continue others are disputes like any."""
    op.execute("ALTER TABLE ops.dispute DROP COLUMN continues")
    op.execute("DELETE FROM quarantine.proof WHERE kind = 'taken_out'")
    _proofs(*_PROOFS, told="")
    op.execute("ALTER TABLE quarantine.ticket_event DISABLE TRIGGER append_only")
    op.execute("DELETE FROM quarantine.ticket_event WHERE event = 'escalated'")
    op.execute("ALTER TABLE quarantine.ticket_event ENABLE TRIGGER append_only")
    _events(*_EVENTS, said=" or")
