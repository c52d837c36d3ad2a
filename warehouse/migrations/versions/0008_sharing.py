"""Who may ask, and what was told: clients, and a log that is a Merkle tree.

The log is appended to by one function, which checks in the same transaction that every client that is told something is still in
force. What was written is never changed; an entry may be erased by law, its place in the tree stays.
"""

from alembic import op

from warehouse import fingerprint

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = """
CREATE SCHEMA share;
CREATE SCHEMA audit;

CREATE TABLE share.client (
    client_id text PRIMARY KEY CHECK (client_id ~ '^[a-z][a-z0-9-]{2,39}$'),
    department text NOT NULL,
    title text NOT NULL,
    purposes text[],
    public_keys jsonb,
    generation integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
COMMENT ON TABLE share.client IS 'One row a program of a department that may ask. A revoked client stays, so that the log can be read.';
COMMENT ON COLUMN share.client.purposes IS 'Purposes it may name; null = all its department has.';
COMMENT ON COLUMN share.client.public_keys IS 'JSON Web Key Set by which it signs its assertions (RFC 7523); null = it uses a secret.';
COMMENT ON COLUMN share.client.generation IS 'Tokens of an earlier generation are refused.';

CREATE TABLE share.client_secret (
    secret_id uuid PRIMARY KEY DEFAULT uuidv7(),
    client_id text NOT NULL REFERENCES share.client,
    hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);
CREATE INDEX ON share.client_secret (client_id);
COMMENT ON TABLE share.client_secret IS 'One row a secret of a client, as a scrypt hash; two are in force while one takes the place of the other.';
COMMENT ON COLUMN share.client_secret.expires_at IS 'Null = until another takes its place.';

CREATE TABLE share.used_assertion (
    client_id text NOT NULL,
    jti text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, jti)
);
COMMENT ON TABLE share.used_assertion IS 'One row a signed assertion that was taken: a second time it is refused. Rows whose assertion has run out mean nothing.';

CREATE TABLE share.applied (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version text NOT NULL,
    stems text[] NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE share.applied IS 'The policy the database holds, and the sources whose tables it knew.';

CREATE TABLE audit.log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL DEFAULT 0
);
INSERT INTO audit.log DEFAULT VALUES;
COMMENT ON TABLE audit.log IS 'How many entries the log has: the next one''s leaf index.';

CREATE TABLE audit.entry (
    leaf_index bigint PRIMARY KEY,
    entry_id uuid NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    client_id text,
    department text,
    purpose text,
    decision text NOT NULL,
    subject bytea,
    body text,
    salt bytea
);
CREATE INDEX entry_subject ON audit.entry (subject) WHERE subject IS NOT NULL;
CREATE INDEX entry_department ON audit.entry (department, leaf_index);
COMMENT ON TABLE audit.entry IS 'One row a person told of, or refused, to a client. body is the canonical JSON that salt and leaf commit to; both are null once erased by law. Appended only.';
COMMENT ON COLUMN audit.entry.subject IS 'Keyed hash of the person: found by those who hold the key. Null = no person was named, or the entry is erased.';

CREATE TABLE audit.tile (
    level smallint NOT NULL,
    number bigint NOT NULL,
    hashes bytea NOT NULL CHECK (length(hashes) % 32 = 0 AND length(hashes) <= 8192),
    PRIMARY KEY (level, number)
);
COMMENT ON TABLE audit.tile IS 'One row 256 hashes side by side in the Merkle tree (RFC 6962): level 0 holds leaf hashes, each level above the roots of full tiles below.';

CREATE TABLE audit.head (
    size bigint NOT NULL,
    root bytea NOT NULL,
    signed_at timestamptz NOT NULL,
    checkpoint text NOT NULL,
    PRIMARY KEY (size, signed_at)
);
COMMENT ON TABLE audit.head IS 'One row a signed tree head that was handed out. Appended only.';

CREATE TABLE audit.erasure (
    leaf_index bigint PRIMARY KEY REFERENCES audit.entry,
    reason text NOT NULL CHECK (reason <> ''),
    erased_by text NOT NULL CHECK (erased_by <> ''),
    erased_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit.erasure IS 'One row an entry erased by law, and why. Appended only.';

CREATE FUNCTION audit.only_erase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.body IS NULL AND NEW.salt IS NULL AND NEW.subject IS NULL AND NEW.leaf_index = OLD.leaf_index AND NEW.entry_id = OLD.entry_id
        AND EXISTS (SELECT FROM audit.erasure e WHERE e.leaf_index = OLD.leaf_index) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit.entry is appended to, never changed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER only_erased BEFORE UPDATE ON audit.entry FOR EACH ROW EXECUTE FUNCTION audit.only_erase();

CREATE FUNCTION audit.append(expected bigint, clients text[], generations integer[], bodies text[], salts bytea[],
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
    UPDATE audit.log SET size = size + cardinality(bodies) WHERE size = expected;
    IF NOT FOUND THEN
        state := 'moved';
        RETURN;
    END IF;
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

CREATE FUNCTION share.today() RETURNS date LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS
    $$ SELECT max(business_date) FROM ops.night WHERE published_at IS NOT NULL $$;
COMMENT ON FUNCTION share.today IS 'The day answers speak of: that of the last published night. Null before the first.';
"""
_APPENDED = {"audit.entry": "DELETE OR TRUNCATE", "audit.head": "UPDATE OR DELETE OR TRUNCATE", "audit.erasure": "UPDATE OR DELETE OR TRUNCATE",
             "audit.tile": "DELETE OR TRUNCATE"}  # fmt: skip


def upgrade() -> None:
    """Make both rooms; generated columns, which say nothing new, stay out of the digest."""
    op.execute(_TABLES)
    for table, events in _APPENDED.items():
        op.execute(f"CREATE TRIGGER only_appended BEFORE {events} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()")
    op.execute(fingerprint.KEEP_DIGEST)


def downgrade() -> None:
    """Forget clients and log, and take away what a policy put into other rooms."""
    op.execute(
        "DO $$ DECLARE one record; BEGIN"
        " FOR one IN SELECT schemaname, viewname FROM pg_views WHERE schemaname = 'share' LOOP"
        "   EXECUTE format('DROP VIEW %I.%I', one.schemaname, one.viewname); END LOOP;"
        " FOR one IN SELECT polrelid::regclass AS rel, polname FROM pg_policy WHERE polname LIKE 'share_%' LOOP"
        "   EXECUTE format('DROP POLICY %I ON %s', one.polname, one.rel);"
        "   EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', one.rel); END LOOP;"
        " FOR one IN SELECT attrelid::regclass AS rel, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        "   WHERE attgenerated = 'v' AND relnamespace = 'core'::regnamespace AND NOT attisdropped LOOP"
        "   EXECUTE format('ALTER TABLE %s DROP COLUMN %I', one.rel, one.attname); END LOOP; END $$"
    )
    op.execute("DROP SCHEMA share CASCADE; DROP SCHEMA audit CASCADE")
