"""Persons erased by law (Personal Information Protection Law, art. 47): taking their values out of everything, and what is left of them.

Left are ids and times: that there was a person, which records it had, who decided its erasure, and the log of who was told of it. Values are
known again by keyed hashes alone (``ops.erasure_mark``), so that what an agency goes on sending is kept out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from hub.errors import ConfigError
from warehouse import agency_tables, traces

SECRET = "erasure.key"  # name of the secret that marks are made with


@dataclass(frozen=True)
class Record:
    """A record of a person. ``record_key`` and ``stem`` are how its agency knows it."""

    record_id: str
    stem: str
    record_key: str
    first_seen_date: date | None


@dataclass(frozen=True)
class Mark:
    """A keyed hash by which something erased is known again; ``stem`` is None unless it is a record's key."""

    kind: str
    stem: str | None
    mark: bytes


def marks_of(entry: dict[str, Any]) -> list[Mark]:
    """The marks of an erasure as :func:`register` gives it."""
    return [Mark(m["kind"], m["stem"], bytes.fromhex(m["mark"])) for m in entry["marks"]]


@dataclass(frozen=True)
class Erasure:
    """One person erased; a row of ``ops.erasure``.

    Attributes:
        records: how many the person had.
        finished_at: None while landing still holds something.
        lifted_at: None while what agencies send is kept out.
        traces_in: tables whose files may still hold values in space that is free.
    """

    erasure_id: str
    person_id: str
    basis: str
    reason: str
    erased_by: str
    confirmed_by: str
    erased_at: datetime
    records: int
    finished_at: datetime | None
    lifted_at: datetime | None
    traces_in: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to do."""
        return self.finished_at is not None and not self.traces_in


def _run(connection: sa.Connection, values: dict[str, Any], *statements: str) -> None:
    for statement in statements:
        connection.execute(sa.text(statement), values)


def _tables(connection: sa.Connection, stems: Iterable[str]) -> dict[str, str]:
    """Tables of the sources that have one."""
    found = {stem: agency_tables.core_table(stem) for stem in stems}
    return {s: t for s, t in found.items() if connection.scalar(sa.text("SELECT to_regclass(:table)"), {"table": t})}


# Held now, or withdrawn and last linked to the person, by whatever id it was answered to then.
_RECORDS = """
WITH own AS (
    SELECT CAST(:person AS uuid) AS person_id UNION SELECT old_person_id FROM identity.redirect WHERE person_id = CAST(:person AS uuid)
)
SELECT record_id::text FROM identity.link WHERE person_id = CAST(:person AS uuid)
UNION SELECT h.record_id::text FROM history.link h JOIN own ON (h.row ->> 'person_id')::uuid = own.person_id
WHERE NOT EXISTS (SELECT FROM identity.link l WHERE l.record_id = h.record_id)
    AND NOT EXISTS (SELECT FROM history.link o WHERE o.record_id = h.record_id AND o.row IS NOT NULL AND lower(o.known_during) >= upper(h.known_during))
"""


def records_of(connection: sa.Connection, stems: Iterable[str], person_id: str) -> list[Record]:
    """The records of a person, those that its agency no longer holds among them."""
    ids = connection.scalars(sa.text(_RECORDS), {"person": person_id}).all()
    return records_by_id(connection, stems, ids)


def records_by_id(connection: sa.Connection, stems: Iterable[str], ids: Sequence[str]) -> list[Record]:
    """Records by their ids, one row each, wherever they are kept; those that are nowhere are left out."""
    parts = [
        f"SELECT record_id, '{stem}' AS stem, record_key, first_seen_date FROM {table} WHERE record_id = ANY(CAST(:ids AS uuid[]))"
        for stem, table in _tables(connection, stems).items()
    ]
    parts += [
        f"SELECT record_id, stem, record_key, NULL FROM {table} WHERE record_id = ANY(CAST(:ids AS uuid[]))"
        for table in ("history.record", "history.record_revised")
    ]
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT ON (record_id) record_id::text, stem, record_key, first_seen_date"
            f" FROM ({' UNION ALL '.join(parts)}) AS r ORDER BY record_id, first_seen_date NULLS LAST"
        ),
        {"ids": list(ids)},
    )
    return [Record(**row._mapping) for row in rows]


def without_others(connection: sa.Connection, stems: Iterable[str], records: Sequence[Record]) -> list[Record]:
    """Those of some records whose key is not another record's by now: an agency may have given it to somebody else."""
    values = {"ids": [r.record_id for r in records], "keys": [r.record_key for r in records]}
    others = {
        (stem, key)
        for stem, table in _tables(connection, stems).items()
        for key in connection.scalars(
            sa.text(f"SELECT record_key FROM {table} WHERE record_key = ANY(:keys) AND record_id <> ALL(CAST(:ids AS uuid[]))"), values
        )
    }
    return [r for r in records if (r.stem, r.record_key) not in others]


def keys(connection: sa.Connection, stems: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Stem, key and id of every record the pool knows or ever knew."""
    parts = [f"SELECT '{stem}' AS stem, record_key, record_id FROM {table}" for stem, table in _tables(connection, stems).items()]
    parts += [f"SELECT stem, record_key, record_id FROM {table}" for table in ("history.record", "history.record_revised")]
    for row in connection.execute(sa.text(f"SELECT stem, record_key, record_id::text FROM ({' UNION '.join(parts)}) AS r")):
        yield row.stem, row.record_key, row.record_id


def extent(connection: sa.Connection, ids: Sequence[str]) -> tuple[int, int]:
    """Past versions of some records, and how many deliveries lie in landing."""
    versions = " + ".join(
        f"(SELECT count(*) FROM {table} WHERE record_id = ANY(CAST(:ids AS uuid[])))"
        for table in ("history.record", "history.record_revised")
    )
    row = connection.execute(sa.text(f"SELECT {versions}, (SELECT count(*) FROM landing.delivery)"), {"ids": list(ids)}).one()
    return int(row[0]), int(row[1])


def known_by(connection: sa.Connection, ids: Sequence[str]) -> list[tuple[str, str | None]]:
    """Identity number and name, as identity compares them, in every version of some records."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT id_key, name_key FROM (SELECT id_key, name_key FROM identity.record WHERE record_id = ANY(CAST(:ids AS uuid[]))"
            + "".join(
                f" UNION ALL SELECT traits ->> 'id_key', traits ->> 'name_key' FROM {t} WHERE record_id = ANY(CAST(:ids AS uuid[]))"
                for t in ("history.record", "history.record_revised")
            )
            + ") AS v WHERE id_key IS NOT NULL ORDER BY 1, 2"
        ),
        {"ids": list(ids)},
    )
    return [tuple(row) for row in rows]


def held_keys(connection: sa.Connection, stem: str, candidates: Sequence[str]) -> frozenset[str]:
    """Those of some keys of a source that the pool knows."""
    tables = _tables(connection, [stem])
    if not tables or not candidates:
        return frozenset()
    query = f"SELECT record_key FROM {tables[stem]} WHERE record_key = ANY(:keys)"
    return frozenset(connection.scalars(sa.text(query), {"keys": list(candidates)}))


def forget(connection: sa.Connection, records: Sequence[Record], *, publication: int) -> None:
    """Take the values of records, which are out of the pool already, out of all that is kept of the past; part of that transaction.

    Args:
        connection: the transaction.
        records: the erased ones.
        publication: the one that this transaction makes.
    """
    ids = [r.record_id for r in records]
    values: dict[str, Any] = {"ids": ids, "number": publication}
    of_these = "ANY(CAST(:ids AS uuid[]))"
    _run(
        connection, values,
        f"DELETE FROM history.record WHERE record_id = {of_these}",
        f"DELETE FROM history.record_revised WHERE record_id = {of_these}",
        # Golden values that these records made, or helped to: of the person, and of any other one they were ever put to.
        "CREATE TEMP TABLE was_of ON COMMIT DROP AS SELECT CAST(row ->> 'person_id' AS uuid) AS person_id, known_during FROM history.link"
        f" WHERE record_id = {of_these} AND row IS NOT NULL",
        "UPDATE history.person p SET row = jsonb_build_object('person_id', p.person_id, 'records', row -> 'records', 'sources', row -> 'sources',"
        " 'as_of_date', row -> 'as_of_date') FROM was_of w WHERE p.person_id = w.person_id AND p.known_during && w.known_during AND row IS NOT NULL",
        "UPDATE history.household_member m SET row = row || '{\"relation\": null}' FROM was_of w WHERE m.person_id = w.person_id"
        " AND m.known_during && w.known_during AND row IS NOT NULL",
        f"UPDATE history.change SET reasons = '{{erased}}' WHERE publication = :number AND kind = 'record' AND subject_id = {of_these}",
        "UPDATE history.change SET reasons = '{erased}' WHERE publication = :number AND kind = 'person' AND change = 'gone'"
        " AND subject_id IN (SELECT person_id FROM was_of)",
    )  # fmt: skip
    for stem in {r.stem for r in records}:
        _run(
            connection, {"stem": stem, "keys": [r.record_key for r in records if r.stem == stem]},
            "UPDATE history.observation SET exceptions = ARRAY(SELECT k FROM unnest(exceptions) AS k WHERE k <> ALL(:keys))"
            " WHERE stem = :stem AND exceptions && :keys",
        )  # fmt: skip
    # What people wrote about them in words, and hashes a value could be guessed by.
    _unlocked(
        connection,
        "identity.judgement",
        f"UPDATE identity.judgement SET reason = 'erased' WHERE record_a = {of_these} OR record_b = {of_these}",
        values,
    )
    _unlocked(
        connection, "identity.retraction", "UPDATE identity.retraction r SET reason = 'erased' FROM identity.judgement j"
        f" WHERE j.judgement_id = r.judgement_id AND (record_a = {of_these} OR record_b = {of_these})", values,
    )  # fmt: skip
    _unlocked(
        connection,
        "ops.dispute",
        f"UPDATE ops.dispute SET value_ref = gen_random_uuid(), details = NULL WHERE record_id = {of_these}",
        values,
    )
    _unlocked(
        connection, "ops.dispute_event", "UPDATE ops.dispute_event e SET words = 'erased' FROM ops.dispute d WHERE d.dispute_id = e.dispute_id"
        f" AND d.record_id = {of_these} AND words IS NOT NULL", values,
    )  # fmt: skip


def forget_answers(connection: sa.Connection) -> None:
    """Forget comparisons of departments that are kept as files, whomever they are about; one that is under way begins anew, without the erased."""
    _run(
        connection, {},
        "DELETE FROM share.compare_job WHERE state IN ('done', 'failed', 'cancelled')",
        "DELETE FROM share.compare_part WHERE kind <> 'input'",
        "UPDATE share.compare_job SET state = 'queued', rows_done = 0, told_rows = 0, not_available_rows = 0, ambiguous_rows = 0, malformed_rows = 0,"
        " output_bytes = 0, output_parts = 0, worked_s = 0 WHERE state = 'running'",
    )  # fmt: skip


def _unlocked(connection: sa.Connection, table: str, statement: str, values: dict[str, Any]) -> None:
    """Change rows of a table that is only appended to otherwise: what the law wants erased is the one exception, and its owner's alone."""
    connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    connection.execute(sa.text(statement), values)
    connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def end_disputes(connection: sa.Connection, records: Sequence[Record], day: date, actor: str) -> None:
    """End the open disputes of erased records: there is nothing left to dispute."""
    connection.execute(
        sa.text(
            "INSERT INTO ops.dispute_event (dispute_id, event, business_date, actor, words) SELECT dispute_id, 'withdrawn', :day, :actor, 'erased'"
            " FROM ops.dispute d WHERE record_id = ANY(CAST(:ids AS uuid[]))"
            " AND NOT EXISTS (SELECT FROM ops.dispute_event e WHERE e.dispute_id = d.dispute_id AND e.event <> 'open')"
        ),
        {"ids": [r.record_id for r in records], "day": day, "actor": actor},
    )


def settle_quarantine(connection: sa.Connection, delivery_id: str, row_numbers: Sequence[int]) -> None:
    """Take erased rows of a delivery out of quarantine: their items are settled by that, and no longer tell which key they were of."""
    values = {"delivery": delivery_id, "rows": list(row_numbers), "pepper": _pepper(connection)}
    here = "delivery_id = CAST(:delivery AS uuid) AND row_number = ANY(:rows)"
    _run(
        connection, values,
        f"DELETE FROM quarantine.row WHERE {here}",
        "INSERT INTO quarantine.proof (item_id, kind, delivery_id) SELECT item_id, 'erased', delivery_id FROM quarantine.item i"
        f" WHERE {here} AND NOT EXISTS (SELECT FROM quarantine.proof p WHERE p.item_id = i.item_id)",
    )  # fmt: skip
    _unlocked(
        connection, "quarantine.item", f"UPDATE quarantine.item SET key_ref = md5(key_ref::text || :pepper)::uuid WHERE {here}", values
    )


def _pepper(connection: sa.Connection) -> str:
    return str(connection.scalar(sa.text("SELECT gen_random_uuid()")))


# -- the register --------------------------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "erasure_id::text, person_id::text, basis, reason, erased_by, confirmed_by, erased_at,"
    " (SELECT count(*) FROM ops.erased_record r WHERE r.erasure_id = e.erasure_id) AS records, finished_at, lifted_at, traces_in"
)


def add(connection: sa.Connection, entry: dict[str, Any], records: Sequence[Record], *, publication: int) -> None:
    """Write an erasure down.

    Args:
        connection: the publishing transaction.
        entry: as :func:`register` gives it.
        records: those erased here.
        publication: the one that this transaction makes.
    """
    connection.execute(
        sa.text(
            "INSERT INTO ops.erasure (erasure_id, person_id, basis, reason, erased_by, confirmed_by, erased_at, publication, traces_in)"
            " VALUES (CAST(:erasure_id AS uuid), CAST(:person_id AS uuid), :basis, :reason, :erased_by, :confirmed_by, :erased_at, :publication, :traces)"
        ),
        {**entry, "publication": publication, "traces": traces.tables(connection)},
    )
    if records:
        connection.execute(
            sa.text("INSERT INTO ops.erased_record VALUES (CAST(:erasure AS uuid), CAST(:record_id AS uuid), :stem, :first_seen_date)"),
            [{**asdict(r), "erasure": entry["erasure_id"]} for r in records],
        )
    connection.execute(
        sa.text("INSERT INTO ops.erasure_mark VALUES (CAST(:erasure AS uuid), :kind, :stem, :mark)"),
        [{**asdict(m), "erasure": entry["erasure_id"]} for m in marks_of(entry)],
    )


def listed(connection: sa.Connection) -> list[Erasure]:
    """All erasures, oldest first."""
    return [
        Erasure(**row._mapping)
        for row in connection.execute(sa.text(f"SELECT {_COLUMNS} FROM ops.erasure e ORDER BY erased_at, erasure_id"))
    ]


def one(connection: sa.Connection, erasure_id: str) -> Erasure | None:
    """An erasure by its id or the beginning of it; None = there is none, or more than one."""
    rows = connection.execute(
        sa.text(f"SELECT {_COLUMNS} FROM ops.erasure e WHERE starts_with(erasure_id::text, :id)"), {"id": erasure_id}
    ).all()
    return Erasure(**rows[0]._mapping) if len(rows) == 1 and erasure_id else None


def of_person(connection: sa.Connection, person_id: str) -> Erasure | None:
    """The newest erasure of a person, by any id it or one of its records had; None = it was not erased."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM ops.erasure e WHERE person_id = CAST(:id AS uuid) OR EXISTS (SELECT FROM ops.erased_record r"
            " WHERE r.erasure_id = e.erasure_id AND record_id = CAST(:id AS uuid)) ORDER BY erased_at DESC LIMIT 1"
        ),
        {"id": person_id},
    ).one_or_none()
    return Erasure(**row._mapping) if row else None


def tell(connection: sa.Connection, person_id: str) -> None:
    """Say so if an id is that of an erased person.

    Raises:
        ConfigError: it is.
    """
    found = of_person(connection, person_id)
    if found is not None:
        raise ConfigError(f"this person was erased by law on {found.erased_at:%Y-%m-%d}", where="ID", next_step="see `hub erasure list`")


def marks(connection: sa.Connection, *, pending_only: bool = False) -> list[Mark]:
    """The marks of what is kept out.

    Args:
        connection: an open connection.
        pending_only: only of erasures that landing has not heard of.
    """
    where = "finished_at IS NULL" if pending_only else "lifted_at IS NULL"
    rows = connection.execute(sa.text(f"SELECT kind, stem, mark FROM ops.erasure_mark JOIN ops.erasure USING (erasure_id) WHERE {where}"))
    return [Mark(row.kind, row.stem, bytes(row.mark)) for row in rows]


def published(connection: sa.Connection, since: int, newest: int) -> list[tuple[str, list[str]]]:
    """Persons erased by publications after one, up to another: the person's id, and every id that was ever answered to as the person's."""
    rows = connection.execute(
        sa.text(
            "SELECT e.person_id::text AS person_id, ARRAY(SELECT e.person_id::text UNION SELECT record_id::text FROM ops.erased_record r"
            " WHERE r.erasure_id = e.erasure_id UNION SELECT old_person_id::text FROM identity.redirect d WHERE d.person_id = e.person_id) AS ids"
            " FROM ops.erasure e WHERE publication > :since AND publication <= :newest ORDER BY e.erased_at"
        ),
        {"since": since, "newest": newest},
    )
    return [(row.person_id, list(row.ids)) for row in rows]


def finish(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Note that landing holds nothing more of some erasures."""
    connection.execute(
        sa.text("UPDATE ops.erasure SET finished_at = now() WHERE erasure_id = ANY(CAST(:ids AS uuid[])) AND finished_at IS NULL"),
        {"ids": list(ids)},
    )


def rewritten(connection: sa.Connection, ids: Sequence[str], left: Sequence[str]) -> None:
    """Note which tables still hold traces of some erasures; those noted before that are not among them do no more."""
    connection.execute(
        sa.text(
            "UPDATE ops.erasure SET traces_in = ARRAY(SELECT t FROM unnest(traces_in) AS t WHERE t = ANY(:left))"
            " WHERE erasure_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(ids), "left": list(left)},
    )


def lift(connection: sa.Connection, erasure_id: str, *, by: str, reason: str) -> None:
    """Let in again what agencies send of a person from now on."""
    connection.execute(
        sa.text(
            "UPDATE ops.erasure SET lifted_at = now(), lifted_by = :by, lifted_because = :reason WHERE erasure_id = CAST(:id AS uuid) AND lifted_at IS NULL"
        ),
        {"id": erasure_id, "by": by, "reason": reason},
    )


def register(connection: sa.Connection) -> list[dict[str, Any]]:
    """All erasures with their marks, oldest first, as plain values: enough to carry them out in another copy of the pool. No value of a person."""
    rows = connection.execute(
        sa.text(
            "SELECT erasure_id::text, person_id::text, basis, reason, erased_by, confirmed_by, erased_at::text, lifted_at::text, lifted_by,"
            " lifted_because, (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'stem', stem, 'mark', encode(mark, 'hex'))), '[]')"
            " FROM ops.erasure_mark m WHERE m.erasure_id = e.erasure_id) AS marks FROM ops.erasure e ORDER BY e.erased_at, e.erasure_id"
        )
    )
    return [dict(row._mapping) for row in rows]


def unretained(connection: sa.Connection) -> list[str]:
    """Deliveries that came with something of erased persons, which their objects still hold."""
    return list(
        connection.scalars(sa.text("SELECT delivery_id::text FROM landing.delivery WHERE holds_erased ORDER BY business_date, delivery_id"))
    )


def in_staging(connection: sa.Connection) -> list[tuple[date, str]]:
    """Night and source of deliveries that are on their way into the pool: parsed, or accepted."""
    rows = connection.execute(sa.text("SELECT business_date, stem FROM ops.intake WHERE state IN ('parsed', 'accepted')"))
    return [(row.business_date, row.stem) for row in rows]
