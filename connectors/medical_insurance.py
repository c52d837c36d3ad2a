"""Medical insurance enrolments through the signed exchange gateway."""

from connectors.delivery import Fetched, FetchRequest
from connectors.kits import signed_gateway


def fetch(request: FetchRequest) -> Fetched:
    """Ask the agency for a delivery."""
    return Fetched(signed_gateway.stream(request))
