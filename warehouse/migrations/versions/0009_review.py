"""What reviewers need: bonds a little below the threshold, and how a pair stood when it was judged."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COMMENT = "COMMENT ON TABLE identity.bond IS '{}: bits = log2 odds that they are one person, by the model in ops.weighing.'"


def upgrade() -> None:
    """Say so; the next night weighs the whole pool to find them."""
    op.execute(_COMMENT.format("One row a pair of nodes whose weight is a link of its own, or at most 6 bits less"))
    op.execute("UPDATE ops.weighing SET made_by = NULL")
    op.execute("ALTER TABLE identity.judgement ADD COLUMN stood text CHECK (stood IN ('sure', 'one', 'two'))")
    op.execute(
        "COMMENT ON COLUMN identity.judgement.stood IS 'How the pair stood when it was judged: tied by sure links, one person by weight, two"
        " persons; null = not known. The judgement itself changes it, so quality is told by this.'"
    )


def downgrade() -> None:
    """Leave out what is no link; the threshold is that of the model that comes with the hub, or of the adopted one."""
    op.execute("ALTER TABLE identity.judgement DROP COLUMN stood")
    op.execute(
        "DELETE FROM identity.bond WHERE bits < coalesce((SELECT (model->'weights'->>'threshold_bits')::real FROM identity.model"
        " JOIN ops.weighing ON adopted = version), 2.5)"
    )
    op.execute(_COMMENT.format("One row a pair of nodes whose weight is a link of its own"))
