"""Health files over REST with OAuth 2.0."""

from connectors.delivery import Fetched, FetchRequest
from connectors.kits import rest


def fetch(request: FetchRequest) -> Fetched:
    """Ask the agency for a delivery."""
    return Fetched(rest.stream(request))
