"""The ledger of nights: which were opened, how far each source came, and its books."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from hub.dates import CHINA
from hub.settings import Settings
from warehouse import hindsight

_INTAKE = (
    "business_date, stem, state, scope, delivery_id::text, delivered, rejected, quarantined, unchanged, inserted, updated, past,"
    " erased, keys_before, keys_kept, withdrawn, error, error_where, next_step, resumes_from, notices, seconds"
)
_SETTABLE = frozenset(
    [
        "state",
        "scope",
        "delivery_id",
        "delivered",
        "rejected",
        "quarantined",
        "unchanged",
        "inserted",
        "updated",
        "past",
        "erased",
        "keys_before",
        "keys_kept",
        "withdrawn",
        "error",
        "error_where",
        "next_step",
        "notices",
    ]
)


@dataclass(frozen=True)
class Intake:
    """How far one source came in one night; counts in rows, None = not known yet.

    Attributes:
        past: rows of a late delivery that say something of the past alone.
        erased: rows about persons who are erased by law.
        resumes_from: of a failed source, the state it goes on from when it is tried again; None = it begins anew.
        notices: what differs from the contract without breaking it, each in Chinese and English.
    """

    business_date: date
    stem: str
    state: str
    scope: str | None = None
    delivery_id: str | None = None
    delivered: int | None = None
    rejected: int | None = None
    quarantined: int | None = None
    unchanged: int | None = None
    inserted: int | None = None
    updated: int | None = None
    past: int = 0
    erased: int = 0
    keys_before: int | None = None
    keys_kept: int | None = None
    withdrawn: int | None = None
    error: str | None = None
    error_where: str | None = None
    next_step: str | None = None
    resumes_from: str | None = None
    notices: list[list[str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def staged(self) -> int | None:
        """Rows that parse gave to the gate; None = it has not."""
        return None if self.delivered is None else self.delivered - (self.rejected or 0) - self.erased


@dataclass(frozen=True)
class Night:
    """One business date; published_at is None until it is in the pool."""

    business_date: date
    published_at: datetime | None
    persons: int | None
    households: int | None
    fingerprint: str | None
    seconds: dict[str, float]


def open_night(connection: sa.Connection, business_date: date, stems: list[str], opened_for: datetime | None = None) -> None:
    """Make the rows of a night; does nothing for those that are there."""
    connection.execute(
        sa.text("INSERT INTO ops.night (business_date, opened_for) VALUES (:day, :instant) ON CONFLICT DO NOTHING"),
        {"day": business_date, "instant": opened_for},
    )
    connection.execute(
        sa.text("INSERT INTO ops.intake (business_date, stem) SELECT :day, unnest(CAST(:stems AS text[])) ON CONFLICT DO NOTHING"),
        {"day": business_date, "stems": stems},
    )


def night_opened_for(connection: sa.Connection, instant: datetime) -> date | None:
    """The business date that was opened for a scheduled instant; None when none was."""
    day: date | None = connection.scalar(sa.text("SELECT business_date FROM ops.night WHERE opened_for = :instant"), {"instant": instant})
    return day


def today(settings: Settings, connection: sa.Connection) -> date:
    """The day by which ages count: the clock in China, or the newest night where the county's calendar rules."""
    last = last_night(connection) if settings.business_clock != "wall" else None
    return by_clock(settings, last.business_date if last else None)


def by_clock(settings: Settings, newest: date | None) -> date:
    """The same where the newest night is known (None = there is none yet)."""
    return datetime.now(CHINA).date() if settings.business_clock == "wall" else newest or settings.sandbox_epoch


def last_night(connection: sa.Connection, *, published: bool = False) -> Night | None:
    """The newest night; None in an empty pool."""
    found = nights(connection, published=published, limit=1)
    return found[0] if found else None


def nights(connection: sa.Connection, *, published: bool = False, limit: int = 30) -> list[Night]:
    """Nights, newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT business_date, published_at, persons, households, fingerprint, seconds FROM ops.night"
            " WHERE NOT :published OR published_at IS NOT NULL ORDER BY business_date DESC LIMIT :limit"
        ),
        {"published": published, "limit": limit},
    )
    return [Night(**row._mapping) for row in rows]


def intake(connection: sa.Connection, business_date: date, stem: str) -> Intake | None:
    """How far a source came in a night; None when the night was never opened for it."""
    row = connection.execute(
        sa.text(f"SELECT {_INTAKE} FROM ops.intake WHERE business_date = :day AND stem = :stem"),
        {"day": business_date, "stem": stem},
    ).one_or_none()
    return Intake(**row._mapping) if row else None


def intakes(connection: sa.Connection, business_date: date) -> list[Intake]:
    """All sources of a night, by stem."""
    rows = connection.execute(sa.text(f"SELECT {_INTAKE} FROM ops.intake WHERE business_date = :day ORDER BY stem"), {"day": business_date})
    return [Intake(**row._mapping) for row in rows]


def states(connection: sa.Connection) -> dict[str, str]:
    """The state of each delivery in its night; one whose place another delivery took is left out."""
    rows = connection.execute(sa.text("SELECT delivery_id::text, state FROM ops.intake WHERE delivery_id IS NOT NULL"))
    return dict(rows.tuples().all())


def note(
    connection: sa.Connection,
    business_date: date,
    stem: str,
    *,
    verb: str | None = None,
    seconds: float | None = None,
    unless: Sequence[str] = (),
    keeps_place: bool = False,
    **values: Any,
) -> None:
    """Set columns of an intake; `verb` and `seconds` add to its timings. A state without an error clears the error.

    Args:
        unless: states in which it is left as it is.
        keeps_place: the state is `failed`, and tried again the source goes on from where it is now.
    """
    unknown = set(values) - _SETTABLE
    if unknown:
        raise ValueError(f"not columns of an intake: {unknown}")
    if "state" in values:
        values = {"error": None, "error_where": None, "next_step": None, **values}
    kinds = {"delivery_id": "uuid", "notices": "jsonb"}
    sets = [f"{name} = CAST(:{name} AS {kinds[name]})" if name in kinds else f"{name} = :{name}" for name in values]
    if "notices" in values:
        values["notices"] = json.dumps(values["notices"], ensure_ascii=False)
    if keeps_place:
        sets.append("resumes_from = CASE state WHEN 'failed' THEN resumes_from ELSE state END")
    elif "state" in values:
        sets.append("resumes_from = NULL")
    timing = json.dumps({verb: round(seconds, 3)}) if verb and seconds is not None else "{}"
    connection.execute(
        sa.text(
            f"UPDATE ops.intake SET {''.join(s + ', ' for s in sets)} seconds = seconds || CAST(:timing AS jsonb), changed_at = now()"
            " WHERE business_date = :day AND stem = :stem AND state <> ALL(:unless)"
        ),
        {**values, "timing": timing, "day": business_date, "stem": stem, "unless": list(unless)},
    )


def waiting_nights(connection: sa.Connection, up_to: date) -> list[date]:
    """Business dates with an accepted delivery that is not merged yet, oldest first."""
    return list(
        connection.scalars(
            sa.text("SELECT DISTINCT business_date FROM ops.intake WHERE state = 'accepted' AND business_date <= :day ORDER BY 1"),
            {"day": up_to},
        )
    )


def watermark(connection: sa.Connection, stem: str) -> date | None:
    """As-of date of a source's newest accepted delivery: the next delta starts after it. None = nothing yet."""
    day: date | None = connection.scalar(
        sa.text(
            "SELECT max(d.as_of_date) FROM ops.intake i JOIN landing.delivery d USING (delivery_id)"
            " WHERE i.stem = :stem AND i.state IN ('accepted', 'merged')"
        ),
        {"stem": stem},
    )
    return day


def recent_volumes(connection: sa.Connection, stem: str, scope: str, before: date, limit: int) -> list[int]:
    """Rows delivered by a source in its recent good deliveries of a scope, newest first; first loads do not count for deltas."""
    return list(
        connection.scalars(
            sa.text(
                "SELECT delivered FROM ops.intake WHERE stem = :stem AND scope = :scope AND state IN ('accepted', 'merged')"
                " AND business_date < :day AND delivered IS NOT NULL ORDER BY business_date DESC LIMIT :limit"
            ),
            {"stem": stem, "scope": scope, "day": before, "limit": limit},
        )
    )


def last_good(connection: sa.Connection) -> dict[str, tuple[date, date]]:
    """Per source: business date of its last merged delivery, and that delivery's as-of date."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT ON (i.stem) i.stem, i.business_date, d.as_of_date FROM ops.intake i JOIN landing.delivery d"
            " USING (delivery_id) WHERE i.state = 'merged' ORDER BY i.stem, i.business_date DESC"
        )
    )
    return {stem: (night, as_of) for stem, night, as_of in rows}


def instant(connection: sa.Connection) -> datetime:
    """The instant by the server's clock, which dates whatever is appended."""
    found: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return found


def publication(connection: sa.Connection) -> int:
    """How many publishes the pool has seen."""
    return int(connection.scalar(sa.text("SELECT number FROM ops.publication")) or 0)


def is_published(connection: sa.Connection, business_date: date) -> bool:
    """Whether a night was published before."""
    query = "SELECT EXISTS (SELECT FROM ops.night WHERE business_date = :day AND published_at IS NOT NULL)"
    return bool(connection.scalar(sa.text(query), {"day": business_date}))


def publish(connection: sa.Connection, business_date: date, *, persons: int, households: int, cause: str = "night") -> None:
    """Mark a night as published, count the publish and log its instant: the known clock moves on.

    Args:
        connection: the publishing transaction, near its end.
        business_date: of the night.
        persons: in the pool.
        households: in the pool.
        cause: night, model, policy, withdrawal or erasure.
    """
    number = connection.scalar(sa.text("UPDATE ops.publication SET number = number + 1 RETURNING number"))
    # A server's clock that was set back must not turn the order of publications round.
    connection.execute(
        sa.text(
            "INSERT INTO ops.published SELECT number, greatest(clock_timestamp(), (SELECT max(published_at) FROM ops.published)"
            " + interval '1 microsecond'), :day, :cause FROM ops.publication"
        ),
        {"day": business_date, "cause": cause},
    )
    newest = connection.scalar(sa.text("SELECT max(business_date) FROM ops.published"))
    hindsight.note(connection, number, newest)
    connection.execute(
        sa.text(
            "UPDATE ops.night SET published_at = now(), persons = :persons, households = :households, fingerprint = NULL"
            " WHERE business_date = :day"
        ),
        {"day": business_date, "persons": persons, "households": households},
    )


def note_night(connection: sa.Connection, business_date: date, *, fingerprint: str | None = None, **seconds: float) -> None:
    """Add the fingerprint or timings of verbs to a night."""
    connection.execute(
        sa.text(
            "UPDATE ops.night SET fingerprint = coalesce(:fingerprint, fingerprint), seconds = seconds || CAST(:seconds AS jsonb)"
            " WHERE business_date = :day"
        ),
        {"day": business_date, "fingerprint": fingerprint, "seconds": json.dumps({k: round(v, 3) for k, v in seconds.items()})},
    )


def lock_opening(connection: sa.Connection) -> None:
    """Hold everybody else who wants to open a night until this transaction ends."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(1752523267)"))
