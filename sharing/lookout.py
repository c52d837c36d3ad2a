"""Keeping a lookout: what the log's newest entries make unusual is found by itself, and kept until somebody has reviewed it."""

from datetime import date, timedelta

import sqlalchemy as sa

from hub.dates import CHINA
from hub.settings import Settings
from hub.working_days import working_days
from sharing import unusual, vicinity
from sharing.unusual import Bounds, Unusual
from warehouse import client_days, database
from warehouse import unusual as findings


def look(settings: Settings, bounds: Bounds | None = None) -> int:
    """Apply the rules to the days of the entries nobody has looked at yet; how many findings that gives that were not open.

    One transaction: whoever is killed in it has looked at nothing. Harmless to repeat; of several programs that look at once one does it.

    Args:
        settings: whose log.
        bounds: from when on; the defaults if not given.
    """
    held, new = bounds or Bounds(), 0
    with database.engine(settings).begin() as connection:
        span = findings.due(connection)
        if span is None:
            return 0
        by_day = client_days.count(connection, *span)
        for day, clients in sorted(by_day.items()):
            for one in _found(connection, settings, day, sorted(clients), held):
                new += findings.keep(
                    connection, client_id=one.client_id, department=one.department, rule=one.rule, day=day, found=one.found, usual=one.usual,
                    bound=one.bound, first_leaf=one.first_leaf, last_leaf=one.last_leaf,
                )  # fmt: skip
        if by_day:
            client_days.forget(connection, max(by_day) - timedelta(days=unusual.BACK_DAYS))
        findings.done(connection, span[1])
    return new


def _found(connection: sa.Connection, settings: Settings, day: date, clients: list[str], bounds: Bounds) -> list[Unusual]:
    """What clients' day meets beyond what was reviewed."""
    reviewed = findings.reviewed(connection, clients)
    settled = {of: finding.last_leaf for of, finding in reviewed.items()}
    rows = client_days.kept(connection, clients, day, unusual.BACK_DAYS)
    is_working = working_days(settings).is_working(day)
    result = [
        u for u in unusual.judged(rows, day, is_working=is_working, bounds=bounds) if u.first_leaf > settled.get((u.client_id, u.rule), -1)
    ]
    for today in (row for row in rows if row.day == day):
        own = [row for row in rows if row.client_id == today.client_id and row.day < day]
        for rule in unusual.COUNTED:
            leaf = settled.get((today.client_id, rule), -1)
            if today.first_leaf <= leaf < today.last_leaf and (rest := client_days.since_leaf(connection, today, leaf)) is not None:
                result += [u for u in unusual.judged([*own, rest], day, is_working=is_working, bounds=bounds) if u.rule == rule]
    since = day - timedelta(days=vicinity.BACK_DAYS)
    first_leaf = min(row.first_leaf for row in rows if row.day > since)
    seen = vicinity.seen(connection, settings, day, clients=clients, first_leaf=first_leaf)
    result += [
        u
        for u in unusual.acquainted(seen.asked, seen.residents, seen.shares, day, bounds=bounds, settled=settled)
        if not (u.rule == "unnamed" and _is_accepted(reviewed.get((u.client_id, u.rule)), day, bounds))
    ]
    return unusual.in_order(result)


def _is_accepted(finding: findings.Finding | None, day: date, bounds: Bounds) -> bool:
    """Whether it was found justified that a client names no operator: its program has nobody to name, and will not have tomorrow."""
    if finding is None or finding.finding != "justified" or finding.reviewed_at is None:
        return False
    return day <= finding.reviewed_at.astimezone(CHINA).date() + timedelta(days=bounds.unnamed_days)
