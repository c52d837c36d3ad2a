"""The digest of the pool, kept as it changes: a fingerprint then costs what a night changed, not what the pool holds.

Statement triggers add the hashes of the rows that came and take away those of the rows that went. Rows are only ever
appended, so that two runs which write the same table do not wait for each other.
"""

import sqlalchemy as sa
from alembic import op

from warehouse import fingerprint

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DIGEST = """
CREATE TABLE ops.digest (
    table_name text NOT NULL,
    rows bigint NOT NULL,
    first numeric NOT NULL,
    second numeric NOT NULL
);
CREATE INDEX ON ops.digest (table_name);
COMMENT ON TABLE ops.digest IS 'One row a statement that changed a table under the fingerprint: by how many rows, and by how much the sums of their two hashes. The sums over a table are its digest.';
"""


def upgrade() -> None:
    """Count every table once, then keep count."""
    op.execute(_DIGEST)
    op.execute(fingerprint.KEEP_DIGEST)
    connection = op.get_bind()
    for table in fingerprint.tables(connection):
        fingerprint.watch(connection, table)
        fingerprint.recount(connection, table)


def downgrade() -> None:
    """Stop keeping count."""
    connection = op.get_bind()
    for table in fingerprint.tables(connection):
        for event in fingerprint.EVENTS:
            connection.execute(sa.text(f"DROP TRIGGER IF EXISTS digest_{event} ON {table}"))
    op.execute("DROP FUNCTION ops.keep_digest; DROP TABLE ops.digest")
