"""Items of quarantine and their proofs: what came in, what settled it, and the tickets both add up to.

An item is never taken out. It is open until a published delivery proves it settled: the same key was let in, a full delivery no
longer holds the key, or, for a delivery as a whole, another one was let in. The proof kept is the earliest by business date, so it
does not depend on the order in which nights are run.
"""

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from schemas.contract import Contract, Scope
from warehouse import agency_tables
from warehouse.database import copy_in
from warehouse.landing import Delivery

WHOLE = 0  # row number of a delivery as a whole
MISSING = "delivery_missing"
Condition = Callable[[Any], sa.ColumnElement[bool]]

# Rows of a delivery that were let in or refused, with the hash by which a key is known again; U+001F separates as in `born`.
_REF = "md5(:stem || chr(31) || {key})::uuid"
_WHOLE_REF = "md5(:stem)::uuid"


@dataclass(frozen=True)
class Rows:
    """Where the readable keys of a delivery's rows are: SQL that gives ``row_number`` and ``record_key``."""

    query: str


@dataclass(frozen=True)
class Group:
    """What a ticket adds up to; counts are of keys (of rows where a row has none).

    Attributes:
        opened_date: business date of the first failure.
        delivery_id: a delivery the ticket is about; None when none came.
        rows: all; each is open, passed (delivered, for a delivery as a whole) or withdrawn.
        again: failures beyond the first: the agency sent the same key wrong again.
        proved_date: business date of the last proof; None while there is none.
    """

    stem: str
    rule_id: str
    opened_date: date
    stage: str
    field: str | None
    delivery_id: str | None
    rows: int
    open: int
    passed: int
    withdrawn: int
    again: int
    proved_date: date | None


@dataclass(frozen=True)
class Stored:
    """A ticket as it was opened, with the last state it was given."""

    ticket_id: str
    stem: str
    rule_id: str
    opened_date: date
    stage: str
    field: str | None
    title_zh: str
    title_en: str
    owner: str
    due_date: date
    is_due_provisional: bool
    state: str
    state_date: date
    detail: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One change of state, or one export."""

    event: str
    business_date: date
    actor: str
    detail: dict[str, Any]
    noted_at: datetime


@dataclass(frozen=True)
class Pointer:
    """A failing row that is still open: where it was last delivered."""

    delivery_id: str
    row_number: int
    field: str | None


@dataclass(frozen=True)
class Books:
    """The books of quarantine of one source, in items: ``opened = open + passed + withdrawn``, and nothing without an item."""

    stem: str
    opened: int
    open: int
    passed: int
    withdrawn: int
    unaccounted: int


def staged(contract: Contract, business_date: date) -> Rows:
    """The rows of the delivery a night holds in staging."""
    table = agency_tables.staging_table(contract.stem, str(business_date))
    refused = agency_tables.refused_table(contract.stem, str(business_date))
    key = f'"{contract.key.name}"::text'
    return Rows(f"SELECT row_number, {key} AS record_key FROM {table} UNION ALL SELECT row_number, record_key FROM {refused}")


def landed(connection: sa.Connection, keys: Iterable[pl.DataFrame]) -> Rows:
    """The rows of a delivery read again from landing: frames of ``row_number`` and ``record_key``."""
    connection.execute(sa.text("CREATE TEMP TABLE IF NOT EXISTS landed_key (row_number bigint, record_key text) ON COMMIT DROP"))
    connection.execute(sa.text("TRUNCATE landed_key"))
    for some in keys:
        data = io.BytesIO(some.select("row_number", "record_key").write_csv(include_header=False).encode())
        copy_in(connection, "landed_key", ["row_number", "record_key"], data)
    return Rows("SELECT row_number, record_key FROM landed_key")


def unopened(connection: sa.Connection, stem: str, but: str | None = None) -> list[str]:
    """Deliveries of a source with rows in quarantine that have no items, as those from before there were any; one may be left out."""
    return list(
        connection.scalars(
            sa.text(
                "SELECT DISTINCT q.delivery_id::text FROM quarantine.row q WHERE q.stem = :stem"
                " AND q.delivery_id IS DISTINCT FROM CAST(:but AS uuid) AND NOT EXISTS (SELECT FROM quarantine.item i"
                " WHERE i.delivery_id = q.delivery_id AND i.row_number = q.row_number AND i.rule_id = q.rule_id) ORDER BY 1"
            ),
            {"stem": stem, "but": but},
        )
    )


def open_rows(connection: sa.Connection, stem: str, delivery_id: str, rows: Rows) -> int:
    """Make items of a delivery's rows in quarantine; those that are there stay. How many are new.

    A row whose key cannot be read is known by its number among such rows of the same rule.
    """
    if not connection.scalar(
        sa.text("SELECT EXISTS (SELECT FROM quarantine.row WHERE delivery_id = :delivery)"), {"delivery": delivery_id}
    ):
        return 0
    keyless = "'keyless' || chr(31) || q.rule_id || chr(31) || row_number() OVER (PARTITION BY q.rule_id, k.record_key IS NULL ORDER BY q.row_number)"
    done = connection.execute(
        sa.text(
            "INSERT INTO quarantine.item (stem, rule_id, stage, field, delivery_id, row_number, key_ref)"
            f" SELECT q.stem, q.rule_id, q.stage, q.field, q.delivery_id, q.row_number, {_REF.format(key=f'coalesce(k.record_key, {keyless})')}"
            f" FROM quarantine.row q LEFT JOIN ({rows.query}) k USING (row_number) WHERE q.delivery_id = CAST(:delivery AS uuid)"
            " ORDER BY q.rule_id, q.row_number ON CONFLICT DO NOTHING"
        ),
        {"stem": stem, "delivery": delivery_id},
    )
    return done.rowcount


def open_held(
    connection: sa.Connection,
    contract: Contract,
    business_date: date,
    delivery_id: str,
    rule_id: str,
    field: str | None,
    fails: Condition | None,
) -> None:
    """Make items of the rows for which a held delivery is held; of the delivery as a whole where no row of it is wrong by itself."""
    schema, name = agency_tables.staging_table(contract.stem, str(business_date)).replace('"', "").split(".")
    table = sa.table(name, *(sa.column(c) for c in agency_tables.staging_columns(contract)), schema=schema)
    columns = ("stem", "rule_id", "stage", "field", "delivery_id", "row_number", "key_ref")
    target = sa.table("item", *(sa.column(c) for c in columns), schema="quarantine")
    about = [sa.literal(contract.stem), sa.literal(rule_id), sa.literal("held"), sa.literal(field, sa.Text), sa.cast(delivery_id, sa.Uuid)]
    if fails is not None:
        key = sa.cast(table.c[contract.key.name], sa.Text)
        ref = sa.cast(sa.func.md5(sa.literal(contract.stem) + sa.func.chr(31) + key), sa.Uuid)
        query = sa.select(*about, table.c.row_number, ref).where(fails(table)).order_by(table.c.row_number)
        connection.execute(postgresql.insert(target).from_select(columns, query).on_conflict_do_nothing())
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.item (stem, rule_id, stage, field, delivery_id, row_number, key_ref)"
            f" SELECT :stem, :rule, 'held', :field, CAST(:delivery AS uuid), {WHOLE}, {_WHOLE_REF} WHERE NOT EXISTS (SELECT FROM"
            " quarantine.item WHERE delivery_id = CAST(:delivery AS uuid) AND rule_id = :rule)"
        ),
        {"stem": contract.stem, "rule": rule_id, "field": field, "delivery": delivery_id},
    )


def open_missing(connection: sa.Connection, stem: str, business_date: date) -> None:
    """Make an item of a delivery that was due and without which a night was published; does nothing if it is there."""
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.item (stem, rule_id, stage, row_number, key_ref, missing_date)"
            f" VALUES (:stem, :rule, 'missing', {WHOLE}, {_WHOLE_REF}, :day) ON CONFLICT DO NOTHING"
        ),
        {"stem": stem, "rule": MISSING, "day": business_date},
    )


def settle(connection: sa.Connection, stem: str, delivery: Delivery, rows: Rows) -> None:
    """Prove what a delivery that is being published settles, anew: what it proved before and does not prove now is open again.

    An item is looked at if it is of the delivery's business date or before, and not settled by then. A row of the delivery proves
    its key if it was let in, and no row of that key broke the item's rule in it.
    """
    values = {"stem": stem, "delivery": delivery.delivery_id}
    connection.execute(sa.text("DELETE FROM quarantine.proof WHERE delivery_id = CAST(:delivery AS uuid)"), values)
    connection.execute(sa.text("DROP TABLE IF EXISTS pending, present"))
    connection.execute(
        sa.text(
            "CREATE TEMP TABLE pending ON COMMIT DROP AS SELECT item_id, rule_id, stage, delivery_id, row_number, key_ref FROM quarantine.ticket_item"
            " t WHERE stem = :stem AND failed_date <= :day AND (proof_date IS NULL OR proof_date > :day)"
            " AND NOT EXISTS (SELECT FROM quarantine.row q WHERE t.delivery_id = CAST(:delivery AS uuid) AND q.delivery_id = t.delivery_id"
            " AND q.row_number = t.row_number AND q.rule_id = t.rule_id)"
        ),
        {**values, "day": delivery.business_date},
    )
    if not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM pending)")):
        return
    connection.execute(
        sa.text(
            f"CREATE TEMP TABLE present ON COMMIT DROP AS SELECT row_number, key_ref FROM (SELECT row_number, {_REF.format(key='record_key')}"
            f" AS key_ref FROM ({rows.query}) r) AS keyed WHERE key_ref IN (SELECT key_ref FROM pending)"
            " OR row_number IN (SELECT row_number FROM pending WHERE delivery_id = CAST(:delivery AS uuid))"
        ),
        values,
    )
    refused = "SELECT FROM quarantine.row q WHERE q.delivery_id = CAST(:delivery AS uuid) AND q.row_number = p.row_number"
    passed = (
        "INSERT INTO quarantine.proof (item_id, kind, delivery_id, row_number) SELECT DISTINCT ON (i.item_id) i.item_id, 'passed',"
        " CAST(:delivery AS uuid), p.row_number FROM pending i JOIN present p USING ({join}) WHERE i.row_number > 0 AND {which}"
        f" AND NOT EXISTS ({refused} AND (q.stage <> 'field' OR q.rule_id = i.rule_id))"
        f" AND NOT EXISTS (SELECT FROM present p WHERE p.key_ref = i.key_ref AND EXISTS ({refused} AND q.rule_id = i.rule_id))"
        " ORDER BY i.item_id, p.row_number"
    )
    for join, which in (
        ("key_ref", "i.delivery_id IS DISTINCT FROM CAST(:delivery AS uuid)"),
        ("row_number", "i.delivery_id = CAST(:delivery AS uuid)"),  # judged again, by a corrected contract
    ):
        _prove(connection, passed.format(join=join, which=which), values)
    whole = f"SELECT i.item_id, 'delivered', CAST(:delivery AS uuid), CAST(NULL AS bigint) FROM pending i WHERE i.row_number = {WHOLE}"
    _prove(connection, f"INSERT INTO quarantine.proof (item_id, kind, delivery_id, row_number) {whole}", values)
    # What a whole delivery was held for is settled for a row that came again, even if another rule keeps it out now: that has a ticket.
    _prove(
        connection,
        "INSERT INTO quarantine.proof (item_id, kind, delivery_id, row_number) SELECT i.item_id, 'delivered', CAST(:delivery AS uuid), NULL"
        " FROM pending i WHERE i.stage = 'held' AND i.row_number > 0 AND EXISTS (SELECT FROM present p WHERE p.key_ref = i.key_ref)"
        " AND NOT EXISTS (SELECT FROM quarantine.proof x WHERE x.item_id = i.item_id AND x.delivery_id = CAST(:delivery AS uuid))",
        values,
    )
    if delivery.scope == Scope.FULL:
        _prove(
            connection,
            "INSERT INTO quarantine.proof (item_id, kind, delivery_id) SELECT i.item_id, 'withdrawn', CAST(:delivery AS uuid) FROM pending i"
            " WHERE i.row_number > 0 AND i.delivery_id IS DISTINCT FROM CAST(:delivery AS uuid)"
            " AND NOT EXISTS (SELECT FROM present p WHERE p.key_ref = i.key_ref)"
            " AND NOT EXISTS (SELECT FROM quarantine.item n WHERE n.delivery_id = CAST(:delivery AS uuid) AND n.key_ref = i.key_ref)",
            values,
        )


def _prove(connection: sa.Connection, insert: str, values: dict[str, Any]) -> None:
    """An earlier delivery's proof takes the place of a later one's."""
    connection.execute(
        sa.text(
            f"{insert} ON CONFLICT (item_id) DO UPDATE SET kind = excluded.kind, delivery_id = excluded.delivery_id,"
            " row_number = excluded.row_number, noted_at = now()"
        ),
        values,
    )


def later(connection: sa.Connection, stem: str, business_date: date) -> list[str]:
    """Deliveries of a source published for nights after a date, oldest first, if items up to that date are still to be settled."""
    return list(
        connection.scalars(
            sa.text(
                "SELECT d.delivery_id::text FROM landing.delivery d WHERE d.stem = :stem AND d.business_date > :day"
                " AND EXISTS (SELECT FROM ops.intake i WHERE i.delivery_id = d.delivery_id AND i.state = 'merged')"
                " AND EXISTS (SELECT FROM quarantine.ticket_item WHERE stem = :stem AND failed_date <= :day AND proof_kind IS NULL)"
                " ORDER BY d.business_date, d.delivery_id"
            ),
            {"stem": stem, "day": business_date},
        )
    )


def groups(connection: sa.Connection, stem: str | None = None) -> list[Group]:
    """What each ticket adds up to, by source, day and rule."""
    rows = connection.execute(
        sa.text(
            "SELECT stem, rule_id, opened_date, min(stage) AS stage, min(field) AS field, min(delivery_id::text) AS delivery_id,"
            " count(DISTINCT key_ref) AS rows, count(DISTINCT key_ref) FILTER (WHERE proof_kind IS NULL) AS open,"
            " count(DISTINCT key_ref) FILTER (WHERE proof_kind IN ('passed', 'delivered')) AS passed,"
            " count(DISTINCT key_ref) FILTER (WHERE proof_kind = 'withdrawn') AS withdrawn,"
            " count(*) - count(DISTINCT key_ref) AS again, max(proof_date) AS proved_date"
            " FROM quarantine.ticket_item WHERE CAST(:stem AS text) IS NULL OR stem = :stem"
            " GROUP BY stem, rule_id, opened_date ORDER BY stem, opened_date, rule_id"
        ),
        {"stem": stem},
    )
    return [Group(**row._mapping) for row in rows]


def stored(connection: sa.Connection, *, stem: str | None = None, ticket_id: str | None = None) -> list[Stored]:
    """Tickets that were opened, with their last state, by source, day and rule."""
    rows = connection.execute(
        sa.text(
            "SELECT t.ticket_id, t.stem, t.rule_id, t.opened_date, t.stage, t.field, t.title_zh, t.title_en, t.owner, t.due_date,"
            " t.is_due_provisional, e.event AS state, e.business_date AS state_date, e.detail FROM quarantine.ticket t CROSS JOIN LATERAL"
            " (SELECT event, business_date, detail FROM quarantine.ticket_event e WHERE e.ticket_id = t.ticket_id AND event <> 'exported'"
            " ORDER BY event_no DESC LIMIT 1) e WHERE (CAST(:stem AS text) IS NULL OR t.stem = :stem)"
            " AND (CAST(:ticket AS text) IS NULL OR t.ticket_id = :ticket) ORDER BY t.stem, t.opened_date, t.rule_id"
        ),
        {"stem": stem, "ticket": ticket_id},
    )
    return [Stored(**row._mapping) for row in rows]


def add(connection: sa.Connection, ticket_id: str, group: Group, **told: Any) -> None:
    """Write a ticket down.

    Args:
        told: ``title_zh``, ``title_en``, ``owner``, ``due_date``, ``is_due_provisional``.
    """
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.ticket (ticket_id, stem, rule_id, opened_date, stage, field, title_zh, title_en, owner, due_date,"
            " is_due_provisional) VALUES (:ticket_id, :stem, :rule_id, :opened_date, :stage, :field, :title_zh, :title_en, :owner,"
            " :due_date, :is_due_provisional)"
        ),
        {"ticket_id": ticket_id, "stem": group.stem, "rule_id": group.rule_id, "opened_date": group.opened_date, "stage": group.stage,
         "field": group.field, **told},
    )  # fmt: skip


def note(connection: sa.Connection, ticket_id: str, event: str, business_date: date, actor: str, detail: dict[str, Any]) -> None:
    """Append an event."""
    connection.execute(
        sa.text(
            "INSERT INTO quarantine.ticket_event (ticket_id, event, business_date, actor, detail)"
            " VALUES (:ticket, :event, :day, :actor, CAST(:detail AS jsonb))"
        ),
        {"ticket": ticket_id, "event": event, "day": business_date, "actor": actor, "detail": json.dumps(detail, ensure_ascii=False, default=str)},
    )  # fmt: skip


def lock(connection: sa.Connection) -> None:
    """Hold everybody else who writes tickets until this transaction ends: two may not open the same one."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(1953063787)"))


def events(connection: sa.Connection, ticket_id: str) -> list[Event]:
    """What happened to a ticket, oldest first."""
    rows = connection.execute(
        sa.text(
            "SELECT event, business_date, actor, detail, noted_at FROM quarantine.ticket_event WHERE ticket_id = :ticket ORDER BY event_no"
        ),
        {"ticket": ticket_id},
    )
    return [Event(**row._mapping) for row in rows]


def pointers(connection: sa.Connection, group: Group, *, is_open: bool = True) -> list[Pointer]:
    """Rows of a ticket that are still failing, each where it was last delivered; a delivery as a whole has none."""
    rows = connection.execute(
        sa.text(
            "SELECT delivery_id::text, row_number, field FROM (SELECT DISTINCT ON (key_ref) key_ref, delivery_id, row_number, field FROM"
            " quarantine.ticket_item WHERE stem = :stem AND rule_id = :rule AND opened_date = :day AND row_number > 0"
            " AND (proof_kind IS NULL) = :is_open ORDER BY key_ref, failed_date DESC, delivery_id, row_number) AS last"
            " ORDER BY delivery_id, row_number"
        ),
        {"stem": group.stem, "rule": group.rule_id, "day": group.opened_date, "is_open": is_open},
    )
    return [Pointer(**row._mapping) for row in rows]


def proofs(connection: sa.Connection, group: Group) -> list[dict[str, Any]]:
    """How each item of a ticket was settled: its pointer and the proof's; no value."""
    rows = connection.execute(
        sa.text(
            "SELECT delivery_id::text, row_number, failed_date, proof_kind, proof_delivery_id::text, proof_row_number, proof_date"
            " FROM quarantine.ticket_item WHERE stem = :stem AND rule_id = :rule AND opened_date = :day"
            " ORDER BY failed_date, row_number, delivery_id"
        ),
        {"stem": group.stem, "rule": group.rule_id, "day": group.opened_date},
    )
    return [dict(row._mapping) for row in rows]


def books(connection: sa.Connection) -> list[Books]:
    """The books of quarantine by source; what is in quarantine without an item counts as unaccounted and must be nothing."""
    rows = connection.execute(
        sa.text(
            "SELECT stem, coalesce(opened, 0) AS opened, coalesce(open, 0) AS open, coalesce(passed, 0) AS passed,"
            " coalesce(withdrawn, 0) AS withdrawn, coalesce(unaccounted, 0) AS unaccounted FROM (SELECT stem, count(*) AS opened,"
            " count(*) FILTER (WHERE proof_kind IS NULL) AS open, count(*) FILTER (WHERE proof_kind IN ('passed', 'delivered')) AS passed,"
            " count(*) FILTER (WHERE proof_kind = 'withdrawn') AS withdrawn FROM quarantine.ticket_item GROUP BY stem) AS items"
            " FULL JOIN (SELECT q.stem, count(*) AS unaccounted FROM quarantine.row q WHERE NOT EXISTS (SELECT FROM quarantine.item i"
            " WHERE i.delivery_id = q.delivery_id AND i.row_number = q.row_number AND i.rule_id = q.rule_id) GROUP BY q.stem) AS lost"
            " USING (stem) ORDER BY stem"
        )
    )
    return [Books(**row._mapping) for row in rows]
