"""Sees every DCI message of the tests pass, and holds it against the oracle: strict in what the hub sends, and in what it takes unless a test says so.

It stands where all of them pass: in the HTTP client of this process (the service's test client is one) and in the receiver of callbacks. So a
test holds to it without knowing of it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import httpx
import orjson

from tests.sharing import published
from tests.sharing.dci_messages import ANSWERED, ASKED, CALLBACK, REFUSED, REJECTED, SENT, Kind, faults, kinds

_PATHS = {kind.address.split(" ")[1] for kind in kinds()}
_CALLBACKS = tuple(kind.address.split(" ")[1] for kind in kinds() if kind.address.startswith(CALLBACK))


class NotTheStandards(AssertionError):
    """A message that is not as the standard has it, told by place and rule."""


@dataclass
class Lenience:
    """What a test leans on: requests the hub takes though the standard does not have them so."""

    taken: int = 0


@dataclass
class Witness:
    """What was seen.

    Attributes:
        seen: kind of message → how many passed.
        wrong: of those, messages that are not the standard's and should be.
        lenient: of those, requests that only the hub's lenience took.
        behind: faults of messages that passed where no test looks on, in a thread of a receiver.
        published: where the standard's own files are held against as well: messages they take as they are.
        repaired: kind and the repairs the files needed to take it → messages.
    """

    seen: Counter[Kind] = field(default_factory=Counter)
    wrong: Counter[Kind] = field(default_factory=Counter)
    lenient: Counter[Kind] = field(default_factory=Counter)
    behind: list[str] = field(default_factory=list)
    published: Counter[Kind] = field(default_factory=Counter)
    repaired: Counter[tuple[Kind, frozenset[str]]] = field(default_factory=Counter)
    lenience: Lenience | None = None

    def passed(self, method: str, path: str, asked: bytes, status: int, answer: bytes) -> None:
        """A request to the hub and its answer.

        Raises:
            NotTheStandards: the answer is not the standard's, or a request that is not was taken without a test leaning on it.
        """
        address = f"{method} {path}"
        if Kind(address, ANSWERED) not in kinds():
            return
        try:
            message = orjson.loads(answer)
        except ValueError:
            raise NotTheStandards(f"{address}: an answer of status {status} is no JSON") from None
        way = told(status, message)
        self._held(Kind(address, way), status, message)
        if way == ANSWERED and Kind(address, ASKED) in kinds():
            self._taken(
                Kind(address, ASKED),
                status,
                dict(parse_qsl(asked.decode(errors="replace"))) if path.startswith("/oauth2") else orjson.loads(asked),
            )

    def sent(self, path: str, body: bytes) -> None:
        """A callback as it came to a receiver; a fault of it is told when the test ends."""
        address = next((p for p in _CALLBACKS if path.endswith(p)), None)
        if address is None:
            return
        try:
            message = orjson.loads(body)
            way = REJECTED if message["header"]["status"] == "rjct" else SENT
            self._held(Kind(f"{CALLBACK} {address}", way), 200, message)
        except (KeyError, TypeError, ValueError, NotTheStandards) as error:
            self.behind.append(f"{type(error).__name__}: {error}")

    def _held(self, kind: Kind, status: int, message: Any) -> None:
        if kind not in kinds():
            raise NotTheStandards(f"{kind}: there is no such message")
        self.seen[kind] += 1
        found = faults(kind, message)
        if found:
            self.wrong[kind] += 1
            raise NotTheStandards(f"{kind} ({status}): {'; '.join(found)}")
        self._compared(kind, status, message)

    def _taken(self, kind: Kind, status: int, message: Any) -> None:
        """A request that was taken in."""
        if self.lenience is None:
            self._held(kind, status, message)
            return
        self.seen[kind] += 1
        if not faults(kind, message):
            raise NotTheStandards(f"{kind}: the test says that it leans on the hub's lenience, and the standard takes this")
        if published.FOLDER is not None and not published.faults(kind, status, message):
            raise NotTheStandards(f"{kind}: the standard's own files take this")
        self.lenience.taken += 1
        self.lenient[kind] += 1

    def _compared(self, kind: Kind, status: int, message: Any) -> None:
        """A message that is sound is so by the standard's own files too: as they are, or repaired."""
        if published.FOLDER is None or not published.says(kind, status):
            return
        if not published.faults(kind, status, message):
            self.published[kind] += 1
            return
        found = published.faults(kind, status, message, published.NAMES)
        if found:
            self.wrong[kind] += 1
            raise NotTheStandards(f"{kind} ({status}), by the standard's own files: {'; '.join(found)}")
        self.repaired[kind, published.needed(kind, status, message)] += 1


def told(status: int, message: Any) -> str:
    """Which way an answer is."""
    if status >= 400:
        return REFUSED
    header, inner = (message.get(name) if isinstance(message, dict) else None for name in ("header", "message"))
    is_rejected = (
        header.get("status") == "rjct" if isinstance(header, dict) else isinstance(inner, dict) and inner.get("ack_status") == "ERR"
    )
    return REJECTED if is_rejected else ANSWERED


witness = Witness()


@contextmanager
def watching() -> Iterator[None]:
    """Every client of this process is looked on."""
    send = httpx.Client.send

    def seen(client: httpx.Client, request: httpx.Request, **how: Any) -> httpx.Response:
        answer = send(client, request, **how)
        if request.url.path in _PATHS:
            witness.passed(request.method, request.url.path, request.read(), answer.status_code, answer.read())
        return answer

    with patch.object(httpx.Client, "send", seen):
        yield


@contextmanager
def lenient_in(reason: str, by: Witness = witness) -> Iterator[None]:
    """Requests in here are taken though the standard does not have them so; each must be of that sort, and one at least must be taken.

    Args:
        reason: what the hub lets pass.
        by: who looks on.
    """
    lenience = Lenience()
    with patch.object(by, "lenience", lenience):
        yield
    assert lenience.taken, f"nothing was taken by lenience in {reason}"


def table() -> list[str]:
    """What was seen, a line a kind of message: how many passed, were wrong, lenient, and taken by the standard's own files, as published or repaired."""
    rows = []
    for kind in kinds():
        repaired = {needed: count for (k, needed), count in witness.repaired.items() if k == kind}
        names = "".join(f" ({name})" for name in sorted({n for names in repaired for n in names}))
        counts = [witness.seen[kind], witness.wrong[kind], witness.lenient[kind], witness.published[kind], sum(repaired.values())]
        rows.append((counts, f"{kind}{names}"))
    rows.append(([sum(column) for column in zip(*(counts for counts, _ in rows), strict=True)], "合计 all"))
    heads = ["messages", "wrong", "lenient", "published", "repaired"]
    return [
        "  ".join([*heads, "kind"]),
        *("  ".join([*(f"{n:{len(h)}}" for n, h in zip(counts, heads, strict=True)), name]) for counts, name in rows),
    ]
