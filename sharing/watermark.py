"""Whose export a copy was made of: the order of its rows is the client's own.

Within a page rows come in the order of a hash under the client's key. It stays when columns are taken out, another format is written,
or only some rows are kept, and is lost where they are sorted. What each row carries openly is its receipt.
"""

import hashlib
import hmac
import math
from collections.abc import Iterable, Sequence

from hub.settings import Settings

SURE = 5.0  # deviations from chance; one in three million copies of chance is as far


def _place(key: bytes, person_id: str) -> bytes:
    return hmac.digest(key, person_id.encode(), hashlib.sha256)


def _key(settings: Settings, client_id: str) -> bytes:
    return hmac.digest(bytes.fromhex(settings.secret("watermark.key")), client_id.encode(), hashlib.sha256)


def ordered(settings: Settings, client_id: str, person_ids: Iterable[str]) -> list[str]:
    """Persons in a client's own order."""
    key = _key(settings, client_id)
    return sorted(person_ids, key=lambda p: _place(key, p))


def followed(settings: Settings, client_id: str, person_ids: Sequence[str]) -> float:
    """How far a list follows a client's order, in standard deviations of what lists of chance do."""
    n = len(person_ids)
    if n < 2:
        return 0.0
    key = _key(settings, client_id)
    places = [_place(key, p) for p in person_ids]
    ascents = sum(a < b for a, b in zip(places, places[1:], strict=False))
    return (ascents - (n - 1) / 2) / math.sqrt((n + 1) / 12)
