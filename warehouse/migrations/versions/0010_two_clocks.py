"""Two clocks: the log of publications, what records said of earlier days, and what stood in the pool before it changed.

Current rows stay where they are. Only what was superseded is here, so a first load and a night without a change write nothing.
"""

import sqlalchemy as sa
from alembic import op

from warehouse import fingerprint

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = """
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE SCHEMA history;

CREATE TABLE ops.published (
    number bigint PRIMARY KEY,
    published_at timestamptz NOT NULL UNIQUE,
    business_date date,
    cause text NOT NULL CHECK (cause IN ('beginning', 'night', 'model', 'withdrawal'))
);
COMMENT ON TABLE ops.published IS 'One row a publication: the known clock. Appended in the transaction that publishes; a range over numbers says when the hub knew something. beginning = what stood in the pool when the clock was first wound.';
INSERT INTO ops.published SELECT p.number, now(), (SELECT max(business_date) FROM ops.night WHERE published_at IS NOT NULL), 'beginning'
    FROM ops.publication p WHERE p.number > 0;

CREATE TABLE ops.ruling (
    ruling_id uuid PRIMARY KEY DEFAULT uuidv7(),
    delivery_id uuid NOT NULL REFERENCES landing.delivery,
    ruling text NOT NULL CHECK (ruling IN ('withdrawn', 'released')),
    reason text NOT NULL CHECK (reason <> ''),
    ruled_by text NOT NULL CHECK (ruled_by <> ''),
    ruled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON ops.ruling (delivery_id);
COMMENT ON TABLE ops.ruling IS 'One row a time an engineer overruled the gate on a delivery: withdrawn = out of the pool as if it had never come, released = let in although it was held, or withdrawn before. The newest counts. Appended only.';

CREATE TABLE history.observation (
    delivery_id uuid PRIMARY KEY REFERENCES landing.delivery,
    stem text NOT NULL,
    as_of_date date NOT NULL,
    business_date date NOT NULL,
    is_full boolean NOT NULL,
    publication bigint NOT NULL,
    exceptions text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX ON history.observation (stem, as_of_date);
COMMENT ON TABLE history.observation IS 'One row a merged delivery: on its as-of date the agency showed these keys. Where a late delivery goes, and what is left when one is withdrawn, follows from it.';
COMMENT ON COLUMN history.observation.exceptions IS 'Keys: of a full delivery, those that came but were not let in, so that nothing is known of them; of a delta, those it showed unchanged.';
INSERT INTO history.observation SELECT d.delivery_id, d.stem, d.as_of_date, i.business_date, d.scope = 'full', p.number
    FROM ops.publication p, ops.intake i JOIN landing.delivery d USING (delivery_id) WHERE i.state = 'merged';

CREATE TABLE history.record (
    record_id uuid NOT NULL,
    stem text NOT NULL,
    record_key text NOT NULL,
    valid_during daterange NOT NULL CHECK (NOT lower_inf(valid_during) AND NOT upper_inf(valid_during)),
    is_withdrawn boolean NOT NULL,
    row_hash uuid NOT NULL,
    row jsonb NOT NULL,
    traits jsonb,
    changed_date date NOT NULL,
    delivery_id uuid NOT NULL,
    known_from bigint NOT NULL,
    open_until bigint NOT NULL CHECK (open_until >= known_from),
    PRIMARY KEY (record_id, valid_during WITHOUT OVERLAPS)
);
COMMENT ON TABLE history.record IS 'One row a past version of an agency record, as the hub knows it now: valid from the as-of date that first showed it to the one that showed another, or none. The version that is current stands in the table of its source.';
COMMENT ON COLUMN history.record.is_withdrawn IS 'In this time the agency did not hold the key; row is what it held before.';
COMMENT ON COLUMN history.record.row IS 'The fields of the contract.';
COMMENT ON COLUMN history.record.traits IS 'What identity is judged by, as in identity.record; null while withdrawn.';
COMMENT ON COLUMN history.record.known_from IS 'Publication that brought the version.';
COMMENT ON COLUMN history.record.open_until IS 'Publication that brought its end: before it, the version was taken to last.';

CREATE TABLE history.record_revised (
    LIKE history.record,
    known_during int8range NOT NULL CHECK (NOT upper_inf(known_during)),
    PRIMARY KEY (record_id, valid_during, known_during WITHOUT OVERLAPS)
);
ALTER TABLE history.record_revised DROP COLUMN known_from;
COMMENT ON TABLE history.record_revised IS 'One row a version that the hub took for true for a while: a late delivery, a correction of the same day or a withdrawn delivery put another in its place.';
COMMENT ON COLUMN history.record_revised.known_during IS 'Publications in which it stood.';

CREATE TABLE history.link (record_id uuid NOT NULL, known_during int8range NOT NULL, row jsonb,
    PRIMARY KEY (record_id, known_during WITHOUT OVERLAPS));
COMMENT ON TABLE history.link IS 'One row a former link of a record: what stood in identity.link in these publications; row is null while there was none.';
CREATE INDEX link_person ON history.link (((row ->> 'person_id')::uuid));

CREATE TABLE history.person (person_id uuid NOT NULL, known_during int8range NOT NULL, row jsonb,
    PRIMARY KEY (person_id, known_during WITHOUT OVERLAPS));
COMMENT ON TABLE history.person IS 'One row a former version of a person: what stood in core.person in these publications; row is null while there was none.';

CREATE TABLE history.household_member (kind text NOT NULL, person_id uuid NOT NULL, known_during int8range NOT NULL, row jsonb,
    PRIMARY KEY (person_id, kind, known_during WITHOUT OVERLAPS));
COMMENT ON TABLE history.household_member IS 'One row a former membership: what stood in core.household_member in these publications; row is null while there was none.';
CREATE INDEX household_member_household ON history.household_member (((row ->> 'household_id')::uuid));

CREATE TABLE history.household (household_id uuid NOT NULL, known_during int8range NOT NULL, row jsonb,
    PRIMARY KEY (household_id, known_during WITHOUT OVERLAPS));
COMMENT ON TABLE history.household IS 'One row a former version of a household: what stood in core.household in these publications; row is null while there was none.';
"""

_VIEWS = """
CREATE FUNCTION history.links_known(known bigint) RETURNS SETOF identity.link LANGUAGE sql STABLE AS $$
    SELECT now.* FROM identity.link now
    WHERE NOT EXISTS (SELECT FROM history.link h WHERE h.record_id = now.record_id AND h.known_during @> known)
    UNION ALL SELECT f.* FROM history.link h, jsonb_populate_record(NULL::identity.link, h.row) f
    WHERE h.known_during @> known AND h.row IS NOT NULL
$$;
CREATE FUNCTION history.persons_known(known bigint) RETURNS SETOF core.person LANGUAGE sql STABLE AS $$
    SELECT now.* FROM core.person now
    WHERE NOT EXISTS (SELECT FROM history.person h WHERE h.person_id = now.person_id AND h.known_during @> known)
    UNION ALL SELECT f.* FROM history.person h, jsonb_populate_record(NULL::core.person, h.row) f
    WHERE h.known_during @> known AND h.row IS NOT NULL
$$;
CREATE FUNCTION history.household_members_known(known bigint) RETURNS SETOF core.household_member LANGUAGE sql STABLE AS $$
    SELECT now.* FROM core.household_member now WHERE NOT EXISTS
        (SELECT FROM history.household_member h WHERE h.person_id = now.person_id AND h.kind = now.kind AND h.known_during @> known)
    UNION ALL SELECT f.* FROM history.household_member h, jsonb_populate_record(NULL::core.household_member, h.row) f
    WHERE h.known_during @> known AND h.row IS NOT NULL
$$;
CREATE FUNCTION history.households_known(known bigint) RETURNS SETOF core.household LANGUAGE sql STABLE AS $$
    SELECT now.* FROM core.household now
    WHERE NOT EXISTS (SELECT FROM history.household h WHERE h.household_id = now.household_id AND h.known_during @> known)
    UNION ALL SELECT f.* FROM history.household h, jsonb_populate_record(NULL::core.household, h.row) f
    WHERE h.known_during @> known AND h.row IS NOT NULL
$$;
COMMENT ON FUNCTION history.links_known IS 'identity.link as it stood in a publication.';
COMMENT ON FUNCTION history.persons_known IS 'core.person as it stood in a publication.';
COMMENT ON FUNCTION history.household_members_known IS 'core.household_member as it stood in a publication.';
COMMENT ON FUNCTION history.households_known IS 'core.household as it stood in a publication.';

CREATE FUNCTION history.past_versions(valid date, known bigint)
RETURNS TABLE (record_id uuid, valid_from date, is_withdrawn boolean, traits jsonb, delivery_id uuid) LANGUAGE sql STABLE AS $$
    SELECT record_id, lower(valid_during), is_withdrawn, traits, delivery_id FROM history.record
    WHERE known_from <= known AND lower(valid_during) <= valid AND (valid < upper(valid_during) OR known < open_until)
    UNION ALL SELECT record_id, lower(valid_during), is_withdrawn, traits, delivery_id FROM history.record_revised
    WHERE known_during @> known AND lower(valid_during) <= valid AND (valid <@ valid_during OR known < open_until)
$$;
COMMENT ON FUNCTION history.past_versions IS 'The versions of records that were valid on a date by what was known in a publication, as far as they are not current.';

CREATE FUNCTION history.records_valid(valid date, known bigint) RETURNS SETOF identity.record LANGUAGE sql STABLE AS $$
    SELECT now.* FROM identity.record now JOIN history.links_known(known) USING (record_id)
    WHERE now.as_of_date <= valid AND NOT EXISTS (SELECT FROM history.past_versions(valid, known) p WHERE p.record_id = now.record_id)
    UNION ALL SELECT f.* FROM history.past_versions(valid, known) p, jsonb_populate_record(NULL::identity.record,
        p.traits || jsonb_build_object('record_id', p.record_id, 'as_of_date', p.valid_from, 'delivery_id', p.delivery_id)) f
    WHERE NOT p.is_withdrawn
$$;
COMMENT ON FUNCTION history.records_valid IS 'Records as they were valid on a date, by what was known in a publication: the rows identity.record would hold.';
"""

_AGENCIES = """
SELECT format('%I.%I', table_schema, table_name) FROM information_schema.columns WHERE table_schema = 'core' AND column_name = 'row_hash'
"""
_BOOKS = "delivered = rejected + quarantined + unchanged + inserted + updated"


def _rename_check(books: str) -> None:
    op.execute(
        "DO $$ DECLARE found text; BEGIN SELECT conname INTO STRICT found FROM pg_constraint WHERE conrelid = 'ops.intake'::regclass"
        " AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%delivered%'; EXECUTE format('ALTER TABLE ops.intake DROP CONSTRAINT %I', found);"
        f" END $$; ALTER TABLE ops.intake ADD CONSTRAINT intake_books CHECK (state <> 'merged' OR {books})"
    )


def _states(more: str) -> None:
    op.execute("ALTER TABLE ops.intake DROP CONSTRAINT intake_state_check")
    op.execute("ALTER TABLE ops.intake ADD CONSTRAINT intake_state_check CHECK (state IN ('pending', 'not_due', 'fetched', 'landed',"
               f" 'parsed', 'accepted', 'held', 'failed', {more}'merged'))")  # fmt: skip


def upgrade() -> None:
    """Wind the known clock: what is in the pool now is known since now."""
    op.execute(_TABLES)
    op.execute(_VIEWS)
    for table in ("ops.published", "ops.ruling"):
        op.execute(f"CREATE TRIGGER only_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
                   " FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change()")  # fmt: skip
    _states("'withdrawn', ")
    connection = op.get_bind()
    op.execute("ALTER TABLE ops.intake ADD COLUMN past bigint NOT NULL DEFAULT 0")
    op.execute(
        "COMMENT ON COLUMN ops.intake.past IS 'Rows of a late delivery that say something of the past alone: what is current stays.'"
    )
    _rename_check(f"{_BOOKS} + past")
    op.execute(fingerprint.KEEP_DIGEST)
    for table in connection.scalars(sa.text(_AGENCIES)).all():
        number = connection.scalar(sa.text("SELECT number FROM ops.publication"))
        op.execute(f"ALTER TABLE {table} ADD COLUMN known_from bigint NOT NULL DEFAULT {number}")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN known_from DROP DEFAULT")
    fingerprint.watch(connection, "history.record")
    fingerprint.recount(connection, "history.record")  # it may have been here before


def downgrade() -> None:
    """Forget both clocks; the pool stays as it is."""
    connection = op.get_bind()
    for table in connection.scalars(sa.text(_AGENCIES)).all():
        op.execute(f"ALTER TABLE {table} DROP COLUMN known_from")
    op.execute("UPDATE ops.intake SET unchanged = unchanged + past WHERE past > 0")
    op.execute("ALTER TABLE ops.intake DROP CONSTRAINT intake_books; ALTER TABLE ops.intake DROP COLUMN past")
    op.execute(f"ALTER TABLE ops.intake ADD CONSTRAINT intake_books CHECK (state <> 'merged' OR {_BOOKS})")
    op.execute("UPDATE ops.intake SET state = 'held' WHERE state = 'withdrawn'")
    _states("")
    op.execute("DROP SCHEMA history CASCADE; DROP TABLE ops.published, ops.ruling")
