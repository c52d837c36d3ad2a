"""The problems a route may answer with, for the OpenAPI page."""

from typing import Any

from sharing.models import ProblemDetail
from sharing.problems import MEDIA, kinds


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of the problems of some statuses."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in (*statuses, 500):
        codes = [k.code for k in kinds().values() if k.status == status]
        found[status] = {
            "description": " · ".join(codes), "model": ProblemDetail,
            "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}},
        }  # fmt: skip
    return found
