"""Health commission: REST with OAuth 2.0; a body's ``code`` is 0 when the call succeeded."""

from connectors.delivery import Fetched, FetchRequest
from connectors.kits.rest import RestPull


def fetch(request: FetchRequest) -> Fetched:
    """Pull the health files that changed, or all of them."""
    return RestPull(
        request, records_url="/api/v1/records", token_url="/oauth2/token", is_success=lambda page: page.get("code") == 0
    )
