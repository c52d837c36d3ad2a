"""Which business date a night has, and opening it."""

from datetime import date, datetime, timedelta

from hub.dates import CHINA
from hub.errors import ConfigError
from hub.settings import Settings
from schemas.contract import stems
from warehouse import database, ledger


def _next(settings: Settings, night: ledger.Night | None, instant: datetime) -> date:
    if night is not None and night.published_at is None and settings.business_clock == "sandbox":
        return night.business_date  # it was interrupted: the same night again
    last = night.business_date if night else None
    if settings.business_clock == "wall":
        return instant.astimezone(CHINA).date()
    return settings.sandbox_epoch if last is None else last + timedelta(days=1)


def open_night(settings: Settings, *, day: date | None = None, instant: datetime | None = None) -> date:
    """Open a night and say its business date; opening it again changes nothing.

    Args:
        settings: whose pool.
        day: business date; None = the next one, by the business clock.
        instant: the scheduled instant: all who open a night for the same instant get the same date.

    Raises:
        ConfigError: the date is after the next one, or before the county's first.
    """
    database.migrate(settings)
    with database.engine(settings).begin() as connection:
        ledger.lock_opening(connection)
        known = ledger.night_opened_for(connection, instant) if instant else None
        last = ledger.last_night(connection)
        expected = _next(settings, last, instant or datetime.now(CHINA))
        chosen = day or known or expected
        if settings.business_clock == "sandbox" and chosen < settings.sandbox_epoch:
            raise ConfigError(f"the county begins on {settings.sandbox_epoch}", where="--date")
        if last and chosen > max(expected, last.business_date + timedelta(days=366)):
            raise ConfigError(f"{chosen} lies more than a year after the last night", where="--date")
        ledger.open_night(connection, chosen, list(stems()), instant)
    return chosen
