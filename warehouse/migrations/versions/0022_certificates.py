"""Clients bound to a certificate of TLS."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No client is bound to one."""
    op.execute("ALTER TABLE share.client ADD COLUMN certificate text CHECK (certificate ~ '^[A-Za-z0-9_-]{43}$')")
    op.execute(
        "COMMENT ON COLUMN share.client.certificate IS 'SHA-256 thumbprint of the certificate it must show in TLS, base64url (RFC 8705); null = none is asked of it.'"
    )


def downgrade() -> None:
    """Forget them: bound clients then ask without one."""
    op.execute("ALTER TABLE share.client DROP COLUMN certificate")
