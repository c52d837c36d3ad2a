"""The whole pool of another time: golden values of a day in one set, and every version with both its ranges in one view each."""

from alembic import op

from warehouse import survivorship

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_CLOCK = """
CREATE FUNCTION history.publication_at(instant timestamptz) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT max(number) FROM ops.published WHERE published_at <= instant
$$;
COMMENT ON FUNCTION history.publication_at IS 'The last publication at an instant; null = the hub knew nothing then.';
"""
# Tables of sources come with their contracts, so they are looked up; a view that named them would stand in their way.
_RECORDS = """
CREATE FUNCTION history.current_versions()
RETURNS TABLE (record_id uuid, stem text, record_key text, valid_from date, is_withdrawn boolean, delivery_id uuid, known_from bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE source text;
BEGIN
    FOR source IN SELECT c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'core'::regnamespace AND c.relkind = 'r' AND a.attname = 'row_hash' ORDER BY c.relname LOOP
        RETURN QUERY EXECUTE format('SELECT record_id, %L::text, record_key, as_of_date, withdrawn_date IS NOT NULL, delivery_id, known_from FROM core.%I',
            source, source);
    END LOOP;
END
$$;
COMMENT ON FUNCTION history.current_versions IS 'The newest version of every record, of all sources: valid, and known, until further notice.';

CREATE VIEW history.record_versions AS
SELECT record_id, stem, record_key, is_withdrawn, delivery_id, valid_during, known_during FROM (
    SELECT record_id, stem, record_key, is_withdrawn, delivery_id, daterange(valid_from, NULL) AS valid_during, int8range(known_from, NULL) AS known_during
        FROM history.current_versions()
    UNION ALL SELECT record_id, stem, record_key, is_withdrawn, delivery_id, daterange(lower(valid_during), NULL), int8range(known_from, open_until)
        FROM history.record
    UNION ALL SELECT record_id, stem, record_key, is_withdrawn, delivery_id, valid_during, int8range(open_until, NULL) FROM history.record
    UNION ALL SELECT record_id, stem, record_key, is_withdrawn, delivery_id, daterange(lower(valid_during), NULL), known_during * int8range(NULL, open_until)
        FROM history.record_revised
    UNION ALL SELECT record_id, stem, record_key, is_withdrawn, delivery_id, valid_during, known_during * int8range(open_until, NULL)
        FROM history.record_revised
) AS v WHERE NOT isempty(known_during);
COMMENT ON VIEW history.record_versions IS 'One row a rectangle: on these days a record was this version, as the hub knew it in these publications. Current and past ones; no two of a record overlap.';
COMMENT ON COLUMN history.record_versions.valid_during IS 'Days; without an end while none was known.';
COMMENT ON COLUMN history.record_versions.known_during IS 'Publications; without an end: the hub still says so.';
COMMENT ON COLUMN history.record_versions.is_withdrawn IS 'On these days the agency did not hold the key.';
"""
_KEPT = {
    "link": ("identity.link", ("record_id",)),
    "person": ("core.person", ("person_id",)),
    "household_member": ("core.household_member", ("kind", "person_id")),
    "household": ("core.household", ("household_id",)),
}
_STOOD = """
CREATE VIEW history.{name}_versions AS SELECT {keys}, known_during, row FROM history.{name} WHERE row IS NOT NULL
UNION ALL SELECT {own}, int8range(coalesce((SELECT max(upper(h.known_during)) FROM history.{name} h WHERE {same}),
    (SELECT min(number) FROM ops.published)), NULL), to_jsonb(c) FROM {table} c;
COMMENT ON VIEW history.{name}_versions IS 'One row a time for which publications said the same of a {title}, current and past. What it was on a day is made of the records that were valid on it.';
COMMENT ON COLUMN history.{name}_versions.known_during IS 'Publications; without an end: it still stands.';
"""
_JUDGEMENTS = """
CREATE VIEW history.judgement_versions AS SELECT record_a, record_b, judgement, daterange(NULL, NULL) AS valid_during, known_during FROM history.judgement;
COMMENT ON VIEW history.judgement_versions IS 'One row a time for which publications heeded a judgement: of whatever day.';
"""


def upgrade() -> None:
    """What was there already can be asked as a whole."""
    op.execute(_CLOCK)
    op.execute(_RECORDS)
    for name, (table, key) in _KEPT.items():
        op.execute(
            _STOOD.format(
                name=name, table=table, title=name.replace("_", " "), keys=", ".join(key), own=", ".join(f"c.{k}" for k in key),
                same=" AND ".join(f"h.{k} = c.{k}" for k in key),
            )
        )  # fmt: skip
    op.execute(_JUDGEMENTS)
    survivorship.write_function(op.get_bind())


def downgrade() -> None:
    """Ask by the tables again."""
    op.execute("DROP FUNCTION history.persons_valid")
    for name in ("judgement", *_KEPT, "record"):
        op.execute(f"DROP VIEW history.{name}_versions")
    op.execute("DROP FUNCTION history.current_versions; DROP FUNCTION history.publication_at")
