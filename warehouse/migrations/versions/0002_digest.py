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

CREATE FUNCTION ops.keep_digest() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    listed text;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO ops.digest SELECT changed, -sum(rows), -sum(first), -sum(second) FROM ops.digest
            WHERE table_name = changed HAVING count(*) > 0;
        RETURN NULL;
    END IF;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) INTO listed FROM pg_attribute
        WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped AND attname <> 'delivery_id';
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        EXECUTE format('INSERT INTO ops.digest SELECT %L, count(*), sum(hash_record_extended(t, 1)::numeric),'
            ' sum(hash_record_extended(t, 2)::numeric) FROM (SELECT %s FROM came) AS t HAVING count(*) > 0', changed, listed);
    END IF;
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        EXECUTE format('INSERT INTO ops.digest SELECT %L, -count(*), -sum(hash_record_extended(t, 1)::numeric),'
            ' -sum(hash_record_extended(t, 2)::numeric) FROM (SELECT %s FROM went) AS t HAVING count(*) > 0', changed, listed);
    END IF;
    RETURN NULL;
END
$$;
"""


def upgrade() -> None:
    """Count every table once, then keep count."""
    op.execute(_DIGEST)
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
