"""Judgements of reviewers: appended, retracted, read back. What a pair of records is worth is decided elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse import binary_copy, questions

_SCHEMA: dict[str, type[pl.DataType]] = {
    "judgement_id": pl.String, "record_a": pl.String, "record_b": pl.String, "judgement": pl.String, "reviewer": pl.String,
    "needs_second": pl.Boolean, "stood": pl.String, "bits": pl.Float64, "judged_at": pl.Datetime,
}  # fmt: skip
_IN_FORCE: dict[str, type[pl.DataType]] = {"record_a": pl.String, "record_b": pl.String, "judgement": pl.String, "reviewers": pl.Int64}
# A record that was born earlier since it was judged; see :func:`warehouse.identity_pool.judge`.
_EARLIER = (
    "coalesce((SELECT n.record_id FROM (SELECT stem, record_key FROM history.record_revised v WHERE v.record_id = f.{0} LIMIT 1) AS k"
    " JOIN identity.record n USING (stem, record_key) WHERE n.record_id < f.{0}), f.{0})"
)
_DECIDED = (
    "SELECT DISTINCT ON (least(one, other), greatest(one, other)) least(one, other)::text, greatest(one, other)::text, judgement, reviewers"
    f" FROM (SELECT f.*, {_EARLIER.format('record_a')} AS one, {_EARLIER.format('record_b')} AS other FROM identity.judgement_in_force f) AS f"
    " WHERE one <> other ORDER BY least(one, other), greatest(one, other), (one = record_a AND other = record_b) DESC, judgement"
)
# What reviewers may not write into a reason, and values that are shown on request.
VALUES = ("name", "resident_id", "sex", "birth_date", "phone", "address", "area_code")


def lock(connection: sa.Connection) -> None:
    """Hold other reviewers up until this transaction ends: what one may say depends on what others said."""
    connection.execute(sa.text("LOCK TABLE identity.judgement IN SHARE ROW EXCLUSIVE MODE"))


def record_id(connection: sa.Connection, pointer: str) -> str:
    """The id of a record.

    Args:
        connection: an open connection.
        pointer: the id itself, or the source's stem and its key, ``stem:key``.

    Raises:
        ConfigError: there is no such record in the pool.
    """
    stem, sign, key = pointer.partition(":")
    if sign:
        found = connection.scalar(
            sa.text("SELECT record_id::text FROM identity.record WHERE stem = :stem AND record_key = :key"), {"stem": stem, "key": key}
        )
    else:
        found = connection.scalar(sa.text("SELECT record_id::text FROM identity.record WHERE record_id = :id"), {"id": as_uuid(pointer)})
    if found is None:
        raise ConfigError("there is no such record in the pool", where="RECORD", next_step="see `hub review queue` or `hub person ID`")
    return str(found)


def as_uuid(text: str, where: str = "RECORD") -> str:
    """An id in its usual form.

    Raises:
        ConfigError: the text is none.
    """
    return questions.as_uuid(text, where, "ids are UUIDs, records may be written stem:key as well")


def append(
    connection: sa.Connection, a: str, b: str, judgement: str, *, reviewer: str, reason: str, needs_second: bool,
    stood: str | None = None, bits: float | None = None, model_version: str | None = None,
) -> str:  # fmt: skip
    """Append a judgement on two different records; its id.

    Args:
        connection: a transaction.
        a, b: record ids.
        judgement: must, cannot, unsure.
        reviewer: who says so.
        reason: why.
        needs_second: whether the pair is in the sample that two reviewers must agree on.
        stood: how the pair stood (:func:`stand`).
        bits: its weight; None = not weighed.
        model_version: by which model.
    """
    row = {
        "a": min(a, b), "b": max(a, b), "judgement": judgement, "reviewer": reviewer, "reason": reason, "needs_second": needs_second,
        "stood": stood, "bits": bits, "model": model_version,
    }  # fmt: skip
    return str(
        connection.scalar(
            sa.text(
                "INSERT INTO identity.judgement (record_a, record_b, judgement, reviewer, reason, needs_second, stood, bits, model_version)"
                " VALUES (:a, :b, :judgement, :reviewer, :reason, :needs_second, :stood, :bits, :model) RETURNING judgement_id::text"
            ),
            row,
        )
    )


def retract(connection: sa.Connection, judgement_id: str, *, reviewer: str, reason: str) -> None:
    """Take a judgement back.

    Raises:
        ConfigError: there is no such judgement, or it was taken back before.
    """
    values = {"id": as_uuid(judgement_id, "JUDGEMENT"), "reviewer": reviewer, "reason": reason}
    if not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM identity.judgement WHERE judgement_id = :id)"), values):
        raise ConfigError("there is no such judgement", where="JUDGEMENT", next_step="see `hub review list`")
    if not connection.execute(
        sa.text("INSERT INTO identity.retraction (judgement_id, reviewer, reason) VALUES (:id, :reviewer, :reason) ON CONFLICT DO NOTHING"),
        values,
    ).rowcount:
        raise ConfigError("this judgement was retracted before", where="JUDGEMENT", next_step="see `hub review list --retracted`")


def _frame(
    connection: sa.Connection, query: str, schema: Mapping[str, type[pl.DataType]], values: dict[str, Any] | None = None
) -> pl.DataFrame:
    rows = connection.execute(sa.text(query), values or {}).all()
    return pl.DataFrame([tuple(r) for r in rows], schema=schema, orient="row")


def standing(connection: sa.Connection) -> pl.DataFrame:
    """Judgements that were not retracted, one row each, whether or not they decide already."""
    return _frame(
        connection,
        "SELECT judgement_id::text, record_a::text, record_b::text, judgement, reviewer, needs_second, stood, bits::float8, judged_at AT TIME ZONE 'UTC'"
        " FROM identity.judgement j WHERE NOT EXISTS (SELECT FROM identity.retraction r WHERE r.judgement_id = j.judgement_id)"
        " ORDER BY judged_at, judgement_id",
        _SCHEMA,
    )


def made(connection: sa.Connection) -> pl.DataFrame:
    """Judgements ever made, one row each: ``reviewer``, ``judgement``, ``judged_at``, ``is_retracted``."""
    return _frame(
        connection,
        "SELECT reviewer, judgement, judged_at AT TIME ZONE 'Asia/Shanghai', t.judgement_id IS NOT NULL"
        " FROM identity.judgement j LEFT JOIN (SELECT judgement_id FROM identity.retraction) AS t USING (judgement_id)",
        {"reviewer": pl.String, "judgement": pl.String, "judged_at": pl.Datetime, "is_retracted": pl.Boolean},
    )


def in_force(connection: sa.Connection) -> pl.DataFrame:
    """What is decided: one row a pair of records, must or cannot (see ``identity.judgement_in_force``), each by its id now."""
    return _frame(connection, _DECIDED, _IN_FORCE)


def waiting(connection: sa.Connection) -> int:
    """Pairs that somebody judged, and of which nothing follows before another reviewer agrees."""
    query = (
        "SELECT count(DISTINCT (j.record_a, j.record_b)) FROM identity.judgement j WHERE j.judgement <> 'unsure'"
        " AND NOT EXISTS (SELECT FROM identity.retraction t WHERE t.judgement_id = j.judgement_id)"
        " AND NOT EXISTS (SELECT FROM identity.judgement_in_force f WHERE f.record_a = j.record_a AND f.record_b = j.record_b)"
    )
    return int(connection.scalar(sa.text(query)) or 0)


def listed(
    connection: sa.Connection, *, records: Sequence[str] | None, reviewer: str | None, retracted: bool, limit: int
) -> list[dict[str, Any]]:
    """Judgements, newest first, with what became of each.

    Args:
        connection: an open connection.
        records: only those on one of these.
        reviewer: only theirs.
        retracted: also those taken back.
        limit: so many at most.
    """
    rows = connection.execute(
        sa.text(
            "SELECT j.judgement_id::text, j.record_a::text, j.record_b::text, j.judgement, j.reviewer, j.reason, j.needs_second,"
            " j.bits::float8, j.judged_at, t.reviewer AS retracted_by, t.reason AS retracted_for, t.retracted_at,"
            " CASE WHEN t.judgement_id IS NOT NULL THEN 'retracted' WHEN j.judgement = 'unsure' THEN 'nothing follows'"
            " WHEN f.judgement IS NULL THEN 'waits' WHEN f.judgement = j.judgement THEN 'in force' ELSE 'outvoted' END AS state"
            " FROM identity.judgement j LEFT JOIN identity.retraction t USING (judgement_id)"
            " LEFT JOIN identity.judgement_in_force f ON f.record_a = j.record_a AND f.record_b = j.record_b"
            " WHERE (:retracted OR t.judgement_id IS NULL) AND (CAST(:records AS uuid[]) IS NULL OR j.record_a = ANY(CAST(:records AS uuid[]))"
            " OR j.record_b = ANY(CAST(:records AS uuid[])))"
            " AND (CAST(:reviewer AS text) IS NULL OR j.reviewer = :reviewer) ORDER BY j.judged_at DESC, j.judgement_id DESC LIMIT :limit"
        ),
        {"records": None if records is None else list(records), "reviewer": reviewer, "retracted": retracted, "limit": limit},
    )
    return [dict(r._mapping) for r in rows]


def stand(connection: sa.Connection, a: str, b: str) -> tuple[str, float | None, str | None]:
    """How a pair stands: ``sure``, ``one`` or ``two``; the weight kept of it, and the model it is of. None = none is kept."""
    row = connection.execute(
        sa.text(
            "SELECT CASE WHEN x.node_id = y.node_id THEN 'sure' WHEN x.person_id = y.person_id THEN 'one' ELSE 'two' END, round(bits::numeric, 3)::float8,"
            " CASE WHEN bits IS NOT NULL THEN (SELECT made_by::text FROM ops.weighing) END FROM identity.link x JOIN identity.link y ON true"
            " LEFT JOIN identity.bond ON a = least(x.node_id, y.node_id) AND b = greatest(x.node_id, y.node_id)"
            " WHERE x.record_id = :a AND y.record_id = :b"
        ),
        {"a": a, "b": b},
    ).one()
    return row[0], row[1], row[2]


_DOUBTFUL = {
    # A number the record's own birth date contradicts is somebody else's, and says nothing of who this is.
    "numbers": (
        "id_key",
        "id_key IS NOT NULL AND (birth_date IS NULL OR birth_date = substr(id_key, 7, 8)::date"
        " OR (extract(doy FROM birth_date) = 1 AND extract(year FROM birth_date) = substr(id_key, 7, 4)::int))",
    ),
    "sexes": ("sex", "sex IN ('1', '2')"),
    "birth_years": ("extract(year FROM birth_date)", "birth_date IS NOT NULL"),
}
_CONTRADICTING = (
    "SELECT person_id, {flags} FROM identity.link JOIN identity.record USING (record_id) GROUP BY person_id HAVING count(*) > 1 AND ({any})"
)


def suspicious(connection: sa.Connection) -> pl.DataFrame:
    """Persons whose records contradict each other: ``person_id``, ``why``, and two of the records that do, ``record_a``, ``record_b``.

    One row a person and kind of contradiction: several valid numbers, sexes or birth years.
    """
    flags = {
        why: f"min({value}) FILTER (WHERE {known}) <> max({value}) FILTER (WHERE {known})" for why, (value, known) in _DOUBTFUL.items()
    }
    listed_flags = ", ".join(f"coalesce({f}, false) AS {why}" for why, f in flags.items())
    any_of = " OR ".join(f"coalesce({f}, false)" for f in flags.values())
    persons = _CONTRADICTING.format(flags=listed_flags, any=any_of)
    parts = [
        f"SELECT person_id::text, '{why}', first.record_id::text, last.record_id::text FROM contradicting c"
        + "".join(
            " CROSS JOIN LATERAL (SELECT r.record_id FROM identity.link l JOIN identity.record r USING (record_id)"
            f" WHERE l.person_id = c.person_id AND {known} ORDER BY {value} {way}, r.record_id LIMIT 1) AS {name}"
            for name, way in (("first", "ASC"), ("last", "DESC"))
        )
        + f" WHERE c.{why}"
        for why, (value, known) in _DOUBTFUL.items()
    ]
    schema = {"person_id": pl.String, "why": pl.String, "record_a": pl.String, "record_b": pl.String}
    return _frame(connection, f"WITH contradicting AS MATERIALIZED ({persons}) {' UNION ALL '.join(parts)} ORDER BY 1, 2", schema)


def weighed(connection: sa.Connection, *, clear_bits: float | None) -> pl.DataFrame:
    """Pairs of nodes with a kept weight, by their oldest records: ``record_a``, ``record_b``, ``person_a``, ``person_b``, ``bits``.

    Args:
        connection: an open connection.
        clear_bits: leave out pairs of one person with a weight of so many bits and more; None = leave out none.
    """
    where = "" if clear_bits is None else f" WHERE bits < {clear_bits} OR x.person_id <> y.person_id"
    schema = {"record_a": pl.String, "record_b": pl.String, "person_a": pl.String, "person_b": pl.String, "bits": pl.Float64}
    return _frame(
        connection,
        "SELECT a::text, b::text, x.person_id::text, y.person_id::text, round(bits::numeric, 3)::float8 FROM identity.bond"
        f" JOIN identity.link x ON x.record_id = a JOIN identity.link y ON y.record_id = b{where} ORDER BY a, b",
        schema,
    )


def sure_ties(connection: sa.Connection) -> pl.DataFrame:
    """Each record that a sure rule, not a judgement, ties to the oldest of its node: ``record_a``, ``record_b``, as integers."""
    return binary_copy.read(
        connection,
        "SELECT node_id, record_id FROM identity.link WHERE record_id <> node_id AND node_rule_id <> 'judged'",
        {"record_a": "uuid", "record_b": "uuid"},
    )


def sizes(connection: sa.Connection, persons: Sequence[str]) -> pl.DataFrame:
    """How many records some persons have: ``person_id``, ``records``."""
    query = "SELECT person_id::text, records FROM core.person WHERE person_id = ANY(CAST(:ids AS uuid[]))"
    return _frame(connection, query, {"person_id": pl.String, "records": pl.Int64}, {"ids": list(persons)})


def memberships(connection: sa.Connection, persons: Sequence[str]) -> pl.DataFrame:
    """Households of either kind that some persons belong to: ``person_id``, ``household_id``."""
    query = "SELECT DISTINCT person_id::text, household_id::text FROM core.household_member WHERE person_id = ANY(CAST(:ids AS uuid[]))"
    return _frame(connection, query, {"person_id": pl.String, "household_id": pl.String}, {"ids": list(persons)})


def quotes_a_value(connection: sa.Connection, records: Sequence[str], text: str) -> bool:
    """Whether a text quotes a name, number, telephone or address of some records."""
    return bool(
        connection.scalar(
            sa.text(
                "SELECT EXISTS (SELECT FROM identity.record, unnest(ARRAY[name, resident_id, id_key, phone, address]) AS told(value)"
                " WHERE record_id = ANY(CAST(:records AS uuid[])) AND length(value) > 1 AND position(value IN :text) > 0)"
            ),
            {"records": list(records), "text": text},
        )
    )


def note_view(connection: sa.Connection, records: Sequence[str], *, viewer: str, account: str, reason: str) -> None:
    """Write down that somebody is about to be shown values of records; to be committed before they are."""
    connection.execute(
        sa.text(
            "INSERT INTO ops.value_view (viewer, account, reason, record_ids) VALUES (:viewer, :account, :reason, CAST(:records AS uuid[]))"
        ),
        {"viewer": viewer, "account": account, "reason": reason, "records": list(records)},
    )


def values(connection: sa.Connection, records: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Values of records by record id; only for those whose view was written down by :func:`note_view`."""
    listed_columns = ", ".join(f"{c}::text" for c in VALUES)
    rows = connection.execute(
        sa.text(f"SELECT record_id::text, {listed_columns} FROM identity.record WHERE record_id = ANY(CAST(:records AS uuid[]))"),
        {"records": list(records)},
    )
    return {r.record_id: {c: r._mapping[c] for c in VALUES} for r in rows}
