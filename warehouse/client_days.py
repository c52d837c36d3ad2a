"""Clients' days: how much each asked, missed and was refused, counted from the log once and kept as it grows."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

# Notices are sent by the hub itself and are nobody's asking.
_ASKED = (
    "SELECT client_id, department, leaf_index, CAST(at AT TIME ZONE 'Asia/Shanghai' AS date) AS day,"
    " extract(hour FROM at AT TIME ZONE 'Asia/Shanghai') AS hour, decision, subject FROM audit.entry"
    " WHERE client_id IS NOT NULL AND decision <> 'notified'"
)
_COUNTS = (
    "max(department) AS department, count(*) AS entries, count(*) FILTER (WHERE decision = 'not_available') AS misses,"
    " count(*) FILTER (WHERE decision NOT IN ('told', 'unchanged', 'candidate', 'ambiguous', 'not_available', 'subscribed', 'disputed')) AS refusals,"
    " count(*) FILTER (WHERE hour < 7 OR hour >= 20) AS off_hours, coalesce(max(one.most), 0) AS most_on_one, min(leaf_index) AS first_leaf,"
    " max(leaf_index) AS last_leaf FROM e LEFT JOIN one USING (client_id, day) GROUP BY client_id, day"
)
_MOST_ON_ONE = (
    "one AS (SELECT client_id, day, max(n) AS most FROM (SELECT client_id, day, count(*) AS n FROM e WHERE subject IS NOT NULL"
    " GROUP BY client_id, day, subject) AS s GROUP BY client_id, day)"
)
_COLUMNS = "client_id, day, department, entries, misses, refusals, off_hours, most_on_one, first_leaf, last_leaf"


def from_log(connection: sa.Connection, until: datetime, n_days: int) -> list[Any]:
    """Each client's days, counted from the log anew: entries in all, answers that found nobody, refusals, those outside office hours, and the most about one person.

    Args:
        connection: an open connection.
        until: days that begin before this instant.
        n_days: how many days back.

    Returns:
        One row a client and day of Asia/Shanghai, as ``share.client_day`` keeps it. Days without an entry have none.
    """
    return list(
        connection.execute(
            sa.text(
                f"WITH e AS ({_ASKED} AND at < :until AND at >= CAST(:until AS timestamptz) - make_interval(days => :days)), {_MOST_ON_ONE}"
                f" SELECT client_id, day, {_COUNTS} ORDER BY day, client_id"
            ),
            {"until": until, "days": n_days},
        )
    )


def count(connection: sa.Connection, since: int, until: int) -> dict[date, list[str]]:
    """Add entries of the log to the days they are of.

    Args:
        connection: in the transaction that notes up to where was counted.
        since: the first leaf.
        until: the leaf before which.

    Returns:
        Clients that asked, by day.
    """
    rows = connection.execute(
        sa.text(
            f"WITH e AS MATERIALIZED ({_ASKED} AND leaf_index >= :since AND leaf_index < :until),"
            # Of each person asked about now, that day's entries that were counted before: they stand elsewhere in the log.
            " one AS (SELECT client_id, day, max(n) AS most FROM (SELECT client_id, day, s.n + CASE WHEN d.first_leaf IS NULL THEN 0 ELSE"
            " (SELECT count(*) FROM audit.entry a WHERE a.subject = s.subject AND a.leaf_index >= d.first_leaf AND a.leaf_index < :since"
            " AND a.client_id = s.client_id AND a.decision <> 'notified' AND CAST(a.at AT TIME ZONE 'Asia/Shanghai' AS date) = s.day) END AS n"
            " FROM (SELECT client_id, day, subject, count(*) AS n FROM e WHERE subject IS NOT NULL GROUP BY client_id, day, subject) AS s"
            " LEFT JOIN share.client_day d USING (client_id, day)) AS c GROUP BY client_id, day),"
            f" counted AS (SELECT client_id, day, {_COUNTS})"
            f" INSERT INTO share.client_day AS d ({_COLUMNS}) SELECT {_COLUMNS} FROM counted ON CONFLICT (client_id, day) DO UPDATE SET"
            " entries = d.entries + excluded.entries, misses = d.misses + excluded.misses, refusals = d.refusals + excluded.refusals,"
            " off_hours = d.off_hours + excluded.off_hours, most_on_one = greatest(d.most_on_one, excluded.most_on_one), last_leaf = excluded.last_leaf"
            " RETURNING client_id, day"
        ),
        {"since": since, "until": until},
    )
    found: dict[date, list[str]] = {}
    for row in rows:
        found.setdefault(row.day, []).append(row.client_id)
    return found


def kept(connection: sa.Connection, clients: list[str], day: date, n_days: int) -> list[Any]:
    """Days of clients as they were counted, the last of them a day; rows as :func:`from_log` gives them."""
    return list(
        connection.execute(
            sa.text(
                f"SELECT {_COLUMNS} FROM share.client_day WHERE client_id = ANY(:clients) AND day <= :day AND day > :day - CAST(:days AS integer)"
                " ORDER BY day, client_id"
            ),
            {"clients": clients, "day": day, "days": n_days},
        )
    )


def since_leaf(connection: sa.Connection, client: Any, leaf: int) -> Any | None:
    """What of a client's day stands behind a leaf, counted from the log; None = nothing.

    Args:
        connection: an open connection.
        client: its day, as :func:`kept` gives it.
        leaf: the last that is left out.
    """
    rows = connection.execute(
        sa.text(
            f"WITH e AS ({_ASKED} AND department = :department AND leaf_index > :leaf AND leaf_index <= :last AND client_id = :client"
            f" AND CAST(at AT TIME ZONE 'Asia/Shanghai' AS date) = :day), {_MOST_ON_ONE} SELECT client_id, day, {_COUNTS}"
        ),
        {"department": client.department, "leaf": leaf, "last": client.last_leaf, "client": client.client_id, "day": client.day},
    )
    return rows.one_or_none()


def forget(connection: sa.Connection, before: date) -> None:
    """Forget days before a date: habits do not reach back so far."""
    connection.execute(sa.text("DELETE FROM share.client_day WHERE day < :before"), {"before": before})
