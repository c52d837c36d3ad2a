"""Access that somebody should look at is kept until somebody has: clients' days are counted as the log grows, and what rules find in them is a row."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE share.client_day (
    client_id text NOT NULL,
    day date NOT NULL,
    department text NOT NULL,
    entries bigint NOT NULL CHECK (entries > 0),
    misses bigint NOT NULL,
    refusals bigint NOT NULL,
    off_hours bigint NOT NULL,
    most_on_one bigint NOT NULL,
    first_leaf bigint NOT NULL,
    last_leaf bigint NOT NULL,
    PRIMARY KEY (client_id, day),
    CHECK (first_leaf <= last_leaf)
);
CREATE INDEX ON share.client_day (day);
COMMENT ON TABLE share.client_day IS 'One row a client and day of Asia/Shanghai: its entries in the log, counted once as the log grew. Notices, which the hub sends by itself, are not among them.';
COMMENT ON COLUMN share.client_day.misses IS 'Entries that found nobody.';
COMMENT ON COLUMN share.client_day.refusals IS 'Entries that were refused for the purpose or the way.';
COMMENT ON COLUMN share.client_day.off_hours IS 'Entries before 7 or from 20 o''clock on; of a day off every entry is one, whatever stands here.';
COMMENT ON COLUMN share.client_day.most_on_one IS 'Entries about the person it asked about most.';

CREATE TABLE share.unusual (
    unusual_id uuid PRIMARY KEY DEFAULT uuidv7(),
    client_id text NOT NULL,
    department text NOT NULL,
    rule text NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    days integer NOT NULL DEFAULT 1 CHECK (days > 0),
    found bigint NOT NULL,
    usual real,
    bound real NOT NULL,
    first_leaf bigint NOT NULL REFERENCES audit.entry,
    last_leaf bigint NOT NULL REFERENCES audit.entry,
    found_at timestamptz NOT NULL DEFAULT now(),
    grown_at timestamptz NOT NULL DEFAULT now(),
    reviewed_at timestamptz,
    reviewed_by text CHECK (reviewed_by <> ''),
    finding text CHECK (finding IN ('justified', 'unjustified')),
    words text,
    CHECK (first_day <= last_day AND first_leaf <= last_leaf),
    CHECK ((reviewed_at IS NULL) = (finding IS NULL) AND (reviewed_at IS NULL) = (reviewed_by IS NULL))
);
CREATE UNIQUE INDEX unusual_open ON share.unusual (client_id, rule) WHERE finding IS NULL;
CREATE INDEX unusual_reviewed ON share.unusual (client_id, rule, last_leaf) WHERE finding IS NOT NULL;
COMMENT ON TABLE share.unusual IS 'One row a rule that a client''s days met, until somebody reviewed it; while it is open it grows. Entries up to its last leaf count no more under that rule once it is reviewed. Numbers and places in the log, no person.';
COMMENT ON COLUMN share.unusual.rule IS 'By its name in `hub audit unusual`.';
COMMENT ON COLUMN share.unusual.days IS 'On how many days it was met.';
COMMENT ON COLUMN share.unusual.found IS 'What the rule counted on the day it was most.';
COMMENT ON COLUMN share.unusual.usual IS 'What that day is held against; null = there is no habit to hold it against.';
COMMENT ON COLUMN share.unusual.bound IS 'From what number on that day is out of the ordinary.';
COMMENT ON COLUMN share.unusual.first_leaf IS 'The client''s first entry that was looked at, and not only those about the persons it is about: which these are is written down nowhere.';
COMMENT ON COLUMN share.unusual.last_leaf IS 'Its last entry that was looked at.';

CREATE TABLE share.unusual_look (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL
);
COMMENT ON TABLE share.unusual_look IS 'How many entries of the log were looked at.';
"""
# What is there already is habit, and nothing of it is raised.
_BEGIN = """
INSERT INTO share.unusual_look SELECT true, size FROM audit.log;
INSERT INTO share.client_day
    WITH e AS (SELECT client_id, department, leaf_index, CAST(at AT TIME ZONE 'Asia/Shanghai' AS date) AS day,
            extract(hour FROM at AT TIME ZONE 'Asia/Shanghai') AS hour, decision, subject FROM audit.entry
        WHERE client_id IS NOT NULL AND decision <> 'notified' AND at >= now() - interval '60 days'),
    one AS (SELECT client_id, day, max(n) AS most FROM (SELECT client_id, day, count(*) AS n FROM e WHERE subject IS NOT NULL
        GROUP BY client_id, day, subject) AS s GROUP BY client_id, day)
    SELECT client_id, day, max(department), count(*), count(*) FILTER (WHERE decision = 'not_available'),
        count(*) FILTER (WHERE decision NOT IN ('told', 'unchanged', 'candidate', 'ambiguous', 'not_available', 'subscribed')),
        count(*) FILTER (WHERE hour < 7 OR hour >= 20), coalesce(max(one.most), 0), min(leaf_index), max(leaf_index)
    FROM e LEFT JOIN one USING (client_id, day) GROUP BY client_id, day;
"""
# Found by place as well: of a person who is asked about for years, today's entries are a few.
_INDEXES = """
DROP INDEX audit.entry_subject;
CREATE INDEX entry_subject ON audit.entry (subject, leaf_index) WHERE subject IS NOT NULL;
CREATE INDEX entry_singly ON audit.entry (client_id, leaf_index) WHERE subject IS NOT NULL AND decision IN ('told', 'unchanged')
    AND split_part(split_part(left(body, 60), '"asked":"', 2), '"', 1)
        IN ('person', 'resident_id', 'name_birth_date', 'household', 'dci_member', 'dci_group');
"""
_FORMER_INDEXES = """
DROP INDEX audit.entry_singly, audit.entry_subject;
CREATE INDEX entry_subject ON audit.entry (subject) WHERE subject IS NOT NULL;
"""


def upgrade() -> None:
    """Begin to look from the present entry on."""
    op.execute(_TABLES)
    op.execute(_INDEXES)
    op.execute(_BEGIN)


def downgrade() -> None:
    """Forget what was found; the log keeps what it was found in."""
    op.execute(_FORMER_INDEXES)
    op.execute("DROP TABLE share.unusual, share.unusual_look, share.client_day")
