"""The suite of the log: by which its tree is hashed and its heads are signed, fixed by the first entry."""

from alembic import op

from hub.errors import ConfigError

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_COLUMN = """
ALTER TABLE audit.log ADD COLUMN suite text CHECK (suite IN ('international', 'sm'));
UPDATE audit.log SET suite = 'international' WHERE size > 0 OR EXISTS (SELECT FROM audit.head);
ALTER TABLE audit.log ADD CONSTRAINT log_has_suite CHECK (size = 0 OR suite IS NOT NULL);
COMMENT ON TABLE audit.log IS 'How many entries the log has (the next one''s leaf index), and by which suite it is hashed and signed.';
COMMENT ON COLUMN audit.log.suite IS 'international: SHA-256 and Ed25519; sm: SM3 and SM2. Null = there is no entry yet; the first fixes it.';
"""
_DROP_COLUMN = """
ALTER TABLE audit.log DROP COLUMN suite;
COMMENT ON TABLE audit.log IS 'How many entries the log has: the next one''s leaf index.';
"""
# The function with the parameters and the lines that differ: its rights are granted anew after every migration.
_APPEND = """
DROP FUNCTION audit.append({dropped});
CREATE FUNCTION audit.append(expected bigint, {under}clients text[], generations integer[], bodies text[], salts bytea[],
    levels smallint[], numbers bigint[], hashes bytea[], OUT state text, OUT gone text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    kept integer;
BEGIN
    -- A client revoked before this commits is told nothing: its row is held until then.
    PERFORM FROM share.client c WHERE c.client_id = ANY (clients) ORDER BY c.client_id FOR SHARE;
    SELECT array_agg(DISTINCT u.client || ' ' || u.generation) INTO gone FROM unnest(clients, generations) AS u(client, generation)
        WHERE NOT EXISTS (SELECT FROM share.client c WHERE c.client_id = u.client AND c.generation = u.generation AND c.revoked_at IS NULL);
    IF gone IS NOT NULL THEN
        state := 'gone';
        RETURN;
    END IF;
    {count}
    INSERT INTO audit.entry SELECT expected + u.ord - 1, (b.body->>'entry_id')::uuid, (b.body->>'at')::timestamptz, b.body->>'client_id',
            b.body->>'department', b.body->>'purpose', b.body->>'decision', decode(b.body->>'subject', 'hex'), u.body, u.salt
        FROM unnest(bodies, salts) WITH ORDINALITY AS u(body, salt, ord) CROSS JOIN LATERAL (SELECT u.body::jsonb AS body) AS b;
    -- A tile only grows: what it held stays its beginning.
    WITH grown AS (
        INSERT INTO audit.tile AS t SELECT * FROM unnest(levels, numbers, hashes) ON CONFLICT (level, number) DO UPDATE
            SET hashes = excluded.hashes WHERE substr(excluded.hashes, 1, length(t.hashes)) = t.hashes RETURNING 1
    ) SELECT count(*) INTO kept FROM grown;
    IF kept <> cardinality(levels) THEN
        RAISE EXCEPTION 'a tile of the log would change' USING ERRCODE = 'restrict_violation';
    END IF;
    state := 'done';
END
$$;
REVOKE ALL ON FUNCTION audit.append FROM PUBLIC;
"""
_FORMER = "bigint, text[], integer[], text[], bytea[], smallint[], bigint[], bytea[]"
_COUNT = """UPDATE audit.log SET size = size + cardinality(bodies) WHERE size = expected;
    IF NOT FOUND THEN
        state := 'moved';
        RETURN;
    END IF;"""
_COUNT_UNDER = """UPDATE audit.log l SET size = l.size + cardinality(bodies), suite = CASE WHEN cardinality(bodies) > 0 THEN under ELSE l.suite END
        WHERE l.size = expected AND (l.suite IS NULL OR l.suite = under);
    IF NOT FOUND THEN
        state := CASE WHEN EXISTS (SELECT FROM audit.log l WHERE l.suite <> under) THEN 'other suite' ELSE 'moved' END;
        RETURN;
    END IF;"""


def upgrade() -> None:
    """A log with entries, or with a head that was handed out, is international: there was no other."""
    op.execute(_COLUMN)
    op.execute(_APPEND.format(dropped=_FORMER, under="under text, ", count=_COUNT_UNDER))


def downgrade() -> None:
    """Forget the suite, which must be the one there was.

    Raises:
        ConfigError: the log is of another suite, which the former version would go on with by the wrong hash.
    """
    if op.get_bind().exec_driver_sql("SELECT EXISTS (SELECT FROM audit.log WHERE suite <> 'international')").scalar():
        raise ConfigError(
            "the log is hashed by SM3, which the former version of the warehouse does not know", where="audit.log", next_step="stay with this version",
        )  # fmt: skip
    op.execute(_APPEND.format(dropped=_FORMER.replace("bigint, text[]", "bigint, text, text[]", 1), under="", count=_COUNT))
    op.execute(_DROP_COLUMN)
