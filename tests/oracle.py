"""What a pool is held to after a fault: its fingerprint, its books, what readers saw of it meanwhile.

Each look is noted with the test that took it (a property ``oracle.…`` of its case in a JUnit report), whether or not it held, so that a
table of faults tells what was really compared.
"""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from hub.settings import Settings
from warehouse import embedded

PROPERTY, STRUCK = "oracle.", "struck."
_PARTS = ("rejected", "quarantined", "unchanged", "inserted", "updated", "past", "erased")
_SEEN = (
    "SELECT (SELECT number FROM ops.publication), (SELECT count(*) FROM core.person), (SELECT count(*) FROM core.household),"
    " (SELECT coalesce(sum(members), 0) FROM core.household), (SELECT count(*) FROM core.household_member),"
    " (SELECT count(*) FROM identity.link), (SELECT count(*) FROM identity.record), (SELECT coalesce(sum(records), 0) FROM core.person)"
)


class Held(StrEnum):
    """What a pool is held to."""

    FINGERPRINT = "fingerprint"
    BOOKS = "books"
    READERS = "readers"


_notes: list[tuple[str, object]] = []


@contextlib.contextmanager
def noting(notes: list[tuple[str, object]]) -> Iterator[None]:
    """Note what is looked at meanwhile at the end of a list."""
    _notes.clear()
    yield
    notes += _notes
    _notes.clear()


def _note(held: Held, is_so: bool) -> None:
    _notes.append((f"{PROPERTY}{held}", is_so))


def struck(victim: str, times: int) -> None:
    """A fault was injected more than once in one test."""
    _notes.append((f"{STRUCK}{victim}", times))


def same_fingerprint(*fingerprints: str, told: str = "") -> None:
    """Fingerprints are one."""
    _note(Held.FINGERPRINT, len(set(fingerprints)) == 1)
    assert len(set(fingerprints)) == 1, (told, *fingerprints)


def imbalance(sources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The sources of a night whose books do not balance: each row delivered is in one place."""
    taken_in = {stem: books for stem, books in sources.items() if books["state"] == "ok"}
    return [stem for stem, books in taken_in.items() if books["delivered"] != sum(books.get(part, 0) for part in _PARTS)]


def balanced(sources: Mapping[str, Mapping[str, Any]]) -> None:
    """The books of all sources of a night balance; without one that was taken in, nothing was looked at."""
    if any(books["state"] == "ok" for books in sources.values()):
        _note(Held.BOOKS, not imbalance(sources))
    assert imbalance(sources) == []


def same_books(found: Sequence[str], expected: Sequence[str], told: str = "") -> None:
    """Quarantine and tickets, as text, are what they are where nothing befell the pool."""
    is_so = list(found) == list(expected)
    _note(Held.BOOKS, is_so)
    assert is_so, (told, "quarantine, tickets or books differ")


def consistent(confusion: list[str]) -> None:
    """Readers saw each publication as one state."""
    _note(Held.READERS, not confusion)
    assert confusion == []


class Reader(threading.Thread):
    """Looks at the pool over and over, one snapshot at a time, whatever befalls the server.

    Attributes:
        seen: what each publication showed: persons, households, members told twice, links, records told twice.
        looks: how often it was answered.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.seen: dict[int, set[tuple[int, ...]]] = defaultdict(set)
        self.looks = 0
        self._engine = sa.create_engine(embedded.cluster(settings).url("hub"), pool_pre_ping=True)
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.02):
            with contextlib.suppress(sa.exc.DBAPIError), self._engine.connect() as connection:  # the server is down now
                number, *rest = connection.execute(sa.text(_SEEN)).one()
                self.seen[number].add(tuple(rest))
                self.looks += 1

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()
        self.join()
        self._engine.dispose()

    def confusion(self) -> list[str]:
        """One sentence for each publication that was seen in two states, or in one that contradicts itself."""
        told = [f"publication {number} was seen in {len(states)} states" for number, states in self.seen.items() if len(states) > 1]
        for number, states in self.seen.items():
            for persons, households, members, memberships, links, records, counted in states:
                if members != memberships or not links == records == counted or (persons > 0) != (households > 0):
                    told.append(f"publication {number} contradicts itself")
        return told if self.looks else ["nobody could look"]


@contextlib.contextmanager
def watched(settings: Settings) -> Iterator[Reader]:
    """Somebody reads the pool meanwhile, and sees each publication as one state."""
    reader = Reader(settings)
    reader.start()
    try:
        yield reader
    finally:
        reader.end()
    consistent(reader.confusion())
