"""Registered housing cases from an exchange database: a view with change flag and time."""

from connectors.delivery import Fetched, FetchRequest
from connectors.kits import exchange_database


def fetch(request: FetchRequest) -> Fetched:
    """Ask the agency for a delivery."""
    return Fetched(exchange_database.stream(request))
