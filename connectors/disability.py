"""Disability certificates: a monthly encrypted ZIP of a workbook, behind basic authentication."""

from connectors.delivery import Fetched, FetchRequest
from connectors.kits import zip_download

DIALECT = zip_download.Dialect(part="certificates.zip")


def fetch(request: FetchRequest) -> Fetched:
    """Ask the agency for a delivery."""
    return Fetched(zip_download.stream(request, DIALECT))
